"""The peers, installed on the fly into a directory of their own; one that cannot be had here is told apart."""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import stopped

HERE = Path(__file__).parent
INSTALL_S = 600.0


class NotHad(Exception):
    """A peer that is not to be had here, and why: words for the table."""


class Peers:
    """`root`: where they are installed, reused when they are there already. `allowed` False: none are looked for."""

    def __init__(self, root: Path, *, allowed: bool = True) -> None:
        self._root = root
        self._allowed = allowed
        self._failed: dict[tuple[str, ...], str] = {}

    async def python(self, *packages: str) -> str:
        """An interpreter that has `packages`, pinned by peers.txt. Raises NotHad."""
        home = self._root / "-".join(packages)
        interpreter, done = home / "bin" / "python", home / "installed"
        if not done.exists():
            await self._install(packages, [sys.executable, "-m", "venv", str(home)])
            pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            await self._install(packages, [*pip, "-c", str(HERE / "peers.txt"), *packages])
            done.touch()
        return str(interpreter)

    async def node(self) -> Path:
        """A directory whose node_modules hold what package.json pins. Raises NotHad."""
        home = self._root / "node"
        if not (home / "installed").exists():
            if shutil.which("node") is None or shutil.which("npm") is None:
                raise NotHad("node and npm are not installed")
            home.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / "package.json", home / "package.json")
            await self._install(("probot",), ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home)])
            (home / "installed").touch()
        return home

    async def _install(self, what: tuple[str, ...], argv: Sequence[str]) -> None:
        if not self._allowed:
            raise NotHad("peers are switched off")
        if what in self._failed:
            raise NotHad(self._failed[what])
        self._root.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=self._root, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, said = await asyncio.wait_for(process.communicate(), INSTALL_S)
        except TimeoutError:
            said = b"it took too long"
        finally:
            await stopped(process)
        if process.returncode:
            last = said.decode(errors="replace").strip().rpartition("\n")[2][:120]
            self._failed[what] = f"could not be installed ({last or 'no reason given'})"
            raise NotHad(self._failed[what])
