"""Exact replacement of text in a file's bytes: the decision behind the `edit` tool.

Models, patches and people copy text; a file's line ends, byte order mark, missing last newline and encoding are kept.
"""

import difflib
import re
from collections import Counter
from dataclasses import dataclass

PLACES = 20  # line numbers shown for an ambiguous edit
REGION_LINES = 10  # lines of the closest region shown when nothing matched
SEARCHED_CHARACTERS = 2_000_000  # of a file without a match; the search stops everything else for its time
BINARY_PROBE_BYTES = 8000  # git looks for NUL in as many bytes
_COMPARED = 20  # best candidates by shared words that are compared in full
_COMPARED_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Edited:
    """`count` replacements were made; the first one begins at `line` (1-based)."""

    content: bytes
    count: int
    line: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed. `problem` names one cause and one remedy, for the model."""

    problem: str


def is_binary(content: bytes) -> bool:
    return b"\0" in content[:BINARY_PROBE_BYTES]


def decoded(content: bytes) -> tuple[str, str]:
    """A file as text with the name of its encoding: UTF-8, or Latin-1, which maps every byte to itself."""
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def only_crlf(text: str) -> bool:
    """Every line of the file ends in CRLF, so a plain newline in an edit means CRLF too."""
    return "\r\n" in text and text.count("\n") == text.count("\r\n")


def with_crlf(text: str) -> str:
    return re.sub(r"(?<!\r)\n", "\r\n", text)


def edit(content: bytes, old: str, new: str, *, replace_all: bool = False) -> Edited | Refused:
    """Replace `old`, which must occur once (or, with `replace_all`, at least once), by `new`.

    In a file whose lines all end in CRLF a plain newline in `old` and `new` stands for CRLF. A file that is not UTF-8
    is edited byte for byte, with ASCII strings only.
    """
    if is_binary(content):
        return Refused("this is a binary file (it holds NUL bytes); edit works on text only.")
    if not old:
        return Refused("old_string is empty; quote the text to replace, or use write for a new file.")
    text, encoding = decoded(content)
    if encoding != "utf-8" and not (old.isascii() and new.isascii()):
        return Refused("the file is not UTF-8, so old_string and new_string may hold ASCII characters only.")
    if only_crlf(text):
        old, new = with_crlf(old), with_crlf(new)
    if old == new:
        return Refused("old_string and new_string are the same; nothing would change.")
    return _replaced(text, old, new, replace_all=replace_all, encoding=encoding)


def _replaced(text: str, old: str, new: str, *, replace_all: bool, encoding: str) -> Edited | Refused:
    count = text.count(old)
    if count == 0:
        return Refused(_not_found(text, old))
    lines = line_numbers(text, old)
    if len(lines) > 1 and not replace_all:
        shown = ", ".join(map(str, lines[:PLACES])) + (" and more" if len(lines) > PLACES else "")
        return Refused(
            f"old_string occurs {max(count, len(lines))} times (lines {shown}); add surrounding lines "
            "until it is unique, or set replace_all."
        )
    return Edited(text.replace(old, new).encode(encoding), count, lines[0])


def line_numbers(text: str, part: str) -> tuple[int, ...]:
    """Where `part` begins, up to one place more than is shown.

    Overlapping occurrences count: two that overlap are two places an edit could mean.
    """
    numbers: list[int] = []
    line, last = 1, 0
    start = text.find(part)
    while start != -1 and len(numbers) <= PLACES:
        line += text.count("\n", last, start)
        numbers.append(line)
        last = start
        start = text.find(part, start + 1)
    return tuple(numbers)


def _not_found(text: str, old: str) -> str:
    region = closest(text, old)
    hint = _hint(text, old)
    shown = f" The closest text is:\n{region}" if region else ""
    return f"old_string was not found{hint}; copy it from the file exactly.{shown}"


def _hint(text: str, old: str) -> str:
    if old.replace("\r\n", "\n") in text.replace("\r\n", "\n"):
        return " (only the line ends differ: the file mixes CRLF and LF)"
    squeezed = "".join(old.split())
    if squeezed and squeezed in "".join(text.split()):
        return " (only whitespace differs: look at indentation, tabs and blank lines)"
    return ""


def closest(text: str, old: str) -> str:
    """The lines of `text` most like `old`, numbered, at most ten; nothing when nothing is alike or `text` is huge."""
    lines, wanted = text.split("\n"), old.strip("\n").split("\n")[:REGION_LINES]
    words = Counter(_words("\n".join(wanted)))
    if not words or len(text) > SEARCHED_CHARACTERS:
        return ""
    scores = [sum(min(n, words[w]) for w, n in Counter(_words(line[:500])).items() if w in words) for line in lines]
    size = len(wanted)
    window = sum(scores[:size])
    ranked = [(window, 0)]
    for start in range(1, max(1, len(lines) - size + 1)):
        window += scores[start + size - 1] - scores[start - 1]
        ranked.append((window, start))
    best = sorted((rank for rank in ranked if rank[0]), key=lambda rank: (-rank[0], rank[1]))[:_COMPARED]
    if not best:
        return ""
    start = max(best, key=lambda rank: _likeness(lines[rank[1] : rank[1] + size], wanted))[1]
    return "\n".join(f"{start + i + 1}\t{line[:300]}" for i, line in enumerate(lines[start : start + size]))


def _likeness(lines: list[str], wanted: list[str]) -> float:
    one, other = "\n".join(lines)[:_COMPARED_CHARACTERS], "\n".join(wanted)[:_COMPARED_CHARACTERS]
    return difflib.SequenceMatcher(None, one, other, autojunk=True).ratio()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)
