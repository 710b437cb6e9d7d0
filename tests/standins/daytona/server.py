"""The loopback Daytona: its REST API and the toolbox in each sandbox, with sandboxes backed by bubblewrap."""

import asyncio
import base64
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.standins.loopback import Loopback, loopback
from tests.standins.modal.machine import Command, Machine, make_root

KEY = "dtn_" + "0123456789abcdef" * 3 + "4711"
SNAPSHOTS = ("", "our-snapshot")
PAGE = 2  # sandboxes a page, so that a listing has several
ENVIRONMENT = "X-Daytona-Pty-Envs~"
TERMINAL = """
import os, pty, sys
os.environ.update(TERM="xterm-256color", PS1="sandbox# ")
def read(fd): return os.read(fd, 65536)
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["/bin/bash", "-i"], read, read)))
"""


@dataclass(eq=False)
class Live:
    """A sandbox, what was asked for when it was created, and every network it was given since."""

    id: str
    asked: dict[str, Any]
    machine: Machine
    labels: dict[str, str]
    networks: list[dict[str, Any]] = field(default_factory=list)
    terminals: dict[str, Command] = field(default_factory=dict)
    state: str = "started"

    @property
    def name(self) -> str:
        return str(self.asked["name"])

    @property
    def lives(self) -> bool:
        return self.state == "started"


