"""What is told about a repository before the work begins: instructions, files, and how it is checked."""

import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.agent.checks import detected, lint, wanted_files
from bot.agent.output import visible
from bot.intake.patterns import Patterns
from bot.intake.reading import SUBJECTS_BYTES
from bot.ports import Workspace

AGENTS = "AGENTS.md"
INSTRUCTION_FILES = (AGENTS, "CLAUDE.md", ".github/copilot-instructions.md", "CONTRIBUTING.md")
FIRST_INSTRUCTION_BYTES = 16_000
NEXT_INSTRUCTION_BYTES = 4_000
README_BYTES = 2_000
TREE_BYTES = 8_000
TOTAL_BYTES = 24_000 - SUBJECTS_BYTES  # the base's last commits are told beside it
LEAST_ROOM = 4_000  # for all that is told beside long instructions
OVERVIEW_BYTES = 1_000
NESTED_BYTES = 1_000
MOST_NESTED = 20
MOST_PATTERNS = 50  # of .gitattributes
FILES_SHOWN = 12  # of one folder, before it is only counted
ATTRIBUTES = ".gitattributes"
MADE = ("linguist-generated", "linguist-vendored")
READMES = ("README.md", "README.rst", "README.txt", "README")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything comes from the base commit, nothing from what a sandbox says.

    `check` is the command that will judge the change, "" for none; `lint` are linters for the files that changed;
    `files` are the instruction files that were read.
    """

    overview: str = ""
    instructions: tuple[tuple[str, str], ...] = ()
    more_instructions: tuple[str, ...] = ()
    readme: str = ""
    tree: str = ""
    check: str = ""
    lint: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(path for path, _ in self.instructions)


async def gather(workspace: Workspace, *, check_command: str | None, first: str = "") -> Context:
    """Read the base commit; an explicit `check_command` wins over anything detected ("" switches checks off).

    `first` is an instruction file to read before the usual ones, or "".
    """
    paths = await workspace.base_paths()
    wanted = (*wanted_files(paths), *(path for path in (ATTRIBUTES, ".gitmodules") if path in set(paths)))
    contents = {path: await workspace.base_file(path) or b"" for path in wanted}
    told = overview(paths, contents)
    instructions = await _instructions(workspace, paths, tuple(dict.fromkeys((first or AGENTS, *INSTRUCTION_FILES))))
    more = _fitting(map(visible, nested(paths)), NESTED_BYTES)[:MOST_NESTED]
    shown = (told, *more, *(text for _, text in instructions))
    room = max(0, TOTAL_BYTES - sum(len(text.encode()) for text in shown))
    readme = await _beginning(workspace, paths, READMES, min(README_BYTES, room // 2))
    return Context(
        overview=told,
        instructions=instructions,
        more_instructions=more,
        readme=readme,
        tree=tree_map(paths, min(TREE_BYTES, room - len(readme.encode())), made=made_files(paths, contents)),
        check=detected(paths, contents) if check_command is None else check_command,
        lint=lint(paths, contents),
    )


def nested(paths: Sequence[str]) -> tuple[str, ...]:
    """Instruction files that are about one folder."""
    return tuple(path for path in paths if path.endswith(f"/{AGENTS}"))


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


async def _instructions(
    workspace: Workspace, paths: Sequence[str], wanted: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """Equal files (a link's target, a copy) are shown once."""
    there, found = set(paths), list[tuple[str, str]]()
    room = TOTAL_BYTES - LEAST_ROOM
    known: set[bytes] = set()
    for path in wanted:
        content = await workspace.base_file(path) if path in there else None
        target = posixpath.normpath(
            posixpath.join(posixpath.dirname(path), (content or b"").decode("utf-8", "replace"))
        )
        if not content or content in known or target in wanted:
            continue
        known.add(content)
        shown = _cut(content, min(room, NEXT_INSTRUCTION_BYTES if found else FIRST_INSTRUCTION_BYTES))
        room = max(0, room - len(shown.encode()))
        found.append((path, shown))
    return tuple(found)


async def _beginning(workspace: Workspace, paths: Sequence[str], names: Sequence[str], limit: int) -> str:
    there = set(paths)
    for name in names:
        content = await workspace.base_file(name) if name in there else None
        if content:
            return _cut(content, limit)
    return ""


def _cut(content: bytes, limit: int) -> str:
    """At most `limit` bytes as they are shown: what nobody sees is longer there."""
    text = visible(content[:limit].decode("utf-8", "replace"))
    shown = _first(text, limit)
    return text if len(content) <= limit and shown == text else f"{shown}\n[... cut; read the file for the rest]"


def _first(text: str, limit: int) -> str:
    return text.encode()[:limit].decode("utf-8", "ignore")


def _fitting(texts: Iterable[str], limit: int) -> tuple[str, ...]:
    """Those that have room in so many bytes."""
    kept: list[str] = []
    for text in texts:
        size = len(text.encode())
        if size <= limit:
            kept.append(text)
            limit -= size
    return tuple(kept)


def overview(paths: Sequence[str], contents: Mapping[str, bytes]) -> str:
    """How many files of which kinds, most frequent first, and which of them are not really here."""
    kinds = Counter(posixpath.splitext(path)[1] for path in paths)
    named = ", ".join(f"{visible(kind)} {count}" for kind, count in kinds.most_common(8) if kind)
    lines = [f"{len(paths)} files" + (f": {named}" if named else "")]
    if inside := _submodules(paths, contents.get(".gitmodules", b"")):
        lines.append(f"Submodules, empty here and not to be changed: {', '.join(map(visible, inside[:MOST_NESTED]))}")
    if large := _matching(paths, contents, lambda attribute: attribute == "filter=lfs"):
        lines.append(f"Git LFS pointers, whose content is not here and not to be changed: {len(large)} of the files")
    return _first("\n".join(lines), OVERVIEW_BYTES)


def _submodules(paths: Sequence[str], gitmodules: bytes) -> tuple[str, ...]:
    there = set(paths)
    lines = (line.partition("=") for line in gitmodules.decode("utf-8", "replace").split("\n"))
    return tuple(value.strip() for key, _, value in lines if key.strip() == "path" and value.strip() in there)


def made_files(paths: Sequence[str], contents: Mapping[str, bytes]) -> frozenset[str]:
    """Generated and vendored files, as .gitattributes at the root names them."""
    return _matching(paths, contents, lambda attribute: attribute.removesuffix("=true") in MADE)


def _matching(paths: Sequence[str], contents: Mapping[str, bytes], wanted: Callable[[str], bool]) -> frozenset[str]:
    """Paths of which .gitattributes says what is wanted; a pattern git would not take matches nothing."""
    lines = (line.split() for line in contents.get(ATTRIBUTES, b"").decode("utf-8", "replace").split("\n"))
    patterns = [words[0] for words in lines if words and words[0][0] not in "#!" and any(map(wanted, words[1:]))]
    try:
        return frozenset(Patterns(patterns[:MOST_PATTERNS]).among(paths) if patterns else ())
    except ValueError:
        return frozenset()


def tree_map(paths: Sequence[str], limit: int, *, made: Collection[str] = frozenset()) -> str:
    """Folders with file counts and, where there are few, their files; as deep as `limit` bytes allow.

    Of `made` files, which nobody writes by hand, only their number is told.
    """
    for most_files, depth in ((FILES_SHOWN, 99), (FILES_SHOWN, 4), (6, 3), (0, 3), (0, 2), (0, 1)):
        text = "\n".join(_tree_lines(paths, most_files, depth, made))
        if len(text.encode()) <= limit:
            return text
    return text.encode()[: max(0, limit)].decode("utf-8", "ignore") + "\n[... more]"


def _tree_lines(paths: Sequence[str], most_files: int, depth: int, made: Collection[str]) -> list[str]:
    folders: dict[str, list[str]] = {}
    totals: Counter[str] = Counter()
    by_machine: Counter[str] = Counter()
    for path in paths:
        folder, name = posixpath.split(path)
        parts = folder.split("/") if folder else []
        place = "/".join(parts[:depth])
        by_machine[place] += path in made
        shown = folders.setdefault(place, [])
        if path not in made:
            shown.append("/".join([*parts[depth:], name]))
        for i in range(1, min(len(parts), depth) + 1):
            totals["/".join(parts[:i])] += 1
    lines = []
    for folder in sorted({*folders, *totals}):
        files = [visible(name) for name in folders.get(folder, [])]
        label = f"{visible(folder)}/ ({totals[folder]})" if folder else f"./ ({len(files) + by_machine['']})"
        made_here = f" [{by_machine[folder]} generated or vendored]" if by_machine[folder] else ""
        named = f": {' '.join(sorted(files))}" if files and len(files) <= most_files else ""
        lines.append(label + made_here + named)
    return lines
