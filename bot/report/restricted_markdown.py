"""Markdown -> the small Markdown we dare to publish, written anew from the parsed tree.

Filtering somebody's Markdown means agreeing with GitHub's parser on every corner of it. Writing it anew needs no such
agreement: what comes out holds only constructs made here, and every other character is escaped.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from bot.report.characters import visible

DRAWN_LANGUAGES = frozenset({"mermaid", "geojson", "topojson", "stl", "math", "suggestion"})  # GitHub runs these
SMALLEST_HEADING = 4  # the model's headings stay below ours

_SPECIAL = re.compile(r"[\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_])")
_BLOCK_START = re.compile(r"(?m)^([ \t]*)(?:([#+=-])|(\d{1,9})([.)])(?=\s|$)|(:)|(/(?=\w)))")
_LIVE = re.compile(
    r"""(?ix)
    (?: (?:[a-z][a-z0-9+.-]{0,20}:)?//[^\s<>`]+ | www\.[^\s<>`]+ | (?:mailto|xmpp):[^\s<>`]+   # addresses
      | [\w.+/-]{0,100}@[\w./@+-]+   # mentions, e-mail, a/b@sha
      | [\w./-]{0,100}\#\d+          # #7, a/b#7
      | (?<![^\W\d_])gh-\d+
    )+""",
)
_STICKS = re.compile(r"[\w@#/.:-]{2}")  # without brackets between them they may be read as one live word
_CLOSING = re.compile(r"(?i)\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)\s*:?\s*$")
_TRAILING = ".,;:!?)'\""
_LANGUAGE = re.compile(r"[A-Za-z0-9+#.-]{1,20}")


def rendered(markdown: str, *, own_issue: int, repository: str, mention: str = "") -> str:
    """`repository` is its address in a browser: only links to files below it stay links.

    `mention` is the one login that stays a mention.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    tree = SyntaxTreeNode(parser.parse(markdown))
    writer = _Writer(own_issue=own_issue, repository=repository.rstrip("/"), mention=mention)
    return writer.blocks(tree.children).strip("\n")


