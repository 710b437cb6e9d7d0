"""Markdown as a reader sees it: the text that shows when it is rendered, and what was hidden in it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.intake.footnotes import FOOTNOTE, without_unused_footnotes
from bot.intake.invisible import visible_characters
from bot.intake.raw_html import RawHtml

LINK_TITLE = "link title"
LINK_ADDRESS = "unusual link address"
LINK_DEFINITION = "link definition"
EMPTY_LINK = "link without text"
DESCRIPTION = "image description"
CODE_INFO = "code block annotation"
CUT = "part beyond 262,144 characters"

LONGEST = 262_144  # characters; GitHub keeps 65,536 in a body

_ADDRESS = re.compile(r"(?:https?://|mailto:)?[A-Za-z0-9._~/#@+,=-]{1,200}(?::[0-9]+[A-Za-z0-9._~/#@+,=-]{0,200})?")
_LANGUAGE = re.compile(r"^[A-Za-z0-9_+.#-]{1,30}(?=\s|$)")
# A language and the path of the file the block holds, as recipes name it: no room for a sentence.
_CODE_NAME = re.compile(r"[A-Za-z0-9_+.#-]{1,30}( [A-Za-z0-9._][A-Za-z0-9._/-]{0,98}\.[A-Za-z0-9]{1,10})?")


@dataclass(frozen=True, slots=True)
class Visible:
    """`text` is plain text with Markdown's own signs where a reader sees structure (headings, lists, quotes, code).

    `hidden` names the kinds of what was left out with their number, such as "2 HTML comments". It repeats nothing of
    the content, so it can be shown to anybody.
    """

    text: str
    hidden: tuple[str, ...]


def project(markdown: str) -> Visible:
    """Keep what shows on the page GitHub makes of `markdown`.

    Code keeps every character that can be seen; emphasis keeps its signs, because GitHub takes the underscores of
    `__init__.py` for it; a link keeps its address when that is an ordinary one; an image becomes
    "[image]". Left out and named: comments, declarations, attributes, hidden elements, titles, descriptions, unused
    definitions and footnotes, invisible characters. Raises nothing, whatever the text.
    """
    hidden: list[str] = []
    markdown = markdown.replace("\r\n", "\n").replace("\r", "\n")
    if len(markdown) > LONGEST:
        markdown, hidden = markdown[:LONGEST], [CUT]
    parser = _GitHubMarkdown()
    markdown, footnotes = without_unused_footnotes(markdown, parser)
    hidden += [FOOTNOTE] * footnotes
    environment: dict[str, Any] = {}
    page = _Page(hidden)
    page.blocks(parser.parse(markdown, environment))
    page.definitions(environment)
    text, characters = visible_characters("\n".join(page.lines))
    return Visible(text.strip("\n"), _summary([*hidden, *characters]))


class _GitHubMarkdown(MarkdownIt):
    """GitHub's Markdown, footnotes aside."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": True})
        self.enable(["table", "strikethrough"])

    def validateLink(self, url: str) -> bool:
        """Any address makes a link: GitHub drops the odd address itself and shows the link's text."""
        return True