class DaytonaStandIn:
    """`all` holds every sandbox there ever was; `failing`: parts of paths of requests that shall fail."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.all: dict[str, Live] = {}
        self.usual_snapshot = "daytonaio/sandbox:0.5"
        self.unanswered: list[str] = []
        self.failing: set[str] = set()
        self.server: Loopback
        self._app = Starlette(
            routes=[
                Route("/api/sandbox", self._create, methods=["POST"]),
                Route("/api/sandbox", self._list, methods=["GET"]),
                Route("/api/sandbox/{id}", self._get, methods=["GET"]),
                Route("/api/sandbox/{id}", self._delete, methods=["DELETE"]),
                Route("/api/sandbox/{id}/labels", self._label, methods=["PUT"]),
                Route("/api/sandbox/{id}/network-settings", self._network, methods=["POST"]),
                Route("/toolbox/{id}/files/bulk-upload", self._upload, methods=["POST"]),
                WebSocketRoute("/toolbox/{id}/process/pty/create-connect", self._terminal),
                WebSocketRoute("/api/socket.io/", self._no_events),
            ]
        )

    @property
    def url(self) -> str:
        return f"{self.server.url}/api"

    def living(self) -> list[Live]:
        return [one for one in self.all.values() if one.lives]

    def lose(self, one: Live) -> None:
        """As if its machine had died."""
        self.server.do(self._end(one))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        path, headers = scope["path"], dict(scope["headers"])
        if not any(
            route.path_regex.match(path) for route in self._app.routes if isinstance(route, Route | WebSocketRoute)
        ):
            self.unanswered.append(f"{scope.get('method', 'websocket')} {path}")
        if scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {KEY}".encode():
            return await _error(401, "Invalid API key")(scope, receive, send)
        if any(part in path for part in self.failing):
            return await _error(500, "there is no room")(scope, receive, send)

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                self.unanswered.append(f"{scope['method']} {path}")
            await send(message)

        return await self._app(scope, receive, watched)

    async def _create(self, request: Request) -> Response:
        asked = await request.json()
        if asked.get("snapshot", "") not in SNAPSHOTS:
            return _error(404, f"Snapshot {asked['snapshot']} not found")
        if any(one.name == asked["name"] and one.state != "destroyed" for one in self.all.values()):
            return _error(409, f"Sandbox with name {asked['name']} already exists")
        id = secrets.token_hex(16)
        root = self._home / id
        make_root(root)
        self.all[id] = one = Live(
            id, asked, Machine(root, network=not asked.get("networkBlockAll")), dict(asked["labels"]), state="creating"
        )
        await one.machine.start()
        one.state = "started"
        return JSONResponse(self._described(one))

    async def _list(self, request: Request) -> Response:
        wanted = json.loads(request.query_params.get("labels", "{}"))
        found = [one for one in self.living() if wanted.items() <= one.labels.items()]
        after = request.query_params.get("cursor", "")  # an id: sandboxes may go between two pages
        found = [one for one in found if not after or list(self.all).index(one.id) > list(self.all).index(after)]
        page = found[: min(PAGE, int(request.query_params.get("limit", 100)))]
        cursor = page[-1].id if len(page) < len(found) else None
        return JSONResponse({"items": [self._described(one) for one in page], "nextCursor": cursor})

    async def _get(self, request: Request) -> Response:
        one = self._one(request)
        return JSONResponse(self._described(one)) if one else _missing(request)

    async def _delete(self, request: Request) -> Response:
        one = self._one(request)
        if one is None:
            return _missing(request)
        await self._end(one)
        return JSONResponse(self._described(one))

    async def _label(self, request: Request) -> Response:
        one = self._one(request)
        if one is None:
            return _missing(request)
        one.labels = (await request.json())["labels"]
        return JSONResponse({"labels": one.labels})

    async def _network(self, request: Request) -> Response:
        one = self._one(request)
        if one is None:
            return _missing(request)
        one.networks.append(await request.json())
        return JSONResponse(self._described(one))

    async def _upload(self, request: Request) -> Response:
        one = self._one(request)
        if one is None:
            return _missing(request)
        async with request.form() as form:
            for name, file in form.multi_items():
                if name.endswith(".file") and isinstance(file, UploadFile):
                    path = str(form[f"{name.removesuffix('.file')}.path"])
                    (one.machine.root / path.lstrip("/")).write_bytes(await file.read())
        return Response(status_code=200)

    async def _terminal(self, websocket: WebSocket) -> None:
        """As the daemon in a sandbox does it; the program goes on when nobody looks at it."""
        one = self.all.get(websocket.path_params["id"])
        if one is None or not one.lives or websocket.headers.get("authorization") != f"Bearer {KEY}":
            return await websocket.close(1008)
        asked = websocket.query_params
        tokens = [word for word in websocket.scope["subprotocols"] if word.startswith(ENVIRONMENT)]
        coded = "".join(tokens).removeprefix(ENVIRONMENT)
        env = json.loads(base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)) or b"{}")
        await websocket.accept(subprotocol=websocket.scope["subprotocols"][0])
        argv = ["python3", "-c", TERMINAL]
        command = await one.machine.run(asked["id"], argv, cwd=asked.get("cwd", "/"), env=env, timeout_s=0)
        one.terminals[asked["id"]] = command
        await websocket.send_text(json.dumps({"type": "control", "status": "connected"}))
        hearing = asyncio.ensure_future(_hear(websocket, command))
        offset = 0
        with suppress(WebSocketDisconnect, RuntimeError):
            while piece := await command.out.beyond(offset):
                offset += len(piece)
                await websocket.send_bytes(piece)
            code = await command.ended
            await websocket.send_text(json.dumps({"type": "control", "status": "exited", "exitCode": code}))
            await websocket.close(1000 if one.lives else 1011)
        hearing.cancel()
        await asyncio.wait([hearing])

    async def _no_events(self, websocket: WebSocket) -> None:
        """The SDK asks again now and then where it is told nothing."""
        await websocket.close(1008)

    def _one(self, request: Request) -> Live | None:
        asked = request.path_params["id"]
        return next((one for one in self.living() if asked in (one.id, one.name)), None)

    def _described(self, one: Live) -> dict[str, Any]:
        return {
            "id": one.id,
            "organizationId": "loopback",
            "name": one.name,
            "user": one.asked.get("user", "daytona"),
            "env": one.asked.get("env", {}),
            "labels": one.labels,
            "snapshot": one.asked.get("snapshot") or self.usual_snapshot,
            "public": bool(one.asked.get("public")),
            "networkBlockAll": bool(one.asked.get("networkBlockAll")),
            "kvm": False,
            "target": "loopback",
            "cpu": 1,
            "gpu": 0,
            "memory": 1,
            "disk": 3,
            "state": one.state,
            "toolboxProxyUrl": f"{self.server.url}/toolbox",
        }

    async def _end(self, one: Live) -> None:
        if one.lives:
            one.state = "destroyed"
            await one.machine.end()
            await asyncio.to_thread(shutil.rmtree, one.machine.root, True)

    async def aclose(self) -> None:
        for one in self.living():
            await self._end(one)


async def _hear(websocket: WebSocket, command: Command) -> None:
    said = 0
    while (message := await websocket.receive())["type"] == "websocket.receive":
        data = message.get("bytes") or (message.get("text") or "").encode()
        await command.feed(said, data, eof=False)
        said += len(data)


def _error(status: int, message: str) -> Response:
    return JSONResponse({"statusCode": status, "message": message, "source": "DAYTONA_API"}, status)


def _missing(request: Request) -> Response:
    return _error(404, f"Sandbox with ID or name {request.path_params['id']} not found")


@contextmanager
def daytona_standin(home: Path) -> Iterator[DaytonaStandIn]:
    standin = DaytonaStandIn(home)
    with loopback(standin, standin.aclose) as standin.server:
        yield standin
