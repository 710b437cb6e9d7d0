"""Serves the web application until it is told to stop; signals are somebody else's."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

LAST_ANSWERS_S = 5  # what requests under way may take when the server stops


class _Server(uvicorn.Server):
    """Uvicorn's own handling of signals ends the process at once, before jobs are put back and the store is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_until(stop: asyncio.Event, app: Starlette, *, host: str, port: int) -> None:
    """Raises SystemExit when the address cannot be listened on; uvicorn has said why."""
    settings = uvicorn.Config(
        app, host=host, port=port, access_log=False, log_config=None, timeout_graceful_shutdown=LAST_ANSWERS_S
    )
    server = _Server(settings)
    serving, stopping = asyncio.create_task(server.serve()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
