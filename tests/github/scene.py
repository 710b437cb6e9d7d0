"""A repository on the loopback GitHub with the App installed, reached over a real socket."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.domain.job import Issue, Job, Person, Repo, Start
from bot.github.installation import App
from bot.github.pace import NO_LIMITS
from bot.standins.github import LoopbackGitHub
from bot.standins.github.loopback import RegisteredApp
from bot.standins.github.state import Repository

FILES = {
    "README.md": b"# Widget\n",
    "src/app.py": b"print('hullo')\n",
    "src/old.py": b"pass\n",
    "crlf.txt": b"one\r\ntwo\r\n",
    "run.sh": b"#!/bin/sh\n",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """`alice` may write, `carol` may only read; issue 1 is open."""

    loopback: LoopbackGitHub
    repository: Repository
    registered: RegisteredApp
    installation_id: int
    url: str

    @property
    def repo(self) -> Repo:
        return Repo(self.repository.id, self.repository.owner.login, self.repository.name)

    @property
    def head(self) -> str:
        return self.loopback.refs(self.repository)["refs/heads/main"]

    def app(self, *, api_path: str = "", timeout_s: float = 60.0) -> App:
        """Its pauses take no time, and it makes none of its own."""
        return App(
            self.registered.app.id,
            self.registered.private_key_pem,
            api_url=self.url + api_path,
            timeout_s=timeout_s,
            sleep=_at_once,
            limits=NO_LIMITS,
        )

    def asked(self, method: str, ending: str) -> int:
        """How many requests of that method had a path with that ending."""
        return sum(row.method == method and row.path.endswith(ending) for row in self.loopback.requests)

    def job(self, *, key: str = "5:7:comment:11") -> Job:
        alice = self.loopback.user("alice")
        return Job(
            id="k7f3",
            key=key,
            watch_key="w",
            delivery="d",
            installation_id=self.installation_id,
            repo=self.repo,
            default_branch="main",
            issue=Issue(number=1, title="Say hello", body="", author=Person(alice.id, "alice")),
            command=Start("say hello, not hullo"),
            requested_by=Person(alice.id, "alice"),
            comment_id=11,
        )


@asynccontextmanager
async def scene(root: Path, *, private: bool = True, events: Sequence[str] = ()) -> AsyncIterator[Scene]:
    """Nobody listens at the App's webhook address."""
    source = root / "source"
    for path, content in FILES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    (source / "run.sh").chmod(0o755)
    loopback = LoopbackGitHub(root / "github")
    loopback.add_user("alice")
    repository = loopback.add_repository("acme", "widget", source=source, private=private)
    loopback.set_role(repository, "alice", "write")
    loopback.set_role(repository, "carol", "read")
    registered = loopback.create_app(
        webhook_url="http://127.0.0.1:9/", webhook_secret="s" * 32, owner="alice", events=events
    )
    installation = loopback.install(registered.app, "acme", [repository])
    loopback.open_issue(repository, "alice", "Say hello", "It says hullo.")
    async with loopback.serve() as url:
        yield Scene(loopback, repository, registered, installation.id, url)


async def _at_once(seconds: float) -> None:
    return
