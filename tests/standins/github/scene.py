"""A loopback GitHub with one repository, one App and two clients, as most tests here start from."""

import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.standins.github import LoopbackGitHub, RegisteredApp
from bot.standins.github.state import Installation, Repository
from bot.standins.serving import serve

SECRET = "It's a Secret to Everybody"
VERSION = {"X-GitHub-Api-Version": "2026-03-10"}


@cache
def app_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@dataclass
class Clock:
    """Unix time that stands still until a test moves it."""

    at: float = field(default_factory=lambda: float(int(time.time())))

    def __call__(self) -> float:
        return self.at


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes


@dataclass
class Scene:
    github: LoopbackGitHub
    url: str
    clock: Clock
    repo: Repository
    app: RegisteredApp
    installation: Installation
    received: list[Received]
    http: httpx.AsyncClient
    head: str
    key: rsa.RSAPrivateKey = field(default_factory=app_key)

    def jwt(self, **claims: Any) -> str:
        now = int(self.clock())
        whole = {"iss": str(self.app.app.id), "iat": now - 60, "exp": now + 540} | claims
        return jwt.encode(whole, self.key, algorithm="RS256")

    async def as_app(self, method: str, path: str, json: Any = None, **claims: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.jwt(**claims)}"} | VERSION
        return await self.http.request(method, path, json=json, headers=headers)

    async def token(self, **asked: Any) -> str:
        said = await self.as_app("POST", f"/app/installations/{self.installation.id}/access_tokens", asked or None)
        assert said.status_code == 201, said.text
        return str(said.json()["token"])

    async def ask(
        self, method: str, path: str, json: Any = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        """A request with an installation token; `path` without a leading slash is below the repository."""
        token = token or await self.token()
        where = path if path.startswith("/") else f"/repos/octo/tool/{path}".rstrip("/")
        credential = {"Authorization": f"Bearer {token}"} | VERSION | headers
        return await self.http.request(method, where, json=json, headers=credential)

    async def branch(self, name: str, files: dict[str, str | None], *, token: str | None = None) -> str:
        """A branch on top of main with these files changed through the Git Data API; answers its commit."""
        token = token or await self.token()
        rows = []
        for path, text in files.items():
            sha = None
            if text is not None:
                sha = (await self.ask("POST", "git/blobs", {"content": text}, token=token)).json()["sha"]
            rows.append({"path": path, "mode": "100644", "type": "blob", "sha": sha})
        tree = await self.ask("POST", "git/trees", {"base_tree": self.head, "tree": rows}, token=token)
        assert tree.status_code == 201, tree.text
        asked = {"message": f"Change {name}", "tree": tree.json()["sha"], "parents": [self.head]}
        commit = (await self.ask("POST", "git/commits", asked, token=token)).json()["sha"]
        made = await self.ask("POST", "git/refs", {"ref": f"refs/heads/{name}", "sha": commit}, token=token)
        assert made.status_code == 201, made.text
        return str(commit)


def git(folder: Path, *argv: str) -> str:
    who = ("-c", "user.name=Mona", "-c", "user.email=mona@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *argv], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def work_tree(folder: Path) -> Path:
    """A small real repository: a module, a script that may be run, a link, and attributes for archives."""
    folder.mkdir()
    (folder / "tool.py").write_text("def hello() -> str:\n    return 'hullo'\n")
    (folder / "README.md").write_text("# Tool\n\nSays hello.\n")
    (folder / "docs").mkdir()
    (folder / "docs" / "secret.md").write_text("not in archives\n")
    (folder / ".gitattributes").write_text("docs/secret.md export-ignore\n")
    script = folder / "run.sh"
    script.write_text("#!/bin/sh\nexec python tool.py\n")
    script.chmod(0o755)
    (folder / "latest").symlink_to("README.md")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Say hello")
    return folder


@asynccontextmanager
async def scene(tmp_path: Path, *, private: bool = True, **app: Any) -> AsyncIterator[Scene]:
    """Spoken to in this process, without a socket; nobody listens to its webhooks."""
    github = LoopbackGitHub(tmp_path / "github", now=Clock())
    github.base_url = "http://github.test"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(github.asgi()), base_url=github.base_url) as http:
        yield _set(github, tmp_path, http, [], private=private, webhook_url="http://127.0.0.1:9/webhook", **app)
        await github.hooks.close()


@asynccontextmanager
async def served(tmp_path: Path, *, private: bool = True, **app: Any) -> AsyncIterator[Scene]:
    """The same on real sockets, with a bot that takes deliveries."""
    received: list[Received] = []

    async def receive(request: Request) -> Response:
        received.append(Received(dict(request.headers), await request.body()))
        return Response("accepted", 202)

    github = LoopbackGitHub(tmp_path / "github", now=Clock())
    bot_app = Starlette(routes=[Route("/webhook", receive, methods=["POST"])])
    async with (
        serve(bot_app) as bot,
        github.serve() as url,
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http,
    ):
        yield _set(github, tmp_path, http, received, private=private, webhook_url=f"{bot}/webhook", **app)


def _set(
    github: LoopbackGitHub,
    tmp_path: Path,
    http: httpx.AsyncClient,
    received: list[Received],
    *,
    private: bool,
    **app: Any,
) -> Scene:
    clock = github.world.now
    assert isinstance(clock, Clock)
    github.add_user("octo")
    repo = github.add_repository("octo", "tool", source=work_tree(tmp_path / "work"), private=private)
    github.set_role(repo, "mona", "write")
    registered = github.create_app(webhook_secret=SECRET, owner="octo", key=app_key(), **app)
    installation = github.install(registered.app, "octo")
    head = github.refs(repo)["refs/heads/main"]
    return Scene(github, github.base_url, clock, repo, registered, installation, received, http, head)
