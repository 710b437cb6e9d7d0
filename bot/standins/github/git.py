"""Real git plumbing on one bare repository."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ZERO_SHA = "0" * 40
SERVER_CONFIG = """\
[uploadpack]
	allowAnySHA1InWant = true
	allowFilter = true
[http]
	receivepack = true
[receive]
	hideRefs = refs/pull
[gc]
	auto = 0
"""


class GitFailed(Exception):
    """A git command ended with an error; `str` is what it said on standard error."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `git ls-tree`; `size` is None for what is not a blob."""

    path: str
    mode: str
    type: str
    sha: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Signature:
    """Who and when; `date` in ISO 8601 with an offset."""

    name: str
    email: str
    date: str


@dataclass(frozen=True, slots=True)
class CommitObject:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Signature
    committer: Signature
    message: str


class BareRepository:
    """Plumbing calls, one process each, with none of the machine's git configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *argv: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
        """Standard output of `git ARGV`. Raises GitFailed."""
        done = subprocess.run(
            ["git", f"--git-dir={self.path}", *argv],
            input=stdin,
            capture_output=True,
            env=bare_environment() | (env or {}),
            check=False,
        )
        if done.returncode:
            raise GitFailed(done.stderr.decode(errors="replace").strip() or f"git {argv[0]} failed")
        return done.stdout

    def text(self, *argv: str) -> str:
        return self.run(*argv).decode(errors="replace").strip()

    def create(self, default_branch: str) -> None:
        """What GitHub allows a fetch to ask for: any object by its SHA, partial clones."""
        self.run("init", "-q", "--bare", "--template=", f"--initial-branch={default_branch}", str(self.path))
        with (self.path / "config").open("a") as config:
            config.write(SERVER_CONFIG)

    # ------------------------------------------------------------ objects

    def kind(self, sha: str) -> str | None:
        """blob, tree, commit, tag; None when there is no such object."""
        try:
            return self.text("cat-file", "-t", "--", sha) if is_sha(sha) else None
        except GitFailed:
            return None

    def kind_at(self, commit: str, path: str) -> str | None:
        """As `kind`, of what is at a path of a commit's tree; "" is its root."""
        try:
            return self.text("cat-file", "-t", f"{commit}:{path}")
        except GitFailed:
            return None

    def blob(self, sha: str) -> bytes:
        return self.run("cat-file", "blob", sha)

    def write_blob(self, content: bytes) -> str:
        return self.run("hash-object", "-w", "--stdin", stdin=content).decode().strip()

    def kinds(self, shas: Sequence[str]) -> dict[str, str | None]:
        """As `kind`, for many at once."""
        lines = self.run("cat-file", "--batch-check=%(objecttype)", stdin="\n".join(shas).encode()).decode().split("\n")
        return {
            sha: None if line.endswith(("missing", "ambiguous")) else line
            for sha, line in zip(shas, lines, strict=False)
        }

    def write_tree(self, base: str | None, entries: Iterable[tuple[str, str, str | None]]) -> str:
        """`base` with (path, mode, sha) put in; sha None removes. Raises GitFailed for a path git refuses."""
        with tempfile.TemporaryDirectory(dir=self.path) as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.run("read-tree", *([base] if base else ["--empty"]), env=env)
            lines = []
            for path, mode, sha in entries:
                if mode == "040000" and sha is not None:
                    self.run("read-tree", f"--prefix={path}/", sha, env=env)
                else:
                    lines.append(f"{mode if sha else '0'} {sha or ZERO_SHA}\t{path}\0".encode())
            self.run("update-index", "--replace", "-z", "--index-info", stdin=b"".join(lines), env=env)
            return self.run("write-tree", env=env).decode().strip()

    def write_commit(
        self, *, message: str, tree: str, parents: Sequence[str], author: Signature, committer: Signature
    ) -> str:
        env = {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email,
            "GIT_AUTHOR_DATE": author.date,
            "GIT_COMMITTER_NAME": committer.name,
            "GIT_COMMITTER_EMAIL": committer.email,
            "GIT_COMMITTER_DATE": committer.date,
        }
        flags = [flag for parent in parents for flag in ("-p", parent)]
        return self.run("commit-tree", tree, *flags, stdin=message.encode(), env=env).decode().strip()

    def commit(self, sha: str) -> CommitObject:
        form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
        said = self.run("log", "-1", f"--format={form}", "--end-of-options", sha).decode(errors="replace")
        full, tree, parents, an, ae, at, cn, ce, ct, message = said.split("\0", 9)
        return CommitObject(
            full,
            tree,
            tuple(parents.split()),
            Signature(an, ae, at),
            Signature(cn, ce, ct),
            message.rstrip("\n"),
        )

    def entries(self, treeish: str, *, recursive: bool) -> tuple[Entry, ...]:
        flags = ("-r", "-t") if recursive else ()
        out = self.run("ls-tree", "-z", "-l", *flags, treeish)
        found = []
        for line in out.split(b"\0")[:-1]:
            facts, path = line.split(b"\t", 1)
            mode, kind, sha, size = facts.decode().split()
            found.append(Entry(path.decode(errors="replace"), mode, kind, sha, None if size == "-" else int(size)))
        return tuple(found)

    # ------------------------------------------------------------ refs

    def resolve(self, name: str) -> str | None:
        """The commit a full ref name, a branch, a tag or a SHA means, as GitHub's `ref` parameters do."""
        tries = [name] if name.startswith("refs/") or name == "HEAD" else [f"refs/heads/{name}", f"refs/tags/{name}"]
        if is_sha(name):
            tries.append(name)
        for attempt in tries:
            try:
                return self.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{attempt}^{{commit}}")
            except GitFailed:
                continue
        return None

    def refs(self, prefix: str = "refs/") -> dict[str, tuple[str, str]]:
        """Full name to (object type, SHA) of each ref whose name begins with `prefix`."""
        out = self.text("for-each-ref", "--format=%(refname) %(objecttype) %(objectname)")
        rows = (line.split(" ") for line in out.split("\n") if line)
        return {name: (kind, sha) for name, kind, sha in rows if name.startswith(prefix)}

    def move_ref(self, name: str, new: str, *, old: str | None = None) -> None:
        """Compare and swap; `old` ZERO_SHA means that the ref must not exist. Raises GitFailed."""
        self.run("update-ref", "--", name, new, *([old] if old is not None else []))

    def delete_ref(self, name: str) -> None:
        self.run("update-ref", "-d", name)

    def valid_ref_name(self, name: str) -> bool:
        try:
            self.run("check-ref-format", name)
        except GitFailed:
            return False
        return True

    # ------------------------------------------------------------ history

    def merge_base(self, one: str, other: str) -> str | None:
        try:
            return self.text("merge-base", one, other)
        except GitFailed:
            return None

    def history(self, head: str) -> tuple[str, ...]:
        """A commit and all that it came from, the newest first."""
        return tuple(self.text("rev-list", "--end-of-options", head).split())

    def between(self, base: str, head: str) -> tuple[str, ...]:
        """Commits in `head` that are not in `base`, oldest first."""
        return tuple(self.text("rev-list", "--reverse", "--topo-order", f"{base}..{head}").split())

    def touches(self, base: str, head: str, folder: str) -> bool:
        """Whether `head` changed anything below `folder` since it left `base`; False without a common history."""
        try:
            return bool(self.run("diff", "--name-only", "-z", f"{base}...{head}", "--", folder))
        except GitFailed:
            return False

    def merge_trees(self, base: str, head: str) -> str:
        """The tree of a clean merge. Raises GitFailed on conflicts."""
        return self.text("merge-tree", "--write-tree", base, head).split("\n")[0]


def is_sha(text: str) -> bool:
    return len(text) == 40 and all(c in "0123456789abcdef" for c in text)


def bare_environment() -> dict[str, str]:
    """For a git process: where git is, and no configuration of this machine or user."""
    return {
        "PATH": f"{Path(shutil.which('git') or '/usr/bin/git').parent}:{os.defpath}",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
