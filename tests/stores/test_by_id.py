"""Jobs that are asked for by their id, where no worker follows the queue: which may run now, and running one."""

import asyncio

import pytest

from bot.ports import Lease
from bot.runner import Runner
from bot.stores import Store
from tests.stores.beside import pass_time
from tests.stores.conftest import Open
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio


async def test_what_is_due_is_what_may_run_now_in_the_order_it_came(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=3, running_per_installation=3)
    for name, issue in (("first", 1), ("behind", 1), ("third", 3)):
        await deliver(store, a_job(name, issue=issue))
    assert await store.due() == ("job-first", "job-third"), "a thread's jobs run one after the other"
    claim = await store.claim("worker", job_id="job-first")
    assert claim is not None
    assert await store.due() == ("job-third",)
    await store.commit(claim, finish="succeeded")
    assert await store.due() == ("job-behind", "job-third")


async def test_nothing_is_due_while_as_many_work_as_may(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=1)
    await claimed(store, "first")
    await deliver(store, a_job("second"))
    assert await store.due() == ()
    await store.request_cancel("job-second", "octocat")
    assert await store.due() == ("job-second",), "all that is left is to clean up"


async def test_a_dead_workers_job_is_due_when_its_lease_has_ended(opened: Open, database_url: str) -> None:
    store = await opened(database_url)
    await claimed(store, "first")
    assert await store.due() == ()
    await pass_time(database_url)
    assert await store.due() == ("job-first",)


async def test_no_more_is_due_than_may_run(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=2, running_per_installation=2, answering=1)
    for name in ("a", "b", "c", "d"):
        await deliver(store, a_job(name))
    assert await store.due() == ("job-a", "job-b", "job-c")


async def test_one_job_is_run_and_no_other(store: Store) -> None:
    ran: list[str] = []

    async def run_job(lease: Lease) -> None:
        ran.append(lease.claim.job.id)
        await store.commit(lease.claim, finish="succeeded")

    for name in ("first", "second"):
        await deliver(store, a_job(name))
    runner = Runner(store, run_job, owner="worker")
    assert await runner.run_one("job-second")
    assert not await runner.run_one("job-second")
    assert not await runner.run_one("job-unknown")
    assert ran == ["job-second"]


async def test_of_two_who_are_sent_for_one_job_one_runs_it(store: Store) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def run_job(lease: Lease) -> None:
        running.set()
        await go_on.wait()
        await store.commit(lease.claim, finish="succeeded")

    await deliver(store, a_job("first"))
    one = asyncio.create_task(Runner(store, run_job, owner="one").run_one("job-first"))
    await running.wait()
    assert not await Runner(store, run_job, owner="two").run_one("job-first")
    go_on.set()
    assert await one


async def test_a_process_that_goes_down_puts_its_one_job_back(store: Store) -> None:
    """Red when `run_one` only passes the cancellation on: the job is claimable after its lease alone. Seen."""
    running = asyncio.Event()

    async def run_job(lease: Lease) -> None:
        running.set()
        await asyncio.Event().wait()

    await deliver(store, a_job("first"))
    one = asyncio.create_task(Runner(store, run_job, owner="one").run_one("job-first"))
    await running.wait()
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert await store.due() == ("job-first",)
