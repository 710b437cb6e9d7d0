"""The store: everything durable about deliveries and jobs, on SQLite or Postgres."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from math import inf
from typing import TypeVar

from sqlalchemy import Connection

from bot.domain.errors import ProviderError
from bot.domain.events import JobEvent, Recorded
from bot.domain.job import Job
from bot.ports import (
    Accepted,
    AccessChanged,
    Census,
    Claim,
    DayBudgets,
    Entry,
    JobRow,
    JobState,
    Listed,
    Meanwhile,
    Notice,
    Shortfall,
    ShutOut,
    Waiting,
)
from bot.stores import arrivals, census, claims, codec, ledger, notices, reports, retention, sql, steering
from bot.stores.arrivals import Arrival
from bot.stores.claims import QueueLimits
from bot.stores.database import Database
from bot.stores.hub import Hub
from bot.stores.retention import Retention

T = TypeVar("T")

PROOF = "proof"  # a mark that is written to see whether something can be
SECONDS_BETWEEN_PROOFS = 1.0  # anybody may ask for the bot's health as often as they like


class Store:
    """Keeps `bot.ports.JobStore`. Every call raises ProviderError("store", ...) when the database fails."""

    def __init__(self, database: Database, limits: QueueLimits) -> None:
        self._database = database
        self._limits = limits
        self._hub = Hub(database, limits)
        self._proving = asyncio.Lock()
        self._proved_at = -inf
        self._orphans_from = -inf  # inf: the database was away just now, and no worker could renew its lease

    # ------------------------------------------------------------ the door

    async def accept(self, *, guid: str, event: str, action: str, job: Job | None) -> Accepted:
        """Without a job only the delivery is kept, and `is_new` is False. Raises UserError for ids that no database
        can hold."""
        return await self._database.write_together(self._accept, arrivals.arrival(guid, event, action, job))

    def _accept(self, connection: Connection, arriving: Sequence[Arrival]) -> list[Accepted]:
        accepted = arrivals.accept(connection, arriving)
        self._announced(connection, tuple(one.job_id for one in accepted if one.is_new and one.job_id is not None))
        return accepted

    async def heed(self, *, guid: str, event: str, action: str, notice: Notice) -> tuple[str, ...]:
        """A delivery that was kept before is not heeded again: meanwhile somebody may have asked anew."""
        arrival = arrivals.arrival(guid, event, action, None)

        def act(connection: Connection) -> tuple[str, ...]:
            if not arrivals.keep(connection, [arrival], [None]):
                return ()
            return self._announced(connection, notices.heed(connection, notice))

        return await self._database.write(act)

    async def set_access(self, change: AccessChanged) -> tuple[str, ...]:
        return await self._database.write(lambda c: self._announced(c, notices.set_access(c, change)))

    async def shut_out(self, installation_id: int, repo_id: int) -> ShutOut | None:
        return await self._database.read(lambda c: notices.shut_out(c, installation_id, repo_id))

    async def started_this_hour(self, claim: Claim) -> int:
        return await self._database.read(lambda c: notices.started_this_hour(c, claim))

    async def waiting(self, longer_than_s: float, but: Collection[str] = ()) -> tuple[Waiting, ...]:
        return await self._database.read(lambda c: notices.waiting(c, longer_than_s, but))

    async def hold_back(self, job_id: str, seconds: float) -> bool:
        return await self._database.write(lambda c: notices.hold_back(c, job_id, seconds))

    async def let_go(self, job_id: str) -> None:
        await self._database.write(lambda c: self._announced(c, notices.let_go(c, job_id)))

    async def mark(self, name: str) -> float | None:
        return await self._database.read(lambda c: notices.mark(c, name))

    async def set_mark(self, name: str, value: float) -> None:
        await self._database.write(lambda c: notices.set_mark(c, name, value))

    async def stored(self, guids: Sequence[str]) -> frozenset[str]:
        return await self._database.read(lambda c: notices.stored(c, guids))

    async def request_cancel(self, job_id: str, by: str) -> bool:
        """The first request counts; a queued job is then claimable at once, for its clean-up."""
        wanted = codec.printable(job_id)

        def act(connection: Connection) -> bool:
            requested = sql.request_cancel(connection, wanted, by)
            if requested:
                self._database.announce(connection, wanted)
            return requested

        return await self._database.write(act)

    # ------------------------------------------------------------ the worker

    async def claim(self, owner: str, *, job_id: str | None = None) -> Claim | None:
        """None when nothing may run now. Raises UserError when another process is this SQLite file's runner."""
        await self._database.become_runner()
        wanted, now = None if job_id is None else codec.printable(job_id), asyncio.get_running_loop().time()
        announce, orphans = self._database.announce, now >= self._orphans_from
        taking = asyncio.ensure_future(
            self._database.write(lambda c: claims.claim(c, owner, wanted, self._limits, announce, orphans=orphans))
        )
        try:
            claim = await asyncio.shield(taking)
            if self._orphans_from == inf:
                self._orphans_from = now + self._limits.lease_s / 2
            return claim
        except ProviderError:
            self._orphans_from = inf
            raise
        except asyncio.CancelledError:
            # The transaction goes on without us: nobody else would give back what it takes.
            claim = await taking
            if claim is not None:
                await self.release(claim)
            raise

    async def due(self) -> tuple[str, ...]:
        """Ids of jobs that `claim` would give out now, where each has to be asked for by its id."""
        return await self._database.read(lambda c: claims.due(c, self._limits))

    async def renew(self, claim: Claim) -> str | None:
        return await self._database.write(lambda c: sql.renew(c, claim, lease_s=self._limits.lease_s))

    async def commit(
        self,
        claim: Claim,
        *,
        entries: Sequence[Entry] = (),
        events: Sequence[JobEvent] = (),
        finish: JobState | None = None,
        reported: bool = False,
    ) -> tuple[Recorded, ...]:
        """Extends the lease too. `finish` is one of succeeded, failed, cancelled; `reported`: GitHub shows it.

        Raises AmbiguousWrite when the connection broke: read the journal before going on.
        """
        if finish is not None and finish not in sql.FINAL:
            raise ValueError(f"a job cannot finish as {finish}")

        def act(connection: Connection) -> tuple[Recorded, ...]:
            recorded = sql.commit(
                connection,
                claim,
                entries=entries,
                events=events,
                finish=finish,
                reported=reported,
                lease_s=self._limits.lease_s,
            )
            if finish is not None:
                ledger.close(connection, claim.job.id)
            return recorded

        return await self._under(claim, act)

    async def meanwhile(self, claim: Claim, *, known: Sequence[str]) -> Meanwhile:
        return await self._database.read(lambda c: steering.meanwhile(c, claim, known))

    async def pass_on(
        self, claim: Claim, job_id: str, *, end: JobEvent, entries: Sequence[Entry], events: Sequence[JobEvent]
    ) -> tuple[Recorded, ...] | None:
        """Raises LeaseLost, and then the other job waits on."""
        wanted = codec.printable(job_id)

        def act(connection: Connection) -> tuple[Recorded, ...] | None:
            recorded = steering.pass_on(connection, claim, wanted, end=end, entries=entries, events=events)
            self._announced(connection, () if recorded is None else (wanted,))
            return recorded

        return await self._under(claim, act)

    async def release(self, claim: Claim) -> None:
        await self._under(claim, lambda c: sql.release(c, claim, after_s=0.0, failures=0))

    async def retry(self, claim: Claim, *, after_s: float) -> None:
        await self._under(claim, lambda c: sql.release(c, claim, after_s=after_s, failures=1))

    async def cancelled(self, claim: Claim) -> str | None:
        return await self._hub.cancelled(claim.job.id)

    async def wait_for_work(self, timeout_s: float) -> None:
        await self._hub.wait_for_work(timeout_s)

    # ------------------------------------------------------------ money

    async def reserve(self, claim: Claim, *, usd: float, spent_usd: float, budgets: DayBudgets) -> Shortfall | None:
        """See `ledger.reserve`. Raises LeaseLost."""
        return await self._database.write(
            lambda c: ledger.reserve(c, claim, usd=usd, spent_usd=spent_usd, budgets=budgets)
        )

    async def settle(self, claim: Claim, spent_usd: float) -> None:
        await self._database.write(lambda c: ledger.settle(c, claim, spent_usd))

    # ------------------------------------------------------------ ends nobody was told

    async def untold(self, owner: str) -> Claim | None:
        await self._database.become_runner()
        return await self._database.write(lambda c: reports.take_untold(c, owner))

    async def told(self, claim: Claim) -> None:
        await self._database.write(lambda c: reports.told(c, claim))

    # ------------------------------------------------------------ readers

    async def census(self) -> Census:
        return await self._database.read(census.census)

    async def latest(self, *, finished: int) -> tuple[Listed, ...]:
        return await self._database.read(lambda c: census.latest(c, finished=finished))

    async def job(self, job_id: str) -> JobRow | None:
        return await self._database.read(lambda c: sql.job(c, codec.printable(job_id)))

    async def jobs_on(self, repo_id: int, issue: int) -> tuple[JobRow, ...]:
        if max(abs(repo_id), abs(issue)) > codec.LARGEST_NUMBER:
            return ()
        return await self._database.read(lambda c: sql.jobs_on(c, repo_id, issue))

    async def unfinished(self) -> frozenset[str]:
        return await self._database.read(census.unfinished)

    async def seconds_since_entry(self, repo_id: int, issue: int, key: str) -> float | None:
        return await self._database.read(lambda c: sql.seconds_since_entry(c, repo_id, issue, key))

    async def journal(self, job_id: str) -> tuple[Entry, ...]:
        return await self._database.read(lambda c: sql.journal(c, codec.printable(job_id)))

    async def content(self, job_id: str, sha256: str) -> bytes | None:
        return await self._database.read(lambda c: sql.content(c, codec.printable(job_id), codec.printable(sha256)))

    async def events(self, job_id: str, after: int = 0) -> tuple[Recorded, ...]:
        place = min(max(after, 0), codec.LARGEST_NUMBER)
        return await self._database.read(lambda c: sql.events(c, codec.printable(job_id), place))

    def watch(self, job_id: str, after: int = 0) -> AsyncIterator[Recorded]:
        """Events as any process commits them. Ends after the terminal one, for an unknown job at once, and on close.

        A reader may take its time: nothing is kept for it but its place.
        """
        return self._hub.watch(codec.printable(job_id), after)

    # ------------------------------------------------------------ upkeep

    async def prune(self, keep: Retention | None = None) -> int:
        """Delete what is older than `keep`, a batch a transaction; answers how many rows went."""
        limits, gone = keep or Retention(), 0
        while (rows := await self._database.write(lambda c: retention.prune(c, limits))) > 0:
            gone += rows
        return gone

    async def prove(self) -> None:
        async with self._proving:
            now = asyncio.get_running_loop().time()
            if now - self._proved_at >= SECONDS_BETWEEN_PROOFS:
                await self.set_mark(PROOF, 1.0)
                self._proved_at = now

    async def close(self) -> None:
        await self._hub.close()
        await self._database.close()

    def _announced(self, connection: Connection, job_ids: tuple[str, ...]) -> tuple[str, ...]:
        for job_id in job_ids:
            self._database.announce(connection, job_id)
        return job_ids

    async def _under(self, claim: Claim, act: Callable[[Connection], T]) -> T:
        def announced(connection: Connection) -> T:
            result = act(connection)
            self._database.announce(connection, claim.job.id)
            return result

        return await self._database.write(announced)