class _Writer:
    def __init__(self, *, own_issue: int, repository: str, mention: str = "") -> None:
        self._own = f"#{own_issue}"
        self._mention = f"@{mention}"
        self._repository = repository

    def blocks(self, nodes: Sequence[SyntaxTreeNode], *, tight: bool = False) -> str:
        between = "\n" if tight else "\n\n"
        return between.join(text for node in nodes if (text := self.block(node)))

    def block(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "heading":
                return f"{'#' * max(int(node.tag[1]), SMALLEST_HEADING)} {_one_line(self.inline(node.children))}"
            case "paragraph":
                return self.inline(node.children)
            case "fence" | "code_block":
                return fenced(node.content, language=node.info)
            case "bullet_list" | "ordered_list":
                return self._list(node)
            case "blockquote":
                return "\n".join(f"> {line}".rstrip() for line in self.blocks(node.children).split("\n"))
            case "hr":
                return "---"
            case "table":
                return self._table(node)
            case _:
                return self.blocks(node.children)

    def _list(self, node: SyntaxTreeNode) -> str:
        number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 0
        tight = all(part.hidden for item in node.children for part in item.children if part.type == "paragraph")
        items = []
        for place, item in enumerate(node.children):
            mark = f"{number + place}. " if node.type == "ordered_list" else "- "
            lines = self.blocks(item.children, tight=tight).split("\n")
            rest = (f"{' ' * len(mark)}{line}" if line else "" for line in lines[1:])
            items.append("\n".join([f"{mark}{lines[0]}", *rest]))
        return ("\n" if tight else "\n\n").join(items)

    def _table(self, node: SyntaxTreeNode) -> str:
        rows = [row for part in node.children for row in part.children]
        lines = [self._row(row) for row in rows]
        lines.insert(1, "|" + " --- |" * len(rows[0].children))
        return "\n".join(lines)

    def _row(self, row: SyntaxTreeNode) -> str:
        cells = (_one_line(self.inline(cell.children)) for cell in row.children)
        return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\|", cell) for cell in cells) + " |"

    def inline(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        out = ""
        for before, node in zip([None, *nodes], nodes, strict=False):
            span = self._span(node, before=out)
            loses_its_brackets = {"link", "image"} & {node.type, before.type if before else ""}
            out = f"{out} {span}" if loses_its_brackets and _STICKS.search(out[-1:] + span[:1]) else _joined(out, span)
        return out

    def _span(self, node: SyntaxTreeNode, *, before: str) -> str:
        match node.type:
            case "inline":
                return self.inline(node.children)
            case "text":
                return self.words(node.content, before=before)
            case "code_inline":
                return code_span(node.content)
            case "softbreak":
                return "\n"
            case "hardbreak":
                return "\\\n"
            case "em" | "strong" | "s":
                return _wrapped(self.inline(node.children), {"em": "*", "strong": "**", "s": "~~"}[node.type])
            case "link":
                return self._link(self.inline(node.children), str(node.attrs.get("href", "")))
            case "image":
                return self._address(self.words(node.content, before=before), str(node.attrs.get("src", "")))
            case _:
                return self.words(node.content, before=before)

    def _link(self, words: str, address: str) -> str:
        if words and "`" not in words and self._is_ours(address):
            return f"[{_one_line(words)}](<{address}>)"
        return self._address(words, address)

    def _address(self, words: str, address: str) -> str:
        shown = code_span(address) if address else ""
        if not words or words == shown or words == _escaped(address):
            return shown
        return f"{words} ({shown})" if shown else words

    def _is_ours(self, address: str) -> bool:
        """A file of our own repository on its own host: such a link notifies nobody and leads nowhere else."""
        if not self._repository or re.search(r"[\s<>\\%@]|\.\.|//.*//", address):
            return False
        rest = address.removeprefix(f"{self._repository}/")
        return rest != address and rest.startswith(("blob/", "tree/")) and urlsplit(address).scheme in {"http", "https"}

    def words(self, text: str, *, before: str) -> str:
        """Plain words, with whatever GitHub would bring to life put into code."""
        text = " ".join(visible(text).split("\n"))  # `&#10;` and `&#x202E;` arrive here decoded
        text = text if before and not before.endswith("\n") else text.lstrip()
        out, end = "", 0
        for live in _LIVE.finditer(text):
            word = live[0].rstrip(_TRAILING)
            if word in ("", "@", self._mention):
                continue
            if word == self._own and not _CLOSING.search(before + text[: live.start()]):
                continue
            out = _joined(out + _escaped(text[end : live.start()]), code_span(word))
            end = live.start() + len(word)
        out += _escaped(text[end:])
        return _at_line_start(out) if not before or before.endswith("\n") else out


def words(text: str) -> str:
    """Any text on one line of Markdown of ours: escaped, and nothing in it live."""
    return _Writer(own_issue=0, repository="").words(text, before=" ").strip()


def fenced(text: str, *, language: str = "") -> str:
    """A code block around any text; lines that start like a command are moved off the line's start by an indent."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    name = language.split(maxsplit=1)[0] if language.strip() else ""
    name = name if _LANGUAGE.fullmatch(name) and name.lower() not in DRAWN_LANGUAGES else ""
    lines = [f"{fence}{name}", *text.rstrip("\n").split("\n"), fence]
    indent = " " if any(line.startswith("/") for line in lines) else ""
    return "\n".join(f"{indent}{line}" for line in lines)


def code_span(text: str) -> str:
    line = " ".join(text.split("\n"))
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda special: f"\\{special[0]}", text)


def _at_line_start(text: str) -> str:
    """What would begin a block (heading, list, rule, table) or a command, escaped."""

    def off_start(match: re.Match[str]) -> str:
        sign, digits, point, colon, slash = match[2], match[3], match[4], match[5], match[6]
        if digits:
            return f"{digits}\\{point}"
        return f"\\{sign or colon or slash}"

    return _BLOCK_START.sub(off_start, text)


def _joined(left: str, right: str) -> str:
    """Two code spans side by side would be read as one."""
    return f"{left} {right}" if left.endswith("`") and right.startswith("`") else left + right


def _wrapped(text: str, mark: str) -> str:
    return f"{mark}{text}{mark}" if text.strip() else text


def _one_line(text: str) -> str:
    return " ".join(text.replace("\\\n", " ").split("\n"))
