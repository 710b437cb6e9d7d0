"""The loopback E2B: its REST API and the proxy to envd, with sandboxes backed by bubblewrap."""

import asyncio
import json
import secrets
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from e2b.envd.process.process_connect import ProcessASGIApplication
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.standins.e2b.processes import Inside, Processes
from tests.standins.loopback import Loopback, loopback
from tests.standins.modal.machine import Machine, make_root

KEY = "e2b_" + "0123456789abcdef" * 2 + "4711"
TEMPLATES = ("base", "our-template")
PAGE = 2  # sandboxes a page, so that a listing has several
ENVD = "0.6.4"


@dataclass(eq=False)
class Live:
    """A sandbox, what was asked for when it was created, and every network it was given since."""

    id: str
    asked: dict[str, Any]
    inside: Inside
    networks: list[dict[str, Any]] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.asked["metadata"])


class E2BStandIn:
    """`all` holds every sandbox there ever was; `failing`: parts of paths of requests that shall fail."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.all: dict[str, Live] = {}
        self.unanswered: list[str] = []
        self.failing: set[str] = set()
        self.server: Loopback
        self._envd = ProcessASGIApplication(Processes(self._inside, self.unanswered))
        self._api = Starlette(
            routes=[
                Route("/v2/sandboxes", self._create, methods=["POST"]),
                Route("/v2/sandboxes", self._list, methods=["GET"]),
                Route("/v2/sandboxes/{id}/connect", self._connect, methods=["POST"]),
                Route("/sandboxes/{id}/network", self._network, methods=["PUT"]),
                Route("/sandboxes/{id}", self._kill, methods=["DELETE"]),
            ]
        )

    def living(self) -> list[Live]:
        return [one for one in self.all.values() if one.inside.lives]

    def lose(self, one: Live) -> None:
        """As if its machine had died."""
        self.server.do(self._end(one))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._api(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["path"]
        if "e2b-sandbox-id" in headers:
            return await self._to_envd(headers["e2b-sandbox-id"], path, scope, receive, send)
        refusal = self._refusal(headers, path)
        app = refusal or self._api

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start" and app is self._api and message["status"] in (404, 405):
                known = any(route.path_regex.match(path) for route in self._api.routes if isinstance(route, Route))
                if not known or message["status"] == 405:
                    self.unanswered.append(f"{scope['method']} {path}")
            await send(message)

        return await app(scope, receive, watched)

    def _refusal(self, headers: dict[str, str], path: str) -> Response | None:
        if headers.get("x-api-key") != KEY:
            return _error(401, "Invalid API key")
        if any(part in path for part in self.failing):
            return _error(500, "there is no room")
        return None

    async def _to_envd(self, id: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        one = self.all.get(id)
        if one is None or not one.inside.lives:
            words = {"sandboxId": id, "message": "The sandbox was not found", "code": 502}
            return await JSONResponse(words, 502)(scope, receive, send)
        if path == "/health":
            return await Response(status_code=204)(scope, receive, send)
        if not path.startswith("/process.Process/"):
            self.unanswered.append(path)
            return await Response(status_code=404)(scope, receive, send)
        return await self._envd(scope, receive, send)

    def _inside(self, id: str) -> Inside:
        return self.all[id].inside

    async def _create(self, request: Request) -> Response:
        asked = await request.json()
        if asked["templateID"] not in TEMPLATES:
            return _error(404, f"template '{asked['templateID']}' not found")
        id = "i" + secrets.token_hex(10)
        root = self._home / id
        make_root(root)
        inside = Inside(Machine(root, network=asked.get("allow_internet_access", True)), secrets.token_hex(16))
        await inside.machine.start()
        self.all[id] = one = Live(id, asked, inside)
        asyncio.get_running_loop().call_later(asked.get("timeout", 300), self._time_is_over, one)
        return JSONResponse(self._described(one), 201)

    async def _list(self, request: Request) -> Response:
        wanted = dict(urllib.parse.parse_qsl(request.query_params.get("metadata", "")))
        wanted = {urllib.parse.unquote(name): urllib.parse.unquote(value) for name, value in wanted.items()}
        found = [one for one in self.living() if wanted.items() <= one.metadata.items()]
        if request.query_params.get("order", "desc") == "desc":
            found.reverse()
        start = int(request.query_params.get("nextToken", 0))
        page = found[start : start + min(PAGE, int(request.query_params.get("limit", 100)))]
        more = {"x-next-token": str(start + len(page))} if start + len(page) < len(found) else {}
        return JSONResponse([self._listed(one) for one in page], headers=more)

    async def _connect(self, request: Request) -> Response:
        one = self._one(request)
        return JSONResponse(self._described(one)) if one else _missing(request)

    async def _network(self, request: Request) -> Response:
        one = self._one(request)
        if one is None:
            return _missing(request)
        one.networks.append(json.loads(await request.body()))
        return Response(status_code=204)

    async def _kill(self, request: Request) -> Response:
        one = self._one(request)
        if one is None:
            return _missing(request)
        await self._end(one)
        return Response(status_code=204)

    def _one(self, request: Request) -> Live | None:
        one = self.all.get(request.path_params["id"])
        return one if one and one.inside.lives else None

    def _described(self, one: Live) -> dict[str, Any]:
        return {
            "templateID": one.asked["templateID"],
            "sandboxID": one.id,
            "clientID": "loopback",
            "envdVersion": ENVD,
            "envdAccessToken": one.inside.token,
            "domain": None,
        }

    def _listed(self, one: Live) -> dict[str, Any]:
        ends_at = one.started_at + timedelta(seconds=one.asked.get("timeout", 300))
        return {
            **{
                name: value for name, value in self._described(one).items() if name not in ("envdAccessToken", "domain")
            },
            "startedAt": one.started_at.isoformat(),
            "endAt": ends_at.isoformat(),
            "cpuCount": 2,
            "memoryMB": 512,
            "diskSizeMB": 1024,
            "state": "running",
            "metadata": one.metadata,
        }

    def _time_is_over(self, one: Live) -> None:
        self._ending = asyncio.ensure_future(self._end(one))

    async def _end(self, one: Live) -> None:
        if one.inside.lives:
            one.inside.lives = False
            await one.inside.machine.end()
            await asyncio.to_thread(shutil.rmtree, one.inside.machine.root, True)

    async def aclose(self) -> None:
        for one in self.living():
            await self._end(one)


def _error(status: int, message: str) -> Response:
    return JSONResponse({"code": status, "message": message}, status)


def _missing(request: Request) -> Response:
    return _error(404, f"sandbox {request.path_params['id']} not found")


@contextmanager
def e2b_standin(home: Path) -> Iterator[E2BStandIn]:
    standin = E2BStandIn(home)
    with loopback(standin, standin.aclose) as standin.server:
        yield standin
