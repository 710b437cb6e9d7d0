"""Instruction files that are about one folder: named with the first file that is read below it."""

import posixpath
from collections.abc import Collection

from bot.agent.context import AGENTS
from bot.agent.output import visible
from bot.ports import Workspace


async def hint(path: str, *, seen: Collection[str], workspace: Workspace) -> str:
    """A line for the result of reading `path`, or "". `seen`: the files that the model knows already."""
    found, folder = list[str](), posixpath.dirname(path)
    while folder:
        own = f"{folder}/{AGENTS}"
        is_first = own != path and not any(known.startswith(f"{folder}/") for known in seen)
        if is_first and await workspace.base_file(own):
            found.append(own)
        folder = posixpath.dirname(folder)
    return f"[instructions for this folder: {', '.join(map(visible, found))}]" if found else ""
