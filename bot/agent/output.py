"""What the model gets to see of an output: cleaned, bounded, and saying what was left out."""

import re
import unicodedata
from dataclasses import dataclass

from bot.agent.edit import decoded, only_crlf
from bot.ports import ExecResult

LINE_CHARACTERS = 2000
WHOLE_CHARACTERS = 12_000  # of 71 failing test logs nine in ten are shorter
HEAD_CHARACTERS = 3000
TAIL_CHARACTERS = 9000  # failures stand at the end
READ_LINES = 2000
READ_CHARACTERS = 48_000
LIST_CHARACTERS = 16_000
MATCHES = 200
PATHS = 200
DIFF_CHARACTERS = 40_000
TITLE_CHARACTERS = 120
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\n"

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours and cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles and links
    r"|\x1b[PX^_][^\x1b]*\x1b\\"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_INVISIBLE = re.compile("[\u00ad\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2028\u2029\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_READABLE_CONTROLS = "\t\n\r"


def cleaned(raw: bytes) -> str:
    """Terminal output as plain lines: no escape sequences, the last state of a progress line, no NUL."""
    text = _ANSI.sub("", raw.decode("utf-8", "replace")).replace("\r\n", "\n")
    lines = (_last_state(line) for line in text.split("\n"))
    return "\n".join(cut_line(_CONTROL.sub("\ufffd", line)) for line in lines)


def _last_state(line: str) -> str:
    states = [state for state in line.split("\r") if state]
    return states[-1] if states else ""


def cut_line(line: str) -> str:
    if len(line) <= LINE_CHARACTERS:
        return line
    return f"{line[:LINE_CHARACTERS]} [... {len(line) - LINE_CHARACTERS} characters of this line left out]"


def how_it_ended(result: ExecResult) -> str:
    """The first line of a command's result, such as "exit 1, 4.2 s"."""
    if result.timed_out or result.exit_code is None:
        return f"timed out after {result.seconds:.1f} s"
    return f"exit {result.exit_code}, {result.seconds:.1f} s"


def too_long(text: str) -> bool:
    return len(text) > WHOLE_CHARACTERS


def head_and_tail(text: str, kept_at: str | None) -> str:
    """Long text as its beginning and its end; `kept_at` is where the model finds all of it."""
    if not too_long(text):
        return text
    head, middle, tail = text[:HEAD_CHARACTERS], text[HEAD_CHARACTERS:-TAIL_CHARACTERS], text[-TAIL_CHARACTERS:]
    where = f"; full output: {kept_at} in the sandbox; grep or sed it" if kept_at else ""
    left_out = f"{_spaced(len(middle))} characters, {_spaced(middle.count(chr(10)))} lines left out"
    return f"{head}\n[... {left_out}{where} ...]\n{tail}"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def visible(text: str) -> str:
    """Characters a reader would not see, written as `\\u{200B}`; line ends and tabs stay."""
    return (
        "".join(_marked(c) if _is_hidden(c) else c for c in text)
        if not text.isascii() or _CONTROL.search(text)
        else text
    )


def _is_hidden(character: str) -> bool:
    if character in _READABLE_CONTROLS:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Cs") or bool(_INVISIBLE.match(character))


def _marked(character: str) -> str:
    return f"\\u{{{ord(character):04X}}}"


def one_line(text: str, limit: int = TITLE_CHARACTERS) -> str:
    """A title for people from text that came from a model."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines that were kept within a number of lines and characters; `left_out` counts the rest."""

    text: str
    left_out: int


def listing(lines: list[str], *, most: int, characters: int = LIST_CHARACTERS) -> Listing:
    kept: list[str] = []
    room = characters
    for line in lines[:most]:
        shown = visible(cut_line(line))
        room -= len(shown) + 1
        if room < 0:
            break
        kept.append(shown)
    return Listing("\n".join(kept), len(lines) - len(kept))


def numbered(content: bytes, first: int | None = None, last: int | None = None) -> str:
    """A file as the `read` tool shows it: number, tab, line; `first` and `last` are 1-based, -1 is the end."""
    text, encoding = decoded(content)
    notes = _file_notes(text, encoding)
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[-1] == "":
        lines.pop()
    begin = max(1, first or 1)
    end = len(lines) if last is None or last == -1 else min(last, len(lines))
    if begin > len(lines):
        return f"[the file has {len(lines)} lines]" if lines else "[the file is empty]"
    wanted = [f"{begin + i}\t{line.removesuffix(chr(13))}" for i, line in enumerate(lines[begin - 1 : end])]
    shown = listing(wanted, most=READ_LINES, characters=READ_CHARACTERS)
    if shown.left_out:
        stopped = end - shown.left_out
        notes.append(f"[lines {stopped + 1} to {end} left out; read them with view_range [{stopped + 1}, {end}]]")
    elif end < len(lines) and last is None:
        notes.append(f"[the file has {len(lines)} lines]")
    return "\n".join([shown.text, *notes])


def is_pointer(text: str) -> bool:
    """Git LFS keeps the content elsewhere, and this in its place."""
    return text.startswith(LFS_POINTER)


def _file_notes(text: str, encoding: str) -> list[str]:
    notes = []
    if is_pointer(text):
        notes.append("[a Git LFS pointer: the file's content is not here; leave it as it is]")
    if encoding != "utf-8":
        notes.append("[not UTF-8: shown as Latin-1; edit it with ASCII strings only]")
    if text.startswith("\ufeff"):
        notes.append("[the file begins with a byte order mark; edit keeps it]")
    if "\r\n" in text:
        notes.append(
            "[lines end in CRLF; edit keeps that]" if only_crlf(text) else "[the file mixes CRLF and LF line ends]"
        )
    return notes


def shown_diff(diff: str) -> str:
    """A diff for the model: whole up to 40 kB, else its beginning."""
    if len(diff) <= DIFF_CHARACTERS:
        return visible(diff)
    left = _spaced(len(diff) - DIFF_CHARACTERS)
    return f"{visible(diff[:DIFF_CHARACTERS])}\n[... {left} characters of the diff left out; use read for the rest]"


def last_lines(text: str, characters: int = 2000) -> str:
    """The end of an output, from the beginning of a line."""
    text = text.rstrip("\n")
    if len(text) <= characters:
        return text
    cut = text[-characters:]
    return cut.split("\n", 1)[-1] if "\n" in cut else cut
