"""Which paths a glob pattern means: `**` crosses folders, `*` and `?` do not, `{a,b}` is either."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

LONGEST_PATTERN = 400  # characters
MOST_ALTERNATIVES = 64


class BadPattern(ValueError):
    """A pattern that is too long or opens too many alternatives; the words are for the model."""


def matching(pattern: str, paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that match, in their order. A pattern without a slash matches file names at any depth.

    Work is bounded by pattern length times path length whatever the pattern. Raises BadPattern.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise BadPattern(f"pattern is longer than {LONGEST_PATTERN} characters.")
    wanted = [_segments(one) for one in alternatives(pattern)]
    return tuple(path for path in paths if any(_matches(parts, tuple(path.split("/"))) for parts in wanted))


def alternatives(pattern: str) -> list[str]:
    """`{a,b}` written out, nested braces too. Raises BadPattern past 64 of them."""
    waiting, done = [pattern], []
    while waiting:
        one = waiting.pop()
        brace = re.search(r"\{([^{}]*,[^{}]*)\}", one)
        if brace is None:
            done.append(one)
        else:
            waiting += [one[: brace.start()] + choice + one[brace.end() :] for choice in brace[1].split(",")]
        if len(waiting) + len(done) > MOST_ALTERNATIVES:
            raise BadPattern(f"pattern has more than {MOST_ALTERNATIVES} alternatives in braces.")
    return done


def _segments(pattern: str) -> tuple[str, ...]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if len(parts) == 1 and "/" not in pattern:
        parts.insert(0, "**")
    return tuple(part for i, part in enumerate(parts) if part != "**" or i == 0 or parts[i - 1] != "**")


def _matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    reached = {0}  # how many leading path segments the pattern so far can stand for
    for part in pattern:
        if part == "**":
            reached = set(range(min(reached), len(path) + 1))
        else:
            reached = {n + 1 for n in reached if n < len(path) and fnmatchcase(path[n], part)}
        if not reached:
            return False
    return len(path) in reached
