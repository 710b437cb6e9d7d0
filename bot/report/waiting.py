"""The tracking comment of a job that has to wait before it can begin."""

from bot.domain.job import Job
from bot.report.links import Links
from bot.report.tracking import marker


def waiting_comment(job: Job, *, behind: str | None, links: Links) -> str:
    """`behind` is the run of the same thread that comes first; None: as many jobs as may run are running."""
    why = f"behind run {behind}" if behind else "until another job has ended"
    return f"{marker(job.id)}\n**Queued** {why} · run {job.id} · [live log]({links.page})\n\n`/backspace cancel`"
