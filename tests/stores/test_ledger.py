"""The days' money, on SQLite and on Postgres: nobody passes a limit, and nothing stays set aside for the dead."""

import asyncio

import pytest

from bot.domain.errors import LeaseLost
from bot.domain.events import Conclusion, JobFinished
from bot.ports import Claim, DayBudgets, Entry, Shortfall
from bot.stores import Store
from tests.midnight import one_day
from tests.stores.beside import pass_time, run
from tests.stores.conftest import Open
from tests.stores.samples import a_job, deliver

__all__ = ["one_day"]  # a fixture

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("one_day")]

ROOMY = DayBudgets(repo_usd=30.0, installation_usd=100.0)
DONE = JobFinished(Conclusion.SUCCESS, "Done.")


async def claims(store: Store, count: int, *, installation: int = 1, repo: int = 7) -> list[Claim]:
    found = []
    for n in range(count):
        name = f"{installation}-{repo}-{n}"
        await deliver(store, a_job(name, installation=installation, repo=repo))
        claim = await store.claim("worker", job_id=f"job-{name}")
        assert claim is not None
        found.append(claim)
    return found


async def reserve(store: Store, claim: Claim, usd: float, *, spent: float = 0.0) -> Shortfall | None:
    return await store.reserve(claim, usd=usd, spent_usd=spent, budgets=ROOMY)


async def spent(store: Store) -> float:
    return (await store.census()).usd_today


async def test_concurrent_reservers_never_pass_the_limit(opened: Open, database_url: str) -> None:
    """R14. Red on Postgres without the lock, and on both when only what is settled is summed up (tried)."""
    stores = [
        await opened(database_url, running=99, running_per_installation=99)
        for _ in range(1 if "sqlite" in database_url else 3)
    ]
    asking = await claims(stores[0], 20)
    answers = await asyncio.gather(
        *(reserve(stores[n % len(stores)], claim, 4.0) for n, claim in enumerate(asking)),
    )
    assert answers.count(None) == 7, "seven times four dollars fit into thirty"
    assert all(refused == Shortfall("repository", 28.0) for refused in answers if refused)


async def test_a_settled_call_costs_what_it_cost(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=9, running_per_installation=9)
    one, other = await claims(store, 2)
    assert await reserve(store, one, 29.0) is None
    assert await reserve(store, other, 2.0) == Shortfall("repository", 29.0)
    await store.settle(one, 0.25)
    assert await reserve(store, other, 2.0) is None
    assert await spent(store) == 0.25
    assert await reserve(store, one, 2.0, spent=0.25) is None
    assert await reserve(store, one, 28.0, spent=0.25) == Shortfall("repository", 2.25)


async def test_saying_twice_what_a_job_cost_counts_once(store: Store) -> None:
    """A resumed job says again what its journal holds."""
    (claim,) = await claims(store, 1)
    for _ in range(3):
        assert await reserve(store, claim, 1.0, spent=0.5) is None
        await store.settle(claim, 0.75)
    assert await spent(store) == 0.75


async def test_an_installation_has_a_limit_over_all_its_repositories(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=9, running_per_installation=9)
    asking = [(await claims(store, 1, repo=repo))[0] for repo in range(5)]
    elsewhere = (await claims(store, 1, installation=2, repo=99))[0]
    assert [await reserve(store, claim, 25.0) for claim in asking] == [None] * 4 + [Shortfall("installation", 100.0)]
    assert await reserve(store, elsewhere, 25.0) is None


async def test_yesterday_counts_no_more(store: Store, database_url: str) -> None:
    """A job that works over midnight pays each day's part on that day."""
    (claim,) = await claims(store, 1)
    await reserve(store, claim, 20.0)
    await store.settle(claim, 12.0)
    await run(database_url, "UPDATE spending SET day = day - 1, reserved = 5")
    assert await reserve(store, claim, 30.0, spent=12.0) is None
    await store.settle(claim, 13.0)
    assert await spent(store) == 1.0


async def test_a_job_that_ends_gives_back_what_was_set_aside(opened: Open, database_url: str) -> None:
    """The recorded cost is settled even when the worker died between the journal and the ledger."""
    store = await opened(database_url, running=9, running_per_installation=9)
    one, other = await claims(store, 2)
    await reserve(store, one, 29.0)
    await store.commit(one, entries=[Entry("model", "reply 1", {"usd": 0.5}), Entry("model", "reply 2", {"usd": None})])
    await store.commit(one, entries=[Entry("tool", "x", {"usd": 9.0})], events=[DONE], finish="succeeded")
    assert await spent(store) == 0.5
    assert await reserve(store, other, 29.0) is None


async def test_a_job_closed_as_poison_gives_back_what_was_set_aside(opened: Open, database_url: str) -> None:
    store = await opened(database_url, deaths=1, running=9, running_per_installation=9)
    (claim,) = await claims(store, 1)
    await store.commit(claim, entries=[Entry("model", "reply 1", {"usd": 0.25})])
    await reserve(store, claim, 29.0)
    await pass_time(database_url)
    assert await store.claim("another") is None
    assert await spent(store) == 0.25
    await deliver(store, a_job("another"))
    other = await store.claim("worker", job_id="job-another")
    assert other is not None
    assert await reserve(store, other, 29.0) is None


async def test_a_request_that_was_lost_with_a_jobs_last_worker_is_in_the_days_bill(
    opened: Open, database_url: str
) -> None:
    """The next attempt would have counted it, and there is none. Red when only answers are added up: seen."""
    store = await opened(database_url, deaths=1)
    (claim,) = await claims(store, 1)
    asked = [Entry("effect", f"request {number}", {"usd": 0.5}) for number in (1, 2)]
    await store.commit(claim, entries=[asked[0], Entry("model", "reply 1", {"usd": 0.25}), asked[1]])
    await reserve(store, claim, 0.5, spent=0.25)
    await pass_time(database_url)
    assert await store.claim("another") is None
    assert await spent(store) == 0.75


async def test_a_worker_that_lost_its_job_reserves_nothing(opened: Open, database_url: str) -> None:
    """R5. Red when the ledger does not ask for the fence (tried)."""
    store = await opened(database_url)
    (claim,) = await claims(store, 1)
    await pass_time(database_url)
    assert await store.claim("another") is not None
    with pytest.raises(LeaseLost):
        await reserve(store, claim, 1.0)
    with pytest.raises(LeaseLost):
        await store.settle(claim, 1.0)
    assert await spent(store) == 0.0


async def test_old_days_are_forgotten(store: Store, database_url: str) -> None:
    (claim,) = await claims(store, 1)
    await reserve(store, claim, 1.0)
    assert await store.prune() == 0
    await run(database_url, "UPDATE spending SET day = day - 40")
    assert await store.prune() == 1
