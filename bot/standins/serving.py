"""Run an ASGI app on a free loopback port for as long as a block lasts."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

LAST_ANSWERS_S = 1.0  # what requests under way may take when the block ends


class _Guest(uvicorn.Server):
    """A server inside somebody else's process: signals stay theirs, and it leaves at once when nobody is being served.

    Uvicorn's own way looks every tenth of a second whether it is to end, and waits as long before it does.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leaving = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not self.leaving.is_set():
            await self.on_tick(0)  # keeps the Date header right
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        serving = self.server_state
        for connection in list(serving.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S):
                while True:
                    if not serving.connections and not serving.tasks:
                        break
                    await asyncio.sleep(0.005)
        for task in serving.tasks:
            task.cancel()
        await self.lifespan.shutdown()


@asynccontextmanager
async def serve(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Yields the base URL, such as http://127.0.0.1:40123. Open connections are closed at the end of the block."""
    listener = socket.create_server((host, port))
    # asyncio sets it only on sockets that name their protocol; without it every answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on")
    server = _Guest(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.005)
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.leaving.set()
        with suppress(asyncio.CancelledError):
            await task
        listener.close()
