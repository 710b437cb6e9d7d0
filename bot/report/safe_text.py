"""Text of a model or a sandbox -> text that may be published on GitHub: readable, and nothing in it is live.

GitHub gives text powers: a mention notifies, `Fixes #7` closes, a URL links back, an image reports its readers, a
trailer credits, `[skip ci]` holds. None of them may be used by a text we did not write (invariant S26).
"""

import re

from bot.report.characters import visible
from bot.report.restricted_markdown import code_span, rendered

MAX_BYTES = 60_000  # GitHub refuses bodies above 65,536 characters; the rest is for our own words
MAX_TITLE = 120  # GitHub takes 256 characters; a longer title is not read
CUT_NOTE = "\n\n*(The rest is cut: it was too long.)*"

_KEYWORD_TRAILER = re.compile(r"(?im)^(?=[ \t]*(?:[\w-]+-by|skip-checks|on-behalf-of)[ \t]*:)")
_BRACKETED_SKIP = re.compile(r"(?i)\[((?:skip|no|ci|actions)[ _-]*(?:ci|skip|actions)?)\]")
_PLAIN_SIGN = re.compile(r"@(?=\w)|#(?=\d)")
_PLAIN_GH = re.compile(r"(?i)\b(gh)-(?=\d)")
_PLAIN_SCHEME = re.compile(r"(?i)\b(?:https?|ftp)://|\bwww\.(?=\w)")
_PLAIN_SLASH = re.compile(r"(?m)^(?=[ \t]*/\w)")
_FULL_WIDTH = {"@": "\uff20", "#": "\uff03"}


def safe(markdown: str, *, own_issue: int, repository: str = "", max_bytes: int = MAX_BYTES) -> str:
    """Markdown of a model as Markdown whose only powers are looks, and a link into our own repository's files.

    Mentions, references (but `#own_issue`), addresses and slash commands become code; HTML is shown; images become
    their words. Code blocks keep their text. Cut at a line end to `max_bytes` of UTF-8, with a note.
    """
    source = visible(markdown)
    room = max_bytes - len(CUT_NOTE.encode())
    whole = True
    if len(source) > max_bytes:
        source, whole = _cut_at_line_end(source, max_bytes), False
    text = rendered(source, own_issue=own_issue, repository=repository)
    while (size := len(text.encode())) > room and source:
        whole = False
        source = _cut_at_line_end(source, min(len(source) * room // size, len(source) - 1))
        text = rendered(source, own_issue=own_issue, repository=repository)
    return text if whole else text + CUT_NOTE


def sentence(text: str, *, asker: str = "") -> str:
    """A sentence of ours that quotes others (a branch, a path, what GitHub answered): one line, our code spans kept.

    Nothing in it is live but `@asker`, the login of who asked.
    """
    return rendered(" ".join(text.split()), own_issue=0, repository="", mention=asker)


def safe_plain(text: str) -> str:
    """Text for places without Markdown, such as commit messages: `@` and `#` of live words become full-width.

    Trailers, `[skip ci]` and slash commands are disarmed as well.
    """
    text = visible(text)
    text = _BRACKETED_SKIP.sub(r"(\1)", text)
    text = _PLAIN_SCHEME.sub("", text)
    text = _PLAIN_GH.sub(r"\1 ", text)
    text = _PLAIN_SIGN.sub(lambda sign: _FULL_WIDTH[sign[0]], text)
    text = _PLAIN_SLASH.sub("> ", text)
    return _KEYWORD_TRAILER.sub("> ", text).strip()


def safe_title(text: str, *, max_characters: int = MAX_TITLE) -> str:
    """One line without powers, cut at a word; never empty."""
    line = " ".join(safe_plain(" ".join(visible(text).split())).split())
    line = line.removeprefix("> ").lstrip("/").rstrip(".") or "Untitled change"
    if len(line) <= max_characters:
        return line
    head = line[: max_characters - 1]
    return (head.rsplit(" ", 1)[0] if " " in head[max_characters // 2 :] else head).rstrip(" .,;:") + "\u2026"


def code(text: str, *, max_characters: int = 80) -> str:
    """Text of a model as inline code in a sentence of ours: one line, cut in the middle."""
    line = " ".join(visible(text).split()) or "(empty)"
    if len(line) > max_characters:
        half = (max_characters - 1) // 2
        line = f"{line[:half]}\u2026{line[-half:]}"
    return code_span(line)


def _cut_at_line_end(text: str, length: int) -> str:
    head = text[:length]
    line_end = head.rfind("\n")
    return head[:line_end] if line_end > length // 2 else head
