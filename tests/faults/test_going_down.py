"""SIGTERM to a real `backspace serve` in the middle of its work: it leaves within seconds, and the next one goes on."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bot.standins.messages import LoopbackMessages, SlowStart, by_turn, use
from bot.standins.serving import serve
from tests.faults.bot_process import WITHIN_S, BotProcess, commented, github, published, serving
from tests.polling import until
from tests.repositories import submit

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(150)]

KEY = "test-key-that-is-long-enough"
LEAVES_WITHIN_S = 30.0  # the bot means ten, and the machine may stand still; what it leaves off takes ten minutes


@asynccontextmanager
async def model(*, looks_s: int = 600) -> AsyncIterator[tuple[LoopbackMessages, dict[str, str]]]:
    """Looks for so long, mends the file, submits."""
    mend = use("edit", file_path="value.txt", old_string="broken", new_string="fixed")
    look = use("bash", command=f"echo looking; sleep {looks_s}; echo done")
    messages = LoopbackMessages(by_turn(look, mend, *submit()), api_key=KEY)
    async with serve(messages.asgi()) as url:
        yield (
            messages,
            {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url, "BACKSPACE_MODEL": "claude-opus-5-5"},
        )


def journal(database: Path) -> list[str]:
    with (
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader,
        closing(reader.execute("SELECT kind || ' ' || key FROM journal ORDER BY n")) as found,
    ):
        return [row[0] for row in found.fetchall()]


def jobs(database: Path) -> list[tuple[str, float]]:
    with (
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader,
        closing(reader.execute("SELECT state, deaths FROM jobs")) as found,
    ):
        return [tuple(row) for row in found.fetchall()]


async def told_to_go(bot: BotProcess) -> None:
    bot.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(bot.process.wait, LEAVES_WITHIN_S) == 0, bot.log.read_text()


async def test_a_bot_told_to_go_during_a_tool_puts_its_job_back_and_the_next_one_finishes_it(tmp_path: Path) -> None:
    """R3. Red when nobody handles the signal: the process dies at once, and the job stays its own (tried)."""
    database = tmp_path / "home" / "backspace.db"
    async with model() as (messages, settings), github(tmp_path) as host:
        async with serving(host, tmp_path, settings=settings) as bot:
            issue, _ = await commented(host)
            await until(lambda: any(entry.startswith("tool start") for entry in journal(database)), within_s=WITHIN_S)
            await told_to_go(bot)
            assert jobs(database) == [("queued", 0)], "nobody died over it"
        async with serving(host, tmp_path, settings=settings):
            await published(host, issue)
        assert len(messages.requests) == 4, "no answer is asked for again"
        assert "interrupted" in str(messages.requests[1]["messages"][-1])


@pytest.mark.slow
async def test_a_bot_told_to_go_during_a_model_call_puts_its_job_back(tmp_path: Path) -> None:
    database = tmp_path / "home" / "backspace.db"
    async with model(looks_s=1) as (messages, settings), github(tmp_path) as host:
        messages.faults[1] = SlowStart(60)
        async with serving(host, tmp_path, settings=settings) as bot:
            issue, _ = await commented(host)
            await until(lambda: bool(messages.requests), within_s=WITHIN_S)
            await told_to_go(bot)
            assert jobs(database) == [("queued", 0)]
        async with serving(host, tmp_path, settings=settings):
            await published(host, issue)
        assert len(messages.requests) == 5, "the call that was cut off, and four that were answered"
