"""What an operator does from a terminal: stop a job, look at the jobs."""

import re
import time
from collections.abc import Sequence

import httpx
from rich.table import Table

from bot.domain.errors import UserError
from bot.ports import Listed
from bot.report.amounts import dollars, duration
from bot.report.characters import visible

SECONDS = 10.0
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def cancel(job_id: str, *, url: str, token: str) -> str:
    """Asks the bot at `url` to cancel; answers what it said. Raises UserError, worded with what to do."""
    if not _JOB_ID.fullmatch(job_id):
        raise UserError("That is no job's id: it is the word after `run` in the comment, such as dy37dilajwok.")
    if not token:
        raise UserError("BACKSPACE_OPERATOR_TOKEN is missing: set the token the bot was started with.")
    try:
        async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.post(f"{url.rstrip('/')}/jobs/{job_id}/cancel", headers=headers)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise UserError(f"{url} is not an http(s) address: give one such as http://127.0.0.1:8000.") from None
    except httpx.HTTPError:
        raise UserError(f"Nobody answers at {url}: start `backspace serve`, or give another --url.") from None
    if answer.is_success:
        return f"Cancelling {job_id}."
    if answer.status_code == 409:
        raise UserError(f"The job {job_id} has ended already.")
    if answer.status_code == 404:
        raise UserError(f"The bot at {url} has no job {job_id}, or another operator's token, or none.")
    raise UserError(f"The bot at {url} answered {answer.status_code}: look at its log.")


def table(jobs: Sequence[Listed], *, now: float | None = None) -> Table:
    """`now` is Unix time in seconds."""
    at = time.time() if now is None else now
    listed = Table("job", "state", "repository", "asked by", "age", "took", "cost", box=None, header_style="bold")
    for job in jobs:
        listed.add_row(*_cells(job, at))
    return listed


def _cells(listed: Listed, now: float) -> tuple[str, ...]:
    row = listed.row
    state = f"cancelling ({row.state})" if row.cancel_by and row.finished_at is None else row.state
    if listed.conclusion is not None and row.state == "failed":
        state = f"{row.state} ({listed.conclusion.value.replace('_', ' ')})"
    took = "" if row.finished_at is None else duration(max(0.0, row.finished_at - row.created_at))
    cost = "" if listed.usd is None else dollars(listed.usd)
    thread = f"{row.job.repo.full_name}#{row.job.issue.number}"
    age = duration(max(0.0, now - row.created_at))
    return (row.job.id, state, visible(thread), visible(row.job.requested_by.login), age, took, cost)
