"""How an answer's events leave: at once, late, halting, or cut off; and what was written of it by each byte."""

import asyncio
import random
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from starlette.responses import StreamingResponse

from bot.standins.messages.faults import Cut, CutInside, ErrorEvent, Fault, Held, SlowStart, Stall
from bot.standins.messages.script import ScriptError


@dataclass(frozen=True, slots=True)
class Event:
    """Bytes of a stream that belong together. `written`: output tokens once they have begun to leave; `block`: which
    one they add to, by its number."""

    data: bytes
    written: int
    block: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How an API streams. `largest_write` None: one write an event; else random pieces of 1 to so many bytes."""

    ping: bytes
    error: Callable[[ErrorEvent], bytes]
    largest_write: int | None
    chance: random.Random


class Dropped(Exception):
    """The connection is to end in the middle of an answer."""


async def may_begin(fault: Fault | None) -> None:
    """Returns when the answer may."""
    if isinstance(fault, SlowStart):
        await asyncio.sleep(fault.seconds)
    if isinstance(fault, Held):
        await fault.let_go.wait()


def streaming(
    events: Iterable[Event],
    kinds: Sequence[str],
    fault: Fault | None,
    manner: Manner,
    *,
    begin: Callable[[], Callable[[int], None]],
    headers: Mapping[str, str],
) -> StreamingResponse:
    """`kinds`: of the blocks, in their order. `begin` is called when the answer begins; what it returns hears before
    each write how much output was written with it."""
    whole = list(events)
    if isinstance(fault, ErrorEvent):
        before = whole[: fault.after]
        whole = [*before, Event(manner.error(fault), before[-1].written if before else 0)]
    if isinstance(fault, CutInside):
        fault = Cut(_middle_of(whole, kinds, fault.kind), fault.cleanly)
    stream = _delivered(whole, fault, manner, begin)
    return StreamingResponse(stream, media_type="text/event-stream; charset=utf-8", headers=headers)


def _middle_of(events: Sequence[Event], kinds: Sequence[str], kind: str) -> int:
    """The byte in the middle of what streams into the first block of a kind. Raises ScriptError without one."""
    if kind not in kinds:
        raise ScriptError(f"CutInside({kind!r}) needs an answer with such a block")
    ends = list(accumulate(len(event.data) for event in events))
    inside = [end for end, event in zip(ends, events, strict=True) if event.block == kinds.index(kind)]
    return inside[(len(inside) - 1) // 2] if inside else ends[-1] // 2


async def _delivered(
    events: Sequence[Event], fault: Fault | None, manner: Manner, begin: Callable[[], Callable[[int], None]]
) -> AsyncIterator[bytes]:
    """The events as a fault lets them through: one that has begun is written. Raises Dropped."""
    if isinstance(fault, SlowStart) and fault.pings:
        async for sign in _signs(fault.seconds, manner.ping):
            yield sign
    else:
        await may_begin(fault)
    costs = begin()
    starts = list(accumulate((len(event.data) for event in events), initial=0))[:-1]
    written = [0, *(event.written for event in events)]
    sent = 0
    for piece in _writes(events, manner):
        if isinstance(fault, Cut) and sent + len(piece) >= fault.byte:
            costs(written[bisect_left(starts, fault.byte)])
            yield piece[: fault.byte - sent]
            if fault.cleanly:
                return
            raise Dropped
        if isinstance(fault, Stall) and sent <= fault.byte < sent + len(piece):
            await asyncio.sleep(fault.seconds)
        sent += len(piece)
        costs(written[bisect_left(starts, sent)])
        yield piece
        await asyncio.sleep(0)


def _writes(events: Iterable[Event], manner: Manner) -> Iterator[bytes]:
    """Random pieces respect neither events nor characters."""
    waiting = b""
    for event in events:
        waiting += event.data
        if manner.largest_write is None:
            yield waiting
            waiting = b""
            continue
        while len(waiting) > (size := manner.chance.randint(1, manner.largest_write)):
            yield waiting[:size]
            waiting = waiting[size:]
    if waiting:
        yield waiting


async def _signs(seconds: float, ping: bytes) -> AsyncIterator[bytes]:
    """One at once."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    yield ping
    while (left := until - clock()) > 0:
        await asyncio.sleep(min(left, 0.02))
        yield ping
