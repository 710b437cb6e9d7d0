"""The doors between the stories and the vendors: one Protocol each, and the words they exchange."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from bot.domain.conversation import Conversation, Json, Reply
from bot.domain.events import Conclusion, JobEvent, Recorded
from bot.domain.job import Job, Patch, Person, PullRequest, Repo

# ---------------------------------------------------------------- sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """`exit_code` is None when the command was killed (`timed_out`); a signal is 128 + its number.

    `stdout` and `stderr` hold head and tail around a cut when `truncated`.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    truncated: bool
    timed_out: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class BaseFile:
    """A path of the base tree: git mode and blob SHA-1, as `git ls-tree` says them."""

    mode: str
    sha: str


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A path that differs from the base; `mode` and `content` are None when it is gone. Hostile: check before use."""

    path: str
    mode: str | None
    content: bytes | None


class Sandbox(Protocol):
    """A disposable machine around one work tree. Relative paths start at the work tree's root."""

    @property
    def id(self) -> str: ...

    @property
    def provider(self) -> str: ...

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout_s: float,
        max_output_bytes: int = 1_000_000,
    ) -> ExecResult:
        """Run argv in the work tree. The whole process tree is gone within 2 s of the time-out, whatever it does.

        Raises ProviderError when the sandbox is lost, ValueError for NUL in argv.
        """
        ...

    async def read_file(self, path: str, *, max_bytes: int) -> bytes:
        """Raises FileNotFoundError, IsADirectoryError, PermissionError (path leaves the tree), LimitReached."""
        ...

    async def write_file(self, path: str, content: bytes) -> None:
        """Replace or create, parents included; an existing file keeps its mode. Raises as `read_file` does."""
        ...

    async def list_files(self) -> tuple[str, ...]:
        """Every path in the work tree but `.git`, sorted; not following links."""
        ...

    async def put_archive(self, chunks: AsyncIterator[bytes]) -> None:
        """Unpack a tar stream of the bot's own making into the work tree."""
        ...

    async def export_changes(self, base: Mapping[str, BaseFile], *, max_bytes: int) -> tuple[ExportedFile, ...]:
        """What differs from `base` and is not ignored, sorted by path; `.git` is never read.

        Raises LimitReached past `max_bytes` in all.
        """
        ...

    async def close(self) -> None:
        """Everything inside is gone afterwards. May be called twice."""
        ...


class SandboxProvider(Protocol):
    @property
    def name(self) -> str: ...

    def problem(self) -> str | None:
        """Why sandboxes cannot start here, as one sentence that says what to do; None when they can."""
        ...

    async def open(self, job_id: str) -> Sandbox:
        """Raises ProviderError."""
        ...


class Workspace(Protocol):
    """The pinned base of a job, in the bot's own mirror."""

    @property
    def base_sha(self) -> str: ...

    async def fill(self, sandbox: Sandbox) -> None:
        """Put the base tree into the sandbox, with a `.git` for the model's convenience."""
        ...

    async def base_file(self, path: str) -> bytes | None:
        """A file of the base commit; None when there is none."""
        ...

    async def base_paths(self) -> tuple[str, ...]: ...

    async def take_patch(self, sandbox: Sandbox) -> Patch:
        """What the sandbox changed, as bytes, with a diff made in the bot's own store.

        Raises UserError for what can never be published, LimitReached for too much.
        """
        ...


# ---------------------------------------------------------------- model


class Model(Protocol):
    @property
    def name(self) -> str: ...

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        """One attempt. Raises ModelError for anything but a whole reply."""
        ...


