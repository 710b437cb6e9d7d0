"""Serves the web application until it is told to stop; signals are somebody else's."""

import asyncio
import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from bot.domain.errors import UserError

BACKLOG = 2048  # connections that wait to be taken
LAST_ANSWERS_S = 5  # what requests under way may take when the server stops
SAID_EVERY_S = 60.0  # that no connection can be taken


class _Server(uvicorn.Server):
    """Uvicorn's own handling of signals ends the process at once, before jobs are put back and the store is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Exhaustion:
    """Where no descriptor is left, asyncio's loop reports the connection that it cannot take each second as often as
    the backlog has places. Its traceback each time would keep the process busy and fill the disk with its log."""

    def __init__(self) -> None:
        self._said_at = -SAID_EVERY_S

    def heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._said_at >= SAID_EVERY_S:
            self._said_at = time.monotonic()
            hint = "connections wait until one is free: raise the limit of open files (ulimit -n, LimitNOFILE=)"
            structlog.get_logger().error("no file descriptor is left", hint=hint)


async def serve_until(
    stop: asyncio.Event, app: ASGIApp, *, host: str, port: int, setting: str = "HOST or PORT"
) -> None:
    """`setting`: what can be set to another. Raises UserError when the address cannot be listened on."""
    listeners = listening(host, port, setting=setting)
    settings = uvicorn.Config(
        app,
        ws="none",
        proxy_headers=False,  # nobody asks who is at the other end
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
    )
    server = _Server(settings)
    asyncio.get_running_loop().set_exception_handler(_Exhaustion().heard)
    serving, stopping = asyncio.create_task(server.serve(listeners)), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving


def listening(host: str, port: int, *, setting: str = "HOST or PORT") -> list[socket.socket]:
    """A socket for each address of `host` that this machine has. Raises UserError."""
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            made.append(listener := socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except OSError as error:
        for listener in made:
            listener.close()
        raise UserError(f"{host}:{port} cannot be listened on ({error.strerror}): change {setting}.") from None
    return made
