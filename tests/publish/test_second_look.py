"""What a reviewer should open first, and the reason given."""

import pytest

from bot.domain.job import Change, FileStat, Mode, Patch
from bot.publish.second_look import worth_a_second_look


def added(path: str, content: bytes = b"x\n", mode: Mode = "100644") -> Change:
    return Change(path, mode, content)


def edited(path: str) -> Change:
    return Change(path, "100644", b"y\n", "100644")


def patch(*changes: Change, binary: bool = False) -> Patch:
    stats = tuple(FileStat(change.path, None if binary else 1, None if binary else 0) for change in changes)
    return Patch(base_sha="b" * 40, tree_sha="t" * 40, changes=changes, stats=stats, diff="", diff_id="d")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param(edited("package-lock.json"), "package-lock.json: a lock file", id="lock"),
        pytest.param(edited("web/yarn.lock"), "web/yarn.lock: a lock file", id="lock-in-a-folder"),
        pytest.param(
            edited("package.json"),
            "package.json: runs when the project is installed, built or tested",
            id="package-scripts",
        ),
        pytest.param(
            edited("tests/conftest.py"),
            "tests/conftest.py: runs when the project is installed, built or tested",
            id="conftest",
        ),
        pytest.param(edited("Dockerfile"), "Dockerfile: builds an image or runs one", id="dockerfile"),
        pytest.param(edited(".gitlab-ci.yml"), ".gitlab-ci.yml: runs in continuous integration", id="other-ci"),
        pytest.param(added("CLAUDE.md"), "CLAUDE.md: instructions that agents obey", id="agent-file"),
        pytest.param(added("sub/agents.md"), "sub/agents.md: instructions that agents obey", id="agent-file-lower"),
        pytest.param(
            edited(".github/backspace.yml"), ".github/backspace.yml: the bot's own configuration", id="configuration"
        ),
        pytest.param(edited(".gitattributes"), ".gitattributes: changes how git treats files", id="attributes"),
        pytest.param(added("logo.png", b"\x89PNG\0"), "logo.png: a binary file", id="binary"),
        pytest.param(added("x", b"y", "120000"), "x: a symbolic link", id="link"),
        pytest.param(added("run", mode="100755"), "run: a new executable", id="executable"),
        pytest.param(
            Change("run", "100755", b"x", "100644"), "run: its mode changes from 100644 to 100755", id="mode-change"
        ),
        pytest.param(added("aux.c"), "aux.c: a name that Windows cannot hold", id="windows"),
        pytest.param(
            Change("Dockerfile", None, None, "100644"), "Dockerfile: builds an image or runs one", id="deleted"
        ),
    ],
)
def test_risky_files_come_first_with_the_reason(change: Change, line: str) -> None:
    assert worth_a_second_look(patch(edited("src/app.py"), change)) == (line,)


def test_git_calling_a_file_binary_is_enough() -> None:
    assert worth_a_second_look(patch(added("data", b"text"), binary=True)) == ("data: a binary file",)
