"""Footnotes that nothing refers to: GitHub does not show them, so they are taken out of the Markdown."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

FOOTNOTE = "unused footnote"

_DEFINITION = re.compile(r"(?P<before>(?:[ \t]{0,3}(?:>|[-*+]|[0-9]{1,9}[.)])?)*)\[\^(?P<label>[^\]\s\[]+)\]:")
_USE = re.compile(r"\[\^([^\]\s\[]+)\](?!:)")
_ENDS_LAZY_TEXT = re.compile(r"[ \t>]*(?:$|#|```|~~~)")


def without_unused_footnotes(markdown: str, parser: MarkdownIt) -> tuple[str, int]:
    """The text without unused definitions, and how many there were. What only another footnote refers to is unused.

    A remaining definition is escaped, so that Markdown without footnotes shows it as the text it is and does not take
    `[^1]: word` for the address of a link.
    """
    if "[^" not in markdown:
        return markdown, 0
    lines = markdown.split("\n")
    code = _code_lines(parser.parse(markdown))
    definitions = {
        at: match["label"].lower()
        for at, line in enumerate(lines)
        if at not in code and (match := _DEFINITION.match(line))
    }
    extents = {at: _extent(lines, at, definitions.keys() | code) for at in definitions}
    every = {line for extent in extents.values() for line in extent}
    used = _used_labels(parser.parse("\n".join(line for at, line in enumerate(lines) if at not in every)))
    unused = [at for at, label in definitions.items() if label not in used]
    gone = {line for at in unused for line in extents[at]}
    kept = [
        line.replace("]:", "]\\:", 1) if at in definitions else line for at, line in enumerate(lines) if at not in gone
    ]
    return "\n".join(kept), len(unused)


def _code_lines(tokens: Sequence[Token]) -> set[int]:
    blocks = (token.map for token in tokens if token.type in ("fence", "code_block", "html_block") and token.map)
    return {line for first, end in blocks for line in range(first, end)}


def _used_labels(tokens: Sequence[Token]) -> set[str]:
    texts = (child.content for token in tokens for child in token.children or () if child.type == "text")
    return {label.lower() for text in texts for label in _USE.findall(text)}


def _extent(lines: Sequence[str], first: int, others: set[int]) -> list[int]:
    """The lines of one definition: its own, lazy ones below, and after blank lines those that are indented."""
    extent, blank = [first], list[int]()
    for at in range(first + 1, len(lines)):
        line = lines[at]
        if not line.strip():
            blank.append(at)
        elif line.startswith(("    ", "\t")) or (not blank and at not in others and not _ENDS_LAZY_TEXT.match(line)):
            extent += [*blank, at]
            blank = []
        else:
            break
    return extent
