"""Events -> the one comment a job keeps up to date in the thread."""

from collections.abc import Sequence

from bot.domain.events import Conclusion, Recorded
from bot.domain.job import Job
from bot.report.amounts import change_size, cost, cut_wish, dollars, duration
from bot.report.links import Links
from bot.report.progress import Progress, progress
from bot.report.receipts import in_a_line
from bot.report.restricted_markdown import words
from bot.report.rests import waited
from bot.report.steps import checklist

MOST_SWITCHES = 4
MOST_SAID = 4
STUCK = (
    ": the bot cannot begin any job right now. Whoever runs it finds the reason in its server's log; this job then "
    "starts by itself"
)


def marker(job_id: str) -> str:
    """The hidden line by which the comment is found again."""
    return f"<!-- backspace:job:{job_id} -->"


def waiting_comment(job: Job, *, behind: str | None, stuck: bool, links: Links) -> str:
    """Of a job that has to wait before it can begin.

    `behind` is the run of the same thread that comes first; None: as many jobs as may run are running, or the bot is
    `stuck`.
    """
    why = f" behind run {behind}" if behind else STUCK if stuck else " until another job has ended"
    return f"{marker(job.id)}\n**Queued**{why} · run {job.id} · [live log]({links.page})\n\n`/backspace cancel`"


def tracking_comment(job: Job, events: Sequence[Recorded], *, now: float, links: Links) -> str:
    """Of a job that a worker has: before its first step too it is being worked on."""
    so_far = progress(events)
    return f"{marker(job.id)}\n{_body(job, so_far, now=now, links=links)}"


def _body(job: Job, so_far: Progress, *, now: float, links: Links) -> str:
    match so_far.state:
        case "queued" | "running":
            return _running(job, so_far, links=links)
        case "finished":
            return _finished(job, so_far, now=now, links=links)


def _running(job: Job, so_far: Progress, *, links: Links) -> str:
    facts = [f"run {job.id}", f"[live log]({links.page})"]
    if links.check is not None:
        facts.append(f"[check]({links.check})")
    facts.append(cost(so_far.usd, so_far.budget_usd))
    again = f" (attempt {so_far.attempt})" if so_far.attempt > 1 else ""
    parts = [f"**Working on it**{again} · {' · '.join(facts)}", checklist(so_far), *_told(job, so_far), *_said(so_far)]
    return "\n\n".join([*parts, "`/backspace cancel`"])


def _finished(job: Job, so_far: Progress, *, now: float, links: Links) -> str:
    assert so_far.finished is not None, "state is finished"
    message = so_far.finished.message
    took, log = duration(so_far.seconds(now)), f"[live log]({links.page})"
    if so_far.started_at is None:
        return f"{message}\n\nrun {job.id} · {log}"
    facts = [dollars(so_far.usd), *_change(so_far), log]
    if so_far.finished.conclusion is Conclusion.SUCCESS and so_far.pull_request is not None:
        opened, *more = message.split("\n\n")
        return "\n\n".join([" · ".join([f"{opened} in {took}", *facts]), *more, *_told(job, so_far)])
    return "\n\n".join([message, *_told(job, so_far), " · ".join([f"run {job.id}", took, *facts])])


def _told(job: Job, so_far: Progress) -> list[str]:
    """That the budget is not the one that was asked for, the newest switches of the model, and for whom the job waits
    or has waited; the log has it all."""
    cut = cut_wish(job.options.budget_usd, so_far.budget_usd)
    wait = so_far.wait if so_far.waiting else waited(so_far.wait)
    return [words(text) for text in (cut, *so_far.switches[-MOST_SWITCHES:], wait) if text]


def _said(so_far: Progress) -> list[str]:
    """What the agent was told meanwhile: whoever said it sees that it arrived."""
    return [words(text) for text in so_far.said[-MOST_SAID:]]


def _change(so_far: Progress) -> list[str]:
    """How large what was published is, and how its checks ended."""
    if so_far.pull_request is None:
        return []
    return [fact for fact in (change_size(so_far.stats), in_a_line(so_far.receipt) if so_far.receipt else "") if fact]
