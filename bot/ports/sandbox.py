"""A disposable machine around one work tree, and the base it starts from."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bot.domain.job import Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """`exit_code` is None when the command was killed (`timed_out`); a signal is 128 + its number.

    `stdout` and `stderr` hold head and tail around a cut when `truncated`. `tree`: what the work tree is afterwards;
    two results with the same number saw the same tree. 0: nobody knows.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    truncated: bool
    timed_out: bool
    seconds: float
    tree: int = 0


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

    @property
    def warm(self) -> bool:
        """Whether it began with what `keep` saved under the key it was opened with."""
        ...

    async def allow_network(self, names: Sequence[str]) -> None:
        """The setup phase: from now on commands reach these hosts by TLS or HTTP, and nothing else.

        `*.` in front of a name takes in its subdomains. Raises ProviderError where the provider cannot.
        """
        ...

    async def end_network(self) -> tuple[str, ...]:
        """No network from now on, for good; processes left over from the setup phase are gone.

        Answers which hosts were asked for and refused meanwhile, each once, in order; with `NOT_PUBLIC` behind it one
        that is on the list. Hostile text: names only, but check before showing.
        """
        ...

    async def keep(self, key: str) -> None:
        """Save what the setup phase made (work tree without `.git`, home), for a later `open(..., warm=key)`.

        Raises ProviderError.
        """
        ...

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
        """Every path in the work tree but `.git` and what may not be opened, sorted; not following links.

        Raises LimitReached when there are too many.
        """
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

    async def leave(self) -> None:
        """Instead of `close`, for a job that goes on elsewhere: nothing runs on, and its next `open` finds all of it.

        Where sandboxes end with their process this is `close`.
        """
        ...


class SandboxProvider(Protocol):
    @property
    def name(self) -> str: ...

    def problem(self) -> str | None:
        """Why sandboxes cannot start here, as one sentence that says what to do; None when they can."""
        ...

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> Sandbox:
        """Find or create the sandbox of a job, with its files as they are. Raises ProviderError.

        A sandbox has no network unless `allow_network` is called. `image` is one of the names in sandbox_images/, ""
        the provider's default; `warm` a key of `keep`, used when what was saved is still there.
        """
        ...


Over = Callable[[Collection[str]], Awaitable[Collection[str]]]  # of sandboxes' names, those that nobody needs any more


@runtime_checkable
class LastingSandboxes(Protocol):
    """What a provider has besides, whose sandboxes outlive the process that opened them."""

    async def reap(self, over: Over) -> int:
        """Close those of this bot whose name is over, asked about once all are listed; how many."""
        ...


@runtime_checkable
class ConnectedSandboxes(Protocol):
    """What a provider has besides, that keeps a connection from call to call."""

    async def aclose(self) -> None:
        """The connection is closed; sandboxes live on. Nothing is asked of the provider afterwards."""
        ...


class Workspace(Protocol):
    """The pinned base of a job, in the bot's own mirror."""

    @property
    def base_sha(self) -> str: ...
    @property
    def base_tree(self) -> str: ...

    async def fill(self, sandbox: Sandbox) -> None:
        """Put the base tree into the sandbox, with a `.git` for the model's convenience."""
        ...

    async def base_file(self, path: str) -> bytes | None:
        """A file of the base commit; None when there is none."""
        ...

    async def base_paths(self) -> tuple[str, ...]: ...

    async def changes(self, sandbox: Sandbox, *, max_bytes: int) -> tuple[ExportedFile, ...]:
        """What the sandbox changed, as bytes. Raises as `Sandbox.export_changes` does, UserError for what git cannot
        hold."""
        ...

    async def put_changes(self, sandbox: Sandbox, files: Sequence[ExportedFile]) -> None:
        """Make each of these paths what it says, whatever is there."""
        ...

    async def take_patch(self, sandbox: Sandbox) -> Patch:
        """What the sandbox changed, as bytes, with a diff made in the bot's own store.

        Raises UserError for what can never be published, LimitReached for too much.
        """
        ...
