"""The operator's commands: what they ask the bot, and what they print."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console
from starlette.applications import Starlette

from bot.commands.operating import cancel, table
from bot.domain.errors import UserError
from bot.domain.events import Conclusion, JobFinished
from bot.ports import DayBudgets
from bot.standins.serving import serve
from bot.stores import Store, open_store
from bot.web.operator import routes
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

TOKEN = "operator-" + "t" * 24


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    yield opened
    await opened.close()


async def test_a_job_is_cancelled_from_the_command_line(store: Store) -> None:
    await deliver(store, a_job("waits"))
    async with serve(Starlette(routes=list(routes(store, operator_token=TOKEN)))) as url:
        assert await cancel("job-waits", url=url + "/", token=TOKEN) == "Cancelling job-waits."
        with pytest.raises(UserError, match="has no job job-waits, or another operator's token, or none"):
            await cancel("job-waits", url=url, token=TOKEN + "x")
        claim = await claimed(store, "ended")
        await store.commit(claim, events=[JobFinished(Conclusion.SUCCESS, "")], finish="succeeded")
        with pytest.raises(UserError, match="The job job-ended has ended already"):
            await cancel("job-ended", url=url, token=TOKEN)
    with pytest.raises(UserError, match="Nobody answers"):
        await cancel("job-waits", url=url, token=TOKEN)


@pytest.mark.parametrize(
    ("job_id", "url", "token", "said"),
    [
        pytest.param("../x", "http://127.0.0.1:9", TOKEN, "That is no job's id", id="no-id"),
        pytest.param("k7f3", "http://127.0.0.1:9", "", "BACKSPACE_OPERATOR_TOKEN is missing", id="no-token"),
        pytest.param("k7f3", "ftp://x", TOKEN, "is not an http", id="no-address"),
    ],
)
async def test_what_cannot_be_asked_is_told_with_its_remedy(job_id: str, url: str, token: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        await cancel(job_id, url=url, token=token)


def printed(folder: Path) -> str:
    """`backspace jobs`, in a process of its own, beside the bot."""
    env = {"PATH": os.environ["PATH"], "COLUMNS": "200", "DATABASE_URL": f"sqlite:///{folder / 'bot.db'}"}
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-m", "bot", "jobs"], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_table_shows_state_and_cost(store: Store, tmp_path: Path) -> None:
    day = DayBudgets(repo_usd=30.0, installation_usd=100.0)
    failed, cheap = await claimed(store, "failed"), await claimed(store, "cheap")
    await store.reserve(failed, usd=1.0, spent_usd=1.25, budgets=day)
    await store.commit(failed, events=[JobFinished(Conclusion.TIMED_OUT, "")], finish="failed")
    await store.commit(cheap, events=[JobFinished(Conclusion.SUCCESS, "")], finish="succeeded")
    await deliver(store, a_job("waits", issue=4))
    await deliver(store, a_job("stops", issue=5))
    await store.request_cancel("job-stops", "the operator")
    console = Console(width=150)
    with console.capture() as capture:
        rows = await store.latest(finished=9)
        console.print(table(rows, now=rows[0].row.created_at + 65))
    lines = [" ".join(line.split()) for line in capture.get().strip().split("\n")]
    assert lines[0] == "job state repository asked by age took cost"
    assert lines[1].startswith("job-waits queued octo-org/widgets#4 octocat 1 min 5 s")
    assert lines[2].startswith("job-stops cancelling (queued) octo-org/widgets#5 octocat ")
    assert lines[3].startswith("job-cheap succeeded octo-org/widgets#")
    assert lines[4].startswith("job-failed failed (timed out) octo-org/widgets#")
    assert lines[4].endswith("s $1.25")
    assert (await asyncio.to_thread(printed, tmp_path)).split()[8:10] == ["job-waits", "queued"]
    assert [listed.row.job.id for listed in await store.latest(finished=1)] == ["job-waits", "job-stops", "job-cheap"]
