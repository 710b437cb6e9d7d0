"""Published text (S26): what a model wrote stays readable, and nothing in it is live on GitHub."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.report.safe_text import CUT_NOTE, code, safe, safe_plain, safe_title

OURS = "https://github.com/acme/widget"
AT, NO = "\uff20", "\uff03"


def shown(markdown: str) -> str:
    return safe(markdown, own_issue=12, repository=OURS)


@pytest.mark.parametrize(
    ("markdown", "published"),
    [
        # mentions
        pytest.param("Thanks @alice!", "Thanks `@alice`!", id="mention"),
        pytest.param("cc @acme/team, @bob-b.", "cc `@acme/team`, `@bob-b`.", id="team-mention"),
        pytest.param("&#64;alice", "`@alice`", id="mention-as-entity"),
        pytest.param("\\@alice", "`@alice`", id="mention-escaped"),
        pytest.param("(@alice)", "(`@alice`)", id="mention-in-brackets"),
        pytest.param("**@alice**", "**`@alice`**", id="mention-in-bold"),
        pytest.param("a@b.example", "`a@b.example`", id="e-mail"),
        pytest.param("@\u200balice", "`@alice`", id="mention-behind-a-zero-width-space"),
        pytest.param("`@alice`@bob", "`@alice` `@bob`", id="code-beside-a-mention"),
        pytest.param("@[alice](https://x.example)", "@ alice (`https://x.example`)", id="mention-made-of-a-link"),
        pytest.param("fixes #[13]()", "fixes # 13", id="reference-made-of-a-link"),
        pytest.param("> @alice", "> `@alice`", id="mention-in-a-quote"),
        pytest.param("# @alice", "#### `@alice`", id="mention-in-a-heading"),
        pytest.param("| a |\n|---|\n| @x |", "| a |\n| --- |\n| `@x` |", id="mention-in-a-table"),
        pytest.param("[@alice](https://evil.example)", "`@alice` (`https://evil.example`)", id="mention-in-a-link"),
        # references and closing keywords
        pytest.param("As #12 asks", "As #12 asks", id="our-own-issue"),
        pytest.param("Fixes #12", "Fixes `#12`", id="our-own-issue-after-a-keyword"),
        pytest.param("closes: #12", "closes: `#12`", id="keyword-with-a-colon"),
        pytest.param("Fixes #13", "Fixes `#13`", id="another-issue-closed"),
        pytest.param("see #120", "see `#120`", id="a-number-that-starts-like-ours"),
        pytest.param("resolves acme/other#4", "resolves `acme/other#4`", id="cross-repository"),
        pytest.param("GH-7 gh-8", "`GH-7` `gh-8`", id="gh-numbers"),
        pytest.param("#1#2", "`#1#2`", id="two-numbers-in-a-row"),
        pytest.param("o/r@0123456", "`o/r@0123456`", id="a-commit-elsewhere"),
        pytest.param(
            "Fixes https://github.com/o/r/issues/1.", "Fixes `https://github.com/o/r/issues/1`.", id="issue-url"
        ),
        pytest.param("&#35;13", "`#13`", id="number-as-entity"),
        # links and images
        pytest.param(f"[cli]({OURS}/blob/main/cli.py)", f"[cli](<{OURS}/blob/main/cli.py>)", id="our-own-file"),
        pytest.param(f"[i]({OURS}/issues/3)", f"i (`{OURS}/issues/3`)", id="our-own-other-issue"),
        pytest.param(f"[x]({OURS}/blob/../../o/r)", f"x (`{OURS}/blob/../../o/r`)", id="leaving-by-dots"),
        pytest.param(f"[x]({OURS}@evil.example/blob/x)", f"x (`{OURS}@evil.example/blob/x`)", id="host-in-disguise"),
        pytest.param("[x](https://evil.example/a 'title')", "x (`https://evil.example/a`)", id="elsewhere"),
        pytest.param("<https://evil.example>", "`https://evil.example`", id="autolink"),
        pytest.param("www.evil.example now", "`www.evil.example` now", id="bare-www"),
        pytest.param("[x](javascript:alert(1))", "\\[x\\](javascript:alert(1))", id="script-link"),
        pytest.param("![pix](https://evil.example/p.png)", "pix (`https://evil.example/p.png`)", id="remote-image"),
        pytest.param("![](data:image/png;base64,xx)", "`data:image/png;base64,xx`", id="image-without-words"),
        pytest.param("[a][r]\n\n[r]: https://evil.example", "a (`https://evil.example`)", id="reference-link"),
        # raw HTML
        pytest.param("<img src=x onerror=y>", "\\<img src=x onerror=y\\>", id="html-inline"),
        pytest.param("<details>\nx\n</details>", "\\<details\\>\nx\n\\</details\\>", id="html-block"),
        pytest.param("a <!-- hidden --> b", "a \\<!-- hidden --\\> b", id="html-comment"),
        pytest.param("&lt;b&gt;", "\\<b\\>", id="html-as-entities"),
        # slash commands and block starts
        pytest.param("/approve", "\\/approve", id="slash-at-the-start"),
        pytest.param("x\n/lgtm", "x\n\\/lgtm", id="slash-on-a-later-line"),
        pytest.param("- /lgtm", "- \\/lgtm", id="slash-in-a-list"),
        pytest.param("x &#10;/lgtm", "x  /lgtm", id="slash-behind-a-line-end-entity"),
        pytest.param("```\n/lgtm\n```", " ```\n /lgtm\n ```", id="slash-in-a-code-block"),
        pytest.param("\\# x", "\\# x", id="escaped-heading"),
        pytest.param("1\\. x", "1\\. x", id="escaped-list"),
        # characters
        pytest.param("a\u202eb", "a\u27e8U+202E\u27e9b", id="bidi-is-shown"),
        pytest.param("a&#x202e;b", "a\u27e8U+202E\u27e9b", id="bidi-as-entity"),
        pytest.param("a\U000e0041b", "a\u27e8U+E0041\u27e9b", id="tag-characters-are-shown"),
        pytest.param("a\u200b\u00ad\ufeffb", "ab", id="joiners-go"),
        pytest.param("\x1b[31mred\x1b[0m", "red", id="terminal-codes-go"),
        pytest.param("a\x00b", "a\u27e8U+0000\u27e9b", id="nul-is-shown"),
        pytest.param("a\ud800b", "a\ufffdb", id="lone-surrogate"),
        # what stays
        pytest.param("*a* **b** ~~c~~ `d`", "*a* **b** ~~c~~ `d`", id="emphasis"),
        pytest.param("1. a\n2. b\n   - c", "1. a\n2. b\n   - c", id="nested-lists"),
        pytest.param("- a\n\n  b\n- c", "- a\n\n  b\n\n- c", id="loose-list"),
        pytest.param("snake_case __init__ 2 * 3", "snake_case **init** 2 \\* 3", id="names"),
        pytest.param("```py\n@app\nx # 1\n```", "```py\n@app\nx # 1\n```", id="code-keeps-its-text"),
        pytest.param("```mermaid\nclick A\n```", "```\nclick A\n```", id="no-drawing"),
        pytest.param("````\n```\n````", "````\n```\n````", id="fence-in-a-fence"),
        pytest.param("``a`b``", "``a`b``", id="backtick-in-code"),
        pytest.param("a\\\nb", "a\\\nb", id="hard-break"),
        pytest.param("a\n\n---\n\nb", "a\n\n---\n\nb", id="rule"),
        pytest.param(
            "| a | b |\n|---|---|\n| `x\\|y` | z |", "| a | b |\n| --- | --- |\n| `x\\|y` | z |", id="pipe-in-a-cell"
        ),
        pytest.param("", "", id="nothing"),
    ],
)
def test_a_model_s_markdown_keeps_its_looks_and_loses_its_powers(markdown: str, published: str) -> None:
    """Each power stays live when `safe` returns its argument (tried: 54 of these turn red)."""
    assert shown(markdown) == published


def live(markdown: str) -> list[str]:
    """What would act if GitHub rendered this: an independent reading with HTML allowed."""
    found: list[str] = []

    def read(tokens: list[Token]) -> None:
        for token in tokens:
            if token.type in {"html_block", "html_inline", "image"}:
                found.append(f"{token.type}: {token.content}")
            if token.type == "link_open" and not str(token.attrs["href"]).startswith(f"{OURS}/blob/"):
                found.append(f"link: {token.attrs['href']}")
            if token.type == "text":
                found.extend(re.findall(r"(?i)@\w+|#(?!12\b)\d+|\bGH-\d+|https?://\S+|www\.\w+", token.content))
            read(token.children or [])

    read(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown))
    return found + re.findall(r"(?m)^/\w+", markdown)


SIGNS = tuple("*_`[]()<>!#@&;:/\\|~-+=.\n\r\t \"'{}$^a")
WORDS = ("@alice", "#13", "GH-9", "12", "fixes ", "/approve", "https://evil.example/a", "www.x.y", "\u200b", "\u202e")
BLOCKS = ("```", "~~~", "    ", "- ", "1. ", "> ", "\n\n", "| a |\n|---|\n", "[r]: https://e.example\n", "\ud800")
RAW = ("<img src=x>", "<a href='x'>", "<!--", "-->", "![", "](", "&#64;", "&#35;", "&#10;", "&lt;")
PIECES = st.sampled_from((*SIGNS, *WORDS, *BLOCKS, *RAW))


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_nothing_built_from_dangerous_pieces_is_live(markdown: str) -> None:
    published = shown(markdown)
    assert live(published) == []
    published.encode()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_published_without_powers(markdown: str) -> None:
    published = shown(markdown)
    assert live(published) == []
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f]", published)


def test_long_text_is_cut_at_a_line_end_and_says_so() -> None:
    published = shown("word <b> @x\n" * 20_000)
    assert len(published.encode()) <= 60_000
    assert published.endswith("\\<b\\> `@x`" + CUT_NOTE)
    assert len(shown("\u00e9" * 70_000).encode()) <= 60_000


@pytest.mark.parametrize("piece", ["![[", "_a", "a@", "\n/"])
def test_a_text_made_to_be_slow_is_not(piece: str) -> None:
    started = time.process_time()
    shown(piece * (30_000 // len(piece)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "published"),
    [
        pytest.param("Fix #13, thanks @bob", f"Fix {NO}13, thanks {AT}bob", id="mention-and-number"),
        pytest.param("o/r#1 GH-2", f"o/r{NO}1 GH 2", id="references"),
        pytest.param("see https://github.com/o/r/issues/1", "see github.com/o/r/issues/1", id="url"),
        pytest.param(
            "[skip ci] [CI skip] [no ci] [skip actions]", "(skip ci) (CI skip) (no ci) (skip actions)", id="skip"
        ),
        pytest.param("x\nskip-checks: true", "x\n> skip-checks: true", id="skip-trailer"),
        pytest.param("x\nSigned-off-by: y", "x\n> Signed-off-by: y", id="sign-off"),
        pytest.param("x\n/merge", "x\n> /merge", id="slash"),
        pytest.param("a & b `c` C# list[int]", "a & b `c` C# list[int]", id="harmless"),
    ],
)
def test_text_for_places_without_markdown(text: str, published: str) -> None:
    assert safe_plain(text) == published


@pytest.mark.parametrize(
    ("text", "title"),
    [
        pytest.param("Add --json.", "Add --json", id="no-full-stop"),
        pytest.param("a\n\n  b\u2028c", "a b c", id="one-line"),
        pytest.param("", "Untitled change", id="empty"),
        pytest.param("\u200b\u202e", "\u27e8U+202E\u27e9", id="invisible"),
        pytest.param("/health answers 200", "health answers 200", id="slash"),
        pytest.param("word " * 60, "word " * 22 + "word\u2026", id="cut-at-a-word"),
        pytest.param("w" * 300, "w" * 119 + "\u2026", id="cut-in-a-word"),
    ],
)
def test_a_title_is_one_short_line(text: str, title: str) -> None:
    assert safe_title(text) == title
    assert len(title) <= 120


def test_code_in_a_sentence_is_one_span_whatever_it_holds() -> None:
    assert code("a`b\n``c") == "```a`b ``c```"
    assert code("`") == "`` ` ``"
    assert code("") == "`(empty)`"
    assert code("x" * 50 + "y" * 50, max_characters=11) == "`xxxxx\u2026yyyyy`"
