"""The tools that run a command or show something; `edit` and `write` are in changing, `submit` is the review's."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bot.agent.canary import PLACE as CANARY
from bot.agent.edit import is_binary
from bot.agent.ground import SCRATCH, Ran, Refusal, content_of, digest, inside, refused, shell
from bot.agent.output import cleaned, head_and_tail, how_it_ended, numbered, one_line, too_long, visible
from bot.agent.schemas import MOST_TIMEOUT_MS
from bot.agent.searching import glob, grep
from bot.domain.conversation import Json, ToolUse
from bot.domain.errors import LimitReached
from bot.ports import Sandbox

READ_ONLY = frozenset({"read", "glob", "grep"})
COMMAND_BYTES = 100_000  # Linux refuses one argument of 128 KiB
BASH_SECONDS = 120.0
KEPT_BYTES = 5_000_000
ENVIRONMENT = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "BASH_ENV": f"$HOME/{CANARY}",
}


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
                return await glob(call.input, sandbox)
            case "grep":
                return await grep(call.input, sandbox)
    except Refusal as refusal:
        return refused(str(refusal))
    raise ValueError(f"{call.name} is not a tool that runs here")


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
        shell(command),
        env=ENVIRONMENT,
        timeout_s=max(0.1, min(min(asked, MOST_TIMEOUT_MS) / 1000, seconds_left)),
        max_output_bytes=KEPT_BYTES,
    )
    output = cleaned(result.stdout + result.stderr).strip("\n")
    kept_at = await _kept(sandbox, output, number) if too_long(output) else None
    body = head_and_tail(output, kept_at)
    ended = how_it_ended(result)
    cut = "\n[the command wrote more than 5 MB; the middle is lost]" if result.truncated else ""
    return Ran(text=f"{ended}\n{body}{cut}".rstrip("\n"), same=f"{result.exit_code}\n{body}", tree=result.tree)


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
