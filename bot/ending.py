"""How a job's work ended, in the words of its comment and its pull request."""

from typing import Final

from bot.agent.loop import Outcome
from bot.agent.standing import Standing, standing
from bot.domain.events import JobFinished
from bot.domain.job import Job, PullRequest, Submission
from bot.report import answers, wording
from bot.report.receipts import in_a_line
from bot.report.restricted_markdown import fenced

DRY_RUN_DIFF = 50_000  # characters of a patch in a comment; GitHub takes 65,536 in all
CHECKS_FAIL = "**Checks fail** on this change"
_BUT: Final[dict[Standing, str]] = {
    "fine": "",
    "as on base": "its checks fail, as on its base",
    "worse": "its checks fail",
}


def unfinished(job: Job) -> Submission:
    """Words for work that was stopped before its author described it."""
    return Submission(
        outcome="changes",
        title=f"Unfinished work on issue {job.issue.number}",
        summary="The work was stopped before it was finished; this is what there is.",
        testing="",
    )


def go_on(outcome: Outcome, budget_usd: float) -> str:
    """What to type to have a draft gone on with, "" where that would fail in the same way.

    Where the money ran out, as much of it again is offered.
    """
    if not is_draft(outcome) or _advice(outcome) in answers.IN_VAIN:
        return ""
    money = f" --budget {budget_usd:.2f}".removesuffix(".00") if outcome.message.startswith("$") else ""
    return f"/backspace continue{money}"


def banner(outcome: Outcome, *, job: Job, budget_usd: float) -> str:
    """What is wrong with this pull request, or "" when nothing is known to be."""
    wrong = f"**Unfinished**: {outcome.message}" if outcome.kind == "stopped" else failing(outcome)
    command = go_on(outcome, budget_usd)
    typed = f"`{command}` on #{job.issue.number} goes on with it." if command else ""
    return " ".join(part for part in (wrong, _advice(outcome), typed) if part)


def is_draft(outcome: Outcome) -> bool:
    """Stopped work, and a change that fails more of its checks than its base does."""
    return outcome.kind == "stopped" or _standing(outcome) == "worse"


def failing(outcome: Outcome) -> str:
    """That an accepted change fails its checks, or "" when it does not."""
    match _standing(outcome):
        case "fine":
            return ""
        case "as on base":
            return f"{CHECKS_FAIL}, as on its base."
        case "worse":
            return f"{CHECKS_FAIL}{_beside_its_base(outcome)}."


def _standing(outcome: Outcome) -> Standing:
    return standing(outcome.receipt) if outcome.kind == "submitted" and outcome.receipt else "fine"


def _beside_its_base(outcome: Outcome) -> str:
    base = next((run for run in outcome.receipt.runs if run.where == "base"), None) if outcome.receipt else None
    if base is None:
        return "; they could not be run on its base, so they may have failed before"
    return " and did not fail on its base" if base.exit_code == 0 else ", more than on its base"


def ended(
    job: Job, outcome: Outcome, opened: PullRequest | None, *, budget_usd: float = 0.0, goes_on: bool = False
) -> JobFinished:
    """`goes_on`: the pull request was there before."""
    message = answers.ended(
        outcome.kind,
        message=outcome.message,
        submission=outcome.submission,
        own_issue=job.issue.number,
        pull_request=opened.number if opened else None,
        draft=opened.draft if opened else False,
        but=_BUT[_standing(outcome)],
        next_command=go_on(outcome, budget_usd) if opened and budget_usd else "",
        verb="Updated" if goes_on else "Opened",
    )
    return JobFinished(outcome.conclusion, _paragraphs(message, _advice(outcome), outcome.afterword))


def _advice(outcome: Outcome) -> str:
    return answers.advice(outcome.setback) if outcome.setback else ""


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def totals(job: Job, outcome: Outcome, *, sandbox_seconds: float, before: str = "") -> wording.Totals:
    return wording.Totals(
        model=" then ".join(outcome.models),
        turns=outcome.turns,
        tool_calls=outcome.tool_calls,
        usage=outcome.usage,
        usd=outcome.usd,
        sandbox_seconds=sandbox_seconds,
        prompt_hash=wording.prompt_hash(job),
        speakers=tuple(login for login in outcome.speakers if login != job.requested_by.login),
        before=before,
    )


def shown(job: Job, outcome: Outcome) -> JobFinished:
    """A dry run's end: the patch in the comment, cut to what a comment holds, or why there is none."""
    if outcome.patch is None or not outcome.patch.changes:
        return JobFinished(outcome.conclusion, f"**Dry run** · {ended(job, outcome, None).message}")
    diff = outcome.patch.diff
    cut = "" if len(diff) <= DRY_RUN_DIFF else "\n\nThe patch is cut here; the live log has all of it."
    patch = fenced(diff[:DRY_RUN_DIFF], language="diff")
    if outcome.kind == "stopped":
        head = f"**Dry run** · {ended(job, outcome, None).message}\n\nNothing was pushed. The patch so far:"
    else:
        checks = f"Checks: {in_a_line(outcome.receipt)}." if outcome.receipt else ""
        dry = "**Dry run**: nothing was pushed."
        head = _paragraphs(dry, failing(outcome), checks, outcome.afterword, "The patch:")
    return JobFinished(outcome.conclusion, f"{head}\n\n{patch}{cut}")
