"""One feed a watched job: each event is read and encoded once, whatever the number of watchers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from bot.domain.errors import ProviderError
from bot.ports import EventLog
from bot.report.progress import Progress, after
from bot.report.sse import frame, is_last

REST_S = 0.25  # before a subscription that the store has ended is taken up again

_log = structlog.get_logger(__name__)


class Feed:
    """`frames[n]` is the frame of `seq` n + 1. Watchers only hold a place in it, so a slow one costs nothing.

    One timer tells all of them when nothing has come for `heartbeat_s` seconds.
    """

    def __init__(self, *, heartbeat_s: float) -> None:
        self.frames: list[bytes] = []
        self.ended = False
        self._news = asyncio.Event()
        self._silences = 0
        self._heartbeat_s = heartbeat_s
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(heartbeat_s, self._listen)

    def add(self, encoded: bytes, *, last: bool) -> None:
        self.frames.append(encoded)
        self.ended = self.ended or last
        self._heard = self._loop.time()
        self._wake()

    async def change(self) -> bool:
        """False when nothing has come for a heartbeat's time."""
        silences = self._silences
        await self._news.wait()
        return self._silences == silences

    def close(self) -> None:
        self._timer.cancel()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _listen(self) -> None:
        now = self._loop.time()
        if now >= self._heard + self._heartbeat_s:
            self._silences += 1
            self._heard = now
            self._wake()
        self._timer = self._loop.call_at(self._heard + self._heartbeat_s, self._listen)


class Feeds:
    def __init__(self, store: EventLog, *, heartbeat_s: float) -> None:
        self._store = store
        self._heartbeat_s = heartbeat_s
        self._open: dict[str, tuple[Feed, asyncio.Task[None]]] = {}
        self._watchers: dict[str, int] = {}

    @asynccontextmanager
    async def watch(self, job_id: str) -> AsyncIterator[Feed]:
        """The job's feed, read for as long as anybody watches."""
        if job_id not in self._open:
            feed = Feed(heartbeat_s=self._heartbeat_s)
            self._open[job_id] = (feed, asyncio.create_task(self._pump(job_id, feed)))
        feed, pump = self._open[job_id]
        self._watchers[job_id] = self._watchers.get(job_id, 0) + 1
        try:
            yield feed
        finally:
            self._watchers[job_id] -= 1
            if not self._watchers[job_id]:
                del self._watchers[job_id], self._open[job_id]
                feed.close()
                pump.cancel()
                with suppress(asyncio.CancelledError):
                    await pump

    async def _pump(self, job_id: str, feed: Feed) -> None:
        so_far = Progress()
        while not feed.ended:
            try:
                async for recorded in self._store.watch(job_id, len(feed.frames)):
                    so_far = after(so_far, recorded)
                    feed.add(frame(recorded, so_far), last=is_last(recorded))
            except ProviderError as error:
                _log.warning("event log cannot be read", job=job_id, provider=error.provider)
            if not feed.ended:
                await asyncio.sleep(REST_S)
