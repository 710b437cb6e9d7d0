"""Which files of a work tree differ from the base: decided by the host from what the helper inside reports."""

import hashlib
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.errors import LimitReached, UserError
from bot.ports import BaseFile, ExportedFile
from bot.sandboxes.cage import EMPTY_GIT_DIR, WORK_TREE

MAX_NEW_FILES = 20_000
BATCH = 2_000  # paths in one request for states
SUBMODULE = "160000"
# Git itself decides what is ignored, inside, with an empty repository of ours: it knows every rule of .gitignore, goes
# past ignored directories without reading them, and a pattern made to be slow costs the sandbox's time, not the bot's.
LIST_UNIGNORED = ("git", "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore")
EXPORT_ENVIRONMENT = {
    "GIT_DIR": EMPTY_GIT_DIR,
    "GIT_WORK_TREE": WORK_TREE,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "PATH": "/usr/bin:/usr/local/bin:/bin",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How to ask the sandbox. `states` gives a record a path, `content` mode and bytes of one file."""

    states: Callable[[Sequence[str]], Awaitable[list[bytes]]]
    content: Callable[[str, int], Awaitable[tuple[str, bytes]]]
    max_bytes: int


def safe_paths(listing: bytes, known: Container[str] = ()) -> tuple[str, ...]:
    """Sorted relative paths from a NUL-separated listing; those known, a `.git` at any depth and anything odd are left
    out."""
    names = (name.decode("utf-8", "surrogateescape") for name in listing.split(b"\0") if name)
    paths = {name for name in names if name not in known}
    return tuple(
        sorted(path for path in paths if {"", ".", "..", ".git"}.isdisjoint(path.removesuffix("/").split("/")))
    )


async def changed_files(
    base: Mapping[str, BaseFile], unignored: Sequence[str], reading: Reading
) -> tuple[ExportedFile, ...]:
    """Raises UserError for what git cannot hold, LimitReached for too much."""
    candidates = [path for path in unignored if path not in base]
    _refuse_what_git_cannot_hold(candidates, base)
    if len(candidates) > MAX_NEW_FILES:
        raise LimitReached(f"{len(candidates)} new files are too many for a pull request (limit {MAX_NEW_FILES}).")
    gone: list[ExportedFile] = []
    paths = list(base)
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        for path, record in zip(batch, await reading.states(batch), strict=True):
            was = base[path]
            if record == f"file {was.mode} 1 {was.sha}".encode():
                continue
            match _compared(path, was, record):
                case "gone":
                    gone.append(ExportedFile(path, None, None))
                case "changed":
                    candidates.append(path)
                case "same":
                    pass
    taken = await _taken(sorted(candidates), base, reading)
    return tuple(sorted([*gone, *taken], key=lambda file: file.path))


def _compared(path: str, was: BaseFile, record: bytes) -> str:
    kind, mode, links, sha = record.decode("ascii", "replace").split(" ")
    if was.mode == SUBMODULE:
        return _submodule(path, kind)
    if kind in ("missing", "directory", "empty"):
        return "gone"
    if kind == "other":
        raise UserError(f"{_shown(path)} is not a regular file any more: a pull request cannot hold it.")
    if kind == "unreadable":
        raise UserError(f"{_shown(path)} cannot be read: its permissions, or those of a directory above, forbid it.")
    if links != "1":
        raise UserError(f"{_shown(path)} is hard-linked with another file: replace it with a copy.")
    return "same" if (mode, sha) == (was.mode, was.sha) else "changed"


def _submodule(path: str, kind: str) -> str:
    if kind == "empty":
        return "same"
    if kind == "missing":
        return "gone"
    raise UserError(f"{_shown(path)} is a submodule: files inside it cannot be part of this pull request.")


async def _taken(paths: Sequence[str], base: Mapping[str, BaseFile], reading: Reading) -> list[ExportedFile]:
    """The content of each path, hashed again here: what turns out to be the base's is left out."""
    taken: list[ExportedFile] = []
    left = reading.max_bytes
    for path in paths:
        try:
            mode, content = await reading.content(path, left)
        except LimitReached:
            raise LimitReached(f"The changed files are larger than {reading.max_bytes} bytes in all.") from None
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(f"A pull request cannot hold this file: {error}") from None
        if mode not in ("100644", "100755", "120000"):
            raise UserError(f"{_shown(path)} has a mode that git does not know.")
        left -= len(content)
        sha = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if base.get(path) != BaseFile(mode, sha):
            taken.append(ExportedFile(path, mode, content))
    return taken


def _refuse_what_git_cannot_hold(paths: Sequence[str], base: Mapping[str, BaseFile]) -> None:
    submodules = tuple(f"{path}/" for path, file in base.items() if file.mode == SUBMODULE)
    for path in paths:
        if path.endswith("/"):
            raise UserError(f"{_shown(path)} is a git repository of its own: remove {_shown(path)}.git first.")
        if submodules and path.startswith(submodules):
            raise UserError(f"{_shown(path)} lies inside a submodule: it cannot be part of this pull request.")


def _shown(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
