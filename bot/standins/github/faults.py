"""Faults that a test asks for, and the edge of the stand-in where they happen."""

import re
from asyncio import sleep
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.standins.github.world import World


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer instead of the effect. `body` None: a message in GitHub's form."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True)
class DropReply:
    """The effect happens, then the connection breaks without a byte of answer."""


@dataclass(frozen=True, slots=True)
class DropRequest:
    """The connection breaks before anything happens."""


@dataclass(frozen=True, slots=True)
class Delay:
    seconds: float


Action = Reply | DropReply | DropRequest | Delay


@dataclass(slots=True, eq=False)
class Fault:
    """`left`: how often it will still happen."""

    method: str | None
    path: re.Pattern[str]
    left: int
    action: Action


@dataclass(slots=True)
class Faults:
    """`delay_all_ms` is added to every API and git request, for benchmarks."""

    delay_all_ms: float = 0
    _faults: list[Fault] = field(default_factory=list)

    def add(self, action: Action, *, method: str | None = None, path: str = "", times: int = 1) -> Fault:
        """`path` is a regular expression searched in the path without `/api/v3`; faults happen in the order added."""
        fault = Fault(method, re.compile(path), times, action)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        self._faults.clear()

    def take(self, method: str, path: str) -> Action | None:
        for fault in self._faults:
            if fault.left and fault.method in (None, method) and fault.path.search(path):
                fault.left -= 1
                return fault.action
        return None


@dataclass(frozen=True, slots=True)
class Logged:
    """One request: when (Unix time, s), what, the answer's status (0: none was given) and the kind of credential."""

    at: float
    method: str
    path: str
    status: int
    token_kind: str


@dataclass(slots=True)
class RequestLog:
    rows: list[Logged] = field(default_factory=list)
    most_connections: int = 0
    _transports: set[Any] = field(default_factory=set)

    def connected(self, transport: Any) -> None:
        """Keeps the high-water mark of connections open at once."""
        self._transports = {one for one in self._transports if not one.is_closing()} | {transport}
        self.most_connections = max(self.most_connections, len(self._transports))


class Edge:
    """Wraps the app: request ids, the log, faults, and the addresses of renamed repositories."""

    def __init__(self, app: ASGIApp, world: World, faults: Faults, log: RequestLog) -> None:
        self._app, self._world, self._faults, self._log = app, world, faults, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["state"] = {"token_kind": "anonymous"}
        path = str(scope["path"])
        status = 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), _request_id()]
            await send(message)

        if (transport := _transport(send)) is not None:
            self._log.connected(transport)
        at = self._world.now()
        try:
            await self._serve(self._renamed(scope), receive, reply, lambda: _hang_up(send))
        finally:
            kind = scope["state"]["token_kind"]
            self._log.rows.append(Logged(at, scope["method"], path, status, kind))

    async def _serve(self, scope: Scope, receive: Receive, send: Send, hang_up: Callable[[], None]) -> None:
        action = self._faults.take(scope["method"], scope["path"].removeprefix("/api/v3"))
        if self._faults.delay_all_ms:
            await sleep(self._faults.delay_all_ms / 1_000)
        match action:
            case None:
                await self._app(scope, receive, send)
            case Delay(seconds):
                await sleep(seconds)
                await self._app(scope, receive, send)
            case Reply(status, headers, body):
                await _read(receive)
                said = {"message": "Fault", "status": str(status)} if body is None else body
                answer = Response(said, status) if isinstance(said, str | bytes) else JSONResponse(said, status)
                answer.headers.update(headers)
                await answer(scope, receive, send)
            case DropRequest():
                await _read(receive)
                await _drop(hang_up, receive)
            case DropReply():
                await self._app(scope, receive, _swallow)
                await _drop(hang_up, receive)

    def _renamed(self, scope: Scope) -> Scope:
        """`/repositories/ID/...` is where a renamed repository's redirect leads."""
        found = re.fullmatch(r"(/api/v3)?/repositories/(\d+)(/.*)?", scope["path"])
        repo = self._world.repositories.get(int(found[2])) if found else None
        if found is None or repo is None:
            return scope
        path = f"{found[1] or ''}/repos/{repo.full_name}{found[3] or ''}"
        return dict(scope) | {"path": path, "raw_path": path.encode()}


def _request_id() -> tuple[bytes, bytes]:
    return b"x-github-request-id", uuid4().hex.upper()[:24].encode()


async def _read(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass


async def _swallow(message: Message) -> None:
    """The answer that is lost."""


async def _drop(hang_up: Callable[[], None], receive: Receive) -> None:
    hang_up()
    while (await receive())["type"] != "http.disconnect":
        pass


def _transport(send: Send) -> Any:
    """The TCP transport below uvicorn's `send`; None under another server."""
    return getattr(getattr(send, "__self__", None), "transport", None)


def _hang_up(send: Send) -> None:
    """Closes the connection as a lost network does. Only a real server has one to close."""
    cast(Any, _transport(send)).abort()
