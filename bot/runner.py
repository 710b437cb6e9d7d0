"""Claims jobs, keeps their leases, and stops them: when asked, when the lease is lost, when the process goes down."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from bot.domain.errors import BotError, LeaseLost, ProviderError
from bot.lease import KeptLease, boot_time
from bot.ports import Claim, Lease, Queue
from bot.vitals import Vitals

IDLE_S = 5.0  # how long to sleep when nothing wakes us, and after a claim that failed
LONGEST_PAUSE_S = 1.0  # between claims, while the store promises work and gives none
GRACE_S = 8.0  # what a job may take to clean up when it is stopped
LEAVE_S = 1.0  # what a job without a lease may take to end by itself
PART = "runner"  # its name among the vitals
RELEASE_WITHIN_S = 2.0  # together with the grace: 10 s from the signal to the end

log = structlog.get_logger()
RunJob = Callable[[Lease], Awaitable[None]]


class Runner:
    """Runs what the store gives out, within the store's limits, until `stop` is set."""

    def __init__(
        self,
        queue: Queue,
        run_job: RunJob,
        *,
        owner: str,
        idle_s: float = IDLE_S,
        grace_s: float = GRACE_S,
        vitals: Vitals | None = None,
        now: Callable[[], float] = boot_time,
    ) -> None:
        self._queue = queue
        self._run_job = run_job
        self._owner = owner
        self._idle_s = idle_s
        self._grace_s = grace_s
        self._vitals = vitals or Vitals()
        self._now = now
        self._running: set[asyncio.Task[None]] = set()
        self._leases: dict[str, KeptLease] = {}
        self._owed: list[Lease] = []  # jobs that are over here, and the store does not know

    async def run(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set and every running job is finished, back in the queue or given up."""
        claiming = asyncio.create_task(self._claim_and_start())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({claiming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            claiming.cancel()
            stopping.cancel()
            await asyncio.sleep(0)  # a task that is cancelled before its first step would lose its claim
            for task in self._running:
                task.cancel()
            await asyncio.wait({claiming, *self._running}, timeout=self._grace_s + RELEASE_WITHIN_S)
        if claiming.done() and not claiming.cancelled():
            claiming.result()

    async def run_one(self, job_id: str) -> bool:
        """This job to its end, where no queue is followed; False when it may not run now. Raises what the store raises.

        Cancelled because the process goes down, it puts the job back in the queue first.
        """
        asked_at = self._now()
        claim = await self._queue.claim(self._owner, job_id=job_id)
        if claim is None:
            return False
        task = self._start(claim, asked_at)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=self._grace_s + RELEASE_WITHIN_S)
            raise
        task.result()
        with suppress(TimeoutError):
            async with asyncio.timeout(claim.lease_s):
                await self._put_back_what_is_owed()
        return True

    async def _claim_and_start(self) -> None:
        loop, pause_s = asyncio.get_running_loop(), 0.0
        while True:
            await self._put_back_what_is_owed()
            asked_at = self._now()
            try:
                claim = await self._queue.claim(self._owner)
            except BotError as error:
                log.error("claim failed", error=str(error))
                await asyncio.sleep(self._idle_s)
                continue
            self._vitals.worked(PART)
            if claim is not None:
                pause_s = 0.0
                self._start(claim, asked_at)
                continue
            began = loop.time()
            await self._queue.wait_for_work(self._idle_s)
            woken = loop.time() - began < self._idle_s
            await asyncio.sleep(pause_s)
            pause_s = min(max(2 * pause_s, 0.01), LONGEST_PAUSE_S) if woken else 0.0

    def _start(self, claim: Claim, claimed_at: float) -> asyncio.Task[None]:
        lease = KeptLease(self._queue, claim, claimed_at=claimed_at, now=self._now)
        if (older := self._leases.get(claim.job.id)) is not None:
            older.give_up()  # the store's clock jumped: it thinks us dead while we work
        self._leases[claim.job.id] = lease
        task = asyncio.create_task(self._supervise(lease), name=f"job {claim.job.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _supervise(self, lease: KeptLease) -> None:
        """The job beside its heartbeat; whichever ends first ends both."""
        job_id, delivery = lease.claim.job.id, lease.claim.job.delivery
        with structlog.contextvars.bound_contextvars(job=job_id, delivery=delivery):
            job = asyncio.ensure_future(self._run_job(lease))
            wish = asyncio.create_task(self._queue.cancelled(lease.claim))
            taken = False
            try:
                taken = not await self._kept(lease, job, wish)
            except asyncio.CancelledError:
                log.info("job interrupted: the process goes down")
            wish.cancel()
            interrupted = not job.done()
            if interrupted:
                job.cancel()
                await asyncio.wait({job}, timeout=self._grace_s)
            lease.give_up()
            if self._leases.get(job_id) is lease:
                del self._leases[job_id]
            _tell(job)
            self._vitals.leases_lost += taken or _says_lost(job)
            stopped = (interrupted or lease.cancelled_by) and (job.cancelled() or not job.done())
            if (stopped or _without_store(job)) and not await self._put_back(lease):
                self._owed.append(lease)

    async def _kept(self, lease: KeptLease, job: asyncio.Future[None], wish: asyncio.Future[str | None]) -> bool:
        """Whether the job ended by itself. One that has just finished has no lease either, and may take its leave."""
        try:
            await _keep(lease, job, wish)
        except LeaseLost as lost:
            lease.give_up()
            await asyncio.wait({job}, timeout=LEAVE_S)
            if not job.done():
                log.warning("job given up", reason=str(lost))
        return job.done()

    async def _put_back(self, lease: Lease) -> bool:
        """For the next worker, at once. What is still under way here can write no more. False when that failed."""
        try:
            async with asyncio.timeout(RELEASE_WITHIN_S):
                await self._queue.release(lease.claim)
        except LeaseLost:
            pass  # it is finished, back in the queue already, or another's
        except (ProviderError, TimeoutError) as error:
            log.warning("job not put back", job=lease.claim.job.id, error=str(error) or "no answer")
            return False
        return True

    async def _put_back_what_is_owed(self) -> None:
        """The database failed, for longer than a lease maybe: whoever claims such a job counts a dead worker, so that
        comes first. The fence keeps it from what another has."""
        while self._owed:
            if await self._put_back(self._owed[0]):
                self._owed.pop(0)
            else:
                await asyncio.sleep(self._idle_s)


async def _keep(lease: KeptLease, job: asyncio.Future[None], wish: asyncio.Future[str | None]) -> None:
    """Renews until the job is done. Tells it once when somebody asks for its end. Raises LeaseLost."""
    told = lease.cancelled_by is not None
    while not job.done():
        awaited: set[asyncio.Future[None] | asyncio.Future[str | None]] = {job}
        if not told and not wish.done():
            awaited.add(wish)
        await asyncio.wait(awaited, timeout=lease.beat_s, return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            return
        await lease.renew()
        if lease.cancelled_by is not None and not told:
            told = True
            job.cancel()


def _says_lost(job: asyncio.Future[None]) -> bool:
    return job.done() and not job.cancelled() and isinstance(job.exception(), LeaseLost)


def _without_store(job: asyncio.Future[None]) -> bool:
    """Also where it holds its lease for lost: the store may not have been there to be asked."""
    error = job.exception() if job.done() and not job.cancelled() else None
    return isinstance(error, LeaseLost) or (isinstance(error, ProviderError) and error.provider == "store")


def _tell(job: asyncio.Future[None]) -> None:
    """What became of it, for the operator. A failure keeps the lease: the job comes back when that ends, counted."""
    if not job.done():
        log.error("job does not stop")
    elif not job.cancelled() and (error := job.exception()) is not None:
        match error:
            case LeaseLost():
                log.warning("job given up", reason=str(error))
            case BotError():
                log.error("job stopped", error=str(error))
            case _:
                log.error("job broke", exc_info=error)
