"""A small repository on the workbench: base, sandbox and review, put together as the worker does."""

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, Task, work
from bot.agent.review import Review
from bot.domain.job import Patch
from bot.ports import Model, Sandbox
from tests.fakes import DirectorySandbox, GitWorkspace, MemoryJournal

SetupReads = Callable[[Sequence[str]], Collection[str]]
HELLO = {
    "hello.py": b'print("hullo")\n',
    "README.md": b"# Hello\n\nSays hullo.\n",
    "docs/notes.txt": b"one\r\ntwo\r\n",
}
TASK = Task(
    repo="octo/hello",
    branch="main",
    base_sha="1" * 40,
    issue_number=12,
    issue_title="It says hullo",
    issue_text="It should say hello.",
    issue_author="alice",
    issue_trusted=True,
    request="replace `hullo` with `hello`",
    requested_by="alice",
    today="2026-11-21",
)


@dataclass
class Bench:
    root: Path
    workspace: GitWorkspace
    sandbox: DirectorySandbox
    review: Review
    check: str | None
    problems: list[str]

    def read(self, path: str) -> bytes:
        return (self.sandbox.root / path).read_bytes()

    def another_sandbox(self, name: str) -> DirectorySandbox:
        return DirectorySandbox(self.root / name, name=name)

    def review_of(self, sandbox: Sandbox) -> Review:
        return _review(self.root, self.workspace, sandbox, self.check, self.problems)


def _review(
    root: Path,
    workspace: GitWorkspace,
    sandbox: Sandbox,
    check: str | None,
    problems: Sequence[str],
    of_checks: type[DirectorySandbox] = DirectorySandbox,
    setup_reads: SetupReads = lambda _: (),
) -> Review:
    @asynccontextmanager
    async def open_base() -> AsyncIterator[Sandbox]:
        fresh = of_checks(Path(tempfile.mkdtemp(prefix="fresh", dir=root)) / "tree", name="fresh")
        await workspace.fill(fresh)
        yield fresh
        await fresh.close()

    def gate(patch: Patch) -> Sequence[str]:
        return [problem for problem in problems if any(change.path in problem for change in patch.changes)]

    return Review(
        workspace,
        sandbox,
        gate=gate,
        check_command=check,
        open_base=open_base,
        setup_reads=setup_reads,
        check_timeout_s=60,
    )


async def bench(
    root: Path,
    files: Mapping[str, bytes] = HELLO,
    *,
    check: str | None = "",
    problems: Sequence[str] = (),
    of_checks: type[DirectorySandbox] = DirectorySandbox,
    setup_reads: SetupReads = lambda _: (),
) -> Bench:
    """A filled sandbox with its review; `problems` are what the gate says about a path they name."""
    workspace = GitWorkspace(root / "store.git", files)
    sandbox = DirectorySandbox(root / "tree")
    await workspace.fill(sandbox)
    listed = list(problems)
    review = _review(root, workspace, sandbox, check, listed, of_checks, setup_reads)
    return Bench(root, workspace, sandbox, review, check, listed)


async def no_sleep(_seconds: float) -> None:
    return None


async def run(
    on: Bench,
    model: Model,
    *,
    journal: MemoryJournal | None = None,
    task: Task = TASK,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """`work` as the worker calls it, without waiting between attempts."""
    return await work(
        task,
        model=model,
        sandbox=on.sandbox,
        review=on.review,
        journal=journal if journal is not None else MemoryJournal(),
        limits=limits or Limits(),
        clock=clock,
        sleep=no_sleep,
        chance=lambda: 0.5,
    )
