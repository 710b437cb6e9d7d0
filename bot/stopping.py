"""Work that goes on until the process is told to stop, and is left off then wherever it is."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

import structlog


async def until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Cancels `work` as soon as `stop` is set, and waits for its farewell. Raises what it raises."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
    await asyncio.wait({working})
    if not working.cancelled():
        working.result()


async def all_ended(parts: Collection["asyncio.Task[None]"], *, within_s: float) -> None:
    """They were told to stop; one that does not is cut off, for the process must end. Raises what a part raised."""
    ended, late = await asyncio.wait(parts, timeout=within_s)
    for part in late:
        structlog.get_logger().error("part does not end", part=part.get_name())
        part.cancel()
    for part in ended:
        part.result()
