"""What the loopback GitHub remembers: people, repositories, Apps, threads, check runs, deliveries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.standins.github.git import BareRepository

Json = dict[str, Any]


@dataclass(slots=True, eq=False)
class User:
    """A person, an organisation or a bot. `type` is GitHub's word: User, Organization or Bot."""

    id: int
    login: str
    type: str
    created_at: float


@dataclass(slots=True, eq=False)
class Label:
    id: int
    name: str
    color: str = "ededed"
    description: str = ""


@dataclass(slots=True, eq=False)
class Reaction:
    id: int
    user: User
    content: str
    created_at: float


@dataclass(slots=True, eq=False)
class App:
    """A registered GitHub App. `permissions` are the most that an installation of it can grant."""

    id: int
    slug: str
    name: str
    owner: User
    bot: User
    public_key_pem: bytes
    webhook_url: str
    webhook_secret: str
    hook_id: int
    permissions: dict[str, str]
    events: tuple[str, ...]
    created_at: float

    @property
    def client_id(self) -> str:
        return f"Iv23li{self.id:014d}"


@dataclass(slots=True, eq=False)
class Installation:
    """An App on an account. `repositories` None: all of them."""

    id: int
    app: App
    account: User
    repositories: set[int] | None
    permissions: dict[str, str]
    created_at: float
    suspended_at: float | None = None

    def covers(self, repository: "Repository") -> bool:
        if repository.owner is not self.account:
            return False
        return self.repositories is None or repository.id in self.repositories


@dataclass(slots=True, eq=False)
class Token:
    """An installation token. `repositories` None: all the installation has."""

    value: str
    installation: Installation
    repositories: set[int] | None
    permissions: dict[str, str]
    expires_at: float


@dataclass(slots=True, eq=False)
class Comment:
    id: int
    issue: "Issue"
    author: User
    body: str
    created_at: float
    updated_at: float
    via_app: App | None = None
    reactions: list[Reaction] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Size:
    """How big a pull request is, as git counts it, and whether it merges without a conflict."""

    commits: int
    additions: int
    deletions: int
    changed_files: int
    mergeable: bool


@dataclass(slots=True, eq=False)
class PullRequest:
    """What makes an issue a pull request. Head and base are branches of the same repository."""

    id: int
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool
    maintainer_can_modify: bool
    size: Size
    requested_reviewers: list[User] = field(default_factory=list)
    merged_at: float | None = None
    merged_by: User | None = None
    merge_commit_sha: str | None = None


@dataclass(slots=True, eq=False)
class Issue:
    """An issue, or a pull request when `pull` is there: they share numbers."""

    id: int
    number: int
    author: User
    title: str
    body: str | None
    created_at: float
    updated_at: float
    via_app: App | None = None
    state: str = "open"
    state_reason: str | None = None
    locked: bool = False
    lock_reason: str | None = None
    closed_at: float | None = None
    closed_by: User | None = None
    labels: list[Label] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    pull: PullRequest | None = None


@dataclass(slots=True, eq=False)
class CheckRun:
    id: int
    suite_id: int
    app: App
    head_sha: str
    name: str
    started_at: float
    status: str = "queued"
    conclusion: str | None = None
    completed_at: float | None = None
    external_id: str = ""
    details_url: str | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[Json] = field(default_factory=list)
    actions: list[Json] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Repository:
    """`verified` holds the commits GitHub signed; `roles` maps a user id to a role name."""

    id: int
    owner: User
    name: str
    private: bool
    default_branch: str
    git: BareRepository
    created_at: float
    pushed_at: float
    archived: bool = False
    description: str | None = None
    roles: dict[int, str] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    check_runs: dict[int, CheckRun] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)
    deleted_issues: set[int] = field(default_factory=set)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    def role_of(self, user: User) -> str:
        if user is self.owner:
            return "admin"
        return self.roles.get(user.id, "none" if self.private else "read")

    def pulls(self) -> list[Issue]:
        return [issue for issue in self.issues.values() if issue.pull is not None]


@dataclass(slots=True, eq=False)
class Delivery:
    """One attempt to deliver a webhook. A redelivery is another attempt with the same `guid`."""

    id: int
    guid: str
    app: App
    event: str
    action: str | None
    installation_id: int
    repository_id: int | None
    payload: bytes
    delivered_at: float
    redelivery: bool = False
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: str = ""


def stamp(at: float) -> str:
    """A time as GitHub writes it: 2026-03-10T09:30:00Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_or_none(at: float | None) -> str | None:
    return None if at is None else stamp(at)
