"""A way to a Postgres that can fall silent: what is connected then is kept open and acknowledged, and hears nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

SOCKET = ".s.PGSQL.5432"


@dataclass(slots=True)
class Way:
    """`silent`: the connections of now are dead; later ones are not."""

    silent: set[asyncio.StreamWriter] = field(default_factory=set)
    there: set[asyncio.StreamWriter] = field(default_factory=set)

    def silence(self) -> None:
        self.silent |= self.there

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.there.add(writer)
        while data := await reader.read(65536):
            if writer not in self.silent:
                writer.write(data)
        writer.close()


@asynccontextmanager
async def way_to(server: Path, here: Path) -> AsyncIterator[Way]:
    """From a socket in the folder `here` to the server whose socket is in `server`."""
    way = Way()

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_unix_connection(str(server / SOCKET))
        await asyncio.gather(way.carry(reader, onward), way.carry(there, writer))

    listening = await asyncio.start_unix_server(joined, str(here / SOCKET))
    try:
        yield way
    finally:
        listening.close()
        for writer in way.there:
            writer.close()
        await asyncio.sleep(0.05)
