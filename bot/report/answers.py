"""What the bot answers in the thread: help, status, refusals, and the last sentence of every job."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from bot.domain.errors import BotError, LimitReached, ModelError, ProviderError, UserError
from bot.domain.job import (
    Approve,
    Cancel,
    Command,
    Continue,
    Help,
    Plan,
    Retry,
    Start,
    Status,
    Submission,
    Unclear,
    Undo,
)
from bot.ports import JobRow, JobState
from bot.report.amounts import duration
from bot.report.leaks import LeakFound
from bot.report.safe_text import safe, sentence

HELP = """\
**What I understand**, as the first line of a comment:

| command | what happens |
| --- | --- |
| `/backspace <what to change>` | I work on it in a sandbox and open a pull request |
| `/backspace status` | where the jobs of this thread are |
| `/backspace <text>` while a job runs | its agent reads it at its next step; with a flag such as `--new` it waits |
| `/backspace cancel` | stops this thread's jobs |
| `/backspace continue` | goes on in the newest unfinished draft, with a new budget (`--budget USD`, `--model NAME`) |
| `/backspace help` | this list |

Flags go before the text: `--model NAME`, `--budget USD`, `--draft`, `--base BRANCH`, and `--dry-run`, which shows the
patch in the comment and pushes nothing.
The label `backspace` on an issue asks for the issue as it is written. Editing a comment starts nothing."""

CANCELLED = "**Cancelled**"  # how the last word of every cancelled job begins
OPERATOR = "the operator"  # who cancels without an account; no login has a space
SUMMARY_BYTES = 6_000
STATUS_ROWS = 5
_CALL = re.compile(r" \([A-Z]+ /[^\s:)]*(?:: (HTTP \d{3}))?\)")  # which of GitHub's calls it was is for the log
_FOR_THE_OPERATOR = "Whoever runs this bot has to change that; until then asking again will not help."
_UNTIL_CHANGED = "Asking again will not help until that is changed."
IN_VAIN = (_FOR_THE_OPERATOR, _UNTIL_CHANGED)  # the advice after which nothing is offered to type
_SAYS_WHO = ("is archived", "is suspended")  # a 403 whose own words name what has to be done
_STATE: Mapping[JobState, str] = {
    "queued": "is queued",
    "running": "is running",
    "succeeded": "has succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
}


def answer(command: Command, *, jobs: Sequence[JobRow] = (), pages: Mapping[str, str] | None = None, now: float) -> str:
    """The reply to a command that starts no job.

    `jobs` are the thread's, newest first, or those that a cancel ends; `pages` holds their live pages by job id.
    """
    match command:
        case Help():
            return HELP
        case Status():
            return _status(jobs, pages=pages or {}, now=now)
        case Unclear(problem=problem):
            return _not_understood(problem)
        case Cancel():
            return _cancelling(jobs)
        case Start():
            return not_built_yet("A job on a pull request", instead="Comment on an issue instead.")
        case Continue():
            return not_built_yet("`/backspace continue` on a pull request", instead="Say it on the issue instead.")
        case Plan() | Approve() | Retry() | Undo():
            return not_built_yet(
                f"`/backspace {command.kind}`",
                instead="`/backspace <what to change>` starts a job; `/backspace help` lists the rest.",
            )


def _not_understood(problem: str) -> str:
    help_line = "" if "/backspace help" in problem else " `/backspace help` lists what I understand."
    return f"**Not understood**: {sentence(problem)}{help_line}"


def not_built_yet(what: str, *, instead: str) -> str:
    return f"**Not there yet**: {what} is planned but not built. {instead}"


def not_started(refusal: UserError, *, asker: str) -> str:
    """A refusal, worded for the asker (a login) where it was decided."""
    return f"**Not started**: {sentence(str(refusal), asker=asker)}"


def cancelled(by: str) -> str:
    """`by` is a login, maybe with a reason in brackets after it, or the operator; the reason alone: whoever did it"""
    who = by if by == OPERATOR else f"@{by}"
    if by.startswith("("):
        return f"{CANCELLED} {by}."
    return f"{CANCELLED} by {who}." if by else f"{CANCELLED}."


def passed_on(job_id: str) -> str:
    """The end of a request whose words went to the agent that was at work on the thread."""
    return f"**Passed on** to run {job_id}: its agent reads this at its next step."


def our_fault() -> str:
    """An error nobody foresaw. The run's id stands beside it in the comment."""
    return "**Failed**: something broke on our side. It is recorded under this run; asking again can help."