# ---------------------------------------------------------------- GitHub


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
    author_is_bot: bool
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
class CheckRun:
    """What the check `backspace` shows. `conclusion` None: still running."""

    status: Literal["queued", "in_progress", "completed"]
    conclusion: Conclusion | None
    title: str
    summary: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a new tree; `sha` None deletes the path."""

    path: str
    mode: str
    sha: str | None


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    tree_sha: str
    verified: bool
    reason: str


class GitHub(Protocol):
    """One installation, one repository, one token. Every method raises ProviderError (NotFound, Unprocessable, ...)."""

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
    async def create_blob(self, content: bytes) -> str: ...
    async def create_tree(self, base_tree: str, entries: Sequence[TreeEntry]) -> str: ...
    async def create_commit(self, message: str, *, tree: str, parents: Sequence[str]) -> Commit: ...

    async def find_pull_request(self, branch: str) -> PullRequest | None:
        """The newest pull request whose head is `branch`, open or closed."""
        ...

    async def create_pull_request(self, *, title: str, body: str, head: str, base: str, draft: bool) -> PullRequest: ...
    async def request_review(self, number: int, login: str) -> None: ...

    async def react_to_comment(self, comment_id: int, content: str) -> None: ...
    async def react_to_issue(self, number: int, content: str) -> None: ...
    async def find_comment(self, issue: int, marker: str) -> Comment | None:
        """The App's own comment that holds `marker`, looked for in the thread's newest 300 comments."""
        ...

    async def create_comment(self, issue: int, body: str) -> Comment: ...
    async def update_comment(self, comment_id: int, body: str) -> None: ...

    async def find_check_run(self, head_sha: str, external_id: str) -> int | None: ...
    async def create_check_run(self, head_sha: str, check: CheckRun, *, external_id: str, details_url: str) -> int: ...
    async def update_check_run(self, check_run_id: int, check: CheckRun) -> None: ...


class GitHubApp(Protocol):
    def repository(self, installation_id: int, repo: Repo) -> AbstractAsyncContextManager[GitHub]:
        """A client with a token for this repository id alone; the token is revoked at the end."""
        ...

    async def login(self) -> str:
        """The App's bot login, such as `tiny-backspace[bot]`; a live check of id, key and clock."""
        ...


# ---------------------------------------------------------------- store


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a job's journal, by which a later attempt goes on where this one stopped."""

    kind: Literal["model", "tool", "effect"]
    key: str
    data: Json


@dataclass(frozen=True, slots=True)
class Accepted:
    """`job_id` is None for a delivery that makes no job; `is_new` False when the job existed already."""

    job_id: str | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease ends; `fence` proves it at every commit."""

    job: Job
    fence: int
    attempts: int
    cancel_by: str | None


JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    job: Job
    state: JobState
    attempts: int
    created_at: float
    finished_at: float | None
    cancel_by: str | None


class JobStore(Protocol):
    """Durable before it returns. `commit`, `renew` and `release` raise LeaseLost when the fence is stale."""

    async def accept(self, *, guid: str, event: str, action: str, job: Job | None) -> Accepted: ...
    async def claim(self, owner: str, *, job_id: str | None = None) -> Claim | None: ...
    async def renew(self, claim: Claim) -> str | None:
        """Extends the lease; answers who asked to cancel, if anybody."""
        ...

    async def commit(
        self,
        claim: Claim,
        *,
        entries: Sequence[Entry] = (),
        events: Sequence[JobEvent] = (),
        finish: JobState | None = None,
    ) -> tuple[Recorded, ...]: ...
    async def release(self, claim: Claim) -> None:
        """Back to the queue, for a worker that is going down."""
        ...

    async def request_cancel(self, job_id: str, by: str) -> bool:
        """False when the job is finished or unknown."""
        ...

    async def job(self, job_id: str) -> JobRow | None: ...
    async def jobs_on(self, repo_id: int, issue: int) -> tuple[JobRow, ...]:
        """Jobs of one thread, newest first."""
        ...

    async def journal(self, job_id: str) -> tuple[Entry, ...]: ...
    async def events(self, job_id: str, after: int = 0) -> tuple[Recorded, ...]: ...
    def watch(self, job_id: str, after: int = 0) -> AsyncIterator[Recorded]:
        """Events as they are committed, by any process; ends after the terminal one."""
        ...

    async def wait_for_work(self, timeout_s: float) -> None:
        """Returns when a job may be claimable, at the latest after `timeout_s`."""
        ...

    async def close(self) -> None: ...


class Journal(Protocol):
    """A claimed job's own log, as the story and the agent see it."""

    def entries(self) -> tuple[Entry, ...]:
        """What earlier attempts and this one have written."""
        ...

    async def record(self, *events: JobEvent, entry: Entry | None = None) -> None:
        """Entry and events become durable together, before this returns. Raises LeaseLost."""
        ...
