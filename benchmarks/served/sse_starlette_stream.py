"""Peer: sse-starlette, a queue a watcher. Arguments: port, SQLite file.

One task looks for new rows of `frames(seq, data)` as often as our store does, and hands each to every watcher.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

SECONDS_BETWEEN_LOOKS = 0.025
watchers: set[asyncio.Queue[tuple[int, str]]] = set()


async def read() -> None:
    database, place, version = sqlite3.connect(sys.argv[2], isolation_level=None), 0, -1
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        now = database.execute("PRAGMA data_version").fetchone()[0]
        if now == version:
            continue
        version = now
        new = database.execute("SELECT seq, data FROM frames WHERE seq > ? ORDER BY seq", (place,)).fetchall()
        for seq, data in new:
            place = seq
            for queue in watchers:
                queue.put_nowait((seq, data))


async def frames() -> AsyncIterator[ServerSentEvent]:
    queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
    watchers.add(queue)
    yield ServerSentEvent("the beginning", id="1")
    try:
        while True:
            seq, data = await queue.get()
            yield ServerSentEvent(data, id=str(seq))
    finally:
        watchers.discard(queue)


async def events(request: Request) -> EventSourceResponse:
    return EventSourceResponse(frames())


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    reading = asyncio.create_task(read())
    yield
    reading.cancel()


app = Starlette(routes=[Route("/events", events)], lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_config=None, loop="uvloop")
