"""What differs between two commits, as GitHub shows it."""

from dataclasses import dataclass

from bot.standins.github.git import BareRepository

STATUS_WORDS = {
    "A": "added",
    "D": "removed",
    "M": "modified",
    "R": "renamed",
    "C": "copied",
    "T": "changed",
}


@dataclass(frozen=True, slots=True)
class FileChange:
    """A changed path. `status` is GitHub's word; `patch` None for binary files."""

    path: str
    previous_path: str | None
    status: str
    sha: str
    additions: int
    deletions: int
    patch: str | None


def parting(git: BareRepository, base: str, head: str) -> str:
    """Where `head` left `base`; `base` itself without a common history."""
    return git.merge_base(base, head) or base


def diff_text(git: BareRepository, base: str, head: str, *paths: str) -> str:
    """Of these paths only, where any are given."""
    return git.run("diff", "--no-color", "-M", base, head, "--", *paths).decode(errors="replace")


def numbers(git: BareRepository, base: str, head: str) -> dict[str, tuple[int, int] | None]:
    """Path to lines added and removed; None for binary files. A rename counts under its new path."""
    fields = iter(git.run("diff", "--numstat", "-z", "-M", base, head).decode(errors="replace").split("\0")[:-1])
    counted: dict[str, tuple[int, int] | None] = {}
    for row in fields:
        added, removed, path = row.split("\t")
        if not path:
            next(fields)
            path = next(fields)
        counted[path] = None if added == "-" else (int(added), int(removed))
    return counted


def changes(git: BareRepository, base: str, head: str) -> tuple[FileChange, ...]:
    """What differs between two commits, by path, each with its part of the diff from the first `@@` on."""
    counted = numbers(git, base, head)
    raw = git.run("diff", "--raw", "-z", "-M", "--abbrev=40", base, head).decode(errors="replace")
    fields = iter(raw.split("\0")[:-1])
    found = []
    for row in fields:
        _, _, old_sha, new_sha, status = row.split(" ")
        path = next(fields)
        previous = None
        if status[0] in "RC":
            previous, path = path, next(fields)
        count = counted.get(path)
        patch = None
        if count is not None:
            said = diff_text(git, base, head, *([previous, path] if previous else [path]))
            patch = said[said.index("\n@@") + 1 :].rstrip("\n") if "\n@@" in said else None
        added, removed = count or (0, 0)
        sha = old_sha if status == "D" else new_sha
        found.append(FileChange(path, previous, STATUS_WORDS[status[0]], sha, added, removed, patch))
    return tuple(found)
