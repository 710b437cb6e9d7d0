"""Exact edits: what is replaced, and that nothing else in the file moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.agent.edit import Edited, Refused, closest, edit

lines = st.lists(st.text(st.sampled_from("ab \t\u00e9\u2028\U0001f600x=("), max_size=12), max_size=12)


@given(before=lines, after=lines, new=st.text(max_size=20), ending=st.sampled_from(["\n", "\r\n"]), bom=st.booleans())
@settings(max_examples=200, deadline=None)
def test_everything_around_the_replacement_stays_byte_for_byte(
    before: list[str], after: list[str], new: str, ending: str, bom: bool
) -> None:
    head = ("\ufeff" if bom else "") + "".join(line + ending for line in before)
    tail = "".join(ending + line for line in after)
    content = f"{head}<<here>>{tail}".encode()
    new = new.replace("\0", "").replace("\r", "").replace("\n", ending if ending == "\n" else "\n")
    result = edit(content, "<<here>>", new)
    assert isinstance(result, Edited)
    crlf_only = ending == "\r\n" and (before or after)
    expected = new.replace("\n", "\r\n") if crlf_only else new
    assert result.content == head.encode() + expected.encode() + tail.encode()
    assert result.line == len(before) + 1


@given(parts=st.lists(st.text("abc\n\t ", max_size=8), min_size=3, max_size=8))
@settings(max_examples=200, deadline=None)
def test_an_ambiguous_text_is_never_edited_unless_all_are_meant(parts: list[str]) -> None:
    content = "@@".join(parts).encode()
    assert isinstance(edit(content, "@@", "!!"), Refused)
    result = edit(content, "@@", "!!", replace_all=True)
    assert result == Edited("!!".join(parts).encode(), len(parts) - 1, parts[0].count("\n") + 1)


@given(content=st.binary(max_size=200), old=st.text(max_size=5), new=st.text(max_size=5), everywhere=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_edited_or_refused(content: bytes, old: str, new: str, everywhere: bool) -> None:
    result = edit(content, old, new, replace_all=everywhere)
    if isinstance(result, Edited):
        assert result.content != content
        assert result.count >= 1
    else:
        assert result.problem.endswith((".", "\n")) or "closest text is" in result.problem


@pytest.mark.parametrize(
    ("content", "old", "new", "expected"),
    [
        pytest.param(b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", b"x\r\ny\r\nz\r\nc\r\n", id="crlf-is-kept"),
        pytest.param(b"a\r\nb\r\n", "a\r\nb", "x\r\ny", b"x\r\ny\r\n", id="crlf-spelled-out"),
        pytest.param(b"a\r\nb\nc\n", "b\nc", "x", b"a\r\nx\n", id="mixed-ends-are-exact"),
        pytest.param(b"\xef\xbb\xbfa = 1\n", "a = 1", "a = 2", b"\xef\xbb\xbfa = 2\n", id="byte-order-mark"),
        pytest.param(b"last", "last", "least", b"least", id="no-final-newline"),
        pytest.param(b"\tif x:\n\t\ty\n", "\t\ty", "\t\tz", b"\tif x:\n\t\tz\n", id="tabs"),
        pytest.param(b"caf\xe9 = 1\n", "= 1", "= 2", b"caf\xe9 = 2\n", id="latin-1-by-ascii"),
        pytest.param(b"a\nb\nc\n", "b\n", "", b"a\nc\n", id="an-empty-new-string-deletes"),
        pytest.param("grüß 😀\n".encode(), "😀", "👋", "grüß 👋\n".encode(), id="beyond-the-first-plane"),
    ],
)
def test_the_file_keeps_its_character(content: bytes, old: str, new: str, expected: bytes) -> None:
    result = edit(content, old, new)
    assert isinstance(result, Edited)
    assert result.content == expected


@pytest.mark.parametrize(
    ("content", "old", "new", "problem"),
    [
        pytest.param(b"a\n", "a", "a", "old_string and new_string are the same; nothing would change.", id="no-change"),
        pytest.param(
            b"a\n", "", "x", "old_string is empty; quote the text to replace, or use write for a new file.", id="empty"
        ),
        pytest.param(
            b"x\0y\n", "x", "y", "this is a binary file (it holds NUL bytes); edit works on text only.", id="binary"
        ),
        pytest.param(
            b"caf\xe9\n",
            "caf",
            "th\u00e9",
            "the file is not UTF-8, so old_string and new_string may hold ASCII characters only.",
            id="latin-1-by-more-than-ascii",
        ),
        pytest.param(
            b"a\nb\na\nb\na\n",
            "a",
            "x",
            "old_string occurs 3 times (lines 1, 3, 5); add surrounding lines until it is unique, or set replace_all.",
            id="ambiguous",
        ),
        pytest.param(
            b"aaa\n",
            "aa",
            "x",
            "old_string occurs 2 times (lines 1, 1); add surrounding lines until it is unique, or set replace_all.",
            id="overlapping",
        ),
        pytest.param(
            b"def f():\n    return 1\n\ndef g():\n    return 2\n",
            "def g():\n\treturn 2\n",
            "x",
            "old_string was not found (only whitespace differs: look at indentation, tabs and blank lines); copy it "
            "from the file exactly. The closest text is:\n4\tdef g():\n5\t    return 2",
            id="whitespace-differs",
        ),
        pytest.param(
            b"a\r\nb\nc\r\n",
            "a\nb\nc",
            "x",
            "old_string was not found (only the line ends differ: the file mixes CRLF and LF); copy it from the file "
            "exactly. The closest text is:\n1\ta\r\n2\tb\n3\tc\r",
            id="line-ends-differ",
        ),
        pytest.param(
            b"one\n", "two", "x", "old_string was not found; copy it from the file exactly.", id="nothing-alike"
        ),
    ],
)
def test_a_refusal_names_the_cause_and_the_remedy(content: bytes, old: str, new: str, problem: str) -> None:
    assert edit(content, old, new) == Refused(problem)


def test_a_megabyte_is_edited_and_searched_quickly() -> None:
    content = b"".join(b"line number %d of many\n" % n for n in range(40_000))
    assert isinstance(edit(content, "line number 39999 of many", "the last"), Edited)
    refused = edit(content, "line number 31234 of much", "x")
    assert isinstance(refused, Refused)
    assert "31235\tline number 31234 of many" in refused.problem


def test_a_text_made_to_be_slow_is_not() -> None:
    content = b"a" * 1_000_000
    assert isinstance(edit(content, "a" * 500_000, "b"), Refused)
    assert isinstance(edit(content, "a" * 499_999 + "b", "c"), Refused)


def test_the_closest_text_has_at_most_ten_lines() -> None:
    text = "\n".join(f"value {n}" for n in range(50))
    wanted = "\n".join(f"value {n}!" for n in range(20, 45))
    assert closest(text, wanted).count("\n") == 9
