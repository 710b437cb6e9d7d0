"""What came of a run, in the words of the thread."""

from dataclasses import dataclass
from typing import Literal

from bot.agent.progress import Progress
from bot.agent.review import submission_of
from bot.agent.schemas import misfit
from bot.agent.standing import standing
from bot.agent.steering import speakers
from bot.domain.conversation import AssistantTurn, Usage, calls_of
from bot.domain.errors import ModelError
from bot.domain.events import Conclusion
from bot.domain.job import Patch, Receipt, Submission

Kind = Literal["submitted", "no_change", "blocked", "answered", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. `message` is ours and safe; what the model says stands in `submission` and is untrusted.

    `patch` is what may leave: accepted for "submitted", a draft for "stopped", None otherwise. For "answered" the
    submission's summary is the model's last text. `usd` None: the price is unknown. `models`: all that answered.
    `afterword`: what those are told who spoke too late, a sentence of ours. `setback`: the model's failure that ended
    the run, when one did.
    """

    kind: Kind
    conclusion: Conclusion
    message: str
    submission: Submission | None
    patch: Patch | None
    receipt: Receipt | None
    turns: int
    tool_calls: int
    usage: Usage
    usd: float | None
    nudges: int
    models: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    afterword: str = ""
    setback: ModelError | None = None


def outcome(
    progress: Progress,
    kind: Kind,
    conclusion: Conclusion,
    message: str,
    *,
    submission: Submission | None = None,
    patch: Patch | None = None,
    receipt: Receipt | None = None,
) -> Outcome:
    return Outcome(
        kind=kind,
        conclusion=conclusion,
        message=message,
        submission=submission,
        patch=patch,
        receipt=receipt,
        turns=progress.replies,
        tool_calls=progress.tool_calls,
        usage=progress.usage,
        usd=progress.usd,
        nudges=progress.nudges,
        models=progress.answered,
        speakers=tuple(person.login for person in speakers(progress.said)),
    )


def accepted(progress: Progress, submission: Submission, patch: Patch | None, receipt: Receipt) -> Outcome:
    """The end by an accepted submit; a success only when no check failed."""
    if submission.outcome == "blocked":
        message = "The agent could not go on."
        return outcome(progress, "blocked", Conclusion.ACTION_REQUIRED, message, submission=submission, receipt=receipt)
    if submission.outcome == "no_change" or patch is None:
        message = "Nothing was changed."
        return outcome(progress, "no_change", Conclusion.NEUTRAL, message, submission=submission, receipt=receipt)
    conclusion = Conclusion.SUCCESS if standing(receipt) == "fine" else Conclusion.NEUTRAL
    return outcome(
        progress,
        "submitted",
        conclusion,
        submitted_message(receipt),
        submission=submission,
        patch=patch,
        receipt=receipt,
    )


def submitted_message(receipt: Receipt) -> str:
    if receipt.command is None:
        return "The change is ready; no check was run."
    if not receipt.runs:
        return f"The change is ready; its check `{receipt.command}` could not be run here."
    match standing(receipt):
        case "fine":
            return f"The change is ready and its check passes: `{receipt.command}`."
        case "as on base":
            return f"The change is ready; its check fails with and without it: `{receipt.command}`."
        case "worse":
            return f"The change is ready, but its check fails: `{receipt.command}`."


def without_submit(progress: Progress, draft: Patch | None) -> Outcome:
    """The model ended without `submit`, nudges and all: its text is the answer, or its change is a draft."""
    if draft is None:
        said = Submission(outcome="no_change", title="", summary=progress.last_text, testing="")
        message = "The agent answered and changed nothing."
        return outcome(progress, "answered", Conclusion.NEUTRAL, message, submission=said)
    message = "The agent ended without submitting its change."
    return stopped(progress, message, Conclusion.NEUTRAL, draft)


def stopped(progress: Progress, message: str, conclusion: Conclusion, draft: Patch | None) -> Outcome:
    """The run ended before its work did; what there is, is a draft."""
    receipt = progress.shown.get(draft.diff_id) if draft else None
    return outcome(
        progress, "stopped", conclusion, message, submission=last_words(progress), patch=draft, receipt=receipt
    )


def last_words(progress: Progress) -> Submission | None:
    """What the newest `submit` of changes said, whether it was accepted or not."""
    for turn in reversed(progress.turns):
        calls = calls_of(turn.blocks) if isinstance(turn, AssistantTurn) else ()
        for call in reversed(calls):
            if call.name == "submit" and misfit(call) is None and call.input["outcome"] == "changes":
                return submission_of(call.input)
    return None
