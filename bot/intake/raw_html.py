"""Raw HTML inside Markdown: the text of it that shows, and what does not."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

COMMENT = "HTML comment"
CDATA = "CDATA section"
INSTRUCTION = "processing instruction"
DECLARATION = "HTML declaration"
ATTRIBUTE = "HTML attribute"
ELEMENT = "hidden HTML element"
UNKNOWN = "unknown HTML tag"  # as in List<String> outside code: GitHub shows nothing of it

_MARKUP = re.compile(
    r"(?P<comment><!-->|<!--->|<!--.*?(?:-->|\Z))"
    r"|(?P<cdata><!\[CDATA\[.*?(?:\]\]>|\Z))"
    r"|(?P<instruction><\?.*?(?:\?>|\Z))"
    r"|(?P<declaration><![A-Za-z][^>]*(?:>|\Z))"
    r"|<(?P<slash>/?)(?P<name>[A-Za-z][A-Za-z0-9-]*)(?P<attributes>(?:[^<>\"']|\"[^\"]*\"|'[^']*'){0,4000})(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"([^\s\"'<>/=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'=<>`]+)))?")
_HIDING_STYLE = re.compile(
    r"display|visibility|opacity|font|color|position|clip|overflow|height|width|indent|transform|margin|z-index"
)
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
_NOT_SHOWN = frozenset(
    [
        "applet",
        "audio",
        "canvas",
        "datalist",
        "head",
        "iframe",
        "math",
        "noembed",
        "noframes",
        "noscript",
        "object",
        "plaintext",
        "script",
        "select",
        "style",
        "svg",
        "template",
        "textarea",
        "title",
        "video",
        "xmp",
    ]
)
_BREAKS_LINE = frozenset(
    [
        "br",
        "p",
        "div",
        "li",
        "tr",
        "summary",
        "details",
        "pre",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "table",
        "ul",
        "ol",
        "blockquote",
        "hr",
    ]
)
_KNOWN = (
    _VOID
    | _NOT_SHOWN
    | _BREAKS_LINE
    | frozenset(
        [
            *(
                "a",
                "abbr",
                "b",
                "bdi",
                "bdo",
                "big",
                "center",
                "caption",
                "cite",
                "code",
                "dd",
                "del",
                "dfn",
                "dl",
                "dt",
            ),
            *("em", "figcaption", "figure", "font", "footer", "g-emoji", "header", "i", "ins", "kbd", "label", "main"),
            *("mark", "nav", "picture", "q", "rp", "rt", "ruby", "s", "samp", "section", "small", "span", "strike"),
            *("strong", "sub", "sup", "tbody", "td", "tfoot", "th", "thead", "time", "tt", "u", "var", "article"),
        ]
    )
)
# Attributes that hold no prose: addresses, sizes, names. All others could.
_PLAIN_ATTRIBUTES = frozenset(
    [
        "align",
        "border",
        "class",
        "colspan",
        "dir",
        "height",
        "href",
        "id",
        "lang",
        "name",
        "open",
        "rel",
        "rowspan",
        "src",
        "srcset",
        "start",
        "target",
        "type",
        "valign",
        "width",
        "media",
        "loading",
        "hidden",
        "style",
    ]
)
_KINDS = {"comment": COMMENT, "cdata": CDATA, "instruction": INSTRUCTION, "declaration": DECLARATION}


@dataclass(slots=True)
class RawHtml:
    """Where in the raw HTML of one document we are: an element that hides its content may end many blocks later.

    `hidden` collects what was found that does not show, one entry each.
    """

    hidden: list[str]
    _inside: list[str] = field(default_factory=list)

    @property
    def is_showing(self) -> bool:
        return not self._inside

    def shown(self, raw: str) -> Iterator[str]:
        """The pieces of text a reader sees of this stretch of HTML; a line break where an element makes one."""
        at = 0
        for match in _MARKUP.finditer(raw):
            if self.is_showing:
                yield html.unescape(raw[at : match.start()])
            yield from self._markup(match)
            at = match.end()
        if self.is_showing:
            yield html.unescape(raw[at:])

    def _markup(self, match: re.Match[str]) -> Iterator[str]:
        if match["name"] is None:
            self.hidden.append(_KINDS[match.lastgroup or "comment"])
            return
        name = match["name"].lower()
        if match["slash"]:
            self._close(name)
        else:
            yield from self._open(name, match["attributes"])
        if self.is_showing and name in _BREAKS_LINE:
            yield "\n"

    def _open(self, name: str, attributes: str) -> Iterator[str]:
        given = {key.lower(): html.unescape(a or b or c) for key, a, b, c in _ATTRIBUTE.findall(attributes)}
        for key, value in given.items():
            if key not in _PLAIN_ATTRIBUTES and value.strip() and (key, value) != ("alt", "image"):
                self.hidden.append(ATTRIBUTE)
        if name in _VOID:
            if name == "img" and self.is_showing and not _is_hidden(given):
                yield "[image]"
            return
        if name not in _KNOWN:
            self.hidden.append(UNKNOWN)
        if self._inside:
            self._inside.append(name)
        elif name in _NOT_SHOWN or _is_hidden(given):
            self._inside.append(name)
            self.hidden.append(ELEMENT)

    def _close(self, name: str) -> None:
        """Closes the innermost element of that name, and with it what was left open inside."""
        if name in self._inside:
            while self._inside.pop() != name:
                pass


def _is_hidden(attributes: dict[str, str]) -> bool:
    return "hidden" in attributes or bool(_HIDING_STYLE.search(attributes.get("style", "").lower()))
