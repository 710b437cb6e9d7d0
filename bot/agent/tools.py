"""What each tool does to a sandbox; `submit` is the review's."""

import hashlib
import posixpath
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bot.agent.edit import Edited, closest, decoded, edit, is_binary
from bot.agent.matching import BadPattern, matching
from bot.agent.output import (
    MATCHES,
    PATHS,
    Listing,
    cleaned,
    head_and_tail,
    how_it_ended,
    listing,
    numbered,
    one_line,
    too_long,
    visible,
)
from bot.agent.schemas import MOST_TIMEOUT_MS, TOOLS, misfit
from bot.domain.conversation import Json, ToolUse
from bot.domain.errors import LimitReached
from bot.ports import ExecResult, Sandbox

__all__ = ["TOOLS", "Ran", "Replacement", "misfit", "replacement", "run_tool", "title_of"]

READ_ONLY = frozenset({"read", "glob", "grep"})
FILE_BYTES = 10_000_000  # larger files are for `bash`
COMMAND_BYTES = 100_000  # Linux refuses one argument of 128 KiB
BASH_SECONDS = 120.0
SEARCH_SECONDS = 30.0
KEPT_BYTES = 5_000_000
SCRATCH = ".git/backspace"  # never exported, out of the model's diff
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "GIT_TERMINAL_PROMPT": "0", "PAGER": "cat", "GIT_PAGER": "cat"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What the model is told. `same`: the text without timing, by which repetition is seen.

    `bad`: the call itself cannot be run. `seen`: SHA-256 of files whose content the model knows now.
    """

    text: str
    is_error: bool = False
    bad: bool = False
    same: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """The new content of one file, ready to be written; hashes are SHA-256, `before` "" for a file that is new."""

    path: str
    before: str
    content: bytes
    text: str

    @property
    def after(self) -> str:
        return digest(self.content)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Refusal(Exception):
    """A tool cannot do what it was asked; the words are for the model."""


def refused(problem: str, *, bad: bool = False) -> Ran:
    return Ran(text=problem, is_error=True, bad=bad, same=problem)


def title_of(call: ToolUse) -> str:
    """One line for people, such as "edit export/cli.py"."""
    given: Mapping[str, Any] = call.input if isinstance(call.input, dict) else {}
    match call.name:
        case "bash":
            about = f"run {given.get('command', '')}"
        case "read" | "write" | "edit":
            about = f"{call.name} {given.get('file_path', '')}"
        case "glob":
            about = f"list {given.get('pattern', '')}"
        case "grep":
            about = f"search {given.get('pattern', '')}"
        case "submit":
            about = f"submit {given.get('outcome', '')}"
        case _:
            about = f"unknown tool {call.name}"
    return one_line(about)


def inside(raw: str, *, for_writing: bool = False) -> str:
    """A path relative to the repository root, "." for the root itself. Raises Refusal for any other place."""
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


async def run_tool(call: ToolUse, *, sandbox: Sandbox, number: int = 0, seconds_left: float = float("inf")) -> Ran:
    """Run `bash`, `read`, `glob` or `grep`; a call's own faults are results, never exceptions.

    `number` names a long output's file, `seconds_left` bounds a command. Raises ProviderError when the sandbox is lost.
    """
    try:
        match call.name:
            case "bash":
                return await _bash(call.input, sandbox, number, seconds_left)
            case "read":
                return await _read(call.input, sandbox)
            case "glob":
                return await _glob(call.input, sandbox)
            case "grep":
                return await _grep(call.input, sandbox)
    except Refusal as refusal:
        return refused(str(refusal))
    raise ValueError(f"{call.name} is not a tool that runs here")


# ---------------------------------------------------------------- edit and write


async def replacement(call: ToolUse, *, sandbox: Sandbox, seen: Mapping[str, str]) -> Replacement | Ran:
    """What an `edit` or `write` would put where; Ran with the reason when it cannot. Changes nothing."""
    try:
        path = inside(call.input["file_path"], for_writing=True)
        before = await _before(sandbox, path)
        if call.name == "write":
            content = call.input["content"].encode()
            verb = "created" if before is None else "replaced"
            return Replacement(path=path, before=_hash(before), content=content, text=f"{verb} {path}")
        if before is None:
            raise Refusal(f"there is no file {path}; use glob to find it or write to create it.")
        return _edited(call.input, path, before, seen)
    except Refusal as refusal:
        return refused(str(refusal))


async def _before(sandbox: Sandbox, path: str) -> bytes | None:
    try:
        return await content_of(sandbox, path)
    except FileNotFoundError:
        return None


def _hash(content: bytes | None) -> str:
    return "" if content is None else digest(content)


def _edited(given: Json, path: str, before: bytes, seen: Mapping[str, str]) -> Replacement | Ran:
    if seen.get(path, digest(before)) != digest(before):
        return _changed_meanwhile(given["old_string"], path, before)
    match edit(before, given["old_string"], given["new_string"], replace_all=given.get("replace_all", False)):
        case Edited(content, count, line):
            times = "1 replacement" if count == 1 else f"{count} replacements"
            text = f"edited {path}: {times}, the first at line {line}"
            return Replacement(path=path, before=digest(before), content=content, text=text)
        case problem:
            return refused(f"{path}: {problem.problem}")


def _changed_meanwhile(old: str, path: str, before: bytes) -> Ran:
    """The model decides again on what it sees now, so the new text counts as seen."""
    now = "" if is_binary(before) else visible(closest(decoded(before)[0], old))
    shown = f" The text most like old_string is now:\n{now}" if now else ""
    problem = f"{path} has changed since you read it; nothing was edited. Read it or edit again.{shown}"
    return Ran(text=problem, is_error=True, same=problem, seen={path: digest(before)})


async def put(sandbox: Sandbox, new: Replacement) -> Ran:
    try:
        await sandbox.write_file(new.path, new.content)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError) as error:
        return refused(f"{new.path} cannot be written: {error.strerror or error}")
    except LimitReached as error:
        return refused(f"{new.path} cannot be written: {error}")
    return done(new)


def done(new: Replacement) -> Ran:
    return Ran(text=new.text, same=f"{new.text} {new.after}", seen={new.path: new.after})


# ---------------------------------------------------------------- bash and read


async def _bash(given: Json, sandbox: Sandbox, number: int, seconds_left: float) -> Ran:
    command = given["command"]
    if "\0" in command or not command.strip():
        raise Refusal("command is empty or holds NUL.")
    if len(command.encode()) > COMMAND_BYTES:
        raise Refusal(f"command is longer than {COMMAND_BYTES // 1000} kB; write a script with write and run that.")
    asked = given.get("timeout_ms", BASH_SECONDS * 1000)
    if asked < 1:
        raise Refusal("timeout_ms must be at least 1.")
    result = await sandbox.exec(
        ["bash", "-c", 'exec bash -c "$1" 2>&1', "bash", command],
        env=ENVIRONMENT,
        timeout_s=max(0.1, min(asked / 1000, MOST_TIMEOUT_MS / 1000, seconds_left)),
        max_output_bytes=KEPT_BYTES,
    )
    output = cleaned(result.stdout + result.stderr).strip("\n")
    kept_at = await _kept(sandbox, output, number) if too_long(output) else None
    body = head_and_tail(output, kept_at)
    ended = how_it_ended(result)
    cut = "\n[the command wrote more than 5 MB; the middle is lost]" if result.truncated else ""
    return Ran(text=f"{ended}\n{body}{cut}".rstrip("\n"), same=f"{result.exit_code}\n{body}")


async def _kept(sandbox: Sandbox, output: str, number: int) -> str | None:
    """Where the whole output lies in the sandbox, or None where the model left no room for it."""
    path = f"{SCRATCH}/out/{number}.txt"
    with suppress(OSError, LimitReached):
        await sandbox.write_file(path, output.encode())
        return path
    return None


async def _read(given: Json, sandbox: Sandbox) -> Ran:
    path = inside(given["file_path"])
    bounds = given.get("view_range")
    if bounds is not None and (len(bounds) != 2 or bounds[0] < 1 or (bounds[1] != -1 and bounds[1] < bounds[0])):
        raise Refusal("view_range must be [first, last] with 1 <= first <= last, or last -1.")
    try:
        content = await content_of(sandbox, path)
    except FileNotFoundError:
        raise Refusal(f"there is no file {visible(path)}; use glob to find it.") from None
    if is_binary(content):
        raise Refusal(f"{path} is a binary file of {len(content)} bytes.")
    text = numbered(content, *(bounds or ()))
    return Ran(text=text, same=text, seen={path: digest(content)})


# ---------------------------------------------------------------- glob and grep


async def _glob(given: Json, sandbox: Sandbox) -> Ran:
    folder = inside(given.get("path") or ".")
    pattern = given["pattern"].removeprefix("./")
    below = "" if folder == "." else f"{folder}/"
    paths = [path.removeprefix(below) for path in await _files(sandbox) if path.startswith(below)]
    try:
        found = [below + path for path in matching(pattern, paths)]
    except BadPattern as error:
        raise Refusal(str(error)) from None
    text = _bounded(listing(found, most=PATHS), "paths") if found else "no file matches"
    return Ran(text=text, same=text)


async def _files(sandbox: Sandbox) -> tuple[str, ...]:
    """What is there and not ignored; all that is there when git cannot say (the model may have removed `.git`)."""
    there = await sandbox.list_files()
    result = await sandbox.exec(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], timeout_s=SEARCH_SECONDS, max_output_bytes=KEPT_BYTES
    )
    if result.exit_code != 0 or result.truncated:
        return there
    known = set(result.stdout.decode("utf-8", "surrogateescape").split("\0"))
    return tuple(path for path in there if path in known)


async def _grep(given: Json, sandbox: Sandbox) -> Ran:
    pattern, include = given["pattern"], given.get("include") or ""
    path = inside(given.get("path") or ".")
    if "\0" in pattern + include or not pattern:
        raise Refusal("pattern is empty or holds NUL.")
    flags = ["-i"] if given.get("ignore_case") else []
    result = await _exec(
        sandbox,
        ["git", "grep", "--untracked", "-nIE", "--no-color", *flags, "-e", pattern, "--", _pathspec(path, include)],
    )
    if result.exit_code not in (0, 1):
        only = [f"--include={include}"] if include else []
        result = await _exec(
            sandbox, ["grep", "-rnHIE", "--exclude-dir=.git", *only, *flags, "-e", pattern, "--", path]
        )
    if result.timed_out:
        raise Refusal(f"the search took longer than {SEARCH_SECONDS:.0f} s; narrow it with path or include.")
    if result.exit_code not in (0, 1) and not result.stdout:
        raise Refusal(f"the search failed: {one_line(cleaned(result.stderr), 300)}")
    lines = [line.removeprefix("./") for line in cleaned(result.stdout).strip("\n").split("\n") if line]
    lines.sort(key=lambda line: line.split(":", 1)[0])
    text = _bounded(listing(lines, most=MATCHES), "matches", more=result.truncated) if lines else "no match"
    return Ran(text=text, same=text)


def _pathspec(path: str, include: str) -> str:
    literal = "".join(f"\\{c}" if c in "*?[\\" else c for c in path)
    if not include:
        return f":(literal){path}"
    below = "" if path == "." else f"{literal}/"
    return f":(glob){below}**/{include}"


async def _exec(sandbox: Sandbox, argv: list[str]) -> ExecResult:
    return await sandbox.exec(argv, timeout_s=SEARCH_SECONDS, max_output_bytes=1_000_000)


def _bounded(shown: Listing, what: str, *, more: bool = False) -> str:
    if not shown.left_out and not more:
        return shown.text
    number = "more" if more else str(shown.left_out)
    return f"{shown.text}\n[{number} {what} left out; narrow the pattern or give a path]"
