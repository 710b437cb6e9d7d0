"""Clone and fetch through the real `git http-backend`."""

import subprocess
from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.standins.github.auth import authorize, caller_of
from bot.standins.github.git import bare_environment
from bot.standins.github.problems import Problem
from bot.standins.github.state import Repository
from bot.standins.github.world import World

CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}
SERVICE = "git-upload-pack"
PASSED_ON = {
    "content-type": "CONTENT_TYPE",
    "content-encoding": "HTTP_CONTENT_ENCODING",
    "git-protocol": "GIT_PROTOCOL",
    "accept": "HTTP_ACCEPT",
}


def routes(world: World) -> list[Route]:
    async def advertise(request: Request) -> Response:
        if request.query_params.get("service") != SERVICE:
            return PlainTextResponse("Please upgrade your git client.\n", 403)
        return await _answer(world, request, "info/refs")

    async def rpc(request: Request) -> Response:
        return await _answer(world, request, SERVICE)

    return [
        Route("/{owner}/{repo}/info/refs", advertise, methods=["GET"]),
        Route(f"/{{owner}}/{{repo}}/{SERVICE}", rpc, methods=["POST"]),
    ]


async def _answer(world: World, request: Request, what: str) -> Response:
    try:
        repo = _repository(world, request)
    except Problem as problem:
        return PlainTextResponse(f"{problem.message}\n", problem.status, problem.headers)
    return await to_thread(_backend, repo, request, what, await request.body())


def _repository(world: World, request: Request) -> Repository:
    """Raises Problem: 401 asks git for credentials, 404 hides."""
    name = f"{request.path_params['owner']}/{request.path_params['repo'].removesuffix('.git')}"
    given = request.headers.get("authorization")
    try:
        caller = caller_of(world, given)
    except Problem as problem:
        raise Problem(problem.status, "Invalid username or token.", headers=CHALLENGE) from None
    repo = world.repository(name) or world.former_names.get(name.lower())
    try:
        if repo is None:
            raise Problem(404, "Repository not found.")
        authorize(caller, repo, ("contents:read",), writes=False)
    except Problem as problem:
        if not given:
            raise Problem(401, "Repository not found.", headers=CHALLENGE) from None
        if problem.status == 404:
            raise Problem(404, "Repository not found.") from None
        raise Problem(403, "Write access to repository not granted.") from None
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
