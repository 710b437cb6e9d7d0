"""Clone, fetch and push through the real `git http-backend`."""

import subprocess
from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route as StarletteRoute

from bot.standins.github.auth import AsInstallation, authorize, caller_of
from bot.standins.github.git import ZERO_SHA, bare_environment
from bot.standins.github.problems import Problem
from bot.standins.github.refs import moved
from bot.standins.github.state import Repository
from bot.standins.github.world import World

CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}
SERVICES = ("git-upload-pack", "git-receive-pack")
PASSED_ON = {
    "content-type": "CONTENT_TYPE",
    "content-encoding": "HTTP_CONTENT_ENCODING",
    "git-protocol": "GIT_PROTOCOL",
    "accept": "HTTP_ACCEPT",
}


def routes(world: World) -> list[StarletteRoute]:
    async def advertise(request: Request) -> Response:
        service = request.query_params.get("service", "")
        if service not in SERVICES:
            return PlainTextResponse("Please upgrade your git client.\n", 403)
        return await _answer(world, request, service, "info/refs")

    async def rpc(request: Request) -> Response:
        service = request.path_params["service"]
        if service not in SERVICES:
            return PlainTextResponse("Not Found\n", 404)
        return await _answer(world, request, service, service)

    return [
        StarletteRoute("/{owner}/{repo}/info/refs", advertise, methods=["GET"]),
        StarletteRoute("/{owner}/{repo}/{service:str}", rpc, methods=["POST"]),
    ]


async def _answer(world: World, request: Request, service: str, what: str) -> Response:
    writes = service == "git-receive-pack"
    try:
        repo = _repository(world, request, writes=writes)
    except Problem as problem:
        return PlainTextResponse(f"{problem.message}\n", problem.status, problem.headers)
    before = repo.git.refs() if writes and what == service else {}
    done = await to_thread(_backend, repo, request, what, await request.body())
    if before:
        await _follow(world, repo, request, before)
    return done


def _repository(world: World, request: Request, *, writes: bool) -> Repository:
    """Raises Problem: 401 asks git for credentials, 403 refuses a push, 404 hides."""
    name = f"{request.path_params['owner']}/{request.path_params['repo'].removesuffix('.git')}"
    given = request.headers.get("authorization")
    try:
        caller = caller_of(world, given)
    except Problem as problem:
        raise Problem(problem.status, "Invalid username or token.", headers=CHALLENGE) from None
    request.state.token_kind = caller.kind
    repo = world.repository(name) or world.former_names.get(name.lower())
    try:
        if repo is None:
            raise Problem(404, "Repository not found.")
        authorize(caller, repo, ("contents:write",) if writes else ("contents:read",), writes=writes)
    except Problem as problem:
        if not given:
            raise Problem(401, "Repository not found.", headers=CHALLENGE) from None
        if problem.status == 404:
            raise Problem(404, "Repository not found.") from None
        raise Problem(403, "Write access to repository not granted.") from None
    if writes and repo.archived:
        raise Problem(403, "This repository was archived so it is read-only.")
    return repo


def _backend(repo: Repository, request: Request, what: str, body: bytes) -> Response:
    env = bare_environment() | {
        "GIT_PROJECT_ROOT": str(repo.git.path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repo.git.path.name}/{what}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.url.query,
        "REMOTE_USER": "x-access-token",
        "CONTENT_LENGTH": str(len(body)),
    }
    env |= {name: request.headers[header] for header, name in PASSED_ON.items() if header in request.headers}
    done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, check=False)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200" if headers else "500").split(" ")[0])
    return Response(content, status, headers)


async def _follow(world: World, repo: Repository, request: Request, before: dict[str, tuple[str, str]]) -> None:
    """A push has the same consequences as a ref moved over REST."""
    caller = caller_of(world, request.headers.get("authorization"))
    if not isinstance(caller, AsInstallation):
        return
    after = await to_thread(repo.git.refs)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, ("", ZERO_SHA))[1], after.get(name, ("", ZERO_SHA))[1]
        if was != now:
            await moved(world, repo, name, was, now, caller.app.bot)
