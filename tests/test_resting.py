"""Jobs that wait for somebody: their log says so at once, their thread as soon as GitHub takes a word of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.events import Conclusion, JobFinished, Noted
from bot.domain.job import Start
from bot.github.installation import App
from bot.github.pace import NO_LIMITS
from bot.ports import GitHubApp
from bot.report.rests import waited, waiting
from bot.standins.github import Reply
from bot.stores import Store
from tests.github.scene import Scene, scene
from tests.stores.beside import pass_time
from tests.stores.conftest import Open, opened, sqlite_url
from tests.stores.samples import deliver
from tests.test_worker import a_worker, taken

__all__ = ["opened", "sqlite_url"]  # fixtures

pytestmark = pytest.mark.anyio
HALF_AN_HOUR = 1_800.0
CLOCK = r"\d\d:\d\d UTC"


class Leaping:
    """A clock on which every sleep is over at once."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._ahead += max(seconds, 0.0)
        await asyncio.sleep(0)


@asynccontextmanager
async def asked(tmp_path: Path, store: Store) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as here:
        await deliver(store, replace(here.job(), command=Start("replace `hullo` with `hello` in `src/app.py`")))
        yield here


async def attempt(store: Store, tmp_path: Path, app: GitHubApp) -> list[Noted]:
    """The waits its log tells of by then."""
    await a_worker(store, tmp_path, app).run_job(await taken(store))
    events = [recorded.event for recorded in await store.events("k7f3")]
    return [event for event in events if isinstance(event, Noted) and event.until is not None]


def comment_of(here: Scene) -> str:
    (comment,) = here.loopback.comments(here.repository, 1)
    return comment.body


async def test_a_job_that_rests_while_github_takes_no_work_says_so_wherever_it_can(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when the rest is not written down before the report ends: comment and check show the last step (seen)."""
    store = await opened(sqlite_url)
    async with asked(tmp_path, store) as here:
        broken = here.loopback.faults.add(Reply(502), method="POST", path="/git/trees$", times=8)
        assert await attempt(store, tmp_path, here.app()) == [], "15 seconds are not worth saying"
        await pass_time(sqlite_url)
        (wait,) = await attempt(store, tmp_path, here.app())
        assert broken.left == 0
        assert re.fullmatch(rf"Waiting for GitHub until {CLOCK}: [^(/]*\(HTTP 502\)", wait.text)
        assert "Waiting for GitHub until" in comment_of(here)
        (check,) = here.loopback.check_runs(here.repository)
        assert check.status == "in_progress"
        assert check.title == wait.text
        assert "Waiting for GitHub until" in (check.summary or "")


async def test_a_job_that_waits_for_a_limit_says_so_in_its_log_at_once_and_in_its_thread_afterwards(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when the client does not pass on what its turn says: the log is silent for half an hour (seen)."""
    store, clock = await opened(sqlite_url), Leaping()
    async with asked(tmp_path, store) as here:
        limited = Reply(429, headers={"retry-after": f"{HALF_AN_HOUR:.0f}"})
        here.loopback.faults.add(limited, method="POST", path="/git/trees$")
        key, url = here.registered.private_key_pem, here.url
        app = App(here.registered.app.id, key, api_url=url, limits=NO_LIMITS, monotonic=clock, sleep=clock.sleep)
        (wait,) = await attempt(store, tmp_path, app)
        assert re.fullmatch(rf"Waiting for GitHub until {CLOCK}: its rate limit for this installation", wait.text)
        assert "**Opened #2**" in comment_of(here)
        assert waited(wait.text) in comment_of(here)
        end = (await store.events("k7f3"))[-1].event
        assert isinstance(end, JobFinished)
        assert end.conclusion is Conclusion.SUCCESS
        row = await store.job("k7f3")
        assert row is not None
        assert row.attempts == 1, "it waited where it was"


def test_the_minute_that_is_named_has_begun_when_the_wait_is_over() -> None:
    assert waiting("github", "no answer", until=1.0).text == "Waiting for GitHub until 00:01 UTC: no answer"
    assert waiting("docker", "gone", until=60.0).text == "Waiting for docker until 00:01 UTC: gone"
