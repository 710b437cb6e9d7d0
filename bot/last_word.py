"""A job's last event: which it is, what state it leaves, and whether a failure is one yet or is tried again first."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bot.agent.steering import REOPENED, SEALED, TOO_LATE, is_sealed, speakers, unread
from bot.domain.errors import BotError, LimitReached, ProviderError, UserError
from bot.domain.events import BranchMoved, Conclusion, JobFinished, JobStarted, PullRequestOpened, Recorded
from bot.domain.job import Job
from bot.ports import Claim, Entry, JobState
from bot.report import answers

RESTED = "rested"  # journal key: an attempt of that number ended because a provider failed
# Before each later try of a job whose provider failed in a way that one can mend, when the provider does not say;
# workers that died do not count here.
RESTS_S = (15.0, 60.0)
# GitHub is away, and what it is to be given is paid for. The thread may hear nothing meanwhile: none is long.
RESTS_WITH_WORK_S = (15.0, 60.0, 300.0, 300.0, 600.0, 600.0, 600.0, 600.0)
STATE_OF: dict[Conclusion, JobState] = {
    Conclusion.SUCCESS: "succeeded",
    Conclusion.NEUTRAL: "succeeded",
    Conclusion.FAILURE: "failed",
    Conclusion.TIMED_OUT: "failed",
    Conclusion.ACTION_REQUIRED: "failed",
}


def end_in(events: Iterable[Recorded]) -> JobFinished | None:
    return next((r.event for r in events if isinstance(r.event, JobFinished)), None)


def has_started(events: Iterable[Recorded]) -> bool:
    return any(isinstance(recorded.event, JobStarted) for recorded in events)


def state_of(end: JobFinished, *, cancelled_by: str | None) -> JobState:
    """A cancel that came after the end changes nothing."""
    in_time = cancelled_by is not None and end.message.startswith(answers.cancelled(cancelled_by))
    return "cancelled" if in_time else STATE_OF[end.conclusion]


def cancelled(by: str, events: Sequence[Recorded]) -> JobFinished:
    """What is on GitHub already stays there, and is named."""
    opened = next((r.event.number for r in events if isinstance(r.event, PullRequestOpened)), None)
    moved = [r.event for r in events if isinstance(r.event, BranchMoved)]
    too_late = f" Its change is in #{opened} already." if opened else ""
    if len(moved) > 1 and not opened:  # the first is what it began with
        begun = moved[0]
        none_yet = "; no pull request was opened: open one by hand, or ask again" if begun.created else " already"
        too_late = f" Its change is on the branch `{begun.branch}`{none_yet}."
    return JobFinished(Conclusion.NEUTRAL, f"{answers.cancelled(by)}{too_late}")


def failed(error: BotError, job: Job, *, started: bool) -> JobFinished:
    asker = job.requested_by.login
    match error:
        case UserError():
            message = answers.failed(error, asker=asker) if started else answers.not_started(error, asker=asker)
            return JobFinished(Conclusion.ACTION_REQUIRED, message)
        case LimitReached():
            return JobFinished(Conclusion.TIMED_OUT, answers.failed(error, asker=asker))
        case _:
            return JobFinished(Conclusion.FAILURE, answers.failed(error, asker=asker))


def with_afterword(end: JobFinished, entries: Sequence[Entry]) -> JobFinished:
    """For those whose words the agent did not read any more, and who ask with them in vain."""
    names = ", ".join(f"@{person.login}" for person in speakers(unread(entries)))
    return replace(end, message=f"{end.message} {TOO_LATE} It was said by {names}.") if names else end


def without_store(error: BotError) -> bool:
    """The database is away: no end of a job, and none of its tries, which could not be written down."""
    return isinstance(error, ProviderError) and error.provider == "store" and error.retryable


def may_retry(error: BotError, claim: Claim, entries: Sequence[Entry]) -> bool:
    if not (isinstance(error, ProviderError) and error.retryable):
        return False
    return without_store(error) or _rested(claim, entries) < len(_rests_s(error, entries))


def rest_s(error: ProviderError, claim: Claim, entries: Sequence[Entry]) -> float:
    """How long before the next try."""
    return error.retry_after_s or _rests_s(error, entries)[_rested(claim, entries)]


def _rested(claim: Claim, entries: Sequence[Entry]) -> int:
    """How often before this attempt, since the work was handed in, or called back."""
    times = 0
    for entry in reversed(entries):
        if entry.key.split(" ")[0] in (SEALED, REOPENED):
            break
        times += entry.key == RESTED and entry.data["attempt"] < claim.attempts
    return times


def _rests_s(error: ProviderError, entries: Sequence[Entry]) -> Sequence[float]:
    return RESTS_WITH_WORK_S if error.provider == "github" and is_sealed(entries) else RESTS_S


def counted(error: BotError, claim: Claim) -> BotError:
    """With how often it was tried, where a later try could have helped."""
    if not (isinstance(error, ProviderError) and error.retryable and claim.retries):
        return error
    return replace(error, message=f"{error.message.rstrip('.')} (tried {claim.retries + 1} times)")
