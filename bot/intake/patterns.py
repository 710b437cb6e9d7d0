"""Which paths the patterns of a repository name, as .gitignore writes them.

They are matched by RE2: whoever writes a pattern, such as `*a*a*a*a*b`, cannot make it slow.
"""

import re
from collections.abc import Iterable

from pathspec import GitIgnoreSpec
from re2 import error as NotToBeMatched


class Patterns:
    """Raises ValueError for a pattern that git would not take, and for more than can be matched at once."""

    def __init__(self, lines: Iterable[str]) -> None:
        try:
            self._spec = GitIgnoreSpec.from_lines(map(_in_letters, lines), backend="re2")
        except (re.error, NotToBeMatched):
            raise ValueError("it should hold patterns as .gitignore has them, and not too many") from None

    def among(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Those of the paths that are named, in their order."""
        return tuple(path for path in paths if self._spec.match_file(_in_letters(path)))


def _in_letters(name: str) -> str:
    """Bytes that are no UTF-8 become U+FFFD: RE2 takes letters only."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
