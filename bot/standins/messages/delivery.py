"""How an answer's bytes leave: at once, late, halting, or cut off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from bot.standins.messages.faults import Cut, Fault, Held, SlowStart, Stall

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class Dropped(Exception):
    """The connection is to end in the middle of an answer."""


async def delivered(
    writes: Iterator[bytes], fault: Fault | None, *, sends: Callable[[int], None], ping: bytes = PING
) -> AsyncIterator[bytes]:
    """The writes as a fault lets them through; `sends` hears before each how many bytes are sent with it, and before
    the first that the answer begins: 0. Raises Dropped."""
    if isinstance(fault, SlowStart):
        async for sign in _waiting(fault, ping):
            yield sign
    if isinstance(fault, Held):
        await fault.let_go.wait()
    sends(0)
    sent = 0
    for piece in writes:
        if isinstance(fault, Cut) and sent + len(piece) >= fault.byte:
            sends(fault.byte)
            yield piece[: fault.byte - sent]
            if fault.cleanly:
                return
            raise Dropped
        if isinstance(fault, Stall) and sent <= fault.byte < sent + len(piece):
            await asyncio.sleep(fault.seconds)
        sent += len(piece)
        sends(sent)
        yield piece
        await asyncio.sleep(0)


async def _waiting(fault: SlowStart, ping: bytes) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    until = clock() + fault.seconds
    while (left := until - clock()) > 0:
        if fault.pings:
            yield ping
        await asyncio.sleep(min(left, 0.02))
