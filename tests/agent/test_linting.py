"""A repository's linters look at the files of a change alone; what they say is shown and decides nothing."""

import sys
from pathlib import Path

import pytest

from bot.agent.review import History, Shown
from tests.agent.bench import Bench, bench
from tests.agent.test_review import words
from tests.fakes import GIT

FILES = {"pyproject.toml": b"[tool.ruff]\n", "old.py": b"import os\n", "new.py": b"", "docs/a.txt": b"x\n"}


async def shown(on: Bench, path: str, text: str) -> Shown:
    (on.sandbox.root / path).write_text(text)
    seen = await on.review.submit(words(), history=History())
    assert isinstance(seen, Shown)
    return seen


@pytest.fixture
def with_ruff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its real self, on the path of the sandbox's commands."""
    tools = Path(sys.executable).parent
    assert (tools / "ruff").exists()
    monkeypatch.setitem(GIT, "PATH", f"{tools}:{GIT['PATH']}")


@pytest.mark.usefixtures("with_ruff")
async def test_what_a_linter_says_of_changed_files_is_shown_and_decides_nothing(tmp_path: Path) -> None:
    seen = await shown(await bench(tmp_path, FILES), "new.py", "import sys\n")
    assert "Lint of the changed files, which may have been so before: ruff check: exit 1" in seen.text
    assert "`sys` imported but unused" in seen.text
    assert "old.py" not in seen.text
    assert not seen.checks_failed


@pytest.mark.usefixtures("with_ruff")
async def test_clean_files_are_said_to_be_clean(tmp_path: Path) -> None:
    seen = await shown(await bench(tmp_path, FILES), "new.py", "A = 1\n")
    assert "Lint of the changed files: ruff check: clean" in seen.text.split("\n")


async def test_a_linter_that_is_not_there_or_has_nothing_to_read_is_not_mentioned(tmp_path: Path) -> None:
    missing = {"pyproject.toml": b"[tool.black]\n", "new.py": b""}
    assert "Lint" not in (await shown(await bench(tmp_path / "one", missing), "new.py", "A=1\n")).text
    assert "Lint" not in (await shown(await bench(tmp_path / "two", FILES), "docs/a.txt", "y\n")).text
