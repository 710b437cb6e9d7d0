"""Outputs as the model sees them: cleaned, bounded, and honest about what is missing."""

import pytest

from bot.agent.output import (
    cleaned,
    head_and_tail,
    how_it_ended,
    last_lines,
    listing,
    numbered,
    one_line,
    shown_diff,
    visible,
)
from bot.ports import ExecResult


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param(b"\x1b[31mred\x1b[0m \x1b]0;title\x07plain", "red plain", id="colours-and-titles"),
        pytest.param(b"10%\r50%\r100%\ndone\n", "100%\ndone\n", id="progress-keeps-its-last-state"),
        pytest.param(b"a\r\nb\r\n", "a\nb\n", id="crlf"),
        pytest.param(b"a\0b\xff", "a\ufffdb\ufffd", id="nul-and-bad-utf-8"),
        pytest.param(b"x" * 2010, "x" * 2000 + " [... 10 characters of this line left out]", id="endless-line"),
        pytest.param(b"\x1b[2J\x1b[1;1Htop\x08", "top\ufffd", id="cursor-movement-and-backspace"),
    ],
)
def test_terminal_output_becomes_plain_lines(raw: bytes, text: str) -> None:
    assert cleaned(raw) == text


def test_twelve_thousand_characters_stay_whole() -> None:
    text = "x" * 12_000
    assert head_and_tail(text, None) == text


def test_more_is_cut_in_the_middle_and_says_where_all_of_it_is() -> None:
    text = "h" * 3000 + "m" * 999 + "\n" * 5000 + "t" * 9000
    shown = head_and_tail(text, ".git/backspace/out/17.txt")
    assert shown == (
        "h"
        * 3000
        + "\n[... 5 999 characters, 5 000 lines left out; full output: .git/backspace/out/17.txt in the sandbox; "
        "grep or sed it ...]\n" + "t" * 9000
    )


@pytest.mark.parametrize(
    ("code", "timed_out", "words"),
    [
        pytest.param(1, False, "exit 1, 4.2 s", id="exit"),
        pytest.param(137, False, "exit 137, 4.2 s", id="signal"),
        pytest.param(None, True, "timed out after 4.2 s", id="time-out"),
    ],
)
def test_the_first_line_says_how_it_ended(code: int | None, timed_out: bool, words: str) -> None:
    result = ExecResult(exit_code=code, stdout=b"", stderr=b"", truncated=False, timed_out=timed_out, seconds=4.21)
    assert how_it_ended(result) == words


def test_what_cannot_be_seen_is_written_out() -> None:
    hidden = "a\u200bb\u202ec\U000e0041d\ufe0fe\u00adf\x07"
    assert visible(hidden) == r"a\u{200B}b\u{202E}c\u{E0041}d\u{FE0F}e\u{00AD}f\u{0007}"
    assert visible("plain\ttext\r\nüñ😀") == "plain\ttext\r\nüñ😀"
    assert visible(b"\xff".decode("utf-8", "surrogateescape")).encode() == b"\\u{DCFF}"


def test_a_file_is_numbered_and_its_peculiarities_are_named() -> None:
    assert numbered(b"a\nb\n") == "1\ta\n2\tb"
    assert numbered(b"a\r\nb\r\n") == "1\ta\n2\tb\n[lines end in CRLF; edit keeps that]"
    assert numbered(b"\xef\xbb\xbfa\n") == "1\ta\n[the file begins with a byte order mark; edit keeps it]"
    assert numbered(b"caf\xe9\n").startswith("1\tcafé\n[not UTF-8")
    assert numbered(b"") == "[the file is empty]"
    assert numbered(b"a\nb\nc\nd\n", 2, 3) == "2\tb\n3\tc"
    assert numbered(b"a\nb\nc\n", 2, -1) == "2\tb\n3\tc"
    assert numbered(b"a\n", 5, 9) == "[the file has 1 lines]"


def test_a_long_file_says_how_to_read_on() -> None:
    shown = numbered(b"line\n" * 2500)
    assert shown.endswith("2000\tline\n[lines 2001 to 2500 left out; read them with view_range [2001, 2500]]")
    wide = numbered(b"w" * 990 + b"\n" + (b"w" * 990 + b"\n") * 99)
    assert len(wide) < 48_200
    assert wide.endswith("left out; read them with view_range [49, 100]]")


def test_a_listing_counts_what_it_leaves_out() -> None:
    assert listing(["a", "b", "c"], most=2).left_out == 1
    assert listing(["x" * 100] * 10, most=10, characters=250).text == "\n".join(["x" * 100] * 2)


def test_a_diff_of_more_than_forty_kilobytes_is_cut() -> None:
    assert shown_diff("+a\n") == "+a\n"
    assert shown_diff("x" * 41_000).endswith("\n[... 1 000 characters of the diff left out; use read for the rest]")


def test_a_title_is_one_short_line() -> None:
    assert one_line("run  a\n  b") == "run a b"
    assert one_line("y" * 200) == "y" * 119 + "…"


def test_the_end_of_an_output_begins_with_a_whole_line() -> None:
    assert last_lines("a\nbb\ncc\n", 5) == "cc"
    assert last_lines("short\n") == "short"
