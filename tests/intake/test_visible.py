"""What a reader sees reaches the model, whole; what a reader does not see does not, and is named."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.intake.visible import Visible, project

SECRET = "OPENSESAME"
BITS = "".join(f"{byte:08b}" for byte in SECRET.encode())


def bits(zero: str, one: str) -> str:
    """The secret spelled in two characters nobody sees, in the middle of a word."""
    return "wo" + BITS.replace("0", zero).replace("1", one) + "rd"


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(c)) for c in text)


CHANNELS = [
    pytest.param(f"text <!-- {SECRET} --> text", "HTML comment", id="comment"),
    pytest.param(f"<!--\n{SECRET}\n\n{SECRET}\n-->", "HTML comment", id="comment-block"),
    pytest.param(f"<!-- {SECRET}\n{SECRET}", "HTML comment", id="comment-never-closed"),
    pytest.param(f'[text](https://x.example "{SECRET}")', "link title", id="link-title"),
    pytest.param(f"[text](https://x.example ({SECRET}))", "link title", id="link-title-in-parentheses"),
    pytest.param(f"[text][a]\n\n[a]: https://x.example '{SECRET}'", "link title", id="title-of-a-used-definition"),
    pytest.param(f"[{SECRET}]: https://x.example", "link definition", id="unused-definition"),
    pytest.param(f"[//]: # ({SECRET})", "link definition", id="definition-as-comment"),
    pytest.param(f"[](https://{SECRET}.example)", "link without text", id="link-without-text"),
    pytest.param(f"[text](data:text/plain,{SECRET})", "unusual link address", id="data-address"),
    pytest.param(f"[text](https://x.example/?q={SECRET})", "unusual link address", id="query-of-an-address"),
    pytest.param(f"![{SECRET}](https://x.example/a.png)", "image description", id="image-description"),
    pytest.param(f'![image](https://x.example/a.png "{SECRET}")', "link title", id="image-title"),
    pytest.param(f"text <![CDATA[ {SECRET} ]]> text", "CDATA section", id="cdata"),
    pytest.param(f"text <? {SECRET} ?> text", "processing instruction", id="processing-instruction"),
    pytest.param(f"text <!NOTE {SECRET}> text", "HTML declaration", id="declaration"),
    pytest.param(f'text <span title="{SECRET}">text</span>', "HTML attribute", id="attribute"),
    pytest.param(f'text <img src="a.png" alt="{SECRET}">', "HTML attribute", id="raw-image-description"),
    pytest.param(f"text <span hidden>{SECRET}</span> text", "hidden HTML element", id="hidden-element"),
    pytest.param(f"<div hidden>\n\n{SECRET} and\n\n- {SECRET}\n\n</div>", "hidden HTML element", id="hidden-blocks"),
    pytest.param(f'text <b style="display:none">{SECRET}</b>', "hidden HTML element", id="hiding-style"),
    pytest.param(f"<script>\n{SECRET}\n</script>", "hidden HTML element", id="script"),
    pytest.param(f"[^n]: {SECRET} {SECRET}\nand {SECRET}", "unused footnote", id="unused-footnote"),
    pytest.param(f"[^n]: {SECRET}", "unused footnote", id="unused-footnote-of-one-word"),
    pytest.param(f"~~~text {SECRET}\ncode\n~~~", "code block annotation", id="code-annotation"),
    pytest.param(f"text {tags(SECRET)}", "tag character", id="tag-characters"),
    pytest.param(
        "\u263a" + "".join(chr(0xFE00 + b % 16) for b in SECRET.encode()), "variation selector", id="selectors"
    ),
    pytest.param("a" + "".join(chr(0xE0100 + b) for b in SECRET.encode()), "variation selector", id="more-selectors"),
    pytest.param(bits("\u200b", "\u200c"), "zero-width character", id="zero-width"),
    pytest.param(bits("\u00ad", "\u180e"), "zero-width character", id="soft-hyphen-and-vowel-separator"),
    pytest.param(bits("\u2060", "\u2064"), "zero-width character", id="invisible-operators"),
    pytest.param(bits("&#x200b;", "&zwnj;"), "zero-width character", id="zero-width-as-entities"),
    pytest.param(bits("\u202a", "\u202c"), "text direction control", id="direction-controls"),
    pytest.param(f"text \u202e{SECRET[::-1]}\u202c", "text direction control", id="reversed-by-direction"),
    pytest.param(bits("\u3164", "\uffa0"), "blank filler character", id="hangul-fillers"),
    pytest.param(bits("\x08", "\x1b"), "control character", id="control-characters"),
]


def behind(mark: str, text: str) -> str:
    """A block inside a list item or quote: the mark on its first line, room for it on the others."""
    rest = "> " if mark == "> " else " " * len(mark)
    return "\n".join(f"{mark if n == 0 else rest}{line}".rstrip() for n, line in enumerate(text.split("\n")))


CARRIERS: list[object] = [
    pytest.param(lambda hidden: f"Before.\n\n{hidden}", id="paragraph"),
    pytest.param(lambda hidden: f"Before.\n\n{behind('- ', hidden)}\n\nAfter.", id="list-item"),
    pytest.param(lambda hidden: f"Before.\n\n{behind('> ', hidden)}\n\nAfter.", id="quote"),
    pytest.param(lambda hidden: f"<details><summary>Before.</summary>\n\n{hidden}\n\n</details>", id="details"),
    pytest.param(lambda hidden: f"# Before.\n\n```diff\n-a\n+b\n```\n\n{hidden}", id="after-code"),
]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(("hidden", "kind"), CHANNELS)
def test_hidden_text_does_not_reach_the_model_and_is_named(
    hidden: str, kind: str, carrier: Callable[[str], str]
) -> None:
    """Turned red by hand: with the markup left in or `visible_characters` returning its text, the kind's cases fail."""
    seen = project(carrier(hidden))
    assert SECRET not in seen.text
    assert not [c for c in seen.text if c not in "\n\u263a" and not c.isprintable()]
    assert not set(seen.text) & {"\u3164", "\uffa0", *map(chr, range(0xFE00, 0xFE10))}
    assert "Before." in seen.text
    assert ("After." in seen.text) == ("After." in carrier(""))
    assert any(kind in named for named in seen.hidden), seen.hidden
    assert not any(SECRET in named for named in seen.hidden)


