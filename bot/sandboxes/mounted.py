"""The way out of a container in its setup phase: a socket handed over in a folder that engine and bot both see."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.domain.errors import ProviderError
from bot.sandboxes.egress import WayOut
from bot.sandboxes.engine import NAME
from bot.sandboxes.handed import HandedNetwork
from bot.sandboxes.proxy import DIALER, Dialer


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPhase:
    """What it needs outside of the container: the operator's rules, and a folder that engine and bot both see."""

    way_out: WayOut
    folder: Path
    dialer: Dialer = DIALER


class MountedNetwork:
    """The helper hands its socket over in a folder that the container sees; nobody listens there at any other time,
    and while somebody does no command runs."""

    def __init__(self, setup: SetupPhase, path: Path) -> None:
        self._setup, self._path = setup, path
        self._handed: HandedNetwork | None = None

    def prepare(self) -> bool:
        listening = socket.socket(socket.AF_UNIX)
        way_out, dialer = self._setup.way_out, self._setup.dialer
        self._handed = HandedNetwork(listening, provider=NAME, way_out=way_out, dialer=dialer)
        try:
            self._path.unlink(missing_ok=True)
            with _opened(self._path.parent) as folder:
                listening.bind(f"/proc/self/fd/{folder}/{self._path.name}")  # a socket's path has 107 bytes at most
            os.chmod(self._path, 0o666)  # the sandbox's user is another
            listening.listen(1)
        except OSError as error:
            raise ProviderError(NAME, f"the setup phase got no network: {self._path}: {error}") from None
        return True

    async def open(self, names: Sequence[str]) -> dict[str, str]:
        assert self._handed is not None
        try:
            return await self._handed.open(names)
        finally:
            self._path.unlink(missing_ok=True)

    async def close(self) -> tuple[str, ...]:
        return await self._handed.close() if self._handed else ()


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
