"""GitHub for one installation and one repository, and the App itself."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from bot.domain.events import Conclusion
from bot.domain.job import Person, PullRequest, Repo

Hold = Callable[[], Awaitable[None]]
OnWait = Callable[[float], Awaitable[None]]  # is told in how many seconds GitHub's limits permit the next request


@dataclass(frozen=True, slots=True)
class Permission:
    """Live answer for one login. `role` is GitHub's `role_name`."""

    user_id: int
    role: str
    is_bot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueFacts:
    state: str
    locked: bool
    title: str
    body: str
    author: Person
    is_pull_request: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryFacts:
    repo: Repo
    default_branch: str
    private: bool
    archived: bool


@dataclass(frozen=True, slots=True)
class Remote:
    """Where to fetch from: `header` is a whole `Authorization: ...` line, never to be logged or put in argv."""

    url: str
    header: str


@dataclass(frozen=True, slots=True)
class Comment:
    id: int
    url: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A comment on a thread, by whomever. Times are Unix time in seconds by GitHub's clock.

    `by_person`: an account of a person wrote it, through no App; of a deleted account GitHub does not say.
    """

    id: int
    author: Person
    by_person: bool
    body: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """What the check `backspace` shows. `conclusion` None: still running."""

    status: Literal["queued", "in_progress", "completed"]
    conclusion: Conclusion | None
    title: str
    summary: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a new tree: the blob `sha`, or a new one that holds `text`; with neither the path is deleted."""

    path: str
    mode: str
    sha: str | None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    tree_sha: str
    verified: bool
    reason: str


class GitHub(Protocol):
    """One installation, one repository, one token. Every method raises ProviderError (NotFound, Unprocessable, ...).

    A create whose answer was lost looks for what it made; AmbiguousWrite means that nothing has shown yet.
    """

    def progress(self) -> "GitHub":
        """The same repository for what gives way to results: where GitHub's limits would have it wait for more than
        half a minute, it raises ProviderError (retryable) and nothing is sent. Everything else waits for its turn."""
        ...

    async def repository(self) -> RepositoryFacts: ...
    async def permission(self, login: str) -> Permission: ...
    async def issue(self, number: int) -> IssueFacts: ...
    async def remote(self) -> Remote: ...

    async def ref(self, branch: str) -> str | None: ...
    async def create_ref(self, branch: str, sha: str) -> None: ...
    async def advance_ref(self, branch: str, sha: str) -> None:
        """Fast-forward only; Unprocessable otherwise."""
        ...

    async def delete_ref(self, branch: str) -> None:
        """Only below `backspace/`; an absent branch is no error."""
        ...

    async def commit(self, sha: str) -> Commit: ...
    async def subjects(self, sha: str) -> tuple[str, ...]:
        """The first lines of the last 8 commit messages up to that commit, the newest first, as people wrote them."""
        ...

    async def create_blob(self, content: bytes) -> str: ...
    async def create_tree(self, base_tree: str, entries: Sequence[TreeEntry]) -> str: ...
    async def create_commit(self, message: str, *, tree: str, parents: Sequence[str]) -> Commit: ...

    async def find_pull_request(self, branch: str) -> PullRequest | None:
        """The newest pull request whose head is `branch`, open or closed."""
        ...

    async def pull_request(self, number: int) -> PullRequest: ...
    async def create_pull_request(self, *, title: str, body: str, head: str, base: str, draft: bool) -> PullRequest: ...
    async def update_pull_request(self, number: int, *, title: str, body: str) -> None: ...
    async def mark_ready(self, number: int) -> None:
        """A draft is one no longer; what is none stays as it is."""
        ...

    async def request_review(self, number: int, login: str) -> None: ...

    async def react_to_comment(self, comment_id: int, content: str) -> None: ...
    async def react_to_issue(self, number: int, content: str) -> None: ...
    async def find_comment(self, issue: int, marker: str) -> Comment | None:
        """The App's own comment that holds `marker`, looked for in the thread's newest 300 comments."""
        ...

    async def comments(self, issue: int) -> tuple[Said, ...]:
        """The thread's newest comments, oldest first: all of them up to 100, never more than 200."""
        ...

    async def rendered(self, issue: int, comments: Sequence[int]) -> str:
        """The HTML that GitHub makes of the issue's text now, and of those comments': in it, attachments of a private
        repository have addresses that need no credential for some minutes."""
        ...

    async def create_comment(self, issue: int, body: str) -> Comment: ...
    async def update_comment(self, comment_id: int, body: str) -> None: ...

    async def find_check_run(self, head_sha: str, external_id: str) -> int | None: ...
    async def create_check_run(self, head_sha: str, check: CheckRun, *, external_id: str, details_url: str) -> int: ...
    async def update_check_run(self, check_run_id: int, check: CheckRun) -> None: ...


class GitHubApp(Protocol):
    def repository(
        self, installation_id: int, repo: Repo, *, hold: Hold | None = None, on_wait: OnWait | None = None
    ) -> AbstractAsyncContextManager[GitHub]:
        """A client with a token for this repository id alone; the token is revoked at the end.

        `hold` is awaited before each of its requests; what it raises keeps the request from being sent. `on_wait` is
        awaited where GitHub's limits let one wait that is no progress update.
        """
        ...

    async def login(self) -> str:
        """The App's bot login, such as `tiny-backspace[bot]`; a live check of id, key and clock."""
        ...
