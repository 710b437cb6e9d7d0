"""Claims jobs, keeps their leases, and stops them: when asked, when the lease is lost, when the process goes down."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from bot.domain.errors import BotError, LeaseLost, ProviderError
from bot.ports import Claim, JobStore

HEARTBEAT_S = 5.0  # a lease lasts 30 s
HELD_S = 20.0  # after so long without a renewal we stop by ourselves, before the lease can end
IDLE_S = 5.0  # how long to sleep when nothing wakes us
GRACE_S = 10.0  # what a job may take to put itself back when the process goes down

log = structlog.get_logger()
RunJob = Callable[[Claim, Callable[[], str | None]], Awaitable[None]]


class Runner:
    """Runs what the store gives out, within the store's limits, until `stop` is set."""

    def __init__(self, store: JobStore, run_job: RunJob, *, owner: str) -> None:
        self._store = store
        self._run_job = run_job
        self._owner = owner
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set and every running job is finished or back in the queue."""
        while not stop.is_set():
            try:
                claim = await self._store.claim(self._owner)
            except BotError as error:
                log.error("claim failed", error=str(error))
                await self._first_of(stop.wait(), asyncio.sleep(IDLE_S))
                continue
            if claim is None:
                await self._first_of(stop.wait(), self._store.wait_for_work(IDLE_S), *self._running)
                continue
            task = asyncio.create_task(self._supervise(claim), name=f"job {claim.job.id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE_S)

    async def _first_of(self, *waits: Awaitable[object]) -> None:
        tasks = [w if isinstance(w, asyncio.Task) else asyncio.ensure_future(w) for w in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task not in self._running:
                task.cancel()

    async def _supervise(self, claim: Claim) -> None:
        """The job beside its heartbeat; whichever ends first ends both."""
        with structlog.contextvars.bound_contextvars(job=claim.job.id, delivery=claim.job.delivery):
            cancelled_by = claim.cancel_by
            renewed_at = time.monotonic()
            job = asyncio.ensure_future(self._run_job(claim, lambda: cancelled_by))
            wish = asyncio.ensure_future(self._store.cancelled(claim))
            try:
                while True:
                    awaited = {job} if cancelled_by or wish.done() else {job, wish}
                    await asyncio.wait(awaited, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                    if job.done():
                        break
                    asked, renewed_at = await self._renewed(claim, renewed_at)
                    if asked and not cancelled_by:
                        cancelled_by = asked
                        job.cancel()
                await job
            except LeaseLost:
                log.warning("lease lost; another worker has this job")
            except BotError as error:
                log.error("job stopped", error=str(error))
            finally:
                wish.cancel()
                if not job.done():
                    job.cancel()
                    with contextlib.suppress(asyncio.CancelledError, BotError):
                        await asyncio.wait({job}, timeout=GRACE_S)

    async def _renewed(self, claim: Claim, renewed_at: float) -> tuple[str | None, float]:
        """Who asked to cancel, and when the lease was last known to be ours (monotonic seconds)."""
        try:
            return await self._store.renew(claim), time.monotonic()
        except ProviderError as error:
            if time.monotonic() - renewed_at > HELD_S:
                raise LeaseLost("the lease could not be renewed in time") from error
            log.warning("lease not renewed yet", error=str(error))
            return None, renewed_at
