"""One watcher's SSE response, written straight to ASGI from the job's shared feed."""

import asyncio
from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bot.report.sse import HEARTBEAT, RECONNECT
from bot.web.feeds import Feeds

FRAMES_AT_ONCE = 64  # joined into one write while a watcher catches up
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class EventStream(Response):
    """Events after `after`, then live ones, a heartbeat in every silence; ends with the job's last event."""

    def __init__(self, feeds: Feeds, job_id: str, *, after: int) -> None:
        super().__init__()
        self._feeds = feeds
        self._job_id = job_id
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended((writing, leaving))

    async def _write(self, send: Send) -> None:
        place = self._after
        await send(_chunk([RECONNECT]))
        async with self._feeds.watch(self._job_id) as feed:
            while True:
                if place < len(feed.frames):
                    batch = feed.frames[place : place + FRAMES_AT_ONCE]
                    place += len(batch)
                    await send(_chunk(batch))
                elif feed.ended:
                    await send({"type": "http.response.body", "body": b""})
                    return
                elif not await feed.change():
                    await send(_chunk([HEARTBEAT]))


def _chunk(frames: Iterable[bytes]) -> dict[str, object]:
    return {"type": "http.response.body", "body": b"".join(frames), "more_body": True}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels what still runs and waits for it; a watcher that went away is no error."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError | OSError):
            raise outcome
