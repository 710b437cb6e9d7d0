"""A recorded run as it went: in a terminal, or on the live page with no service behind it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import quote

from rich.console import Console

from bot.domain.events import Recorded
from bot.ports import JobRow
from bot.recordings.run import Recording
from bot.report.progress import Progress, after
from bot.watch import lines
from bot.web.live import record_app
from bot.web.server import serve_until

LONGEST_PAUSE_S = 3.0  # whatever took longer than this in the run is not worth waiting for again

Sleep = Callable[[float], Awaitable[None]]


def pauses(recording: Recording, *, speed: float | None) -> Iterator[tuple[float, Recorded]]:
    """Each event and how many seconds to wait before it; `speed` times as fast as it was, None: at once."""
    before: float | None = None
    for recorded in recording.events:
        gap = max(recorded.at - before, 0.0) if before is not None else 0.0
        yield (min(gap / speed, LONGEST_PAUSE_S) if speed else 0.0), recorded
        before = recorded.at


async def play(recording: Recording, *, speed: float | None, console: Console, sleep: Sleep = asyncio.sleep) -> None:
    so_far = Progress()
    for pause, recorded in pauses(recording, speed=speed):
        if pause:
            await sleep(pause)
        so_far = after(so_far, recorded)
        for line in lines(recorded, so_far):
            console.print(line, highlight=False, soft_wrap=True)


class Playback:
    """`ports.EventLog` over one recording, whose events come one after the other from the first look at them on."""

    def __init__(self, recording: Recording, *, speed: float | None, sleep: Sleep = asyncio.sleep) -> None:
        self.watch_key = secrets.token_urlsafe(32)
        self._recording = recording
        self._job = recording.heading.job(self.watch_key)
        self.path = f"/jobs/{quote(self._job.id)}?t={self.watch_key}"
        self.site = recording.heading.site or "https://github.com"
        self._speed, self._sleep = speed, sleep
        self._shown = len(recording.events) if speed is None else 0
        self._asked, self._news = asyncio.Event(), asyncio.Condition()

    def now(self) -> float:
        """The recording's time."""
        events = self._recording.events
        return events[max(self._shown - 1, 0)].at if events else 0.0

    async def run(self) -> None:
        await self._asked.wait()
        for pause, recorded in pauses(self._recording, speed=self._speed):
            if recorded.seq > self._shown:
                await self._sleep(pause)
                async with self._news:
                    self._shown = recorded.seq
                    self._news.notify_all()

    async def job(self, job_id: str) -> JobRow | None:
        if job_id != self._job.id:
            return None
        return JobRow(job=self._job, state="succeeded", attempts=1, created_at=0.0, finished_at=None, cancel_by=None)

    async def events(self, job_id: str, after: int = 0) -> tuple[Recorded, ...]:
        return self._recording.events[after : self._shown]

    async def watch(self, job_id: str, after: int = 0) -> AsyncIterator[Recorded]:
        """Goes on without events where the recording stops before the run's end."""
        self._asked.set()
        for recorded in self._recording.events[after:]:
            async with self._news:
                while recorded.seq > self._shown:
                    await self._news.wait()
            yield recorded
        await asyncio.Event().wait()


async def serve_playback(
    playback: Playback, *, port: int, page: Callable[[str], None], stop: asyncio.Event, host: str = "127.0.0.1"
) -> None:
    """Until `stop` is set; `page` is told the address. Raises UserError when the port is taken."""
    playing = asyncio.create_task(playback.run())
    page(f"http://{host}:{port}{playback.path}")
    try:
        app = record_app(playback, github_url=playback.site, now=playback.now)
        await serve_until(stop, app, host=host, port=port, setting="--port")
    finally:
        playing.cancel()
