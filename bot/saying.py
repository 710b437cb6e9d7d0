"""What a request gets without a job's report: a reaction, or one comment."""

import structlog

from bot.domain.errors import AmbiguousWrite, NotFound, ProviderError
from bot.domain.job import Job
from bot.ports import GitHub
from bot.report.tracking import marker

log = structlog.get_logger()


async def say(job: Job, text: str, github: GitHub) -> None:
    """One comment, however often this is tried; it takes the place of what said that the job had to wait.

    Raises AmbiguousWrite when it was lost twice: whoever tries again later finds it by its marker, if it is there.
    """
    body = f"{marker(job.id)}\n{text}"
    for again in (True, False):
        if (found := await github.find_comment(job.issue.number, marker(job.id))) is not None:
            if found.body != body:
                await github.update_comment(found.id, body)
            return
        try:
            await github.create_comment(job.issue.number, body)
            return
        except AmbiguousWrite:
            if not again:
                raise


async def is_told(job: Job, github: GitHub) -> bool:
    """Whether the thread has a comment of the job."""
    try:
        return await github.find_comment(job.issue.number, marker(job.id)) is not None
    except NotFound:  # the issue is gone
        return False


async def react(job: Job, github: GitHub, content: str) -> None:
    """A courtesy: its failure changes nothing."""
    try:
        if job.comment_id is None:
            await github.progress().react_to_issue(job.issue.number, content)
        else:
            await github.progress().react_to_comment(job.comment_id, content)
    except ProviderError as error:
        log.warning("no reaction", error=str(error))
