"""What is cancelled only with care: an effect on GitHub with its record, and what goes on beside the work."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
ANSWERED_S = 7.0  # less than a process that goes down gives its jobs; GitHub itself ends a request after 10


async def whole(effect: Coroutine[Any, Any, T]) -> T:
    """What `effect` answers or raises. Cancelled, it is over, or has been cancelled itself: after `ANSWERED_S`,
    or by a second cancellation."""
    doing = asyncio.ensure_future(effect)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing}, timeout=ANSWERED_S)
        raise
    finally:
        if doing.cancel():
            await asyncio.wait({doing})
        if not doing.cancelled():
            doing.exception()  # whoever cancelled looks at what there is


@asynccontextmanager
async def beside(doing: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """`doing` goes on while the block runs and is over after it; whoever awaits it there hears what it raises."""
    task = asyncio.create_task(doing)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # who did not await it does not ask
