"""The runner beside a queue in memory that keeps the port's promises, with leases of a fraction of a second.

A stalling machine ends no lease here: nothing expires by itself, and where time decides, a test moves the clock.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bot.domain.errors import LeaseLost, ProviderError
from bot.domain.job import Job
from bot.lease import boot_time
from bot.ports import Claim, Lease
from bot.runner import PART, Runner
from bot.vitals import Vitals
from tests.polling import WITHIN_S, until
from tests.stores.samples import a_job

pytestmark = pytest.mark.anyio

LEASE_S = 0.6
IDLE_S = 0.2
GRACE_S = 0.5


class MemoryQueue:
    """`down` calls fail, `deaf` calls never answer."""

    def __init__(self, *names: str, lease_s: float = LEASE_S) -> None:
        self._lease_s = lease_s
        self.waiting: list[Job] = [a_job(name) for name in names]
        self.held: dict[str, int] = {}
        self.cancel_by: dict[str, str] = {}
        self.down: set[str] = set()
        self.deaf: set[str] = set()
        self.calls: list[str] = []
        self.busy = False  # promises work that it does not have
        self._fence = 0
        self._news = asyncio.Event()

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if name in self.deaf:
            await asyncio.Event().wait()
        if name in self.down:
            raise ProviderError("store", "the disk is full", retryable=True)

    async def claim(self, owner: str, *, job_id: str | None = None) -> Claim | None:
        await self._called("claim")
        if not self.waiting:
            return None
        job = self.waiting.pop(0)
        self._fence += 1
        self.held[job.id] = self._fence
        claim = Claim(job, self._fence, self._fence, self.cancel_by.get(job.id), self._lease_s)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._free(claim)
            raise
        return claim

    async def renew(self, claim: Claim) -> str | None:
        await self._called("renew")
        self._owned(claim)
        return self.cancel_by.get(claim.job.id)

    async def release(self, claim: Claim) -> None:
        await self._called("release")
        self._owned(claim)
        self._free(claim)

    async def cancelled(self, claim: Claim) -> str | None:
        while claim.job.id not in self.cancel_by:
            await self._changed()
        return self.cancel_by[claim.job.id]

    async def wait_for_work(self, timeout_s: float) -> None:
        self.calls.append("wait")
        if not (self.waiting or self.busy):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed()
            except TimeoutError:
                return

    def cancel(self, name: str, by: str) -> None:
        self.cancel_by[f"job-{name}"] = by
        self._tell()

    def take_away(self, name: str) -> None:
        self._fence += 1
        self.held[f"job-{name}"] = self._fence

    def expire(self, name: str) -> None:
        self.waiting.append(a_job(name))
        self._tell()

    def times(self, name: str) -> int:
        return self.calls.count(name)

    def finish(self, claim: Claim) -> None:
        self._owned(claim)
        del self.held[claim.job.id]

    def free(self) -> list[str]:
        return [job.id for job in self.waiting]

    def _owned(self, claim: Claim) -> None:
        if self.held.get(claim.job.id) != claim.fence:
            raise LeaseLost("another's")

    def _free(self, claim: Claim) -> None:
        del self.held[claim.job.id]
        self.waiting.append(claim.job)

    async def _changed(self) -> None:
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Work:
    """Jobs that run until they are let go, and what became of each."""

    def __init__(self, queue: MemoryQueue) -> None:
        self.queue = queue
        self.leases: list[Lease] = []
        self.ends: list[str] = []
        self.cleaned: list[str] = []
        self.go = asyncio.Event()
        self.may_clean_up = asyncio.Event()
        self.may_clean_up.set()
        self.started = asyncio.Event()

    async def __call__(self, lease: Lease) -> None:
        self.leases.append(lease)
        self.started.set()
        try:
            await self.go.wait()
            self.queue.finish(lease.claim)
            self.ends.append("finished")
        except asyncio.CancelledError:
            self.ends.append(f"cancelled by {lease.cancelled_by}")
            await self.may_clean_up.wait()
            self.cleaned.append(lease.claim.job.id)
            if lease.cancelled_by is None:
                raise
            self.queue.finish(lease.claim)


@asynccontextmanager
async def running(
    queue: MemoryQueue,
    work: Callable[[Lease], Awaitable[None]],
    *,
    now: Callable[[], float] = boot_time,
    vitals: Vitals | None = None,
) -> AsyncIterator[asyncio.Event]:
    """A runner; it is stopped at the end, and must not stay for ever."""
    stop = asyncio.Event()
    runner = Runner(queue, work, owner="me", idle_s=IDLE_S, grace_s=GRACE_S, now=now, vitals=vitals)
    task = asyncio.create_task(runner.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(WITHIN_S):
            await task


async def test_a_job_keeps_its_lease_until_it_is_done_and_the_next_one_follows() -> None:
    queue = MemoryQueue("a", "b")
    work = Work(queue)
    async with running(queue, work):
        await until(lambda: len(work.leases) == 2 and queue.times("renew") > 6)
        work.go.set()
        await until(lambda: work.ends == ["finished", "finished"])
    assert queue.free() == []
    assert "release" not in queue.calls


async def test_a_wish_to_cancel_does_not_wait_for_the_next_renewal() -> None:
    """Red when nobody listens for it: the next renewal is due in ten minutes (seen)."""
    queue = MemoryQueue("a", lease_s=3600)
    work = Work(queue)
    async with running(queue, work):
        await work.started.wait()
        queue.cancel("a", "octocat")
        await until(lambda: work.ends == ["cancelled by octocat"])


async def test_a_wish_to_cancel_is_told_once_and_does_not_disturb_the_clean_up() -> None:
    """Red when each renewal cancels again, as the clean-up outlasts several (tried)."""
    queue = MemoryQueue("a")
    work = Work(queue)
    work.may_clean_up.clear()
    async with running(queue, work):
        await work.started.wait()
        queue.cancel("a", "octocat")
        await until(lambda: bool(work.ends))
        before = queue.times("renew")
        await until(lambda: queue.times("renew") > before + 2)
        work.may_clean_up.set()
        await until(lambda: bool(work.cleaned))
    assert work.ends == ["cancelled by octocat"]
    assert queue.free() == []


async def test_a_job_cancelled_before_it_could_notice_goes_back_for_its_clean_up() -> None:
    queue = MemoryQueue("a")
    claims: list[Claim] = []

    async def work(lease: Lease) -> None:
        claims.append(lease.claim)
        if lease.claim.cancel_by is None:
            await asyncio.Event().wait()
        queue.finish(lease.claim)

    async with running(queue, work):
        await until(lambda: bool(claims))
        queue.cancel("a", "octocat")
        await until(lambda: len(claims) == 2)
    assert [claim.cancel_by for claim in claims] == [None, "octocat"]
    assert queue.free() == []


@pytest.mark.parametrize("fault", ["down", "deaf"])
async def test_a_job_stops_by_itself_before_its_lease_can_end(fault: str) -> None:
    """R5; red when a failed renewal is only logged (tried)."""
    queue, clock, ended = MemoryQueue("a"), [0.0], asyncio.Event()
    effects: list[float] = []

    async def work(lease: Lease) -> None:
        try:
            while True:
                await lease.hold()
                effects.append(clock[0])
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async with running(queue, work, now=lambda: clock[0]):
        await until(lambda: "renew" in queue.calls)
        getattr(queue, fault).update({"renew", "release", "claim"})
        before = len(effects)
        await until(lambda: len(effects) > before + 1)
        clock[0] += 0.9 * LEASE_S
        async with asyncio.timeout(WITHIN_S):
            await ended.wait()
    assert set(effects) == {0.0}


async def test_a_store_that_is_away_for_less_than_a_lease_ends_no_job() -> None:
    queue = MemoryQueue("a")
    work = Work(queue)
    async with running(queue, work, now=lambda: 0.0):
        for trouble in ({"renew"}, set[str]()):
            queue.down = trouble
            before = queue.times("renew")
            await until(lambda: queue.times("renew") > before + 2)  # noqa: B023  # awaited before `before` changes
        assert work.ends == []
        work.go.set()
        await until(lambda: work.ends == ["finished"])


async def test_a_job_that_another_worker_has_is_stopped_and_not_put_back() -> None:
    """It is counted. Red without the count: seen."""
    queue, vitals = MemoryQueue("a"), Vitals()
    work = Work(queue)
    async with running(queue, work, vitals=vitals):
        await work.started.wait()
        queue.take_away("a")
        await until(lambda: work.ends == ["cancelled by None"])
        await until(lambda: bool(work.cleaned))
        with pytest.raises(LeaseLost):
            await work.leases[0].hold()
    assert queue.free() == []
    assert vitals.leases_lost == 1


async def test_a_runner_whose_claims_fail_grows_old() -> None:
    """Red when a failed claim counts as work done: readiness stays green (seen)."""
    queue, clock = MemoryQueue(), [0.0]
    vitals = Vitals(now=lambda: clock[0])
    vitals.expect(PART, within_s=30.0)
    async with running(queue, Work(queue), vitals=vitals):
        await until(lambda: queue.times("claim") > 0)
        queue.down = {"claim"}
        before = queue.times("claim")
        await until(lambda: queue.times("claim") > before)
        clock[0] += 60.0
        before = queue.times("claim")
        await until(lambda: queue.times("claim") > before + 1)
        assert [(part.age_s, part.problem is None) for part in vitals.parts()] == [(60.0, False)]


async def test_a_store_whose_clock_jumps_starts_the_job_anew_and_the_first_attempt_does_no_more() -> None:
    """Red when the runner does not give the older lease up: it is sure of it until its next renewal (tried)."""
    queue = MemoryQueue("a")
    effects: list[int] = []

    async def work(lease: Lease) -> None:
        while True:
            await lease.hold()
            effects.append(lease.claim.fence)
            await asyncio.sleep(0.005)

    async with running(queue, work):
        await until(lambda: len(effects) > 3)
        queue.expire("a")
        await until(lambda: effects.count(2) > 20)
    assert effects == sorted(effects)


async def test_a_finished_job_may_take_its_leave() -> None:
    """Red when a lost lease cancels at once: a finished job has none, and its token would not be revoked (tried)."""
    queue = MemoryQueue("a")
    left = asyncio.Event()

    async def work(lease: Lease) -> None:
        queue.finish(lease.claim)
        await until(lambda: "renew" in queue.calls)
        left.set()

    async with running(queue, work), asyncio.timeout(WITHIN_S):
        await left.wait()


# ---------------------------------------------------------------- the process goes down


async def test_what_runs_goes_back_to_the_queue_when_the_process_goes_down() -> None:
    queue = MemoryQueue("a", "b", "c")
    work = Work(queue)
    async with running(queue, work):
        await until(lambda: len(work.leases) == 3)
    assert sorted(queue.free()) == ["job-a", "job-b", "job-c"]


@pytest.mark.parametrize("moment", range(8))
async def test_no_claim_is_lost_whenever_the_process_goes_down(moment: int) -> None:
    """Red at some moment when jobs are cancelled in the very step in which the claim loop ends (tried)."""
    queue = MemoryQueue("a", "b")
    work = Work(queue)
    async with running(queue, work):
        for _ in range(moment):
            await asyncio.sleep(0)
    assert sorted(queue.free()) == ["job-a", "job-b"]


async def test_a_job_that_ignores_its_end_holds_up_nobody_and_can_do_no_more() -> None:
    queue = MemoryQueue("a")
    leases: list[Lease] = []
    free = asyncio.Event()

    async def stubborn(lease: Lease) -> None:
        leases.append(lease)
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    async with running(queue, stubborn):
        await until(lambda: bool(leases))
    assert queue.free() == ["job-a"], "another worker may have it: this one is fenced off"
    with pytest.raises(LeaseLost):
        await leases[0].hold()
    free.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("fault", ["down", "deaf"])
async def test_a_broken_store_does_not_keep_the_process_up(fault: str) -> None:
    queue = MemoryQueue("a")
    work = Work(queue)
    async with running(queue, work):
        await work.started.wait()
        getattr(queue, fault).update({"renew", "release", "claim"})
    assert work.ends == ["cancelled by None"]


async def test_a_job_without_a_lease_is_stopped_also_when_the_process_goes_down_in_that_second() -> None:
    queue = MemoryQueue("a")
    work = Work(queue)
    async with running(queue, work):
        await work.started.wait()
        queue.take_away("a")
        before = queue.times("renew")
        await until(lambda: queue.times("renew") > before)
        for _ in range(5):  # it hears that the lease is gone
            await asyncio.sleep(0)
    assert work.ends == ["cancelled by None"]
    assert queue.free() == []


# ---------------------------------------------------------------- what goes wrong around the jobs


async def test_a_store_that_fails_is_asked_again_after_a_while_and_then_works() -> None:
    queue = MemoryQueue("a")
    queue.down.add("claim")
    work = Work(queue)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with running(queue, work):
        await until(lambda: queue.times("claim") > 2)
        assert loop.time() - began > 1.9 * IDLE_S
        queue.down.clear()
        await work.started.wait()


async def test_a_job_whose_store_failed_goes_back_as_soon_as_the_store_is_there() -> None:
    """Left to the end of its lease it would count as a worker's death, and three of those close a job.

    Red without the tries to put it back: seen.
    """
    queue, again = MemoryQueue("a", lease_s=3600), asyncio.Event()
    queue.down.add("release")

    async def work(lease: Lease) -> None:
        if lease.claim.attempts > 1:
            queue.finish(lease.claim)
            again.set()
            return
        raise ProviderError("store", "the disk is full", retryable=True)

    async with running(queue, work):
        await until(lambda: "release" in queue.calls)
        assert queue.free() == []
        queue.down.clear()
        await asyncio.wait_for(again.wait(), WITHIN_S)
    assert queue.times("release") > 1
    assert queue.waiting == []


@pytest.mark.parametrize("holds", [False, True])
async def test_a_job_that_an_outage_took_from_its_worker_is_put_back_before_anything_is_claimed(holds: bool) -> None:
    """However long it lasts, also when the job finds out by itself: a claim would count a dead worker.

    Red when it is put back only once, or only within its lease: seen.
    """
    queue, clock, again = MemoryQueue("a"), [0.0], asyncio.Event()
    begun: list[Lease] = []

    async def work(lease: Lease) -> None:
        begun.append(lease)
        if len(begun) > 1:
            queue.finish(lease.claim)
            again.set()
        while not again.is_set():
            if holds:
                await lease.hold()
            await asyncio.sleep(0.01)

    async with running(queue, work, now=lambda: clock[0]):
        await until(lambda: bool(begun))
        queue.down.update({"renew", "release", "claim"})
        clock[0] += 10 * LEASE_S
        await until(lambda: queue.times("release") > 2)
        queue.down.clear()
        await asyncio.wait_for(again.wait(), WITHIN_S)
    first, second, *_, last = (n for n, call in enumerate(queue.calls) if call == "release")
    assert first < second < last
    assert "claim" not in queue.calls[second:last]


async def test_work_that_is_promised_and_not_there_is_not_asked_for_without_end() -> None:
    """Red without the growing pause: thousands of claims a second (tried)."""
    queue = MemoryQueue()
    queue.busy = True
    async with running(queue, Work(queue)):
        await asyncio.sleep(0.3)
    assert queue.times("claim") < 12


async def test_a_job_that_breaks_takes_no_other_with_it_and_comes_back_only_when_its_lease_ends() -> None:
    """A job put back at once after each of its failures would run for ever; a lease that ends is counted (R17)."""
    queue = MemoryQueue("a", "b")
    done: list[str] = []

    async def work(lease: Lease) -> None:
        done.append(lease.claim.job.id)
        if lease.claim.job.id == "job-a":
            raise ZeroDivisionError
        queue.finish(lease.claim)

    async with running(queue, work):
        await until(lambda: len(done) == 2)
        await asyncio.sleep(LEASE_S / 2)
    assert sorted(done) == ["job-a", "job-b"]
    assert list(queue.held) == ["job-a"]
    assert "release" not in queue.calls


async def test_a_fault_of_the_bot_s_own_in_the_claim_ends_the_runner_aloud() -> None:
    """A web door in front of a runner that died in silence would take in jobs that nobody does."""

    class Broken(MemoryQueue):
        async def claim(self, owner: str, *, job_id: str | None = None) -> Claim | None:
            if self.calls:
                raise ZeroDivisionError
            return await super().claim(owner, job_id=job_id)

    queue = Broken("a")
    with pytest.raises(ZeroDivisionError):
        await Runner(queue, Work(queue), owner="me").run(asyncio.Event())
    assert queue.free() == ["job-a"]
