"""What is told about a repository before the work begins: instructions, files, and how it is checked."""

import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bot.agent.checks import detected, wanted_files
from bot.agent.output import visible
from bot.ports import Workspace

AGENTS = "AGENTS.md"
INSTRUCTION_FILES = (AGENTS, "CLAUDE.md", ".github/copilot-instructions.md", "CONTRIBUTING.md")
FIRST_INSTRUCTION_BYTES = 12_000
NEXT_INSTRUCTION_BYTES = 3_000
README_BYTES = 2_000
TREE_BYTES = 8_000
TOTAL_BYTES = 24_000
LEAST_ROOM = 4_000  # for README and files beside long instructions
FILES_SHOWN = 12  # of one folder, before it is only counted
READMES = ("README.md", "README.rst", "README.txt", "README")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything comes from the base commit, nothing from what a sandbox says.

    `check` is the command that will judge the change, "" for none; `files` are the instruction files that were read.
    """

    overview: str = ""
    instructions: tuple[tuple[str, str], ...] = ()
    more_instructions: tuple[str, ...] = ()
    readme: str = ""
    tree: str = ""
    check: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(path for path, _ in self.instructions)


async def gather(workspace: Workspace, *, check_command: str | None, first: str = "") -> Context:
    """Read the base commit; an explicit `check_command` wins over anything detected ("" switches checks off).

    `first` is an instruction file to read before the usual ones, or "".
    """
    paths = await workspace.base_paths()
    instructions = await _instructions(workspace, paths, tuple(dict.fromkeys((first or AGENTS, *INSTRUCTION_FILES))))
    room = max(TOTAL_BYTES - sum(len(text.encode()) for _, text in instructions), LEAST_ROOM)
    readme = await _beginning(workspace, paths, READMES, min(README_BYTES, room))
    check = check_command
    if check is None:
        contents = {path: await workspace.base_file(path) or b"" for path in wanted_files(paths)}
        check = detected(paths, contents)
    return Context(
        overview=overview(paths),
        instructions=instructions,
        more_instructions=tuple(visible(p) for p in paths if p.endswith("/AGENTS.md"))[:20],
        readme=readme,
        tree=tree_map(paths, min(TREE_BYTES, room - len(readme.encode()))),
        check=check,
    )


async def _instructions(
    workspace: Workspace, paths: Sequence[str], wanted: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Equal files (a link's target, a copy) are shown once."""
    there, found = set(paths), list[tuple[str, str]]()
    known: set[bytes] = set()
    for path in wanted:
        content = await workspace.base_file(path) if path in there else None
        target = posixpath.normpath(
            posixpath.join(posixpath.dirname(path), (content or b"").decode("utf-8", "replace"))
        )
        if not content or content in known or target in wanted:
            continue
        known.add(content)
        limit = NEXT_INSTRUCTION_BYTES if found else FIRST_INSTRUCTION_BYTES
        found.append((path, _cut(content, limit)))
    return tuple(found)


async def _beginning(workspace: Workspace, paths: Sequence[str], names: Sequence[str], limit: int) -> str:
    there = set(paths)
    for name in names:
        content = await workspace.base_file(name) if name in there else None
        if content:
            return _cut(content, limit)
    return ""


def _cut(content: bytes, limit: int) -> str:
    text = visible(content[:limit].decode("utf-8", "replace"))
    return text if len(content) <= limit else f"{text}\n[... cut; read the file for the rest]"


def overview(paths: Sequence[str]) -> str:
    """How many files of which kinds, most frequent first."""
    kinds = Counter(posixpath.splitext(path)[1] for path in paths)
    named = ", ".join(f"{visible(kind)} {count}" for kind, count in kinds.most_common(8) if kind)
    return f"{len(paths)} files" + (f": {named}" if named else "")


def tree_map(paths: Sequence[str], limit: int) -> str:
    """Folders with file counts and, where there are few, their files; as deep as `limit` bytes allow."""
    for most_files, depth in ((FILES_SHOWN, 99), (FILES_SHOWN, 4), (6, 3), (0, 3), (0, 2), (0, 1)):
        text = "\n".join(_tree_lines(paths, most_files, depth))
        if len(text.encode()) <= limit:
            return text
    return text.encode()[: max(0, limit)].decode("utf-8", "ignore") + "\n[... more]"


def _tree_lines(paths: Sequence[str], most_files: int, depth: int) -> list[str]:
    folders: dict[str, list[str]] = {}
    totals: Counter[str] = Counter()
    for path in paths:
        folder, name = posixpath.split(path)
        parts = folder.split("/") if folder else []
        folders.setdefault("/".join(parts[:depth]), []).append("/".join([*parts[depth:], name]))
        for i in range(1, min(len(parts), depth) + 1):
            totals["/".join(parts[:i])] += 1
    lines = []
    for folder in sorted({*folders, *totals}):
        files = [visible(name) for name in folders.get(folder, [])]
        label = f"{visible(folder)}/ ({totals[folder]})" if folder else f"./ ({len(files)})"
        shown = f": {' '.join(sorted(files))}" if files and len(files) <= most_files else ""
        lines.append(label + shown)
    return lines
