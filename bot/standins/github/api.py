"""One API request: from Starlette's request to a checked call, and its answer with GitHub's headers."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route as StarletteRoute

from bot.standins.github.auth import Anonymous, AsApp, AsInstallation, Caller, authorize, caller_of
from bot.standins.github.problems import Problem, forbidden, not_found
from bot.standins.github.state import App, Json, Repository, User
from bot.standins.github.world import World

VERSIONS = ("2022-11-28", "2026-03-10")
MOST_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler says. `body` None: nothing (204, 205) or, with `raw`, exactly those bytes."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that may proceed: the caller is known and allowed, the body is JSON."""

    world: World
    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    accept: str
    url: str
    version: str
    repository: Repository | None

    @property
    def repo(self) -> Repository:
        if self.repository is None:
            raise not_found()
        return self.repository

    @property
    def app(self) -> App:
        """The App that calls, by its own JWT or by an installation token."""
        if isinstance(self.caller, Anonymous):
            raise Problem(401, "Requires authentication")
        return self.caller.app

    @property
    def actor(self) -> User:
        return self.app.bot

    def number(self, name: str) -> int:
        """A path segment that must be a number; 404 otherwise."""
        if not self.path[name].isdecimal():
            raise not_found()
        return int(self.path[name])

    def page(self, rows: Sequence[Any]) -> tuple[list[Any], dict[str, str]]:
        """The rows of the page asked for, and its Link header."""
        size = min(max(_whole(self.query.get("per_page"), 30), 1), MOST_PER_PAGE)
        page = max(_whole(self.query.get("page"), 1), 1)
        last = max((len(rows) + size - 1) // size, 1)
        steps = []
        if page > 1:
            steps += [("prev", page - 1), ("first", 1)]
        if page < last:
            steps += [("next", page + 1), ("last", last)]
        link = ", ".join(f'<{self._with(page=str(number), per_page=str(size))}>; rel="{rel}"' for rel, number in steps)
        return list(rows[(page - 1) * size : page * size]), {"Link": link} if link else {}

    def _with(self, **changes: str) -> str:
        query = {**self.query, **changes}
        return f"{self.url}?{urlencode(query)}"


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """`needs`: permissions of which one is enough, such as `issues:write`; none for what needs no repository.

    `caller`: who may ask at all.
    """

    method: str
    path: str
    handler: Handler
    needs: tuple[str, ...] = ("metadata:read",)
    caller: type[AsApp] | type[AsInstallation] | None = None

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


def starlette_route(world: World, route: Route) -> StarletteRoute:
    async def endpoint(request: Request) -> Response:
        caller: Caller = Anonymous()
        try:
            caller = caller_of(world, request.headers.get("authorization"))
            request.state.token_kind = caller.kind
            spend(world, caller, request.url.path)
            said = await route.handler(await call_of(world, route, request, caller))
            response = _response(said)
        except Problem as problem:
            response = JSONResponse(problem.body(), problem.status, problem.headers)
        except Moved as moved:
            response = RedirectResponse(moved.location, 307 if route.writes else 301)
        _add_headers(world, caller, route, request, response)
        return response

    return StarletteRoute(route.path, endpoint, methods=[route.method])


class Moved(Exception):
    """The repository has another name now."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


async def call_of(world: World, route: Route, request: Request, caller: Caller) -> Call:
    repository = _repository(world, route, request, caller)
    if route.caller is AsApp and not isinstance(caller, AsApp):
        raise Problem(401, "A JSON web token could not be decoded")
    if route.caller is AsInstallation and not isinstance(caller, AsInstallation):
        raise Problem(401, "Requires authentication") if isinstance(caller, Anonymous) else forbidden()
    version = request.headers.get("x-github-api-version", VERSIONS[0])
    if version not in VERSIONS:
        raise Problem(400, f"Unsupported API version {version}")
    return Call(
        world=world,
        caller=caller,
        path={key: str(value) for key, value in request.path_params.items()},
        query=dict(request.query_params),
        body=await _json_body(request) if route.writes else {},
        accept=request.headers.get("accept", ""),
        url=str(request.url.replace(query="")).removesuffix("?"),
        version=version,
        repository=repository,
    )


def _repository(world: World, route: Route, request: Request, caller: Caller) -> Repository | None:
    if "owner" not in request.path_params:
        return None
    name = f"{request.path_params['owner']}/{request.path_params['repo']}"
    repository = world.repository(name)
    if repository is None:
        former = world.former_names.get(name.lower())
        if former is None:
            raise not_found()
        _check_access(caller, former, route)
        head, _, _ = request.url.path.partition("/repos/")
        rest = "/".join(request.url.path.split("/repos/", 1)[1].split("/")[2:])
        query = f"?{request.url.query}" if request.url.query else ""
        raise Moved(f"{world.base_url}{head}/repositories/{former.id}" + (f"/{rest}" if rest else "") + query)
    _check_access(caller, repository, route)
    if route.writes and repository.archived:
        raise Problem(403, "Repository was archived so is read-only.")
    return repository


def _check_access(caller: Caller, repository: Repository, route: Route) -> None:
    if route.caller is AsApp:
        return
    authorize(caller, repository, route.needs, writes=route.writes)


async def _json_body(request: Request) -> Json:
    raw = await request.body()
    if not raw:
        return {}
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate could not be answered with
    except (ValueError, RecursionError):
        raise Problem(400, "Problems parsing JSON") from None
    if isinstance(body, list):
        return {"": body}
    if not isinstance(body, dict):
        raise Problem(400, "Body should be a JSON object")
    return body


def _response(said: Answer) -> Response:
    if said.raw is not None:
        return Response(said.raw, said.status, dict(said.headers))
    if said.body is None:
        return Response(status_code=said.status, headers=dict(said.headers))
    return JSONResponse(said.body, said.status, dict(said.headers))


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() else otherwise


# ---------------------------------------------------------------- rate limit


def spend(world: World, caller: Caller, path: str) -> None:
    """Counts the request in this hour; asking for the limits is free. Raises Problem 403 when none is left."""
    if path.endswith("/rate_limit"):
        return
    used = world.used_by(caller.kind if not isinstance(caller, AsInstallation) else str(caller.installation.id))
    if used.count >= world.rate_limit:
        raise Problem(403, "API rate limit exceeded for installation.")
    used.count += 1


def rate(world: World, caller: Caller) -> dict[str, int]:
    used = world.used_by(caller.kind if not isinstance(caller, AsInstallation) else str(caller.installation.id))
    count = min(used.count, world.rate_limit)
    return {
        "limit": world.rate_limit,
        "remaining": world.rate_limit - count,
        "reset": int(used.resets_at),
        "used": count,
    }


def _add_headers(world: World, caller: Caller, route: Route, request: Request, response: Response) -> None:
    now = rate(world, caller)
    for name, value in now.items():
        response.headers[f"X-RateLimit-{name.title()}"] = str(value)
    response.headers["X-RateLimit-Resource"] = "graphql" if route.path == "/graphql" else "core"
    response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
    response.headers["X-GitHub-Api-Version-Selected"] = request.headers.get("x-github-api-version", VERSIONS[0])
    if isinstance(caller, AsInstallation):
        response.headers.setdefault(
            "X-Accepted-GitHub-Permissions", "; ".join(n.replace(":", "=") for n in route.needs)
        )
