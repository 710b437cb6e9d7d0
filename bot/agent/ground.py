"""What every tool stands on: paths that stay inside, file contents, and the shape of a result."""

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.agent.output import visible
from bot.domain.errors import LimitReached
from bot.ports import Sandbox

FILE_BYTES = 10_000_000  # larger files are for `bash`
PATH_CHARACTERS = 4_000  # about what the kernel takes at once
SCRATCH = ".git/backspace"  # never exported, out of the model's diff


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What the model is told. `same`: the text without timing, by which repetition is seen.

    `bad`: the call itself cannot be run. `seen`: SHA-256 of files whose content the model knows now. `tree`: see
    `ExecResult`.
    """

    text: str
    is_error: bool = False
    bad: bool = False
    same: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    tree: int = 0


def shell(command: str) -> list[str]:
    """What runs it with both its outputs in one, in the order in which they were written.

    Nothing is put before it: bash shows the line of a mistake, and its number.
    """
    return ["sh", "-c", 'exec bash -c "$1" 2>&1', "sh", command]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Refusal(Exception):
    """A tool cannot do what it was asked; the words are for the model."""


def refused(problem: str, *, bad: bool = False) -> Ran:
    return Ran(text=problem, is_error=True, bad=bad, same=problem)


def inside(raw: str, *, for_writing: bool = False) -> str:
    """A path relative to the repository root, "." for the root itself. Raises Refusal for any other place."""
    if len(raw) > PATH_CHARACTERS:
        raise Refusal(f"the path is longer than {PATH_CHARACTERS} characters; give a shorter one.")
    path = posixpath.normpath(raw) if raw else ""
    if not path or "\0" in raw:
        raise Refusal("the path is empty or holds NUL; give a path relative to the repository root.")
    if path.startswith("/") or path.split("/")[0] in ("..", "~"):
        raise Refusal(f"{visible(raw)} is outside the repository; give a path relative to its root.")
    git = path.split("/")[0].lower() == ".git"
    if for_writing and (path == "." or (git and not path.startswith(f"{SCRATCH}/"))):
        raise Refusal(f"{visible(raw)} cannot be written: it is the repository itself or git's own.")
    return path


async def content_of(sandbox: Sandbox, path: str) -> bytes:
    """Raises Refusal in words for the model, FileNotFoundError when there is no such file."""
    try:
        return await sandbox.read_file(path, max_bytes=FILE_BYTES)
    except IsADirectoryError:
        raise Refusal(f"{path} is a folder; use glob to list it.") from None
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    except LimitReached:
        raise Refusal(f"{path} is larger than {FILE_BYTES // 1_000_000} MB; look at it with bash.") from None
    except PermissionError as error:
        raise Refusal(f"{path} cannot be opened: {error.strerror or error}") from None
