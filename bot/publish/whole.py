"""An effect on GitHub and its record: a cancellation that comes in the middle waits until both are there."""

import asyncio
from collections.abc import Coroutine
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
