"""A known change as calls: exact, and each edit unique where it is made."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.agent.edit import Edited, edit
from bot.evaluation.material import Difference
from bot.evaluation.replay import edits, replay
from bot.standins.messages import use

LONG = b"".join(b"line %d\n" % (n // 2) for n in range(400))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(b"a\nb\nc\n", b"a\nB\nc\n", (("a\nb\nc\n", "a\nB\nc\n"),), id="a-line-with-its-neighbours"),
        pytest.param(b"a\nb\n", b"new\na\nb\n", (("a\n", "new\na\n"),), id="before-the-first-line"),
        pytest.param(b"a\nb", b"a\nb\n", (("a\nb", "a\nb\n"),), id="the-missing-end-of-the-last-line"),
        pytest.param(b"a\r\nb\r\n", b"a\r\nB\r\n", (("a\nb\n", "a\nB\n"),), id="windows-lines-as-a-model-quotes-them"),
        pytest.param(b"a\r\nb\n", b"a\r\nB\n", (("a\r\nb\n", "a\r\nB\n"),), id="mixed-line-ends-as-they-are"),
        pytest.param(b"\xef\xbb\xbfa\n", b"\xef\xbb\xbfb\n", (("\ufeffa\n", "\ufeffb\n"),), id="byte-order-mark"),
        pytest.param(
            b"caf\xe9\nb\nc\n", b"caf\xe9\nb\nd\n", (("b\nc\n", "b\nd\n"),), id="latin-1-away-from-its-letters"
        ),
        pytest.param(b"caf\xe9\n", b"caf\xe9s\n", None, id="latin-1-beside-its-letters"),
        pytest.param(b"a\r\nb\r\n", b"a\nb\n", None, id="other-line-ends"),
        pytest.param(b"\0a\n", b"\0b\n", None, id="binary"),
        pytest.param(b"a\n", b"a\0\n", None, id="becomes-binary"),
        pytest.param(b"a\n", b"", None, id="becomes-empty"),
        pytest.param(b"", b"a\n", None, id="was-empty"),
        pytest.param(b"a\n", b"\xff\n", None, id="other-encoding"),
    ],
)
def test_a_change_becomes_edits(before: bytes, after: bytes, expected: tuple[tuple[str, str], ...] | None) -> None:
    made = edits(before, after)
    assert made == expected


def test_a_line_that_is_there_often_gets_as_much_context_as_it_needs() -> None:
    after = LONG.replace(b"line 7\nline 7\n", b"line 7\nline seven\n").replace(b"line 99\n", b"line 98\n", 1)
    made = edits(LONG, after)
    assert made is not None
    assert [old.count("\n") for old, _ in made] == [3, 3]


LINES = st.lists(st.sampled_from(["a\n", "b\n", "\n", "  a\n", "é\n"]), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(before=LINES, after=LINES, end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_text_of_few_different_lines_is_always_edited_exactly(
    before: list[str], after: list[str], end: str, last: bool
) -> None:
    old, new = ("".join(lines).replace("\n", end) for lines in (before, after))
    if last:
        new = new.removesuffix(end) or "x"
    made = edits(old.encode(), new.encode())
    assert made is not None or (end == "\r\n" and "\r\n" not in new), "no Windows line is left to tell the line ends by"
    content = old.encode()
    for quoted, replacement in made or ():
        done = edit(content, quoted, replacement)
        assert isinstance(done, Edited), "each is unique where it is made"
        assert done.count == 1
        content = done.content
    assert content == new.encode() or made is None


def difference(path: str, old: bytes | None, new: bytes | None, **more: str) -> Difference:
    return Difference(
        was=more.get("was", path),
        path=path,
        old_mode=None if old is None else more.get("old_mode", "100644"),
        new_mode=None if new is None else more.get("new_mode", "100644"),
        old=old,
        new=new,
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            difference("new dir/a.txt", None, b"x\n"),
            (use("write", file_path="new dir/a.txt", content="x\n"),),
            id="new",
        ),
        pytest.param(difference("-rf", b"x", None), (use("bash", command="rm -f -- -rf"),), id="gone"),
        pytest.param(
            difference("a/b/c", b"x", None),
            (use("bash", command="rm -f -- a/b/c && rmdir -p --ignore-fail-on-non-empty -- a/b"),),
            id="gone-with-its-folder",
        ),
        pytest.param(
            difference("b/it's", b"1\n", b"1\n", was="a"),
            (use("bash", command="""mkdir -p -- b && mv -- a 'b/it'"'"'s'"""),),
            id="moved",
        ),
        pytest.param(
            difference("b", b"1\n2\n", b"1\n3\n", was="a"),
            (use("bash", command="mv -- a b"), use("edit", file_path="b", old_string="1\n2\n", new_string="1\n3\n")),
            id="moved-and-changed",
        ),
        pytest.param(
            difference("a", b"1\n", b"1\n", new_mode="100755"),
            (use("bash", command="chmod 755 -- a"),),
            id="executable",
        ),
        pytest.param(
            difference("run", None, b"#!\n", new_mode="100755"),
            (use("write", file_path="run", content="#!\n"), use("bash", command="chmod 755 -- run")),
            id="new-and-executable",
        ),
        pytest.param(
            difference("l", None, b"../a b", new_mode="120000"),
            (use("bash", command="rm -f -- l && ln -s -- '../a b' l"),),
            id="link",
        ),
        pytest.param(
            difference("l", b"target", b"text\n", old_mode="120000"),
            (use("bash", command="rm -f -- l"), use("write", file_path="l", content="text\n")),
            id="link-becomes-a-file",
        ),
        pytest.param(
            difference("d/x.bin", None, b"\0\xff"),
            (use("bash", command="mkdir -p -- d && printf %s AP8= | base64 -d > ./d/x.bin"),),
            id="binary",
        ),
    ],
)
def test_a_path_becomes_the_calls_that_change_it(change: Difference, expected: tuple[object, ...]) -> None:
    assert replay([change]).changes == (expected,)


def test_what_goes_goes_first_and_what_is_edited_is_read_where_it_was() -> None:
    plan = replay(
        [
            difference("a/b", None, b"x\n"),
            difference("moved", b"1\n2\n", b"1\n3\n", was="old"),
            difference("a", b"a file that becomes a folder\n", None),
        ]
    )
    assert [calls[0].input.get("command", "write") for calls in plan.changes] == [
        "rm -f -- a",
        "mv -- old moved",
        "write",
    ]
    assert plan.reads == (use("read", file_path="old"),)


def test_a_large_binary_file_is_written_in_pieces_that_a_command_can_hold() -> None:
    (calls,) = replay([difference("x", None, bytes(range(256)) * 1000)]).changes
    assert [" > ./x" in call.input["command"] for call in calls] == [True, False, False, False]
    assert all(len(call.input["command"]) < 100_000 for call in calls)
