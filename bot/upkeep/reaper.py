"""Tidies up after the dead: tells GitHub the ends it does not show, and deletes what is old."""

import asyncio
from collections.abc import Callable, Sequence
from math import inf

import structlog

from bot.domain.errors import BotError, LeaseLost, ProviderError, Suspended
from bot.domain.events import Conclusion, JobEvent, JobFinished, Recorded
from bot.domain.job import Job
from bot.lease import boot_time
from bot.ports import Claim, Entry, GitHub, GitHubApp, Upkeep
from bot.publish.branch import drop_branch
from bot.report.leaks import Leaks
from bot.report.links import Links
from bot.report.wording import branch_name
from bot.reporter import Reporter
from bot.stopping import until
from bot.vitals import Vitals

PART = "reaper"  # its name among the vitals
LOOKS_EVERY_S = 15.0
PRUNES_EVERY_S = 3600.0
TELLING_S = 45.0  # the store lets nobody else tell this end for 60 s

log = structlog.get_logger()


class Reaper:
    """One a worker process; several share the store without telling anything twice."""

    def __init__(
        self,
        store: Upkeep,
        app: GitHubApp,
        *,
        links: Callable[[Job], Links],
        leaks: Leaks,
        owner: str,
        sweep: Callable[[], int] = lambda: 0,
        looks_every_s: float = LOOKS_EVERY_S,
        now: Callable[[], float] = boot_time,
        vitals: Vitals | None = None,
    ) -> None:
        """`sweep` removes what is left on the disk, in a thread, and answers how much went."""
        self._store = store
        self._app = app
        self._links = links
        self._leaks = leaks
        self._owner = owner
        self._sweep = sweep
        self._looks_every_s = looks_every_s
        self._now = now
        self._vitals = vitals or Vitals()
        self._vitals.expect(PART, within_s=inf)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; an end that is being told then is told again by whoever comes next."""
        await until(stop, self._keep_clear())

    async def _keep_clear(self) -> None:
        prunes_at = self._now()
        while True:
            try:
                await self.tell_all()
                if self._now() >= prunes_at:
                    prunes_at = self._now() + PRUNES_EVERY_S
                    await self._clear()
                self._vitals.worked(PART)
            except (BotError, OSError) as error:  # such as no file descriptor left to look for scratch
                log.error("reaper", error=str(error))
            await asyncio.sleep(self._looks_every_s)

    async def _clear(self) -> None:
        rows, left = await self._store.prune(), await asyncio.to_thread(self._sweep)
        if rows or left:
            log.info("cleared", rows=rows, scratch=left)

    async def tell_all(self) -> None:
        """Every end that GitHub does not show and may be tried now. Raises what the store raises."""
        while (claim := await self._store.untold(self._owner)) is not None:
            with structlog.contextvars.bound_contextvars(job=claim.job.id, delivery=claim.job.delivery):
                try:
                    async with asyncio.timeout(TELLING_S):
                        await self._tell(claim)
                except LeaseLost:
                    log.info("end told by another worker")
                except TimeoutError as error:
                    log.warning("end not told yet", tries=claim.attempts, error=str(error) or "GitHub took too long")

    async def _tell(self, claim: Claim) -> None:
        deadline = self._now() + TELLING_S

        async def hold() -> None:
            if self._now() >= deadline:
                raise LeaseLost("somebody else may tell this end by now")

        async def next_time(wait_s: float) -> None:
            raise TimeoutError(f"GitHub lets nothing through for {wait_s:.0f} seconds")

        job, events = claim.job, await self._store.events(claim.job.id)
        shut = await self._store.shut_out(job.installation_id, job.repo.id)
        if shut is not None and not shut.for_good:
            log.info("end not told yet", tries=claim.attempts, reason=shut.why)
            return
        try:
            async with self._app.repository(job.installation_id, job.repo, hold=hold, on_wait=next_time) as github:
                await self._tidy(job, events, github)
                told = await self._report(job, events, github)
        except ProviderError as error:
            # A repository that is gone will hear of nothing any more.
            told = not (error.retryable or isinstance(error, Suspended))
            log.warning("end not told", tries=claim.attempts, error=str(error), gives_up=told)
        if told:
            await self._store.told(claim)
            log.info("end told", tries=claim.attempts)

    async def _report(self, job: Job, events: tuple[Recorded, ...], github: GitHub) -> bool:
        reporter = Reporter(job, github=github, links=self._links(job), leaks=self._leaks, final_attempts=2)
        async with reporter:
            reporter.notice(events)
            return await reporter.close()

    async def _tidy(self, job: Job, events: tuple[Recorded, ...], github: GitHub) -> None:
        """The empty branch of a job that came to nothing is dropped; a failure to do so changes nothing."""
        ends = [recorded.event for recorded in events if isinstance(recorded.event, JobFinished)]
        if not ends or ends[-1].conclusion is Conclusion.SUCCESS:
            return
        try:
            past = PastJournal(await self._store.journal(job.id))
            await drop_branch(branch=branch_name(job), github=github, journal=past)
        except ProviderError as error:
            log.warning("branch not dropped", error=str(error))


class PastJournal:
    """Keeps `ports.Journal` for a job that has ended: it can be read."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = entries

    def entries(self) -> tuple[Entry, ...]:
        return self._entries

    async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
        raise LeaseLost("the job has ended")

    async def content(self, sha256: str) -> bytes | None:
        return None