PLAIN = """\
# Greet politely

The command says *hullo*; it **should** say `hello`, see [the style guide](docs/style.md#greetings)
and <https://example.com/why>.

- one
- two
  1. nested
  2. nested too
- [ ] a task

1. first

   with a second paragraph

2. second

> A quote,
> of two lines.

~~No.~~ Yes[^1].

| a | b |
|---|:-:|
| 1 | `x` |

---

```diff
--- a/x
+++ b/x
@@ -1,2 +1,2 @@
 same
-a <!-- kept: it is code -->
+b
```

    indented code

<details><summary>More</summary>

Deep &lt;thoughts&gt;

</details>

![image](https://example.com/a.png)

[^1]: A note that is used."""

SEEN = """\
# Greet politely

The command says *hullo*; it **should** say `hello`, see [the style guide](docs/style.md#greetings)
and https://example.com/why.

- one
- two
  1. nested
  2. nested too
- [ ] a task

1. first

   with a second paragraph

2. second

> A quote,
> of two lines.

~~No.~~ Yes[^1].

a | b
--- | ---
1 | `x`

---

```diff
--- a/x
+++ b/x
@@ -1,2 +1,2 @@
 same
-a <!-- kept: it is code -->
+b
```

```
indented code
```

More

Deep <thoughts>

[image]

[^1]: A note that is used."""


def test_an_honest_issue_reads_as_it_looks() -> None:
    assert project(PLAIN) == Visible(SEEN, ())


