"""Paths as an attacker spells them: what a name becomes on other file systems, and how to show it safely."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

# Code points that HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char).
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# Drawn as nothing though they are letters or marks; U+FE0F, which emoji names hold, is let through.
_DRAWN_AS_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0e\U000e0100-\U000e01ef]"
)
_UNSEEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_DOT_GIT = re.compile(r"\.git|git~[0-9]+")
_DOT_GITMODULES = re.compile(r"\.gitmodules|gitmod~[0-9]+|gi7eb[0-9a-f]?~[0-9]+")
_SHOWN_LENGTH = 160


def plain(component: str) -> str:
    """A path component as the most forgiving file system reads it: for comparison with forbidden names only."""
    folded = unicodedata.normalize("NFKC", _HFS_IGNORED.sub("", component)).casefold()
    return folded.split(":", 1)[0].rstrip(". ")


def plain_components(path: str) -> tuple[str, ...]:
    """`plain` for each component; a backslash separates components too, as it does on Windows."""
    return tuple(plain(part) for part in path.replace("\\", "/").split("/"))


def is_dot_git(component: str) -> bool:
    """True for `.git` in any disguise; takes a `plain` component."""
    return _DOT_GIT.fullmatch(component) is not None


def is_dot_gitmodules(component: str) -> bool:
    """True for `.gitmodules` in any disguise; takes a `plain` component."""
    return _DOT_GITMODULES.fullmatch(component) is not None


def unseen(text: str) -> str:
    """The first character a reader cannot see (control, bidirectional, zero-width, tag), or nothing."""
    for letter in text:
        if unicodedata.category(letter) in _UNSEEN_CATEGORIES or _DRAWN_AS_NOTHING.match(letter):
            return letter
    return ""


def is_utf8(path: str) -> bool:
    """False for a name whose bytes are not UTF-8, which is held as lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def visible(path: str) -> str:
    """A path on one line, cut, in which every odd character is written out."""
    text = "".join(_written_out(letter) for letter in path[:_SHOWN_LENGTH])
    return f"{text}…" if len(path) > _SHOWN_LENGTH else text


def shown(path: str) -> str:
    """`visible` as Markdown code."""
    return f"`{visible(path)}`"


def collisions(added: Iterable[str], others: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names, one of them added, that are one name where case or Unicode form do not count.

    Folders count: `Docs/a` meets `docs/b`. `others` are all the paths that stay.
    """
    staying = _with_folders(others)
    spellings = {_folded(name): name for name in staying}
    for name in sorted(_with_folders(added) - staying):
        other = spellings.setdefault(_folded(name), name)
        if other != name:
            yield name, other


def _with_folders(paths: Iterable[str]) -> set[str]:
    names: set[str] = set()
    for path in paths:
        while path and path not in names:
            names.add(path)
            path = path.rpartition("/")[0]
    return names


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())


def _written_out(letter: str) -> str:
    if letter == "`" or not letter.isprintable() or unseen(letter):
        code = ord(letter)
        if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
            code -= 0xDC00
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return letter