def _summary(hidden: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(hidden)
    return tuple(f"{count:,} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items())


@dataclass(slots=True)
class _Page:
    """The rendered page, line by line. `prefixes` are the quote and list marks the next line stands behind."""

    hidden: list[str]
    lines: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    html: RawHtml = field(init=False)
    addresses: set[str] = field(default_factory=set)
    _numbers: list[int | None] = field(default_factory=list)
    _cells: list[str] = field(default_factory=list)
    _last: tuple[str, ...] = ()
    _apart: bool = False

    def __post_init__(self) -> None:
        self.html = RawHtml(self.hidden)

    def blocks(self, tokens: Sequence[Token]) -> None:
        mark, tight = "", False
        for token in tokens:
            match token.type:
                case "inline":
                    self._text_block(f"{mark}{self.inline(token.children or ())}", tight=tight)
                    mark = ""
                case "paragraph_open":
                    tight = token.hidden
                case "heading_open":
                    mark, tight = "#" * int(token.tag[1:]) + " ", False
                case "fence" | "code_block" if self.html.is_showing:
                    self._code(token)
                case "html_block":
                    self._html_block(token.content)
                case "hr":
                    self._text_block("---", tight=False)
                case _ if token.type.startswith("t"):
                    self._table(token.type)
                case _:
                    self._container(token)

    def _container(self, token: Token) -> None:
        match token.type:
            case "blockquote_open":
                self._apart = True
                self.prefixes.append("> ")
            case "bullet_list_open":
                self._apart |= not self._numbers
                self._numbers.append(None)
            case "ordered_list_open":
                self._apart |= not self._numbers
                self._numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._numbers.pop()
                self._apart |= not self._numbers
            case "list_item_open":
                number = self._numbers[-1]
                self.prefixes.append("- " if number is None else f"{number}. ")
                self._numbers[-1] = None if number is None else number + 1
            case "blockquote_close" | "list_item_close":
                self._apart |= token.type == "blockquote_close"
                self.prefixes.pop()

    def _table(self, kind: str) -> None:
        if kind == "tr_open":
            self._cells = []
        elif kind == "tr_close":
            self._emit([" | ".join(self._cells)], tight=True)
        elif kind == "thead_close":
            self._emit([" | ".join("---" for _ in self._cells)], tight=True)
            self._cells = []
        elif kind in ("th_open", "td_open"):
            self._cells.append("")
        elif kind == "table_open":
            self._emit([], tight=False)
        elif kind == "table_close":
            self._cells = []

    def _text_block(self, text: str, *, tight: bool) -> None:
        if self._cells:
            self._cells[-1] = " ".join(text.split())
        elif text.strip():
            self._emit([line.strip() for line in text.split("\n")], tight=tight)

    def _html_block(self, raw: str) -> None:
        text = "".join(self.html.shown(raw))
        lines = [line.rstrip() for line in text.split("\n") if line.strip()]
        if lines:
            self._emit(lines, tight=False)

    def _code(self, token: Token) -> None:
        content, characters = visible_characters(token.content.removesuffix("\n"))
        self.hidden += characters
        marks = token.markup or "```"
        while marks in content:
            marks += marks[0]
        shown = token.info.strip()
        if shown and not _CODE_NAME.fullmatch(shown):
            self.hidden.append(CODE_INFO)
            shown = next(iter(re.findall(_LANGUAGE, shown)), "")
        self._emit([f"{marks}{shown}", *content.split("\n"), marks], tight=False)

    def _emit(self, lines: Sequence[str], *, tight: bool) -> None:
        """Write a block. A list item's mark stands before its first line only."""
        if self.lines and (self._apart or not tight):
            shared = takewhile(lambda pair: pair[0] == pair[1], zip(self._last, self.prefixes, strict=False))
            self.lines.append("".join(prefix for prefix, _ in shared).rstrip())
        self._apart = False
        for line in lines:
            self.lines.append("".join(self.prefixes) + line)
            self.prefixes = [p if p == "> " else " " * len(p) for p in self.prefixes]
        self._last = tuple(self.prefixes)

    def inline(self, tokens: Sequence[Token]) -> str:
        pieces: list[str] = []
        links: list[tuple[int, Token]] = []
        for token in tokens:
            match token.type:
                case "link_open":
                    links.append((len(pieces), token))
                case "link_close":
                    start, opened = links.pop()
                    pieces[start:] = [self._link("".join(pieces[start:]), opened)]
                case "html_inline":
                    pieces += self.html.shown(token.content)
                case _ if self.html.is_showing:
                    pieces.append(self._piece(token))
        return "".join(pieces)

    def _piece(self, token: Token) -> str:
        match token.type:
            case "text":
                return token.content
            case "softbreak" | "hardbreak":
                return "\n"
            case "code_inline":
                marks = "`"
                while marks in token.content:
                    marks += "`"
                pad = " " if token.content.startswith("`") or token.content.endswith("`") else ""
                return f"{marks}{pad}{token.content}{pad}{marks}"
            case "s_open" | "s_close" | "em_open" | "em_close" | "strong_open" | "strong_close":
                return token.markup
            case "image":
                return self._image(token)
        return ""

    def _image(self, token: Token) -> str:
        if token.content.strip() not in ("", "image"):
            self.hidden.append(DESCRIPTION)
        self._note_link(token, str(token.attrs.get("src", "")))
        return "[image]"

    def _link(self, text: str, opened: Token) -> str:
        address = str(opened.attrs.get("href", ""))
        self._note_link(opened, address)
        if not text.strip():
            self.hidden.append(EMPTY_LINK)
            return ""
        if opened.markup == "autolink" or text == address or not _ADDRESS.fullmatch(address):
            return text
        return f"[{text}]({address})"

    def _note_link(self, token: Token, address: str) -> None:
        self.addresses.add(address)
        if token.attrs.get("title"):
            self.hidden.append(LINK_TITLE)
        if token.markup != "autolink" and address and not _ADDRESS.fullmatch(address):
            self.hidden.append(LINK_ADDRESS)

    def definitions(self, environment: dict[str, Any]) -> None:
        """Reference definitions show nowhere; one that a link uses has been shown there."""
        known = [*environment.get("references", {}).values(), *environment.get("duplicate_refs", ())]
        self.hidden += [LINK_DEFINITION for d in known if d["title"] or d["href"] not in self.addresses]
