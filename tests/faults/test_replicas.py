"""Several runners on one database: each job runs once at a time, once in all, and never more at once than allowed."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from bot.domain.errors import LeaseLost
from bot.lease import KeptLease
from bot.ports import Lease
from bot.runner import Runner
from bot.stores import QueueLimits, Store, open_store
from tests.polling import until
from tests.stores.beside import pass_time
from tests.stores.postgres import Postgres
from tests.stores.samples import a_job, deliver

pytestmark = pytest.mark.anyio

JOBS = 60
TENANTS = 5
RUNNING, RUNNING_PER_INSTALLATION = 4, 2
WITHIN_S = 100.0  # a release that takes longer than two seconds costs a lease of thirty


class Ledger:
    """What runs where, as the jobs themselves see it."""

    def __init__(self) -> None:
        self.running: dict[str, tuple[str, int]] = {}
        self.starts: Counter[str] = Counter()
        self.by: Counter[str] = Counter()
        self.finished: set[str] = set()
        self.most = 0
        self.most_of_one = 0
        self.wrong: list[str] = []

    def begin(self, replica: str, lease: Lease) -> None:
        job = lease.claim.job
        if job.id in self.running or job.id in self.finished:
            self.wrong.append(f"{job.id} on {replica} while on {self.running.get(job.id, 'finished')}")
        self.running[job.id] = (replica, job.installation_id)
        self.starts[job.id] += 1
        self.by[replica] += 1
        self.most = max(self.most, len(self.running))
        tenants = Counter(tenant for _, tenant in self.running.values())
        self.most_of_one = max(self.most_of_one, *tenants.values())

    def end(self, lease: Lease) -> None:
        """Before the store hears of it: from then on the job is another's to take."""
        self.running.pop(lease.claim.job.id)


@asynccontextmanager
async def replica(url: str, name: str, ledger: Ledger) -> AsyncIterator[Runner]:
    """A store and a runner of their own, as another process would have; stopped in good order at the end."""
    limits = QueueLimits(running=RUNNING, running_per_installation=RUNNING_PER_INSTALLATION)
    store, stop, chance = await open_store(url, limits=limits), asyncio.Event(), random.Random(name)

    async def work(lease: Lease) -> None:
        ledger.begin(name, lease)
        try:
            await asyncio.sleep(chance.uniform(0.0, 0.05))
        finally:
            ledger.end(lease)
        await store.commit(lease.claim, finish="succeeded")
        ledger.finished.add(lease.claim.job.id)

    runner = Runner(store, work, owner=name, idle_s=0.2)
    task = asyncio.create_task(runner.run(stop))
    try:
        yield runner
    finally:
        stop.set()
        await task
        await store.close()


async def take_in(store: Store, *, beyond: int = 0) -> None:
    numbers = range(beyond, beyond + JOBS)
    await asyncio.gather(*(deliver(store, a_job(f"{n}", installation=n % TENANTS)) for n in numbers))


async def taken_in(url: str) -> Store:
    store = await open_store(url)
    await take_in(store)
    return store


async def all_finished(store: Store) -> bool:
    census = await store.census()
    return census.queued + census.running == 0


async def until_all_are_finished(store: Store) -> None:
    await until(lambda: all_finished(store), within_s=WITHIN_S)


async def test_three_replicas_share_many_jobs_within_the_limits(postgres: Postgres) -> None:
    """R5; red when a running job is free (tried), and by luck alone without the queue's lock: that is
    `tests/stores/test_moments.py`'s."""
    url, ledger = postgres.new_schema(), Ledger()
    store = await taken_in(url)
    async with AsyncExitStack() as replicas:
        for name in ("a", "b", "c"):
            await replicas.enter_async_context(replica(url, name, ledger))
        await until_all_are_finished(store)
        while len(ledger.by) < 3:  # somebody stood still until the others had done it all
            await take_in(store, beyond=len(ledger.starts))
            await until_all_are_finished(store)
    assert ledger.wrong == []
    assert set(ledger.starts.values()) == {1}
    assert ledger.most <= RUNNING
    assert ledger.most_of_one <= RUNNING_PER_INSTALLATION
    await store.close()


async def test_replicas_that_come_and_go_lose_nothing(postgres: Postgres) -> None:
    """Each restart interrupts what runs there: it goes back, and runs elsewhere at once."""
    url, ledger = postgres.new_schema(), Ledger()
    store = await taken_in(url)

    async def restarting(name: str) -> None:
        chance = random.Random(name)
        while not await all_finished(store):
            async with replica(url, name, ledger):
                await asyncio.sleep(chance.uniform(0.05, 0.4))

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as replicas:
        for name in ("a", "b", "c"):
            replicas.create_task(restarting(name))
    assert ledger.wrong == []
    assert ledger.most <= RUNNING
    rows = await asyncio.gather(*(store.job(f"job-{n}") for n in range(JOBS)))
    assert {row.state for row in rows if row} == {"succeeded"}
    await store.close()


async def test_on_sqlite_one_process_works_and_the_next_takes_over_when_it_goes(sqlite_url: str) -> None:
    ledger = Ledger()
    store = await taken_in(sqlite_url)
    async with AsyncExitStack() as first:
        await first.enter_async_context(replica(sqlite_url, "first", ledger))
        async with replica(sqlite_url, "second", ledger):
            await until(lambda: len(ledger.finished) >= JOBS / 4)
            assert set(ledger.by) == {"first"}
            await first.aclose()
            await until_all_are_finished(store)
    assert ledger.wrong == []
    assert ledger.by["second"] > 0
    await store.close()


async def test_a_worker_that_stood_still_past_its_lease_finds_the_job_gone(postgres: Postgres) -> None:
    """The frozen worker in one process. Red when `hold` asks nobody, and when `commit` knows no fence (tried)."""
    url, ledger = postgres.new_schema(), Ledger()
    store, clock = await open_store(url), [0.0]
    await deliver(store, a_job("a"))
    claim = await store.claim("still")
    assert claim is not None
    lease = KeptLease(store, claim, claimed_at=clock[0], now=lambda: clock[0])
    await lease.hold()
    await pass_time(url)
    clock[0] += 60.0
    async with replica(url, "awake", ledger):
        await until(lambda: "job-a" in ledger.finished)
    with pytest.raises(LeaseLost):
        await store.commit(claim, finish="failed")
    with pytest.raises(LeaseLost):
        await lease.hold()
    row = await store.job("job-a")
    assert row is not None
    assert (row.state, row.attempts) == ("succeeded", 2)
    await store.close()
