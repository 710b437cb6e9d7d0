"""A task as git objects: the base, the tree its gold change leads to, and the files of its hidden tests."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.domain.errors import UserError
from bot.evaluation.tasks import Task
from bot.ports import ExportedFile
from bot.standins.github.git import BareRepository, GitFailed, Signature
from bot.standins.github.importing import commit_files, fetch, is_repository

WHO = Signature("Backspace Eval", "eval@localhost", "2026-01-01T00:00:00+00:00")
CHECK_FILE = ".github/backspace.yml"
SUBMODULE = "160000"


class BrokenTask(UserError):
    """The task itself is at fault: nothing it shows is about the bot."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path of two trees that differs. `was` is another path for a rename; modes and blobs None where there is no
    file."""

    was: str
    path: str
    old_mode: str | None
    new_mode: str | None
    old: bytes | None
    new: bytes | None


@dataclass(frozen=True, slots=True)
class Material:
    """`git` is bare and holds everything; its main branch is at `base_sha`."""

    task: Task
    git: BareRepository
    base_sha: str
    gold_tree: str
    hidden: tuple[ExportedFile, ...]


def material(task: Task, root: Path) -> Material:
    """Made below `root`. Blocking. Raises BrokenTask."""
    git = BareRepository(root)
    git.create("main")
    base = _with_check(git, _base(git, task), task.check)
    git.move_ref("refs/heads/main", base)
    gold = _patched(git, base, task.gold, f"{task.name}: the gold change does")
    tested = _patched(git, base, task.tests, f"{task.name}: the hidden tests do")
    changed = differences(git, base, tested, renames=False)
    hidden = tuple(ExportedFile(one.path, one.new_mode, one.new) for one in changed)
    return Material(task, git, base, gold, hidden)


def differences(git: BareRepository, old: str, new: str, *, renames: bool = True) -> tuple[Difference, ...]:
    """What differs between two trees or commits, by path. Raises BrokenTask for a submodule that changed."""
    flags = ("-r", "-z", "--raw", "--no-abbrev", "-M" if renames else "--no-renames")
    fields = iter(git.run("diff-tree", *flags, old, new).decode("utf-8", "surrogateescape").split("\0")[:-1])
    return tuple(_differences(git, fields))


def _differences(git: BareRepository, fields: Iterator[str]) -> Iterator[Difference]:
    for line in fields:
        old_mode, new_mode, old_sha, new_sha, status = line.removeprefix(":").split()
        was = next(fields)
        path = next(fields) if status[0] in "RC" else was
        if SUBMODULE in (old_mode, new_mode):
            raise BrokenTask(f"{path} is a submodule: a task cannot change those.")
        yield Difference(
            was=was,
            path=path,
            old_mode=None if status == "A" else old_mode,
            new_mode=None if status == "D" else new_mode,
            old=None if status == "A" else git.blob(old_sha),
            new=None if status == "D" else git.blob(new_sha),
        )


def _base(git: BareRepository, task: Task) -> str:
    source = task.source
    try:
        if is_repository(source):
            fetch(git, source, task.commit or "HEAD", "main", "--depth=1", "--no-recurse-submodules")
        elif task.commit:
            raise BrokenTask(f"{task.name}: {source} is no git repository, so it has no commit {task.commit[:12]}.")
        else:
            commit_files(git, source, "main", now=0)
    except GitFailed as failure:
        said = str(failure).split("\n")[0]
        raise BrokenTask(f"{task.name}: its base cannot be had from {source}: {said}.") from None
    return git.text("rev-parse", "refs/heads/main")


def _with_check(git: BareRepository, base: str, check: str) -> str:
    """`base`, or a commit on top of it that tells the bot how to verify, unless the repository says so itself."""
    if not check or git.kind_at(base, CHECK_FILE):
        return base
    blob = git.write_blob(f"test: {_quoted(check)}\n".encode())
    tree = git.write_tree(base, [(CHECK_FILE, "100644", blob)])
    return git.write_commit(message="Say how to verify\n", tree=tree, parents=(base,), author=WHO, committer=WHO)


def _quoted(text: str) -> str:
    """A YAML string on one line."""
    return "'" + text.replace("'", "''") + "'"


def _patched(git: BareRepository, base: str, patch: bytes, what: str) -> str:
    """The tree of `base` with a patch applied. Raises BrokenTask."""
    with tempfile.TemporaryDirectory(dir=git.path) as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run("read-tree", base, env=env)
        try:
            if patch.strip():
                whole = patch if patch.endswith(b"\n") else patch + b"\n"
                git.run("apply", "--cached", "--whitespace=nowarn", "-", stdin=whole, env=env)
        except GitFailed as failure:
            said = str(failure).split("\n")[0]
            raise BrokenTask(f"{what} not apply to the base: {said}.") from None
        return git.run("write-tree", env=env).decode().strip()
