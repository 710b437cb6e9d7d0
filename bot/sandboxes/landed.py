"""The helper in somebody else's sandbox: the command that takes it in, and its first word."""

import asyncio
import base64
import json
from importlib import resources

from bot.sandboxes.cage import EMPTY_GIT_DIR, HELPER, HOME, UID, WORK_TREE, files_made_for_it
from bot.sandboxes.inside.wire import LENGTHS, header_of, lengths
from bot.sandboxes.seccomp import MACHINES, seccomp_filter

NEEDS = "its image needs python3 (3.9 or newer), git and tar"


def landing() -> tuple[tuple[str, ...], bytes]:
    """A command for a sandbox's own root, or its only user, and what its standard input begins with."""
    inside = resources.files("bot.sandboxes.inside")
    made = {path: content.decode() for path, content in files_made_for_it().items() if path.startswith(f"{HELPER}/")}
    made |= {f"{EMPTY_GIT_DIR}/objects/": "", f"{EMPTY_GIT_DIR}/refs/": ""}
    for name in ("waiting.py", "observing.py"):
        made[f"{HELPER}/bot/sandboxes/inside/{name}"] = (inside / name).read_text(encoding="utf-8")
    files = json.dumps(made).encode()
    programs = {machine: seccomp_filter(machine) for machine in MACHINES}
    filters = json.dumps(
        {machine: base64.b64encode(program).decode() for machine, program in programs.items() if program}
    )
    text = (inside / "landing.py").read_text(encoding="utf-8")
    return ("python3", "-I", "-S", "-c", text, str(len(files)), WORK_TREE, HOME, str(UID), filters), files


async def path_told(reader: asyncio.StreamReader) -> str:
    """Where the image says its programs are: the helper's first word. Raises OSError, EOFError, ValueError."""
    header, _ = lengths(await reader.readexactly(LENGTHS.size))
    path = header_of(await reader.readexactly(min(header, 4096))).get("path")
    if not isinstance(path, str):
        raise ValueError("the helper did not say where programs are")
    return path
