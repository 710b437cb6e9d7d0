"""What a request asks for in so many words: patches, files and small recipes, without a model."""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FORMATTERS = {
    "black": "black .",
    "isort": "isort .",
    "ruff": "ruff format .",
    "ruff format": "ruff format .",
    "ruff check --fix": "ruff check --fix .",
    "prettier": "npx --no-install prettier --write .",
    "eslint --fix": "npx --no-install eslint --fix .",
    "gofmt": "gofmt -w .",
    "go fmt": "go fmt ./...",
    "cargo fmt": "cargo fmt",
    "rustfmt": "cargo fmt",
    "mix format": "mix format",
    "terraform fmt": "terraform fmt -recursive",
    "make format": "make format",
    "make fmt": "make fmt",
    "npm run format": "npm run format",
}
_EVERYWHERE = "all any each every everything everywhere files repository repo project codebase code whole entire"
EVERYWHERE = frozenset((*_EVERYWHERE.split(), "order"))  # "in order to"
UNDERSTOOD = """\
- a patch in a fenced block that begins with ```` ```diff ````
- a whole file in a fenced block that names its path, such as ```` ```python src/app.py ````
- "replace `A` with `B`" or "replace `A` with `B` in `path`"
- "rename file `A` to `B`"
- "delete `path`"
- "add `line` to `.gitignore`" (or to any other file)
- "run `formatter`", one of: """ + ", ".join(f"`{name}`" for name in FORMATTERS)


@dataclass(frozen=True, slots=True)
class ApplyPatch:
    text: str


@dataclass(frozen=True, slots=True)
class WriteFile:
    path: str
    content: str


@dataclass(frozen=True, slots=True)
class ReplaceText:
    """`path` None: wherever it occurs."""

    old: str
    new: str
    path: str | None


@dataclass(frozen=True, slots=True)
class RenameFile:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class DeletePath:
    """`is_folder`: the request says folder or directory, so everything below goes too."""

    path: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class RunFormatter:
    name: str


@dataclass(frozen=True, slots=True)
class AddLine:
    line: str
    path: str


Recipe = ApplyPatch | WriteFile | ReplaceText | RenameFile | DeletePath | RunFormatter | AddLine


@dataclass(frozen=True, slots=True)
class _Fence:
    info: str
    body: str


_OPENING = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^\n]*)$")
# Lengths are bounded and nothing greedy has to give back, so that no request is slow to read.
_QUOTED = r"(?:`(?P<{0}>[^`\n]{{1,2000}})`|\"(?P<{0}_quoted>[^\"\n]{{1,2000}})\"|'(?P<{0}_single>[^'\n]{{1,2000}})')"
_PATH = r"(?:`(?P<{0}>[^`\n]{{1,2000}})`|\"(?P<{0}_quoted>[^\"\n]{{1,2000}})\"|(?P<{0}_bare>[\w@./+-]{{1,2000}}))"
_THE = r"(?:the\s+)?"
_FILE = rf"{_THE}(?:file\s+)?"
_REPLACE = re.compile(
    rf"\breplace\s+{_QUOTED.format('old')}\s+(?:with|by)\s+{_QUOTED.format('new')}(?:\s+in\s+{_FILE}{_PATH.format('path')})?",
    re.I,
)
_RENAME = re.compile(
    rf"\b(?:rename|move)\s+{_THE}file\s+{_PATH.format('old')}\s+(?:to|into|as)\s+{_FILE}{_PATH.format('new')}", re.I
)
_DELETE = re.compile(
    rf"\b(?:delete\s+{_THE}(?P<kind>file\s+|folder\s+|directory\s+)?|remove\s+{_THE}(?P<kind_said>file\s+|folder\s+|directory\s+))"
    rf"{_PATH.format('path')}",
    re.I,
)
_RUN = re.compile(r"\brun\s+`(?P<name>[^`\n]{1,100})`", re.I)
_ADD = re.compile(rf"\badd\s+(?:{_THE}line\s+)?{_QUOTED.format('line')}\s+to\s+{_FILE}{_PATH.format('path')}", re.I)


def recipes(request: str) -> tuple[Recipe, ...]:
    """Everything in a request that can be done as written: patches first, then files, then recipes in the prose."""
    prose, fences = _split(request.replace("\r\n", "\n"))
    patches = [ApplyPatch(fence.body) for fence in fences if _is_patch(fence)]
    files = [WriteFile(path, fence.body) for fence in fences if not _is_patch(fence) and (path := _path_of(fence.info))]
    return (*patches, *files, *_in_prose(prose))


def is_relative(path: str) -> bool:
    """A path that stays below the repository root and out of `.git`."""
    normal = posixpath.normpath(path)
    first = normal.split("/")[0].lower()
    return bool(path) and not normal.startswith("/") and first not in ("..", ".", ".git", "~") and "\0" not in path


