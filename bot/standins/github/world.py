"""The whole state of a loopback GitHub, and how it tells the Apps what happens."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bot.standins.github.state import App, Delivery, Installation, Json, Repository, Token, User


@dataclass(slots=True, eq=False)
class Used:
    """Requests in the hour that ends at `resets_at`."""

    count: int
    resets_at: float


class Emit(Protocol):
    def __call__(
        self,
        repo: Repository,
        event: str,
        action: str | None,
        payload: Json,
        *,
        sender: User,
        only: App | None = None,
    ) -> None:
        """Tell the Apps that listen. `only`: check runs tell their own App and nobody else."""


def tell_nobody(
    repo: Repository, event: str, action: str | None, payload: Json, *, sender: User, only: App | None = None
) -> None:
    """What `World.emit` does until hooks are there."""


@dataclass(slots=True, eq=False)
class World:
    """Everything. `now` gives Unix time in seconds; `base_url` is where the stand-in is served, without a slash."""

    now: Callable[[], float] = time.time
    base_url: str = "http://127.0.0.1"
    hook_timeout_s: float = 10.0
    rate_limit: int = 5_000
    users: dict[str, User] = field(default_factory=dict)
    repositories: dict[int, Repository] = field(default_factory=dict)
    former_names: dict[str, Repository] = field(default_factory=dict)
    apps: dict[int, App] = field(default_factory=dict)
    installations: dict[int, Installation] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    tickets: dict[str, tuple[Repository, str]] = field(default_factory=dict)
    attachments: dict[str, bytes] = field(default_factory=dict)
    passes: dict[str, str] = field(default_factory=dict)
    emit: Emit = tell_nobody
    used: dict[str, Used] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1_000_001))

    def next_id(self) -> int:
        return next(self._ids)

    def user(self, login: str) -> User | None:
        return self.users.get(login.lower())

    def repository(self, full_name: str) -> Repository | None:
        """Logins and names are compared as GitHub does, without case."""
        wanted = full_name.lower()
        return next((r for r in self.repositories.values() if r.full_name.lower() == wanted), None)

    def used_by(self, who: str) -> Used:
        """The current hour's count of requests of an installation (by id), of Apps or of nobody in particular."""
        used = self.used.get(who)
        if used is None or used.resets_at <= self.now():
            used = self.used[who] = Used(0, self.now() + 3_600)
        return used

    def people(self, repo: Repository | None) -> list[tuple[User, str]]:
        """Everybody who can act on the pages, with their role in `repo`; who may write there comes first."""
        known = [(user, repo.role_of(user) if repo else "") for user in self.human_users()]
        return sorted(known, key=lambda one: one[1] not in ("admin", "maintain", "write"))

    def human_users(self) -> list[User]:
        return [user for user in self.users.values() if user.type == "User"]
