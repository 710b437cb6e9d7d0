"""The stand-in as a test or a demo holds it: set the scene, do what people do, look at what came of it."""

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import ASGIApp

from bot.standins.github import checks, threads
from bot.standins.github.faults import Edge, Faults, Logged, RequestLog
from bot.standins.github.git import BareRepository
from bot.standins.github.hooks import Hooks
from bot.standins.github.importing import import_source
from bot.standins.github.merging import merge
from bot.standins.github.problems import not_found
from bot.standins.github.routing import application
from bot.standins.github.state import App, CheckRun, Comment, Delivery, Installation, Issue, Repository, User
from bot.standins.github.world import World
from bot.standins.serving import serve

ROLES = ("admin", "maintain", "write", "triage", "read", "none")
PERMISSIONS = {"contents": "write", "issues": "write", "pull_requests": "write", "checks": "write"}
EVENTS = ("issue_comment", "issues", "check_run", "pull_request", "pull_request_review_comment")


@dataclass(frozen=True, slots=True)
class RegisteredApp:
    """A new App and its private key, which nobody keeps."""

    app: App
    private_key_pem: str


class LoopbackGitHub:
    """Repositories live in `root`; everything else is forgotten with this object. `now` is Unix time in seconds."""

    def __init__(self, root: Path, *, now: Callable[[], float] = time.time) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.world = World(now=now)
        self.hooks = Hooks(self.world)
        self.faults = Faults()
        self.log = RequestLog()
        self.world.emit = self.hooks.emit

    # ------------------------------------------------------------ serving

    @property
    def base_url(self) -> str:
        return self.world.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self.world.base_url = url.rstrip("/")

    def asgi(self) -> ASGIApp:
        return Edge(application(self.world, self.hooks), self.world, self.faults, self.log)

    @asynccontextmanager
    async def serve(self, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Yields the base URL, and knows it from then on."""
        async with serve(self.asgi(), host=host, port=port) as url:
            self.base_url = url
            try:
                yield url
            finally:
                await self.hooks.close()

    # ------------------------------------------------------------ setting the scene

    def add_user(self, login: str, *, id: int | None = None, type: str = "User") -> User:
        """`type`: User, Organization or Bot. Raises ValueError for a login that is taken."""
        if self.world.user(login):
            raise ValueError(f"there is a {login} already")
        user = User(id or self.world.next_id(), login, type, self.world.now())
        self.world.users[login.lower()] = user
        return user

    def user(self, login: str) -> User:
        """Raises KeyError."""
        return self.world.users[login.lower()]

    def add_repository(
        self,
        owner: str,
        name: str,
        *,
        source: Path | None = None,
        private: bool = False,
        default_branch: str = "main",
    ) -> Repository:
        """`source`: a git repository, whose HEAD is fetched with its history, or a folder, whose files are committed.

        Raises NotADirectoryError, GitFailed; ValueError for a name that git or GitHub would refuse.
        """
        if not re.fullmatch(r"[\w.-]{1,100}", name) or name in (".", "..") or name.endswith(".git"):
            raise ValueError(f"{name!r} is no name for a repository")
        account = self.world.user(owner) or self.add_user(owner)
        id = self.world.next_id()
        git = BareRepository(self.root / f"{id}.git")
        git.create(default_branch)
        now = self.world.now()
        if source is not None:
            import_source(git, source, default_branch, now=now)
        repo = Repository(id, account, name, private, default_branch, git, now, now)
        self.world.repositories[id] = repo
        return repo

    def rename(self, repo: Repository, name: str) -> None:
        """The old name answers with a redirect from now on."""
        self.world.former_names[repo.full_name.lower()] = repo
        repo.name = name

    def set_role(self, repo: Repository, login: str, role: str) -> None:
        """`role`: admin, maintain, write, triage, read or none. Makes the user when there is none."""
        if role not in ROLES:
            raise ValueError(f"{role!r} is none of {', '.join(ROLES)}")
        user = self.world.user(login) or self.add_user(login)
        repo.roles[user.id] = role

    def create_app(
        self,
        slug: str = "tiny-backspace",
        *,
        webhook_url: str,
        webhook_secret: str,
        owner: str | None = None,
        permissions: Mapping[str, str] = PERMISSIONS,
        events: Sequence[str] = EVENTS,
        key: rsa.RSAPrivateKey | None = None,
    ) -> RegisteredApp:
        """Registers an App; its bot user is `SLUG[bot]`. `key`: made here, unless tests want to save that time."""
        key = key or rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        account = owner or next((user.login for user in self.world.human_users()), "octocat")
        app = App(
            self.world.next_id(),
            slug,
            slug.replace("-", " ").title(),
            self.world.user(account) or self.add_user(account),
            self.add_user(f"{slug}[bot]", type="Bot"),
            public,
            webhook_url,
            webhook_secret,
            self.world.next_id(),
            dict(permissions),
            tuple(events),
            self.world.now(),
        )
        self.world.apps[app.id] = app
        return RegisteredApp(app, private.decode())

    def install(self, app: App, owner: str, repositories: Sequence[Repository] | None = None) -> Installation:
        """On all of the owner's repositories, or on those named."""
        chosen = None if repositories is None else {repo.id for repo in repositories}
        id = self.world.next_id()
        granted = dict(app.permissions)
        self.world.installations[id] = Installation(id, app, self.user(owner), chosen, granted, self.world.now())
        return self.world.installations[id]

    def uninstall(self, installation: Installation) -> None:
        """Its tokens end at once."""
        del self.world.installations[installation.id]
        tokens = self.world.tokens
        for value in [value for value, token in tokens.items() if token.installation is installation]:
            del tokens[value]

    # ------------------------------------------------------------ what people do (each sends its webhook)

    def open_issue(self, repo: Repository, login: str, title: str, body: str | None = None) -> Issue:
        return threads.open_issue(self.world, repo, self.user(login), title, body)

    def attach(self, content: bytes, *, private: bool = False) -> str:
        """What a browser does with a file that is dropped into a text; answers its address."""
        name = f"a77ac4ed-0000-4000-8000-{len(self.world.attachments):012}"
        self.world.attachments[name] = content
        if private:
            self.world.passes[name] = f"pass-{name}"
        return f"{self.base_url}/user-attachments/assets/{name}"

    def comment(self, repo: Repository, number: int, login: str, body: str) -> Comment:
        issue = threads.issue_of(repo, number)
        return threads.add_comment(self.world, repo, issue, self.user(login), body)

    def edit_comment(self, repo: Repository, comment_id: int, login: str, body: str) -> None:
        threads.edit_comment(self.world, repo, threads.comment_of(repo, comment_id), self.user(login), body)

    def label(self, repo: Repository, number: int, login: str, name: str) -> None:
        threads.add_labels(self.world, repo, threads.issue_of(repo, number), self.user(login), [name])

    def unlabel(self, repo: Repository, number: int, login: str, name: str) -> None:
        threads.remove_label(self.world, repo, threads.issue_of(repo, number), self.user(login), name)

    def close_issue(self, repo: Repository, number: int, login: str) -> None:
        threads.set_state(self.world, repo, threads.issue_of(repo, number), self.user(login), "closed")

    def reopen_issue(self, repo: Repository, number: int, login: str) -> None:
        threads.set_state(self.world, repo, threads.issue_of(repo, number), self.user(login), "open")

    def lock_issue(self, repo: Repository, number: int, login: str, *, locked: bool = True) -> None:
        issue = threads.issue_of(repo, number)
        threads.set_lock(self.world, repo, issue, self.user(login), locked=locked, reason=None)

    def delete_issue(self, repo: Repository, number: int, login: str) -> None:
        threads.delete_issue(self.world, repo, threads.issue_of(repo, number), self.user(login))

    def delete_comment(self, repo: Repository, comment_id: int, login: str) -> None:
        threads.delete_comment(self.world, repo, threads.comment_of(repo, comment_id), self.user(login))

    def delete_repository(self, repo: Repository) -> None:
        """Gone from one request to the next; its files stay until the folder is removed."""
        del self.world.repositories[repo.id]

    async def merge(self, repo: Repository, number: int, login: str) -> str:
        """The merge commit's SHA; issues that the body says it fixes are closed. Raises GitFailed for a conflict."""
        return await merge(self.world, repo, threads.issue_of(repo, number), self.user(login))

    def rerequest(self, repo: Repository, check_run_id: int, login: str) -> None:
        """Somebody presses "Re-run" on a check."""
        checks.tell(self.world, repo, repo.check_runs[check_run_id], "rerequested", self.user(login))

    def press(self, repo: Repository, check_run_id: int, login: str, identifier: str) -> None:
        """Somebody presses one of the buttons that a completed check run offers."""
        run = repo.check_runs[check_run_id]
        checks.tell(self.world, repo, run, "requested_action", self.user(login), identifier=identifier)

    async def deliver(self) -> None:
        """Returns when every webhook under way was answered or given up."""
        await self.hooks.settled()

    def redeliver(self, delivery: Delivery) -> Delivery:
        return self.hooks.redeliver(delivery)

    # ------------------------------------------------------------ what came of it

    @property
    def requests(self) -> list[Logged]:
        return self.log.rows

    @property
    def most_connections(self) -> int:
        """How many connections were open at once, at most."""
        return self.log.most_connections

    @property
    def deliveries(self) -> list[Delivery]:
        return self.world.deliveries

    def repository(self, full_name: str) -> Repository:
        repo = self.world.repository(full_name)
        if repo is None:
            raise not_found()
        return repo

    def comments(self, repo: Repository, number: int) -> list[Comment]:
        return threads.issue_of(repo, number).comments

    def pull_requests(self, repo: Repository) -> list[Issue]:
        """In the order they were opened; what makes them pull requests is in `pull`."""
        return repo.pulls()

    def check_runs(self, repo: Repository) -> list[CheckRun]:
        return list(repo.check_runs.values())

    def refs(self, repo: Repository) -> dict[str, str]:
        """Full ref name to SHA."""
        return {name: sha for name, (_, sha) in repo.git.refs().items()}

    def tree(self, repo: Repository, ref: str) -> dict[str, tuple[str, str]]:
        """Every file of a branch, tag or commit: path to (mode, blob SHA). Raises KeyError for no such ref."""
        sha = repo.git.resolve(ref)
        if sha is None:
            raise KeyError(ref)
        rows = repo.git.entries(sha, recursive=True)
        return {one.path: (one.mode, one.sha) for one in rows if one.type != "tree"}

    def file(self, repo: Repository, ref: str, path: str) -> bytes:
        """The bytes of one file. Raises KeyError."""
        return repo.git.blob(self.tree(repo, ref)[path][1])
