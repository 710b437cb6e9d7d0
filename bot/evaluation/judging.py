"""Hidden tests on a commit, in a fresh sandbox: the host runs nothing of it."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.evaluation.material import Material
from bot.ports import Remote, Sandbox, SandboxProvider
from bot.publish.mirror import Mirror
from bot.standins.github.git import BareRepository

TIMEOUT_S = 1_800.0
OUTPUT_BYTES = 20_000_000
ENVIRONMENT = {"CI": "1", "PYTHONDONTWRITEBYTECODE": "1"}
REPOSITORY = 0  # in a mirror of its own no other repository has an id
LINE_CHARACTERS = 200

# How runners name what passed: pytest -rA; unittest -v (also `docstring` on a second line, which is left out); TAP.
_PASSED = re.compile(
    r"^(?:PASSED (?P<pytest>\S.*?)|(?P<unittest>\w+ \([\w.]+\)) \.\.\. ok|\s*ok \d+ - (?P<tap>.*?))\s*$", re.MULTILINE
)
_FAILURE = re.compile(r"\b(?:FAIL|FAILED|ERROR|Error|not ok)\b|\w+Error:")
# The task's own command is not there; a script that misses a program speaks in its own name, and may be the bug.
_NO_RUNNER = re.compile(r"^bash: line \d+: .*: command not found$|No module named '?(?:pytest|tox|nox)\b", re.MULTILINE)
_NOT_RUN = re.compile(r"# (?:SKIP|TODO)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ran` False: the command is not there, which says nothing about the commit."""

    passed: bool
    said: str
    ran: bool = True


class Judge:
    """One task's tests. `mirror` is where the commits to judge are kept."""

    def __init__(self, material: Material, *, sandboxes: SandboxProvider, mirror: Mirror) -> None:
        self._material = material
        self._sandboxes = sandboxes
        self._mirror = mirror

    async def missing(self) -> tuple[str, ...]:
        """The programs that the task needs and the sandbox has not. Raises ProviderError."""
        needs = self._material.task.needs
        if not needs:
            return ()
        sandbox = await self._sandboxes.open("eval-needs")
        try:
            asked = [["sh", "-c", 'command -v "$0"', need] for need in needs]
            found = [await sandbox.exec(argv, timeout_s=30) for argv in asked]
        finally:
            await sandbox.close()
        return tuple(need for need, result in zip(needs, found, strict=True) if result.exit_code != 0)

    async def judge(self, git: BareRepository, sha: str) -> Judgement:
        """The tests as the task has them, whatever the commit made of their files. Raises ProviderError."""
        task = self._material.task
        async with self._checked_out(git, sha) as sandbox:
            result = await sandbox.exec(
                ["bash", "-c", 'exec bash -c "$1" 2>&1', "bash", task.test],
                env=ENVIRONMENT,
                timeout_s=TIMEOUT_S,
                max_output_bytes=OUTPUT_BYTES,
            )
        output = result.stdout.decode("utf-8", "replace")
        if result.timed_out:
            return Judgement(False, f"the tests took longer than {TIMEOUT_S / 60:.0f} minutes")
        if result.exit_code != 0 and _NO_RUNNER.search(output):
            return Judgement(False, f"the sandbox cannot run its tests: {_telling_line(output)}", ran=False)
        if task.must_pass:
            return _by_name(task.must_pass, passed_in(output))
        passed = result.exit_code == 0
        return Judgement(
            passed, "the hidden tests pass" if passed else f"the hidden tests fail: {_telling_line(output)}"
        )

    @asynccontextmanager
    async def _checked_out(self, git: BareRepository, sha: str) -> AsyncIterator[Sandbox]:
        workspace = await self._mirror.pin(Remote(str(git.path), ""), repo_id=REPOSITORY, sha=sha)
        sandbox = await self._sandboxes.open("eval-tests")
        try:
            await workspace.fill(sandbox)
            await workspace.put_changes(sandbox, self._material.hidden)
            yield sandbox
        finally:
            await sandbox.close()


def passed_in(output: str) -> frozenset[str]:
    """The names of the tests that a runner's output says passed: pytest with -rA, unittest with -v, TAP."""
    names = (match["pytest"] or match["unittest"] or match["tap"] or "" for match in _PASSED.finditer(output))
    return frozenset(name for name in names if name and not _NOT_RUN.search(name))


def _by_name(wanted: Sequence[str], passed: frozenset[str]) -> Judgement:
    failed = [name for name in wanted if name not in passed]
    if not failed:
        return Judgement(True, f"{len(wanted)} of {len(wanted)} named tests pass")
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return Judgement(False, f"{failed[0]} does not pass{more}, of {len(wanted)}")


def _telling_line(output: str) -> str:
    """The first line that speaks of a failure, else the last one."""
    lines = [line.strip() for line in output.split("\n") if line.strip()]
    telling = next((line for line in lines if _FAILURE.search(line)), lines[-1] if lines else "they say nothing")
    return telling[:LINE_CHARACTERS]
