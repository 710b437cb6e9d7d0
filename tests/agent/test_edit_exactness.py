"""Generated edits of generated files: the bytes around the one place stay, or the documented error and nothing else."""

import os
import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.agent.changing import Replacement, put, replacement
from bot.agent.edit import Edited, Refused, edit
from bot.domain.conversation import ToolUse
from tests.fakes import DirectorySandbox

REFUSALS = re.compile(
    r"this is a binary file|old_string is empty|the file is not UTF-8, so|old_string and new_string are the same"
    r"|old_string was not found|old_string occurs \d+ times \(lines "
)
LETTERS = {"utf-8": "ab \t=(é\u2028\U0001f600", "latin-1": "ab \t=(é"}


@st.composite
def cases(draw: st.DrawFn) -> tuple[bytes, str, str, str]:
    """A file with its encoding, a stretch of it as somebody copies it, and what shall stand there."""
    encoding = draw(st.sampled_from(["utf-8", "latin-1"]))
    text = st.text(st.sampled_from(LETTERS[encoding]), max_size=6)
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n"]]))
    lines = draw(st.lists(st.tuples(text, st.sampled_from(ends)), min_size=1, max_size=8))
    whole = "".join(line + end for line, end in lines) + draw(text)
    bom = "\ufeff" if encoding == "utf-8" and draw(st.booleans()) else ""
    begin = draw(st.integers(0, len(whole)))
    old = whole[begin : begin + draw(st.integers(0, 12))]
    if ends == ["\r\n"]:
        old = old.replace("\r\n", "\n")
    new = draw(st.text(st.sampled_from(LETTERS[encoding] + "\n"), max_size=8))
    return (bom + whole).encode(encoding), encoding, old, new


def oracle(content: bytes, encoding: str, old: str, new: str) -> bytes | None:
    """Counting every place, overlapping ones too; in a file of CRLF lines alone a newline means CRLF."""
    encoding = "utf-8" if content.isascii() else encoding
    text = content.decode(encoding)
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        old, new = (re.sub(r"(?<!\r)\n", "\r\n", part) for part in (old, new))
    places = [at for at in range(len(text)) if old and text.startswith(old, at)]
    if len(places) != 1 or old == new:
        return None
    return (text[: places[0]] + new + text[places[0] + len(old) :]).encode(encoding)


@given(case=cases())
@settings(max_examples=600, deadline=None)
def test_an_edit_is_byte_exact_or_a_documented_error(case: tuple[bytes, str, str, str]) -> None:
    content, encoding, old, new = case
    result, expected = edit(content, old, new), oracle(*case)
    is_latin = encoding == "latin-1" and not content.isascii()
    if isinstance(result, Refused):
        assert REFUSALS.match(result.problem), result.problem
        assert expected is None or (is_latin and not (old.isascii() and new.isascii()))
    else:
        assert result.content == expected


@given(case=cases(), many=st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_replacing_all_replaces_each_and_nothing_else(case: tuple[bytes, str, str, str], many: int) -> None:
    _, _, old, new = case
    old = f"<{old}>"
    content = f"x{old}".encode() * many + b"y"
    result = edit(content, old, new, replace_all=True)
    crlf = "\r\n" in old and "\n" not in old.replace("\r\n", "")
    if isinstance(result, Edited) and not crlf:
        assert (result.content, result.count) == (f"x{new}".encode() * many + b"y", many)


@given(case=cases(), mode=st.sampled_from([0o644, 0o755, 0o600]), padding=st.sampled_from([0, 1_000_000]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_file_on_disk_keeps_its_mode_and_its_other_bytes(
    tmp_path: Path, case: tuple[bytes, str, str, str], mode: int, padding: int
) -> None:
    content, _, old, new = case
    content += b"\x7f" * padding
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    path.chmod(mode)
    sandbox = DirectorySandbox(tmp_path)
    call = ToolUse("toolu_1", "edit", {"file_path": "file.txt", "old_string": old, "new_string": new})
    made, expected = await replacement(call, sandbox=sandbox, seen={}), edit(content, old, new)
    if isinstance(made, Replacement):
        await put(sandbox, made)
        assert isinstance(expected, Edited)
    else:
        assert made.is_error
    assert path.read_bytes() == (expected.content if isinstance(expected, Edited) else content)
    assert os.stat(path).st_mode & 0o777 == mode