def described(recipe: Recipe) -> str:
    """One line, imperative, as a pull request title has it."""
    match recipe:
        case ApplyPatch(text):
            return f"Apply the given patch to {_patched(text)}"
        case WriteFile(path, _):
            return f"Write {path}"
        case ReplaceText(old, new, path):
            return f"Replace `{old}` with `{new}`" + (f" in {path}" if path else "")
        case RenameFile(old, new):
            return f"Rename {old} to {new}"
        case DeletePath(path, _):
            return f"Delete {path}"
        case RunFormatter(name):
            return f"Run `{name}`"
        case AddLine(line, path):
            return f"Add `{line}` to {path}"


def _patched(text: str) -> str:
    paths = re.findall(r"^(?:\+\+\+ b/|--- a/|rename to )(\S+)", text, re.M)
    names = list(dict.fromkeys(paths))
    return names[0] if len(names) == 1 else f"{len(names)} files" if names else "the repository"


def _split(text: str) -> tuple[str, list[_Fence]]:
    """Prose outside of fenced code blocks, and the blocks; an unclosed block reaches to the end."""
    prose: list[str] = []
    fences: list[_Fence] = []
    lines = iter(text.split("\n"))
    for line in lines:
        opening = _OPENING.match(line)
        if opening is None or (opening["fence"][0] == "`" and "`" in opening["info"]):
            prose.append(line)
        else:
            fences.append(_Fence(opening["info"].strip(), _body(lines, opening["fence"])))
            prose.append("")
    return "\n".join(prose), fences


def _body(lines: Iterator[str], fence: str) -> str:
    closing = re.compile(rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
    body = []
    for line in lines:
        if closing.match(line):
            break
        body.append(line)
    return "".join(f"{line}\n" for line in body)


def _is_patch(fence: _Fence) -> bool:
    return fence.info.split(" ")[0].lower() in ("diff", "patch", "udiff")


def _path_of(info: str) -> str | None:
    """The path in a block's opening line: a second word, `path=...`, or a first word that looks like one."""
    words = info.split()
    named = re.search(r"\b(?:path|file|filename|title)=[\"']?(?P<path>[^\"'\s]+)", info)
    if named:
        return named["path"]
    if len(words) == 2:
        return words[1].strip("`\"'")
    if len(words) == 1 and ("/" in words[0] or re.fullmatch(r"[\w.-]+\.\w+", words[0])):
        return words[0].split(":", 1)[-1]
    return None


def _in_prose(prose: str) -> tuple[Recipe, ...]:
    """In the order they are written, since one may need what an earlier one made."""
    found: list[tuple[int, Recipe | None]] = []
    for pattern, understood in _RECIPES:
        found += [(match.start(), understood(match)) for match in pattern.finditer(prose)]
    return tuple(recipe for _, recipe in sorted(found, key=lambda pair: pair[0]) if recipe is not None)


def _replaced(match: re.Match[str]) -> Recipe:
    """A word after "in" that is no known path is taken for one all the same: rather no file than every file."""
    word = (match["path_bare"] or "").rstrip(".")
    path = _path(match, "path") or ("" if word.lower() in EVERYWHERE else word)
    return ReplaceText(_quoted(match, "old"), _quoted(match, "new"), path or None)


def _renamed(match: re.Match[str]) -> Recipe | None:
    old, new = _path(match, "old"), _path(match, "new")
    return RenameFile(old, new) if old and new else None


def _deleted(match: re.Match[str]) -> Recipe | None:
    path = _path(match, "path")
    kind = (match["kind"] or match["kind_said"] or "").strip().lower()
    return DeletePath(path, kind in ("folder", "directory")) if path else None


def _added(match: re.Match[str]) -> Recipe | None:
    path = _path(match, "path")
    return AddLine(_quoted(match, "line"), path) if path else None


def _run(match: re.Match[str]) -> Recipe | None:
    name = " ".join(match["name"].split())
    return RunFormatter(name) if name in FORMATTERS else None


def _quoted(match: re.Match[str], name: str) -> str:
    """Whichever way of quoting was used for `name`."""
    groups = match.groupdict()
    return next((groups[key] for key in (name, f"{name}_quoted", f"{name}_single") if groups.get(key)), "")


def _path(match: re.Match[str], name: str) -> str:
    """A quoted path as it is; a bare word only when it looks like one, without the full stop of its sentence."""
    bare = (match[f"{name}_bare"] or "").rstrip(".")
    return _quoted(match, name) or (bare if "." in bare or "/" in bare else "")


_RECIPES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Recipe | None]], ...] = (
    (_REPLACE, _replaced),
    (_RENAME, _renamed),
    (_DELETE, _deleted),
    (_RUN, _run),
    (_ADD, _added),
)
