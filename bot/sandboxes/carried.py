"""The standard streams of a command that runs at a provider's, as the pair of streams that frames go over."""

import asyncio
import socket
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine
from typing import Any

PIECE_BYTES = 1 << 20


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
