"""What may leave the sandbox: which paths, modes, links and sizes a patch may hold, decided without asking anybody."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from bot.domain.job import Change, Patch
from bot.intake.patterns import Patterns
from bot.publish.paths import (
    collisions,
    is_dot_git,
    is_dot_gitmodules,
    is_utf8,
    plain,
    plain_components,
    shown,
    unseen,
)

_MODES = ("100644", "100755", "120000")
_CODEOWNERS_FOLDERS = ((), (".github",), ("docs",))  # the three places where GitHub looks
_GITHUB_SECRETS = ("workflows", "actions")
_LONGEST_NAME_BYTES = 255  # of ext4, APFS and NTFS alike
_LONGEST_PATH_BYTES = 4095  # PATH_MAX without its NUL: git cannot check out more
_LONGEST_LINK_BYTES = 4095
_DRIVE = re.compile(r"[A-Za-z]:")
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRules:
    """What operator and repository allow. `deny` and `allow_large` are patterns as in a .gitignore file.

    `max_lines` counts added and removed lines together; `max_total_bytes` the new contents of all files.
    """

    deny: tuple[str, ...] = ()
    allow_large: tuple[str, ...] = ()
    max_files: int = 50
    max_lines: int = 2000
    max_file_bytes: int = 1_000_000
    max_total_bytes: int = 10_000_000


def problems(patch: Patch, rules: PathRules, *, base_paths: Collection[str] = ()) -> tuple[str, ...]:
    """Why this patch may not be published, a sentence each with what to do; nothing when it may.

    `base_paths` are all paths of the base commit, for names that collide with them.
    """
    found = [*_too_much(patch, rules)]
    for change in patch.changes:
        found.extend(f"{shown(change.path)} {problem}" for problem in _problems_of(change, rules))
    found.extend(_denied(patch, rules))
    found.extend(_collisions(patch, base_paths))
    unique = tuple(dict.fromkeys(found))
    if len(unique) > _MOST_PROBLEMS:
        return (*unique[:_MOST_PROBLEMS], f"{len(unique) - _MOST_PROBLEMS} more problems of these kinds.")
    return unique


def _too_much(patch: Patch, rules: PathRules) -> Iterator[str]:
    files, lines = len(patch.changes), patch.additions + patch.deletions
    size = sum(len(change.content or b"") for change in patch.changes)
    if files > rules.max_files:
        yield f"{files} files are changed and {rules.max_files} are allowed: make a smaller change."
    if lines > rules.max_lines:
        yield f"{lines} lines are changed and {rules.max_lines} are allowed: make a smaller change."
    if size > rules.max_total_bytes:
        yield f"The changed files hold {size} bytes and {rules.max_total_bytes} are allowed: make a smaller change."


def _problems_of(change: Change, rules: PathRules) -> Iterator[str]:
    if not is_utf8(change.path):
        yield "has a name that is not UTF-8, which GitHub's API cannot carry: leave this file as it was."
        return
    yield from _protected(plain_components(change.path))
    yield from _impossible(change.path)
    if change.mode is None:
        if change.was_mode == "160000":
            yield "is a submodule: the bot does not change submodules, restore it."
        return
    if change.was_pointer:
        yield "is a Git LFS pointer, whose content is not here: leave it as it was."
    if change.was_mode is None:
        yield from _ill_named(change.path)
    if change.mode not in _MODES or change.was_mode == "160000":
        yield "is not a plain file or link (a submodule or device): the bot does not publish those, restore it."
    elif change.mode == "120000":
        yield from _link_problems(change.path, change.content or b"")
    yield from _too_large(change, rules)


def _protected(components: tuple[str, ...]) -> Iterator[str]:
    """Paths that give power over git, CI or reviews; changed, made or deleted alike."""
    if any(map(is_dot_git, components)):
        yield "is git's own folder in some spelling: remove it from the change."
    if any(map(is_dot_gitmodules, components)):
        yield "decides which other repositories are fetched (.gitmodules): leave it as it was."
    if components[0] == ".github" and (len(components) == 1 or components[1] in _GITHUB_SECRETS):
        yield "decides what GitHub Actions runs: the bot may not change it, a person has to."
    if components[-1] == "codeowners" and components[:-1] in _CODEOWNERS_FOLDERS:
        yield "decides who must review (CODEOWNERS): the bot may not change it, a person has to."


def _impossible(path: str) -> Iterator[str]:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        yield "is not a path inside the repository: use a relative path without empty, `.` or `..` parts."
    if len(path.encode()) > _LONGEST_PATH_BYTES or any(len(part.encode()) > _LONGEST_NAME_BYTES for part in parts):
        yield f"is too long (a name may have {_LONGEST_NAME_BYTES} bytes): shorten it."


def _ill_named(path: str) -> Iterator[str]:
    letter = unseen(path)
    if letter:
        yield f"has a character nobody can see (U+{ord(letter):04X}) in its name: rename it."
    if "\\" in path:
        yield "has a backslash in its name, which other systems read as a folder: rename it."


def _link_problems(path: str, content: bytes) -> Iterator[str]:
    """A link's target is resolved without its neighbours: `..` may only lead, so no other link can bend it."""
    try:
        target = content.decode()
    except UnicodeDecodeError:
        yield "is a link whose target is not UTF-8: point it at a path in the repository."
        return
    parts = target.split("/")
    ups = next((place for place, part in enumerate(parts) if part != ".."), len(parts))
    if not target or len(content) > _LONGEST_LINK_BYTES or unseen(target) or "\\" in target:
        yield "is a link whose target is empty, too long or has odd characters: point it at a path in the repository."
    elif target.startswith("/") or _DRIVE.match(target):
        yield "is a link to an absolute path: use a relative one that stays in the repository."
    elif ".." in parts[ups:]:
        yield "is a link with `..` in the middle of its target: write the target without detours."
    elif ups > path.count("/"):
        yield "is a link that leaves the repository: point it at a path inside."
    elif any(is_dot_git(plain(part)) for part in parts):
        yield "is a link into git's own folder: point it elsewhere."


def _too_large(change: Change, rules: PathRules) -> Iterator[str]:
    size = len(change.content or b"")
    if size > rules.max_file_bytes and not _named((change.path,), rules.allow_large):
        yield f"has {size} bytes and {rules.max_file_bytes} are allowed in one file: leave it out or make it smaller."


def _denied(patch: Patch, rules: PathRules) -> Iterator[str]:
    for path in _named((change.path for change in patch.changes), rules.deny):
        yield f"{shown(path)} is closed to the bot by `paths.deny` in .github/backspace.yml: leave it as it was."


def _named(paths: Iterable[str], patterns: tuple[str, ...]) -> tuple[str, ...]:
    return Patterns(patterns).among(paths) if patterns else ()


def _collisions(patch: Patch, base_paths: Collection[str]) -> Iterator[str]:
    base, gone = set(base_paths), {change.path for change in patch.changes if change.mode is None}
    kept = {change.path for change in patch.changes if change.mode is not None and is_utf8(change.path)}
    for name, other in collisions(kept - base, base - gone):
        yield (
            f"{shown(name)} and {shown(other)} are one name on systems that ignore case or Unicode form: "
            "choose one spelling."
        )
