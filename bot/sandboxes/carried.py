"""A command that runs at a provider's: its standard streams as the pair that frames go over, and what holds it."""

import asyncio
import socket
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine
from typing import Any

from bot.domain.errors import ProviderError

PIECE_BYTES = 1 << 20
PARTING_TIMEOUT_S = 30.0
Parting = Callable[[], Awaitable[None]]


class Tether:
    """Holds a machine until it is ended or let go of, once, whoever asks for it. Both may raise ProviderError."""

    def __init__(self, *, end: Parting, leave: Parting) -> None:
        self._end, self._leave = end, leave
        self._parting: asyncio.Task[None] | None = None

    def kill(self) -> None:
        self._begin(self._end)

    async def leave(self) -> None:
        self._begin(self._leave)
        await self.gone()

    async def gone(self) -> None:
        if self._parting is not None:
            await asyncio.shield(self._parting)

    def _begin(self, parting: Parting) -> None:
        if self._parting is None:
            self._parting = asyncio.get_running_loop().create_task(_parted(parting))


async def _parted(parting: Parting) -> None:
    """What cannot be ended now ends by its time-out, or is reaped."""
    try:
        async with asyncio.timeout(PARTING_TIMEOUT_S):
            await parting()
    except (ProviderError, TimeoutError):
        return


class Carriage:
    """Two tasks that carry: what the command says to the reader, what is written to the command.

    When one of them ends, however it ends, both streams do: the sandbox is lost then.
    """

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def streams(
        self, said: AsyncIterable[bytes], hear: Callable[[bytes], Awaitable[None]]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """`said` is the command's standard output; `hear` takes some of its standard input, returning once that is
        taken."""
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near, limit=PIECE_BYTES)
        far_reader, far_writer = await asyncio.open_connection(sock=far, limit=PIECE_BYTES)
        self._begin(_to(far_writer, said), far_writer)
        self._begin(_from(far_reader, hear), far_writer)
        return reader, writer

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, work: Coroutine[Any, Any, None], far: asyncio.StreamWriter) -> None:
        def over(task: asyncio.Task[None]) -> None:
            far.close()
            if not task.cancelled():
                task.exception()  # whoever reads next learns of the end

        task = asyncio.create_task(work)
        task.add_done_callback(over)
        self._tasks.append(task)


async def _to(writer: asyncio.StreamWriter, said: AsyncIterable[bytes]) -> None:
    async for piece in said:
        writer.write(piece)
        await writer.drain()


async def _from(reader: asyncio.StreamReader, hear: Callable[[bytes], Awaitable[None]]) -> None:
    while piece := await reader.read(PIECE_BYTES):
        await hear(piece)