def test_line_ends_of_browsers_change_nothing() -> None:
    assert project(PLAIN.replace("\n", "\r\n")) == project(PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\u2764\ufe0f \u263a\ufe0f 1\ufe0f\u20e3", id="emoji-with-selectors"),
        pytest.param("\U0001f468\u200d\U0001f469\u200d\U0001f467", id="a-family"),
        pytest.param("\U0001f9d1\U0001f3fd\u200d\U0001f4bb", id="a-person-with-skin-tone"),
        pytest.param("\u2764\ufe0f\u200d\U0001f525", id="a-heart-on-fire"),
        pytest.param("\u0928\u092e\u0938\u094d\u200d\u0924\u0947", id="hindi"),
        pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", id="persian"),
        pytest.param("\u845b\U000e0100\u98fe", id="an-ideograph-variant"),
        pytest.param("caf\u00e9 na\u00efve \u20ac5 \u2013 \u201cok\u201d\u2026", id="latin"),
        pytest.param("\u4f60\u597d \u3053\u3093\u306b\u3061\u306f \uc548\ub155", id="east-asian"),
        pytest.param("\u0600\u0661\u0662", id="an-arabic-number-sign"),
    ],
)
def test_honest_writing_in_any_script_stays_as_it_is(text: str) -> None:
    assert project(text) == Visible(text, ())


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("x\u200by", Visible("xy", ("1 zero-width character",)), id="one"),
        pytest.param("x\u200b\u200cy", Visible("xy", ("2 zero-width characters",)), id="two"),
        pytest.param("x\ufe0fy", Visible("xy", ("1 variation selector",)), id="a-selector-after-a-letter"),
        pytest.param("x\u200dy", Visible("xy", ("1 zero-width character",)), id="a-joiner-between-latin-letters"),
        pytest.param(
            "\u2764\ufe0f\ufe0f\ufe0f", Visible("\u2764", ("3 variation selectors",)), id="a-run-of-selectors"
        ),
        pytest.param("```\na\u200b\n```", Visible("```\na\n```", ("1 zero-width character",)), id="in-code"),
        pytest.param(
            "~~~\n``\u200b`\n~~~", Visible("~~~\n```\n~~~", ("1 zero-width character",)), id="a-fence-in-the-making"
        ),
        pytest.param(
            "```\n``\u200b`\n```", Visible("````\n```\n````", ("1 zero-width character",)), id="its-own-fence"
        ),
        pytest.param("a\u2028b", Visible("ab", ("1 control character",)), id="line-separator"),
        pytest.param("edit __init__.py", Visible("edit __init__.py", ()), id="underscores"),
        pytest.param("a List<String>", Visible("a List", ("1 unknown HTML tag",)), id="generics-outside-code"),
        pytest.param("a `List<String>`", Visible("a `List<String>`", ()), id="generics-in-code"),
        pytest.param("<br>a<br/>b", Visible("a\nb", ()), id="line-breaks-in-html"),
        pytest.param("<!-- a -->" * 3, Visible("", ("3 HTML comments",)), id="nothing-else"),
        pytest.param("", Visible("", ()), id="empty"),
        pytest.param("a <!-- b", Visible("a <!-- b", ()), id="shown-by-github-as-text"),
        pytest.param("`<!-- a -->`", Visible("`<!-- a -->`", ()), id="in-a-code-span"),
    ],
)
def test_what_goes_and_what_stays(text: str, seen: Visible) -> None:
    assert project(text) == seen


def test_a_footnote_only_another_footnote_refers_to_is_unused() -> None:
    seen = project("Text[^a].\n\n[^a]: One [^b].\n\n[^b]: Two [^c].\n\n[^c]: Three.\n")
    assert seen == Visible("Text[^a].\n\n[^a]: One [^b].", ("2 unused footnotes",))


def test_a_use_in_code_is_no_use() -> None:
    assert project("`[^a]`\n\n[^a]: One two.").hidden == ("1 unused footnote",)


def test_a_text_beyond_any_limit_is_cut_and_said_so() -> None:
    seen = project("x" * 300_000)
    assert len(seen.text) == 262_144
    assert seen.hidden == ("1 part beyond 262,144 characters",)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(">" * 65_000, id="quotes"),
        pytest.param("![[" * 10_000, id="brackets"),
        pytest.param("<a x='" * 10_000, id="tags"),
        pytest.param("a " + "<!-- " * 13_000, id="comments"),
        pytest.param("**a_" * 16_000, id="emphasis"),
        pytest.param("- " * 30_000, id="lists"),
        pytest.param("".join(f"[^{n}]: [^{n + 1}] x\n\n" for n in range(3000)), id="footnotes"),
        pytest.param("<div hidden>\n\n" * 4000, id="hidden-elements"),
        pytest.param("\u200d" * 65_000, id="joiners"),
        pytest.param('<div>\n<a "' + '<a "' * 16_000, id="attributes"),
    ],
)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    started = time.process_time()
    project(text)
    assert time.process_time() - started < 5


MARKUP = """<!-- --> < > <div hidden> </div> <span hidden> </span> <b> ` ``` ~~~ [ ] ( ) [^a] [^a]: [a]: ! | --- -
1. # * ** ~~ \\ & &zwj; &#0; x y"""
PIECES = [*MARKUP.split(), *'"\u200b\u200d\ufe0f\x00\x1b\ud800']


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(PIECES) | st.sampled_from([" ", "\n", "\n\n", "    ", "\t", "\r"]),
        max_size=60,
    ).map("".join)
)
def test_no_text_is_an_error_of_ours(text: str) -> None:
    seen = project(text)
    assert not any(c in seen.text for c in "\u200b\x00\x1b\ud800")
