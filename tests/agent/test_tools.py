"""What each tool does to a real work tree, and what it tells the model."""

from pathlib import Path
from typing import Any

import pytest

from bot.agent.changing import Replacement, put, replacement
from bot.agent.ground import Ran
from bot.agent.schemas import TOOLS, misfit
from bot.agent.tools import run_tool, title_of
from bot.domain.conversation import ToolUse
from bot.domain.errors import LimitReached
from tests.agent.bench import Bench, bench
from tests.fakes import DirectorySandbox


def call(name: str, **given: Any) -> ToolUse:
    return ToolUse("toolu_1", name, given)


async def ran(sandbox: DirectorySandbox, name: str, **given: Any) -> Ran:
    return await run_tool(call(name, **given), sandbox=sandbox, number=17)


async def changed(sandbox: DirectorySandbox, name: str, seen: dict[str, str] | None = None, **given: Any) -> Ran:
    new = await replacement(call(name, **given), sandbox=sandbox, seen=seen or {})
    return await put(sandbox, new) if isinstance(new, Replacement) else new


# ---------------------------------------------------------------- calls


def test_there_are_seven_tools_with_closed_schemas() -> None:
    assert [tool.name for tool in TOOLS] == ["bash", "read", "write", "edit", "glob", "grep", "submit"]
    for tool in TOOLS:
        assert tool.input_schema["additionalProperties"] is False
        assert set(tool.input_schema["required"]) <= set(tool.input_schema["properties"])


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        pytest.param("edit", {"file_path": "a", "old_string": "x"}, "edit: new_string is missing.", id="missing"),
        pytest.param("read", {"file_path": 7}, "read: file_path must be a string, not int.", id="wrong-type"),
        pytest.param(
            "read",
            {"file_path": "a", "view_range": ["1"]},
            "read: view_range holds an item that must be an integer, not str.",
            id="wrong-item",
        ),
        pytest.param(
            "bash", {"command": "ls", "timeout_ms": True}, "bash: timeout_ms must be an integer, not bool.", id="bool"
        ),
        pytest.param(
            "bash",
            {"command": "ls", "cwd": "/"},
            "bash: there is no field 'cwd'; the fields are command, timeout_ms.",
            id="unknown-field",
        ),
        pytest.param(
            "submit",
            {"outcome": "done", "title": "", "summary": "", "testing": ""},
            "submit: outcome must be one of changes, no_change, blocked.",
            id="not-a-choice",
        ),
        pytest.param(
            "write",
            {"file_path": "a", "content": "\ud800"},
            "write: content holds half of a surrogate pair, which no file can hold.",
            id="lone-surrogate",
        ),
        pytest.param("edit", None, "edit: the input is not an object.", id="no-object"),
    ],
)
def test_a_call_that_does_not_fit_names_the_field(name: str, given: Any, problem: str) -> None:
    assert misfit(ToolUse("toolu_1", name, given)) == problem


def test_a_call_has_a_title_for_people() -> None:
    assert title_of(call("bash", command="pytest -q\n\techo")) == "run pytest -q echo"
    assert title_of(call("edit", file_path="export/cli.py")) == "edit export/cli.py"
    assert title_of(call("glob", pattern="*\u202e.py")) == "list *\\u{202E}.py"
    odd: Any = ["no object"]
    assert title_of(ToolUse("toolu_1", "read", odd)) == "read"


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../out.txt", "docs/../../out.txt", "~/x", "a\0b", pytest.param("d/" * 500_000, id="endless")],
)
@pytest.mark.parametrize("name", ["read", "write", "edit", "glob", "grep"])
async def test_no_tool_leaves_the_tree(tmp_path: Path, name: str, path: str) -> None:
    """Red when `inside` lets a path through: the file outside is then read or written."""
    (tmp_path / "out.txt").write_text("secret")
    on = await bench(tmp_path)
    given: dict[str, Any] = {
        "read": {"file_path": path},
        "write": {"file_path": path, "content": "x"},
        "edit": {"file_path": path, "old_string": "secret", "new_string": "x"},
        "glob": {"pattern": "*", "path": path},
        "grep": {"pattern": "secret", "path": path},
    }[name]
    result = await (changed if name in ("write", "edit") else ran)(on.sandbox, name, **given)
    assert result.is_error
    assert "secret" not in result.text
    assert (tmp_path / "out.txt").read_text() == "secret"


