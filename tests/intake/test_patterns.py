"""Patterns mean what git means by them, and no pattern is slow."""

import subprocess
from pathlib import Path

import pytest

from bot.intake.patterns import Patterns

NAMES = ("a.py", "src/a.py", "src/b.lock", "ok.lock", "build/x", "deep/build/x", "Ünï.py", "odd\udcff.py", "a\nb.py")


@pytest.mark.parametrize(
    "lines", [["*.py"], ["/build/"], ["build/"], ["*.lock", "!ok.lock"], ["src/**"], ["**/x"], ["[a-b].py"], ["o*"]]
)
def test_they_name_what_git_ignores_by_them(tmp_path: Path, lines: list[str]) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(lines))
    asked = "\0".join(NAMES).encode("utf-8", "surrogateescape")
    done = subprocess.run(["git", "check-ignore", "-z", "--stdin", "--no-index"], cwd=tmp_path, input=asked, stdout=-1)
    by_git = {name for name in done.stdout.decode("utf-8", "surrogateescape").split("\0") if name}
    assert set(Patterns(lines).among(NAMES)) == by_git


@pytest.mark.parametrize("line", ["*a" * 30 + "b", "**/a/" * 30 + "b", "[a-z]*" * 30 + "0"])
def test_a_pattern_made_to_be_slow_is_not(line: str) -> None:
    """Red with the expressions of `re`, which take minutes for five stars: seen."""
    assert Patterns([line]).among(["a" * 250, "a/" * 120 + "c"]) == ()


@pytest.mark.parametrize("lines", [["[z-a]"], [f"{'[a-z]*' * 150}{number}" for number in range(100)]])
def test_what_cannot_be_matched_is_refused_when_it_is_read(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="not too many"):
        Patterns(lines)
