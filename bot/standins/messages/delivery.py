"""How an answer's bytes leave: at once, late, halting, or cut off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from bot.standins.messages.faults import Cut, Fault, Held, SlowStart, Stall

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class Dropped(Exception):
    """The connection is to end in the middle of an answer."""


async def may_begin(fault: Fault | None) -> None:
    """Returns when the answer may."""
    if isinstance(fault, SlowStart):
        await asyncio.sleep(fault.seconds)
    if isinstance(fault, Held):
        await fault.let_go.wait()


async def delivered(
    writes: Iterator[bytes], fault: Fault | None, *, sends: Callable[[int], None], ping: bytes = PING
) -> AsyncIterator[bytes]:
    """The writes as a fault lets them through; `sends` hears before each how many bytes are sent with it, and before
    the first that the answer begins: 0. Raises Dropped."""
    if isinstance(fault, SlowStart) and fault.pings:
        async for sign in _signs(fault.seconds, ping):
            yield sign
    else:
        await may_begin(fault)
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


async def _signs(seconds: float, ping: bytes) -> AsyncIterator[bytes]:
    """One at once."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    yield ping
    while (left := until - clock()) > 0:
        await asyncio.sleep(min(left, 0.02))
        yield ping