async def test_a_link_out_of_the_tree_is_no_way_out(tmp_path: Path) -> None:
    """Red when the sandbox follows links and the tool does not turn its PermissionError into words."""
    (tmp_path / "out.txt").write_text("secret")
    on = await bench(tmp_path)
    (on.sandbox.root / "way").symlink_to(tmp_path / "out.txt")
    assert (await ran(on.sandbox, "read", file_path="way")).text == "way cannot be opened: way leaves the work tree"
    assert (await changed(on.sandbox, "write", file_path="way", content="x")).is_error
    assert (tmp_path / "out.txt").read_text() == "secret"


@pytest.mark.parametrize("path", [".git/config", ".git/hooks/pre-commit", ".GIT/config", ".", "docs/.."])
async def test_gits_own_files_are_not_written(on: Bench, path: str) -> None:
    assert (await changed(on.sandbox, "write", file_path=path, content="x")).is_error


# ---------------------------------------------------------------- bash


async def test_a_command_says_how_it_ended_and_mixes_its_outputs_in_order(on: Bench) -> None:
    result = await ran(on.sandbox, "bash", command="echo out; echo err >&2; echo more; exit 3")
    first, rest = result.text.split("\n", 1)
    assert first.startswith("exit 3, ")
    assert rest == "out\nerr\nmore"
    assert not result.is_error, "a command that fails is a result, not a broken tool"


async def test_a_command_cannot_read_input_and_keeps_nothing(on: Bench) -> None:
    await ran(on.sandbox, "bash", command="cd docs; export KEPT=yes")
    result = await ran(on.sandbox, "bash", command='cat; echo "${KEPT:-no}"; ls')
    assert result.text.split("\n")[1:] == ["no", "README.md", "docs", "hello.py"]


async def test_a_number_larger_than_any_file_or_hour_is_a_number(on: Bench) -> None:
    result = await ran(on.sandbox, "bash", command="echo done", timeout_ms=10**400)
    assert result.text.endswith("\ndone")
    read = await ran(on.sandbox, "read", file_path="hello.py", view_range=[1, 10**400])
    assert read.text == '1\tprint("hullo")'
    assert (await ran(on.sandbox, "read", file_path="hello.py", view_range=[10**400, -1])).text == (
        "[the file has 1 lines]"
    )


async def test_a_command_ends_at_its_deadline(on: Bench) -> None:
    result = await ran(on.sandbox, "bash", command="sleep 300", timeout_ms=200)
    assert result.text.startswith("timed out after ")
    soon = await run_tool(call("bash", command="sleep 300"), sandbox=on.sandbox, seconds_left=0.2)
    assert soon.text.startswith("timed out after ")


async def test_a_long_output_is_cut_and_kept_whole_in_the_sandbox(on: Bench) -> None:
    result = await ran(on.sandbox, "bash", command="seq 1 20000")
    assert "full output: .git/backspace/out/17.txt in the sandbox; grep or sed it" in result.text
    assert result.text.endswith("\n19999\n20000")
    assert on.read(".git/backspace/out/17.txt").decode().split("\n")[12_345] == "12346"
    again = await ran(on.sandbox, "read", file_path=".git/backspace/out/17.txt", view_range=[5000, 5000])
    assert again.text == "5000\t5000"


async def test_a_long_output_is_cut_also_when_there_is_no_room_to_keep_it(on: Bench) -> None:
    result = await ran(on.sandbox, "bash", command="rm -rf .git; echo x > .git; seq 1 20000")
    assert "lines left out ...]" in result.text


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        pytest.param(" ", "command is empty or holds NUL.", id="empty"),
        pytest.param("a\0b", "command is empty or holds NUL.", id="nul"),
        pytest.param(
            "#" * 100_001, "command is longer than 100 kB; write a script with write and run that.", id="too-long"
        ),
    ],
)
async def test_an_impossible_command_is_refused_in_words(on: Bench, command: str, problem: str) -> None:
    assert (await ran(on.sandbox, "bash", command=command)).text == problem


# ---------------------------------------------------------------- read, write, edit


