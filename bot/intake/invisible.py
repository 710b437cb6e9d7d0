"""Characters nobody sees: which ones go, and which honest writing needs."""

import re
import unicodedata
from collections.abc import Iterator

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0\U0001d159")
# Format characters with a shape of their own (Arabic number signs and their like): Unicode calls them "prepended
# concatenation marks".
_SHOWN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_JOINERS = frozenset("\u200c\u200d")
_SELECTOR = re.compile("[\ufe00-\ufe0f\u180b-\u180d\u180f\U000e0100-\U000e01ef]")
_SUSPECT = re.compile(r"[^\t\n\x20-\x7e\u00a0-\u00ac\u00ae-\u02ff\u0370-\u05ff\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7a3]")

TAGS = "tag character"
SELECTORS = "variation selector"
BIDI = "text direction control"
ZERO_WIDTH = "zero-width character"
CONTROLS = "control character"
FILLERS = "blank filler character"


def visible_characters(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without invisible characters, and for each one removed what it was (one of the names above).

    Kept, because people write with them: a variation selector after a character that is not ASCII (emoji, CJK), unless
    another one follows; a zero-width joiner between two emoji or two letters that are not Latin. Everything else that
    leaves no mark on the page goes: format characters, tags U+E0000-E0FFF, fillers, control characters but tab and
    line feed. A carriage return before a line feed is part of the line's end and goes unmentioned.
    """
    text = text.replace("\r\n", "\n")
    if not _SUSPECT.search(text):
        return text, ()
    kept: list[str] = []
    removed: list[str] = []
    for at, character in enumerate(text):
        kind = _kind(character) if _SUSPECT.match(character) else ""
        if not kind or _is_needed(text, at, kind):
            kept.append(character)
        else:
            removed.append(kind)
    return "".join(kept), tuple(removed)


def _kind(character: str) -> str:
    """What an invisible character is, or "" for one that shows."""
    code = ord(character)
    if _SELECTOR.match(character):
        return SELECTORS
    if 0xE0000 <= code <= 0xE0FFF:
        return TAGS
    if character in _FILLERS or 0xFFF0 <= code <= 0xFFF8:
        return FILLERS
    match unicodedata.category(character):
        case "Cf" if character not in _SHOWN_FORMATS:
            is_bidi = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x206F or code in (0x200E, 0x200F, 0x061C)
            return BIDI if is_bidi else ZERO_WIDTH
        case "Cc" | "Cs" | "Zl" | "Zp":
            return CONTROLS
    return ""


def _is_needed(text: str, at: int, kind: str) -> bool:
    before = text[at - 1] if at else " "
    after = text[at + 1] if at + 1 < len(text) else " "
    if kind == SELECTORS:
        return _can_carry(before) and not _SELECTOR.match(after)
    if text[at] in _JOINERS:
        base = next(iter(_without_selectors(text, at)), " ")
        return (_is_emoji(base) and _is_emoji(after)) or (_is_far_letter(base) and _is_far_letter(after))
    return False


def _without_selectors(text: str, at: int) -> Iterator[str]:
    """The characters before `at`, nearest first, as far as one selector or skin tone has to be stepped over."""
    for character in reversed(text[max(0, at - 3) : at]):
        if not _SELECTOR.match(character) and not 0x1F3FB <= ord(character) <= 0x1F3FF:
            yield character


def _can_carry(character: str) -> bool:
    """Keycap emoji put a selector after a digit, # or *; all others follow a symbol or letter beyond Latin."""
    return character in "#*0123456789" or (ord(character) > 0x00A8 and not _kind(character))


def _is_emoji(character: str) -> bool:
    return unicodedata.category(character) in ("So", "Sk") and ord(character) > 0x2000


def _is_far_letter(character: str) -> bool:
    return ord(character) > 0x02FF and unicodedata.category(character)[0] in "LM" and not _kind(character)
