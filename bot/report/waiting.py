"""The tracking comment of a job that has to wait before it can begin."""

from bot.domain.job import Job
from bot.report.links import Links
from bot.report.tracking import marker

STUCK = (
    ": the bot cannot begin any job right now. Whoever runs it finds the reason in its server's log; this job then "
    "starts by itself"
)


def waiting_comment(job: Job, *, behind: str | None, stuck: bool, links: Links) -> str:
    """`behind` is the run of the same thread that comes first; None: as many jobs as may run are running, or the bot
    is `stuck`."""
    why = f" behind run {behind}" if behind else STUCK if stuck else " until another job has ended"
    return f"{marker(job.id)}\n**Queued**{why} · run {job.id} · [live log]({links.page})\n\n`/backspace cancel`"
