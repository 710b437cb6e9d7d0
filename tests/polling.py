"""Waiting for what must come, on a machine on which any process may stand still for seconds at any moment."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

WITHIN_S = 30.0


async def until(holds: Callable[[], bool | Awaitable[bool]], *, within_s: float = WITHIN_S) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            answer = holds()
            if (await answer) if isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.01)