@pytest.mark.parametrize(
    ("path", "bounds", "problem"),
    [
        pytest.param(
            "", None, "the path is empty or holds NUL; give a path relative to the repository root.", id="empty"
        ),
        pytest.param("none.txt", None, "there is no file none.txt; use glob to find it.", id="missing"),
        pytest.param("hello.py/x", None, "there is no file hello.py/x; use glob to find it.", id="below-a-file"),
        pytest.param("docs", None, "docs is a folder; use glob to list it.", id="folder"),
        pytest.param("image.png", None, "image.png is a binary file of 6 bytes.", id="binary"),
        pytest.param(
            "hello.py", [0, 3], "view_range must be [first, last] with 1 <= first <= last, or last -1.", id="bounds"
        ),
        pytest.param(
            "hello.py", [3, 2], "view_range must be [first, last] with 1 <= first <= last, or last -1.", id="reversed"
        ),
    ],
)
async def test_what_cannot_be_read_is_said_in_words(
    tmp_path: Path, path: str, bounds: list[int] | None, problem: str
) -> None:
    on = await bench(tmp_path, {"hello.py": b"x\n", "docs/a.txt": b"a\n", "image.png": b"PNG\0\0\0"})
    given = {"view_range": bounds} if bounds else {}
    result = await ran(on.sandbox, "read", file_path=path, **given)
    assert (result.text, result.is_error) == (problem, True)


async def test_a_file_that_changed_since_it_was_read_is_refused_once(on: Bench) -> None:
    read = await ran(on.sandbox, "read", file_path="hello.py")
    (on.sandbox.root / "hello.py").write_text('# formatted\nprint("hullo")\n')
    given = {"file_path": "hello.py", "old_string": "hullo", "new_string": "hello"}
    refused = await changed(on.sandbox, "edit", dict(read.seen), **given)
    assert refused.is_error
    assert refused.text.endswith('The text most like old_string is now:\n2\tprint("hullo")')
    edited = await changed(on.sandbox, "edit", {**read.seen, **refused.seen}, **given)
    assert edited.text == "edited hello.py: 1 replacement, the first at line 2"


async def test_an_edit_keeps_line_ends_and_mode(on: Bench) -> None:
    place = on.sandbox.root / "docs/notes.txt"
    place.chmod(0o755)
    await changed(on.sandbox, "edit", file_path="docs/notes.txt", old_string="one\ntwo", new_string="1\n2")
    assert place.read_bytes() == b"1\r\n2\r\n"
    assert place.stat().st_mode & 0o777 == 0o755


async def test_a_write_makes_folders_and_says_what_it_did(on: Bench) -> None:
    assert (
        await changed(on.sandbox, "write", file_path="new/deep/a.txt", content="ä\n")
    ).text == "created new/deep/a.txt"
    assert (
        await changed(on.sandbox, "write", file_path="new/deep/a.txt", content="b")
    ).text == "replaced new/deep/a.txt"
    assert on.read("new/deep/a.txt") == b"b"


async def test_a_write_onto_a_folder_or_below_a_file_is_refused(on: Bench) -> None:
    assert (await changed(on.sandbox, "write", file_path="docs", content="x")).text == (
        "docs is a folder; use glob to list it."
    )
    assert (await changed(on.sandbox, "write", file_path="hello.py/x", content="x")).is_error


async def test_an_edit_of_a_file_that_is_not_there_says_so(on: Bench) -> None:
    result = await changed(on.sandbox, "edit", file_path="gone.py", old_string="a", new_string="b")
    assert result.text == "there is no file gone.py; use glob to find it or write to create it."


# ---------------------------------------------------------------- glob and grep

TREE = {
    ".gitignore": b"ignored/\n*.log\n",
    "src/app.py": b"def load_it():\n    return 1\n",
    "src/web/page.ts": b"const load_it = 1;\nconst LOAD = 2;\n",
    "docs/a b.md": b"load_it\n",
}


async def _grown(tmp_path: Path, *, git: bool) -> DirectorySandbox:
    on = await bench(tmp_path, TREE)
    (on.sandbox.root / "ignored").mkdir()
    (on.sandbox.root / "ignored/x.py").write_text("load_it\n")
    (on.sandbox.root / "new.py").write_text("load_it\n")
    (on.sandbox.root / "src/app.py").rename(on.sandbox.root / "src/application.py")
    if not git:
        await ran(on.sandbox, "bash", command="rm -rf .git")
    return on.sandbox