def failed(error: BotError, *, asker: str) -> str:
    """What happened, and whether asking again can help; `asker` is the login of who asked."""
    said = f"{sentence(str(error), asker=asker).rstrip('.')}."
    match error:
        case ProviderError():
            return f"**Failed**: {without_call(said)} {advice(error)}"
        case LeakFound():
            return f"**Failed**: {said} Tell whoever runs this bot, so that the secret is changed."
        case LimitReached() | UserError():
            return f"**Stopped**: {said}"
        case _:
            return f"**Failed**: {said}"


def without_call(said: str) -> str:
    """Of the call that failed only the status stays."""
    return _CALL.sub(lambda call: f" ({call[1]})" if call[1] else "", said)


def advice(error: ProviderError) -> str:
    """Whether asking again can help, and who has to do something where it cannot."""
    match error:
        case ModelError(for_operator=True):
            return _FOR_THE_OPERATOR
        case ModelError(remedy="refused"):
            return "Asking in other words can help."
        case ModelError(remedy="context" | "longer"):
            return "Asking for less at once can help."
        case ProviderError(provider="github", status=401):
            return _FOR_THE_OPERATOR
        case ProviderError(retryable=True) | ProviderError(status=429) | ModelError(remedy="again"):
            return "Asking again later can help."
        case ProviderError(provider="github", status=403) if not any(words in error.message for words in _SAYS_WHO):
            return "Whoever runs this bot is told by `backspace doctor` what it may not do here."
        case _:
            return _UNTIL_CHANGED


Ending = Literal["submitted", "no_change", "blocked", "answered", "stopped"]


def ended(
    kind: Ending,
    *,
    message: str = "",
    submission: Submission | None = None,
    own_issue: int,
    pull_request: int | None = None,
    draft: bool = False,
    but: str = "",
    next_command: str = "",
    verb: str = "Opened",
) -> str:
    """The last sentence of a job by how the agent's work ended.

    `message` is ours (why it stopped); the submission's summary is the model's and is made safe here; `but` completes
    "Opened draft #7:", whose first word is `verb`; `next_command` is what to type to go on, where there is such a
    command.
    """
    summary = safe(submission.summary, own_issue=own_issue, max_bytes=SUMMARY_BYTES) if submission else ""
    match kind:
        case "submitted":
            opened = f"**{verb} {'draft ' if draft else ''}#{pull_request}**"
            return _dotted(f"{opened}: {but}" if but else opened, _typed(next_command))
        case "no_change":
            return _headed("**Nothing to change**", summary or sentence(message))
        case "blocked":
            return _headed("**Could not do it**", summary or sentence(message))
        case "answered":
            return _headed("**Ended without a change**", summary or sentence(message))
        case "stopped":
            return _stopped(message, pull_request=pull_request, next_command=next_command)


def _stopped(message: str, *, pull_request: int | None, next_command: str) -> str:
    draft = f"what there is, is in draft #{pull_request}" if pull_request is not None else ""
    return _dotted(f"**Stopped: {sentence(message).rstrip('.')}**", draft, _typed(next_command))


def _typed(command: str) -> str:
    return f"`{command}` goes on with it" if command else ""


def _dotted(*facts: str) -> str:
    return " · ".join(fact for fact in facts if fact)


def _headed(headline: str, text: str) -> str:
    """One line where the text is one line, else the headline above it."""
    if not text:
        return f"{headline}."
    return (
        f"{headline}\n\n{text}"
        if "\n" in text or text.startswith(("- ", "#", "|", ">", "`", " `"))
        else f"{headline}: {text}"
    )


def _status(jobs: Sequence[JobRow], *, pages: Mapping[str, str], now: float) -> str:
    if not jobs:
        return "No job has been started on this thread. `/backspace <what to change>` starts one."
    return "\n".join(_status_line(row, pages.get(row.job.id), now=now) for row in jobs[:STATUS_ROWS])


def _status_line(row: JobRow, page: str | None, *, now: float) -> str:
    ago = duration(max(now - (row.finished_at or row.created_at), 0.0))
    when = f"{ago} ago" if row.finished_at is not None else f"asked {ago} ago"
    log = f" · [live log]({page})" if page else ""
    passed_on = row.state == "succeeded" and row.attempts == 0  # nobody worked on it: it was a message
    state = "was passed on to the agent" if passed_on else _STATE[row.state]
    return f"- run {row.job.id} {state} · {when} · by {row.job.requested_by.login}{log}"


def _cancelling(jobs: Sequence[JobRow]) -> str:
    if not jobs:
        return "Nothing is running on this thread."
    return f"Stopping run {' and '.join(row.job.id for row in jobs)}."
