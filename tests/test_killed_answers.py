"""A worker that dies between its words and their record, or whose GitHub fails: they are said once all the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.domain.events import Conclusion, JobFinished, JobStarted
from bot.domain.job import Help, Person
from bot.standins.github.faults import Reply
from bot.stores import Store
from tests.fakes import Crash
from tests.github.scene import Scene, scene
from tests.stores.beside import pass_time, run
from tests.stores.conftest import Open, opened, sqlite_url
from tests.stores.samples import deliver
from tests.test_worker import a_worker, taken

__all__ = ["opened", "sqlite_url"]  # fixtures


class Dying:
    """A store that is gone when the job is to end."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, *given: Any, **named: Any) -> Any:
        if named.get("finish"):
            raise Crash
        return await self._store.commit(*given, **named)


def said(here: Scene) -> list[str]:
    return [one.body for one in here.loopback.comments(here.repository, 1) if one.author.type == "Bot"]


@pytest.mark.parametrize("asker", ["alice", "carol"], ids=["an-answer", "a-refusal"])
async def test_a_worker_killed_before_its_last_commit_has_answered_once(
    opened: Open, sqlite_url: str, tmp_path: Path, asker: str
) -> None:
    """R3, R4. Red when `say` does not look for what an earlier attempt said: seen."""
    store = await opened(sqlite_url)
    async with scene(tmp_path) as here:
        person = Person(here.loopback.user(asker).id, asker)
        command = Help() if asker == "alice" else here.job().command
        await deliver(store, replace(here.job(), command=command, requested_by=person))
        with pytest.raises(Crash):
            await a_worker(cast(Store, Dying(store)), tmp_path, here.app()).run_job(await taken(store))
        await pass_time(sqlite_url)
        await a_worker(store, tmp_path, here.app()).run_job(await taken(store))
        assert len(said(here)) == 1


async def test_a_refusal_that_github_did_not_take_is_said_by_the_next_attempt(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """R3. Red when the hour's ration counts the attempt before: the stranger never hears why (seen)."""
    store = await opened(sqlite_url)
    async with scene(tmp_path) as here:
        carol = Person(here.loopback.user("carol").id, "carol")
        await deliver(store, replace(here.job(), requested_by=carol))
        here.loopback.faults.add(Reply(502), method="POST", path=r"/issues/\d+/comments$", times=2)
        worker = a_worker(store, tmp_path, here.app())
        await worker.run_job(await taken(store))
        assert said(here) == []
        await run(sqlite_url, "UPDATE jobs SET run_at = 0")
        await worker.run_job(await taken(store))
        assert len(said(here)) == 1


async def test_an_end_that_an_earlier_attempt_recorded_is_the_only_one(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """R3: killed before the last commit. Red when the next attempt does not look for the recorded end: seen."""
    store, end = await opened(sqlite_url), JobFinished(Conclusion.FAILURE, "**Failed**: no.")
    async with scene(tmp_path) as here:
        await deliver(store, here.job())
        await store.commit((await taken(store)).claim, events=[JobStarted(1, model="m", budget_usd=1), end])
        await pass_time(sqlite_url)
        await a_worker(store, tmp_path, here.app()).run_job(await taken(store))
        ends = [one.event for one in await store.events("k7f3") if isinstance(one.event, JobFinished)]
        assert ends == [end]
        row = await store.job("k7f3")
        assert row is not None
        assert row.state == "failed"
