"""A sandbox whose network is its provider's business, by rules that may need another machine, files and all."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from bot.domain.errors import ProviderError
from bot.ports import BaseFile, ExecResult, ExportedFile
from bot.sandboxes.observed import READ_NOTES, told
from bot.sandboxes.served import ServedSandbox

READ_TIMEOUT_S = 20.0
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Machine(Generic[Place]):
    """`place` as its provider knows it, `served` what is reached inside, `image` what its files were at first."""

    place: Place
    served: ServedSandbox
    warm: bool
    image: str = ""


class Movers(Protocol[Place]):
    async def moved(self, machine: Machine[Place], names: Sequence[str]) -> Machine[Place]:
        """One with the files of this one, which is not ended, and that network. No names: none.

        It may be this one; then it ends when its network cannot be told.
        """
        ...

    async def kept(self, machine: Machine[Place], key: str) -> None: ...


class MovingSandbox(Generic[Place]):
    """The port, always at the machine of the moment."""

    def __init__(self, movers: Movers[Place], machine: Machine[Place]) -> None:
        self._movers, self._machine = movers, machine
        self._phase = "before"  # setup, after

    @property
    def id(self) -> str:
        return self._machine.served.id

    @property
    def provider(self) -> str:
        return self._machine.served.provider

    @property
    def warm(self) -> bool:
        return self._machine.warm

    async def allow_network(self, names: Sequence[str]) -> None:
        if self._phase != "before":
            raise ProviderError(self.provider, "its sandboxes can have no network any more")
        await self._move(names)
        self._machine.served.observe(names)
        self._phase = "setup"

    async def end_network(self) -> tuple[str, ...]:
        """When the machine without network cannot be had, the one with network ends all the same."""
        phase, self._phase = self._phase, "after"
        if phase != "setup":
            return ()
        if self._machine.served.is_lost:
            await self.close()
            return ()
        try:
            self._machine.served.observe(())
            notes = await self.exec(READ_NOTES, timeout_s=READ_TIMEOUT_S)
            await self._move(())
        except BaseException:  # cancelled too: the machine may have network still
            await self.close()
            raise
        return told(notes.stdout)

    async def keep(self, key: str) -> None:
        await self._movers.kept(self._machine, key)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout_s: float,
        max_output_bytes: int = 1_000_000,
    ) -> ExecResult:
        return await self._machine.served.exec(
            argv, stdin=stdin, env=env, timeout_s=timeout_s, max_output_bytes=max_output_bytes
        )

    async def read_file(self, path: str, *, max_bytes: int) -> bytes:
        return await self._machine.served.read_file(path, max_bytes=max_bytes)

    async def write_file(self, path: str, content: bytes) -> None:
        await self._machine.served.write_file(path, content)

    async def list_files(self) -> tuple[str, ...]:
        return await self._machine.served.list_files()

    async def put_archive(self, chunks: AsyncIterator[bytes]) -> None:
        await self._machine.served.put_archive(chunks)

    async def export_changes(self, base: Mapping[str, BaseFile], *, max_bytes: int) -> tuple[ExportedFile, ...]:
        return await self._machine.served.export_changes(base, max_bytes=max_bytes)

    async def close(self) -> None:
        await self._machine.served.close()

    async def leave(self) -> None:
        await self.end_network()
        await self._machine.served.leave()

    async def _move(self, names: Sequence[str]) -> None:
        old = self._machine
        self._machine = await self._movers.moved(old, names)
        if self._machine is not old:
            await old.served.close()
