"""What the README promises is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.config import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_table() -> str:
    """The table as the code has it; paste it into the README when this test fails."""
    return "\n".join(f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.meaning} |" for s in SETTINGS)


def test_the_table_of_settings_is_the_code() -> None:
    assert settings_table() in README


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named
    assert named <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`?backspace ([a-z]+)\b[^`\n]*`", README)) - {"add"}))
def test_every_command_it_names_has_a_help_text(command: str) -> None:
    if f"/backspace {command}" in README and f"`backspace {command}" not in README:
        return
    done = subprocess.run(
        [sys.executable, "-m", "bot", command, "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_every_file_it_names_exists() -> None:
    named = re.findall(r"`((?:bot|docs|tests|benchmarks)/[\w./-]+)`", README) + re.findall(
        r"\]\((docs/[^)]+)\)", README
    )
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
