"""What counts as waiting for a worker: the health of the queue is red when that takes too long."""

import asyncio

import pytest

from bot.stores import Store
from tests.stores.conftest import Open
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

WAITED_S = 0.3


async def oldest_s(store: Store) -> float | None:
    return (await store.census()).oldest_queued_s


async def test_a_job_waits_from_when_it_could_be_taken(store: Store) -> None:
    assert await oldest_s(store) is None
    await deliver(store, a_job("a"))
    await asyncio.sleep(WAITED_S)
    waited = await oldest_s(store)
    assert waited is not None
    assert WAITED_S <= waited < 10
    assert await store.claim("worker") is not None
    assert await oldest_s(store) is None


async def test_a_job_that_rests_for_a_limit_waits_for_no_worker_nor_does_what_comes_behind_it(store: Store) -> None:
    """Red when the age is counted from the acceptance of any queued job (seen)."""
    first = await claimed(store, "first")
    await deliver(store, a_job("second", issue=first.job.issue.number))
    await asyncio.sleep(WAITED_S)
    await store.retry(first, after_s=60.0)
    census = await store.census()
    assert (census.queued, census.running, census.oldest_queued_s) == (2, 0, None)
    await store.let_go(first.job.id)
    rested = await oldest_s(store)
    assert rested is not None
    assert rested < WAITED_S, "its rest was no waiting"


async def test_the_job_of_a_dead_worker_waits_again(opened: Open, database_url: str) -> None:
    """Red when whatever was claimed counts as running: with the only worker dead the queue looks well (seen)."""
    store = await opened(database_url, lease_s=0.1)
    await claimed(store, "a")
    assert (await store.census()).running == 1
    await asyncio.sleep(0.1 + WAITED_S)
    census = await store.census()
    assert (census.queued, census.running) == (1, 0)
    assert census.oldest_queued_s is not None
    assert WAITED_S <= census.oldest_queued_s < 10