async def test_glob_lists_what_is_there_and_not_ignored(tmp_path: Path) -> None:
    sandbox = await _grown(tmp_path, git=True)
    assert (await ran(sandbox, "glob", pattern="**/*.py")).text == "new.py\nsrc/application.py"
    assert (await ran(sandbox, "glob", pattern="*.ts", path="src")).text == "src/web/page.ts"
    assert (await ran(sandbox, "glob", pattern="*.rs")).text == "no file matches"
    assert (await ran(sandbox, "glob", pattern="{a,b}" * 30)).is_error


async def test_glob_works_after_the_model_removed_git(tmp_path: Path) -> None:
    sandbox = await _grown(tmp_path, git=False)
    assert (await ran(sandbox, "glob", pattern="src/**")).text == "src/application.py\nsrc/web/page.ts"


async def test_glob_shows_two_hundred_paths_and_counts_the_rest(tmp_path: Path) -> None:
    on = await bench(tmp_path, {f"f{n:03}.txt": b"x" for n in range(230)})
    text = (await ran(on.sandbox, "glob", pattern="*.txt")).text
    assert text.endswith("f199.txt\n[30 paths left out; narrow the pattern or give a path]")


async def test_glob_in_a_tree_that_cannot_be_listed_is_a_result(tmp_path: Path) -> None:
    class Crowded(DirectorySandbox):
        async def list_files(self) -> tuple[str, ...]:
            raise LimitReached("There are too many files in the work tree to list them.")

    result = await ran(Crowded(tmp_path / "tree"), "glob", pattern="*")
    assert (result.text, result.is_error) == (
        "There are too many files in the work tree to list them. Look with bash.",
        True,
    )


@pytest.mark.parametrize("git", [True, False], ids=["with-git", "without-git"])
async def test_grep_finds_lines_with_and_without_git(tmp_path: Path, git: bool) -> None:
    sandbox = await _grown(tmp_path, git=git)
    assert (await ran(sandbox, "grep", pattern="load_(it|that)", path="src")).text.split("\n") == [
        "src/application.py:1:def load_it():",
        "src/web/page.ts:1:const load_it = 1;",
    ]
    assert (await ran(sandbox, "grep", pattern="^const load", include="*.ts", ignore_case=True)).text.split("\n") == [
        "src/web/page.ts:1:const load_it = 1;",
        "src/web/page.ts:2:const LOAD = 2;",
    ]
    assert (await ran(sandbox, "grep", pattern="load_it", path="docs/a b.md")).text == "docs/a b.md:1:load_it"
    assert (await ran(sandbox, "grep", pattern="nowhere")).text == "no match"
    assert (await ran(sandbox, "grep", pattern="-e")).text == "no match"
    broken = await ran(sandbox, "grep", pattern="a(")
    assert broken.is_error
    assert broken.text.startswith("the search failed: ")


async def test_grep_shows_two_hundred_matches_and_counts_the_rest(tmp_path: Path) -> None:
    on = await bench(tmp_path, {"many.txt": b"match\n" * 450})
    text = (await ran(on.sandbox, "grep", pattern="match")).text
    assert text.endswith("many.txt:200:match\n[250 matches left out; narrow the pattern or give a path]")


@pytest.mark.parametrize("git", [True, False], ids=["with-git", "without-git"])
async def test_nothing_the_model_gives_becomes_shell_or_an_option(on: Bench, git: bool) -> None:
    """Red when a search is composed as shell text or a value may begin an option: the marker file then appears."""
    if not git:
        await ran(on.sandbox, "bash", command="rm -rf .git")
    found = await ran(on.sandbox, "grep", pattern="--include=hello.py")
    assert found.text == "no match"
    for word in ("$(touch made)", "`touch made`", "; touch made", "--output=made", "-O touch made", ":(exclude)*"):
        await ran(on.sandbox, "grep", pattern=word)
        await ran(on.sandbox, "grep", pattern="x", path=word)
        await ran(on.sandbox, "grep", pattern="x", include=word)
        await ran(on.sandbox, "glob", pattern=word, path="docs")
        await ran(on.sandbox, "read", file_path=word)
    assert not (on.sandbox.root / "made").exists()
