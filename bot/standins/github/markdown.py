"""Markdown as a reader of a thread sees it: no raw HTML but a few harmless tags, no comments, no remote images."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
HARMLESS = re.compile(r"&lt;(/?(?:details|summary|sub|sup|kbd|b|i|em|strong|code|br|hr|p)|details open) ?/?&gt;")
BOX = re.compile(r"^\[([ xX])\] ")
REFERENCE = re.compile(r"(?<![\w&/])#(\d{1,9})\b")
MENTION = re.compile(r"(?<![\w/@.])@([A-Za-z\d](?:[A-Za-z\d-]{0,38}))")


class ThreadRenderer(RendererHTML):
    """`env["base"]`: the repository's page, below which `#12` is looked up."""

    def html_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return _tags(tokens[idx].content)

    def html_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return _tags(tokens[idx].content)

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return f"<span class='image'>[image: {escape(tokens[idx].content)}]</span>"

    def text(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        content = escape(tokens[idx].content, quote=False)
        box = BOX.match(content) if idx == 0 else None
        if box:
            checked = " checked" if box[1] in "xX" else ""
            content = f"<input type='checkbox' disabled{checked}> " + content[box.end() :]
        if any(token.type == "link_open" for token in tokens[:idx]):
            return content
        content = REFERENCE.sub(rf"<a href='{escape(env['base'])}/issues/\1'>#\1</a>", content)
        return MENTION.sub(r"<strong class='mention'>@\1</strong>", content)


def rendered(text: str | None, *, base: str) -> Markup:
    """Safe HTML: everything that is not on the list of harmless tags without attributes is shown as text."""
    parser = MarkdownIt("commonmark", {"html": True, "breaks": True}, renderer_cls=ThreadRenderer)
    parser.enable(["table", "strikethrough"])
    return Markup(parser.render(text or "", {"base": base}))


def _tags(html: str) -> str:
    return HARMLESS.sub(r"<\1>", escape(COMMENT.sub("", html), quote=False))
