"""Run an ASGI app on a free loopback port for as long as a block lasts."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

LAST_ANSWERS_S = 1.0  # what requests under way may take when the block ends
STEPS_OF_AN_ACCEPT = 5  # of the event loop, until asyncio has told the server of a connection it accepted (3 in 3.11)


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
        await self._stop_accepting()
        serving = self.server_state
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S):
                while True:
                    for connection in list(serving.connections):
                        connection.shutdown()
                    if not serving.connections and not serving.tasks:
                        break
                    await asyncio.sleep(0.005)
        for task in serving.tasks:
            task.cancel()
        await self.lifespan.shutdown()

    async def _stop_accepting(self) -> None:
        """asyncio never closes a connection that it accepts in the very step in which its server closes
        (https://github.com/python/cpython/issues/109564): so first no more are accepted, then the server closes."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        for _ in range(STEPS_OF_AN_ACCEPT):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()


@contextmanager
def reserved_port() -> Iterator[int]:
    """A loopback port that the system gives to nobody else in the block; a server that names it may listen on it,
    once after another (Linux lets SO_REUSEADDR sockets share a port of which one at most listens)."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


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
