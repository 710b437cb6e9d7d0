"""Real git repositories for tests, made by plain git commands."""

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments], input=stdin, capture_output=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def repository(at: Path) -> Path:
    at.mkdir()
    git(at, "init", "--quiet", "--initial-branch=main")
    return at


def commit(at: Path, files: dict[str, bytes], message: str = "change") -> str:
    """Writes and commits `files`, without looking at .gitignore; answers the commit's id."""
    for path, content in files.items():
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        (at / path).write_bytes(content)
    git(at, "add", "--all", "--force")
    git(at, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return git(at, "rev-parse", "HEAD")


def commit_tree(at: Path, entries: list[tuple[str, str, bytes]]) -> str:
    """A commit of exactly these (mode, path, content), whatever git's checks or a file system think of them."""
    index = at / ".git" / "own-index"
    for mode, path, content in entries:
        if mode == "160000":
            name = content.decode()
        else:
            name = git(at, "hash-object", "-w", "--stdin", "--no-filters", stdin=content)
        line = f"{mode} {name}\t".encode() + path.encode("utf-8", "surrogateescape") + b"\0"
        _with_index(at, index, "update-index", "--add", "-z", "--index-info", stdin=line)
    tree = _with_index(at, index, "write-tree")
    made = git(at, "commit-tree", "-m", "made", tree)
    git(at, "update-ref", "refs/heads/main", made)
    index.unlink()
    return made


def _with_index(at: Path, index: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["git", "-C", str(at), *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env=ENVIRONMENT | {"GIT_INDEX_FILE": str(index)},
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.decode().strip()


def commit_many(at: Path, files: dict[str, bytes]) -> str:
    """As `commit`, for thousands of files: a pack made by one process, and no work tree."""
    stream = [b"commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 4\nmany\n"]
    for path, content in files.items():
        stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
    git(at, "fast-import", "--quiet", stdin=b"".join(stream))
    return git(at, "rev-parse", "refs/heads/main")
