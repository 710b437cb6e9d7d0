"""A job over which its worker dies again and again: closed after three deaths, told, nothing left open."""

import asyncio
import signal
from pathlib import Path

import pytest

from bot.standins.messages import LoopbackMessages, by_turn, use
from bot.standins.serving import serve
from bot.stores import open_store
from tests.faults.bot_process import WITHIN_S, BotProcess, commented, github, serving
from tests.polling import until
from tests.stores.beside import pass_time
from tests.stores.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

KEY = "test-key-that-is-long-enough"
LOOK = use("bash", command="echo looking; sleep 60")


async def killed(bot: BotProcess) -> None:
    bot.process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(bot.process.wait)


async def told(database_url: str) -> None:
    """Until the one job has ended, and GitHub shows it."""
    store = await open_store(database_url)
    try:

        async def is_told() -> bool:
            census = await store.census()
            return (census.finished, census.untold) == ({"failure": 1}, 0)

        await until(is_told, within_s=WITHIN_S)
    finally:
        await store.close()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_a_job_that_kills_three_workers_is_closed_and_the_thread_is_told(
    tmp_path: Path, postgres: Postgres, database: str
) -> None:
    """R3, R8, R17, with `backspace serve`. Red when a claim counts no deaths: the fourth worker works on (seen)."""
    url = postgres.new_schema() if database == "postgres" else f"sqlite:///{tmp_path}/backspace.db"
    messages = LoopbackMessages(by_turn(*[LOOK] * 5), api_key=KEY)
    async with serve(messages.asgi()) as model_url, github(tmp_path) as host:
        settings = {
            "DATABASE_URL": url,
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": model_url,
            "BACKSPACE_MODEL": "claude-opus-5-5",
        }
        for deaths in range(3):
            async with serving(host, tmp_path, settings=settings) as bot:
                if deaths == 0:
                    issue, _ = await commented(host)
                await until(lambda: len(messages.requests) > deaths, within_s=WITHIN_S)  # noqa: B023  # awaited here
                await asyncio.sleep(0.3)
                await killed(bot)
            await pass_time(url)  # on SQLite the next worker knows the last one to be dead anyway
        assert [check.status for check in host.github.check_runs(host.repository)] == ["in_progress"]
        async with serving(host, tmp_path, settings=settings):
            await told(url)
            (comment,) = [c.body for c in host.github.comments(host.repository, issue.number) if c.author.type == "Bot"]
            assert "The bot's worker died each time it worked on this (3 times), so the job was closed." in comment
            checks = [(check.status, check.conclusion) for check in host.github.check_runs(host.repository)]
            assert checks == [("completed", "failure")]
            assert set(host.github.refs(host.repository)) == {"refs/heads/main"}, "its empty branch is gone"
            assert host.github.pull_requests(host.repository) == []
        assert len(messages.requests) == 3, "nobody works on it any more"
