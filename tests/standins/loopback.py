"""An ASGI app on a loopback port, served from a thread of its own: a test may block, and so may a vendor's SDK."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.types import ASGIApp

from bot.standins.serving import serve

Answer = TypeVar("Answer")
ENDS_WITHIN_S = 60


class Loopback:
    """`url` is where it answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str) -> None:
        self._loop, self.url = loop, url

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """In the server's own loop; to be called from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ENDS_WITHIN_S)


@contextmanager
def loopback(app: ASGIApp, at_last: Callable[[], Awaitable[None]]) -> Iterator[Loopback]:
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[str] = []

    async def run() -> None:
        async with serve(app) as url:
            found.append(url)
            ready.set()
            await stop.wait()
            await at_last()

    def in_thread() -> None:
        loop.run_until_complete(run())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=in_thread, name="loopback", daemon=True)
    thread.start()
    ready.wait(ENDS_WITHIN_S)
    try:
        yield Loopback(loop, found[0])
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(ENDS_WITHIN_S)
