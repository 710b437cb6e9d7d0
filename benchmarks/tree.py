"""A work tree for the second job of a commit, filled into a real sandbox, beside `git clone --depth 1`."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Goal, Row, alternate
from benchmarks.peers import Peers
from benchmarks.processes import BenchmarkFailed, environment
from bot.ports import Remote
from bot.publish.mirror import Mirror
from bot.sandboxes.bubblewrap import Bubblewrap

FILES_IN_A_FOLDER = 50
GIT = ("git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost", "-c", "gc.auto=0")


@dataclass(frozen=True, slots=True)
class Size:
    files: tuple[int, ...]
    rounds: int


FULL, QUICK = Size((5_000, 50_000), 5), Size((5_000,), 3)
GOALS = {5_000: Goal("at most", 0.1, 0.05), 50_000: Goal("at most", 0.04, 0.02)}  # 10 and 25 times faster


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    found = []
    for files in size.files:
        source = at / f"source-{files}"
        sha = await asyncio.to_thread(committed, source, files)
        trees = _Trees(source, sha, at / f"work-{files}")
        await trees.warm()
        contenders: dict[str, Callable[[], Awaitable[float]]] = {"ours": trees.filled, "clone": trees.cloned}
        taken = await alternate(contenders, size.rounds)
        found.append(
            Row(
                what=f"warm tree in a sandbox, {files:,} files",
                unit="ms",
                ours=taken["ours"],
                peer="git clone --depth 1",
                theirs=taken["clone"],
                goal=GOALS.get(files),
            )
        )
    return found


def committed(source: Path, files: int) -> str:
    """A repository of `files` small text files, 50 a folder, in one commit; its id."""
    for number in range(files):
        folder = source / f"package{number // FILES_IN_A_FOLDER}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"module{number}.py").write_text(f"# module {number}\n" + f"value_{number} = {number}\n" * 60)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A repository to work on"]):
        _git(source, *words)
    return _git(source, "rev-parse", "HEAD")


def _git(directory: Path, *words: str) -> str:
    done = subprocess.run([*GIT, *words], cwd=directory, env=environment(), check=True, capture_output=True, text=True)
    return done.stdout.strip()


class _Trees:
    """The same commit, made ready both ways. Every time is in milliseconds; tidying up is not part of it."""

    def __init__(self, source: Path, sha: str, at: Path) -> None:
        self._source, self._sha, self._at = source, sha, at
        self._mirror = Mirror(at / "mirrors", environment=os.environ)

    async def warm(self) -> None:
        """The first job of the commit: it fetches, prepares, and is not counted."""
        await self.filled()

    async def filled(self) -> float:
        sandbox = await Bubblewrap().open("benchmark")
        try:
            began = time.perf_counter()
            remote = Remote(str(self._source), "")
            workspace = await self._mirror.pin(remote, repo_id=1, sha=self._sha)
            await workspace.fill(sandbox)
            took = time.perf_counter() - began
            asked = await sandbox.exec(["git", "status", "--porcelain"], timeout_s=120)
        finally:
            await sandbox.close()
        if asked.exit_code != 0 or asked.stdout:
            raise BenchmarkFailed(f"the tree in the sandbox is not the commit: {asked.stdout[:200]!r}")
        return took * 1_000

    async def cloned(self) -> float:
        target = self._at / "clone"
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *("git", "clone", "--quiet", "--depth", "1", f"file://{self._source}", str(target)), env=environment()
        )
        if await process.wait():
            raise BenchmarkFailed("git clone failed")
        took = time.perf_counter() - began
        await asyncio.to_thread(shutil.rmtree, target)
        return took * 1_000
