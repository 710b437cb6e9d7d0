"""Characters a reader cannot see: which are dropped, and how the others are shown."""

import re
import unicodedata

_DROPPED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2064\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\U000e0100-\U000e01ef]"
)
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_ANSI = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\-_])")
_NOT_PLAIN = re.compile("[^\n\t\x20-\x7e]")
_SHOWN_CATEGORIES = frozenset({"Cc", "Cf", "Co"})


def visible(text: str) -> str:
    """The text without characters a reader cannot see: terminal codes and joiners go, bidi and control are shown.

    Line ends become plain newlines; a lone surrogate becomes U+FFFD.
    """
    if _NOT_PLAIN.search(text) is None:
        return text
    text = _LINE_ENDS.sub("\n", _ANSI.sub("", text))
    return _NOT_PLAIN.sub(lambda found: _shown(found[0]), _DROPPED.sub("", text))


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    return f"\u27e8U+{ord(character):04X}\u27e9" if category in _SHOWN_CATEGORIES else character
