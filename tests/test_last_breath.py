"""How a job ends that nobody works on any more: who cancelled it, whose words came too late, and what is no end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.agent import steering
from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobFinished, JobStarted
from bot.domain.job import Person, Repo
from bot.last_word import RESTED, RESTS_S
from bot.ports import GitHub
from bot.ports.github import Hold, OnWait
from bot.report.answers import OPERATOR
from tests.github.scene import scene
from tests.stores.beside import pass_time
from tests.stores.conftest import Open, opened, sqlite_url
from tests.stores.samples import a_job, deliver
from tests.test_worker import Away, a_worker, taken

__all__ = ["opened", "sqlite_url"]  # fixtures

pytestmark = pytest.mark.anyio

SAID = steering.message(comment_id=3, author=Person(7, "bob"), text="And the README.", key="bobs")
TOO_LATE = "What was said last came too late for this run: ask again. It was said by @bob."


class Hiccup(Away):
    """While GitHub is to be asked, the database is away for a moment."""

    @asynccontextmanager
    async def repository(
        self, installation_id: int, repo: Repo, *, hold: Hold | None = None, on_wait: OnWait | None = None
    ) -> AsyncIterator[GitHub]:
        raise ProviderError("store", "locked", retryable=True)
        yield


async def test_a_database_that_is_away_for_moments_ends_no_job_and_uses_up_no_try(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when it counts as a try: the third hiccup of a job's life is its end (seen)."""
    store = await opened(sqlite_url)
    await deliver(store, a_job("a"))
    for _ in range(len(RESTS_S) + 2):
        lease = await taken(store)
        with pytest.raises(ProviderError, match="locked"):
            await a_worker(store, tmp_path, Hiccup()).run_job(lease)
        await store.release(lease.claim)  # the runner's part
    assert RESTED not in [entry.key for entry in await store.journal("job-a")]


async def test_a_job_that_was_cancelled_while_github_is_away_says_who_cancelled_it(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when its last try says why GitHub did not answer: "Failed", and nothing of the cancel (seen)."""
    store = await opened(sqlite_url)
    await deliver(store, a_job("a"))
    worker = a_worker(store, tmp_path)
    await worker.run_job(await taken(store))
    await store.request_cancel("job-a", "alice")
    for _ in RESTS_S:
        await worker.run_job(await taken(store))
        await pass_time(sqlite_url)
    row = await store.job("job-a")
    assert row is not None
    assert row.state == "cancelled"
    assert (await store.events("job-a"))[-1].event == JobFinished(Conclusion.NEUTRAL, "**Cancelled** by @alice.")


async def test_who_spoke_to_a_run_that_was_cancelled_before_its_agent_read_it_is_told(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red without `with_afterword`: bob's request is passed on, and nobody ever answers him (seen)."""
    store = await opened(sqlite_url)
    async with scene(tmp_path) as here:
        job = here.job()
        await deliver(store, job)
        claim = (await taken(store)).claim
        await store.commit(claim, events=[JobStarted(1, model="m", budget_usd=1)], entries=[SAID])
        await store.release(claim)
        await store.request_cancel(job.id, "alice")
        await a_worker(store, tmp_path, here.app()).run_job(await taken(store))
        (comment,) = here.loopback.comments(here.repository, 1)
        assert f"**Cancelled** by @alice. {TOO_LATE}" in comment.body
        row = await store.job(job.id)
    assert row is not None
    assert row.state == "cancelled"


async def test_what_the_operator_cancels_is_told_also_where_nothing_was_said_yet(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when every job that had not begun ends without a word: its asker waits for ever (seen)."""
    store = await opened(sqlite_url)
    async with scene(tmp_path) as here:
        job = here.job()
        await deliver(store, job)
        await store.retry((await taken(store)).claim, after_s=15)
        await store.request_cancel(job.id, OPERATOR)
        await a_worker(store, tmp_path, here.app()).run_job(await taken(store))
        (comment,) = here.loopback.comments(here.repository, 1)
    assert "**Cancelled** by the operator." in comment.body
