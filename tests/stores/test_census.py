"""What counts as waiting for a worker: the health of the queue is red when that takes too long."""

import pytest

from bot.stores import Store
from bot.stores.reports import TELLING_S, TOLD_FOR_S
from tests.stores.beside import pass_time
from tests.stores.conftest import Open
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

WAITED_S = 600.0
A_LEASE_S = 30.0


async def oldest_s(store: Store) -> float | None:
    return (await store.census()).oldest_queued_s


async def test_a_job_waits_from_when_it_could_be_taken(store: Store, database_url: str) -> None:
    assert await oldest_s(store) is None
    await deliver(store, a_job("a"))
    await pass_time(database_url, WAITED_S)
    waited = await oldest_s(store)
    assert waited is not None
    assert WAITED_S <= waited < 2 * WAITED_S
    assert await store.claim("worker") is not None
    assert await oldest_s(store) is None


async def test_a_job_that_rests_for_a_limit_waits_for_no_worker_nor_does_what_comes_behind_it(
    store: Store, database_url: str
) -> None:
    """Red when the age is counted from the acceptance of any queued job (seen)."""
    first = await claimed(store, "first")
    await deliver(store, a_job("second", issue=first.job.issue.number))
    await pass_time(database_url, WAITED_S)
    await store.retry(first, after_s=60.0)
    census = await store.census()
    assert (census.queued, census.running, census.oldest_queued_s) == (2, 0, None)
    await store.let_go(first.job.id)
    rested = await oldest_s(store)
    assert rested is not None
    assert rested < WAITED_S, "its rest was no waiting"


async def test_an_end_that_nobody_tells_any_more_is_not_counted_as_untold(store: Store, database_url: str) -> None:
    """Red when all are counted: the number stays where it is for a month (seen)."""
    await store.commit(await claimed(store, "a"), finish="failed")
    assert (await store.census()).untold == 1
    await pass_time(database_url, TOLD_FOR_S + WAITED_S)
    assert await store.untold("reaper") is None
    assert (await store.census()).untold == 0


async def test_an_end_that_failed_before_lets_the_others_go_first(store: Store, database_url: str) -> None:
    """Red when the oldest goes first however often it failed: a limited installation holds up all others (seen)."""
    for name in ("old", "young"):
        await store.commit(await claimed(store, name), finish="failed")
    for name in ("old", "young"):
        await pass_time(database_url, WAITED_S + TELLING_S)
        claim = await store.untold("reaper")
        assert claim is not None
        assert claim.job.id == f"job-{name}"


async def test_the_job_of_a_dead_worker_waits_again(opened: Open, database_url: str) -> None:
    """Red when whatever was claimed counts as running: with the only worker dead the queue looks well (seen)."""
    store = await opened(database_url, lease_s=A_LEASE_S)
    await claimed(store, "a")
    assert (await store.census()).running == 1
    await pass_time(database_url, A_LEASE_S + WAITED_S)
    census = await store.census()
    assert (census.queued, census.running) == (1, 0)
    assert census.oldest_queued_s is not None
    assert WAITED_S <= census.oldest_queued_s < 2 * WAITED_S
