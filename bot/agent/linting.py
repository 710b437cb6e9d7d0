"""The linters a repository configures, run on the files of a change alone: words for its author, no condition."""

import posixpath
import re
from collections.abc import Sequence

from bot.agent.checks import lint
from bot.agent.output import cleaned, last_lines, visible
from bot.domain.job import Patch
from bot.ports import Sandbox, Workspace

SECONDS = 60.0
MOST_FILES = 30
MOST_CHARACTERS = 1500
OUTPUT_BYTES = 200_000
ENVIRONMENT = {"CI": "1", "NO_COLOR": "1", "RUFF_NO_CACHE": "true"}
_PYTHON = frozenset({".py", ".pyi"})
_SCRIPT = frozenset({".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts"})
_READS = {
    "ruff check": _PYTHON,
    "black --check": _PYTHON,
    "flake8": _PYTHON,
    "npx --no-install eslint": _SCRIPT,
    "npx --no-install prettier --check": _SCRIPT | {".css", ".scss", ".json", ".md", ".yml", ".yaml", ".html", ".vue"},
}
_NOT_THERE = re.compile(r"missing packages|could not determine executable|No module named")


async def linters_for(patch: Patch, workspace: Workspace) -> tuple[tuple[str, list[str]], ...]:
    """The commands that the base configures, each with the changed files it reads."""
    paths = await workspace.base_paths()
    contents = {path: await workspace.base_file(path) or b"" for path in ("pyproject.toml",) if path in set(paths)}
    files = [f"./{change.path}" for change in patch.changes if change.mode in ("100644", "100755")]
    found = (
        (command, [file for file in files if posixpath.splitext(file)[1] in _READS[command]][:MOST_FILES])
        for command in lint(paths, contents)
    )
    return tuple((command, read) for command, read in found if read)


async def linted(linters: Sequence[tuple[str, list[str]]], sandbox: Sandbox, *, seconds_left: float) -> str:
    """What they say, or "" when there is none that can run here. Raises ProviderError when the sandbox is lost."""
    timeout_s = min(SECONDS, seconds_left)
    said = [await _said(command, files, sandbox, timeout_s) for command, files in linters if timeout_s > 1]
    return "\n".join(filter(None, said))


async def _said(command: str, files: list[str], sandbox: Sandbox, timeout_s: float) -> str:
    result = await sandbox.exec(
        ["bash", "-c", 'exec "$@"', "bash", *command.split(), *files],
        env=ENVIRONMENT,
        timeout_s=timeout_s,
        max_output_bytes=OUTPUT_BYTES,
    )
    output = cleaned(result.stdout + result.stderr)
    if result.exit_code in (None, 126, 127) or _NOT_THERE.search(output):
        return ""
    if result.exit_code == 0:
        return f"Lint of the changed files: {command}: clean"
    said = visible(last_lines(output, MOST_CHARACTERS))
    return f"Lint of the changed files, which may have been so before: {command}: exit {result.exit_code}\n{said}"
