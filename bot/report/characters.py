"""Characters a reader cannot see: which are dropped, and how the others are shown."""

import re
import unicodedata

_DROPPED = frozenset("\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064"
                     "\u3164\ufe0e\ufe0f\ufeff\uffa0")  # fmt: skip
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_ANSI = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\-_])")
_SHOWN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs"})


def visible(text: str) -> str:
    """The text without characters a reader cannot see: terminal codes and joiners go, bidi and control are shown.

    Line ends become plain newlines; a lone surrogate becomes U+FFFD.
    """
    text = _LINE_ENDS.sub("\n", _ANSI.sub("", text))
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character in "\n\t" or "\x20" <= character < "\x7f":
        return character
    if character in _DROPPED or 0xFE00 <= ord(character) <= 0xFE0F or 0xE0100 <= ord(character) <= 0xE01EF:
        return ""
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    return f"\u27e8U+{ord(character):04X}\u27e9" if category in _SHOWN_CATEGORIES else character
