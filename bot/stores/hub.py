"""Who waits for what: one look at the database serves every watcher and idle worker of this process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from bot.domain.errors import ProviderError
from bot.domain.events import Recorded
from bot.stores import sql
from bot.stores.claims import QueueLimits, claimable
from bot.stores.database import Database

SECONDS_BETWEEN_LOOKS = 1.0  # without any word from the database: leases end in silence, poolers swallow notices
EVENTS_IN_MEMORY = 256  # of each watched job; whoever lags further reads from the database, a page at a time
LARGEST_SEQ = 2**63 - 1


@dataclass(slots=True)
class _Feed:
    """The newest events of one watched job, shared by all its watchers. `head` is None before the first look."""

    head: int | None = None
    finished: bool = False
    watchers: int = 0
    tail: deque[Recorded] = field(default_factory=lambda: deque(maxlen=EVENTS_IN_MEMORY))
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


@dataclass(frozen=True, slots=True)
class _News:
    heads: dict[str, sql.Head]
    events: dict[str, tuple[Recorded, ...]]
    cancelled: dict[str, str]
    work: bool


class Hub:
    """One a process. Nothing is kept for a watcher but its place, so a slow one costs nothing and loses nothing."""

    def __init__(self, database: Database, limits: QueueLimits) -> None:
        self._database = database
        self._limits = limits
        self._feeds: dict[str, _Feed] = {}
        self._wishes: dict[str, asyncio.Future[str | None]] = {}
        self._idle_workers = 0
        self._work = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    async def watch(self, job_id: str, after: int) -> AsyncIterator[Recorded]:
        feed = self._feeds.setdefault(job_id, _Feed(finished=self._closed))
        feed.watchers += 1
        self._look_now()
        cursor = min(max(after, 0), LARGEST_SEQ)
        try:
            while True:
                moved = feed.moved
                for recorded in await self._page(job_id, feed, cursor):
                    cursor = recorded.seq
                    yield recorded
                if feed.head is None or cursor >= feed.head:
                    if feed.finished:
                        return
                    await moved.wait()
        finally:
            feed.watchers -= 1
            if feed.watchers == 0:
                self._feeds.pop(job_id, None)

    async def _page(self, job_id: str, feed: _Feed, cursor: int) -> tuple[Recorded, ...]:
        if feed.head is None or cursor >= feed.head:
            return ()
        if feed.tail and feed.tail[0].seq <= cursor + 1:
            return tuple(recorded for recorded in feed.tail if recorded.seq > cursor)
        return await self._database.read(lambda c: sql.events(c, job_id, cursor, at_most=EVENTS_IN_MEMORY))

    async def wait_for_work(self, timeout_s: float) -> None:
        work = self._work
        self._idle_workers += 1
        self._look_now()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await work.wait()
        finally:
            self._idle_workers -= 1

    async def cancelled(self, job_id: str) -> str | None:
        wish = self._wishes.setdefault(job_id, asyncio.get_running_loop().create_future())
        self._look_now()
        try:
            return None if self._closed else await asyncio.shield(wish)
        finally:
            self._wishes.pop(job_id, None)

    def _look_now(self) -> None:
        if self._closed:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking())
        else:
            self._database.poke()

    async def _keep_looking(self) -> None:
        while self._feeds or self._wishes or self._idle_workers:
            places = {job_id: feed.head for job_id, feed in self._feeds.items()}
            limits = self._limits if self._idle_workers else None
            look = partial(_look, places=places, held=tuple(self._wishes), limits=limits)
            with suppress(ProviderError):  # the next look may find the database well again
                self._tell(await self._database.read(look), places)
            await self._database.changed(SECONDS_BETWEEN_LOOKS)

    def _tell(self, news: _News, places: Mapping[str, int | None]) -> None:
        for job_id, seen in places.items():
            feed = self._feeds.get(job_id)
            if feed is None or feed.head != seen:  # a new feed took its place meanwhile: the next look is for that
                continue
            head = news.heads.get(job_id, sql.Head(0, finished=True))
            feed.tail.extend(news.events.get(job_id, ()))
            if (feed.head, feed.finished) != (head.seq, head.finished):
                feed.head, feed.finished = head.seq, head.finished
                feed.wake()
        for job_id, by in news.cancelled.items():
            if (wish := self._wishes.get(job_id)) is not None and not wish.done():
                wish.set_result(by)
        if news.work:
            self._work.set()
            self._work = asyncio.Event()

    async def close(self) -> None:
        """Everybody who waits is let go."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        for feed in self._feeds.values():
            feed.finished = True
            feed.wake()
        for wish in self._wishes.values():
            if not wish.done():
                wish.set_result(None)
        self._work.set()


def _look(
    connection: Connection, *, places: Mapping[str, int | None], held: Sequence[str], limits: QueueLimits | None
) -> _News:
    """What is new beyond each job's place, which of the `held` jobs are to end, and whether work is there for somebody
    with `limits`."""
    heads = sql.heads(connection, list(places)) if places else {}
    events = {
        job_id: tuple(e for e in sql.events(connection, job_id, place) if e.seq <= heads[job_id].seq)
        for job_id, place in places.items()
        if place is not None and job_id in heads and place < heads[job_id].seq
    }
    cancelled = sql.cancelled(connection, held) if held else {}
    return _News(heads, events, cancelled, limits is not None and claimable(connection, limits))
