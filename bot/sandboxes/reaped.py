"""The sandboxes whose job is over, ended one by one."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bot.domain.errors import ProviderError
from bot.ports import Over

T = TypeVar("T")


async def reaped(found: Sequence[tuple[T, str]], over: Over, end: Callable[[T], Awaitable[object]]) -> int:
    """How many of these, each with its job's name. One that cannot be ended keeps no other alive: its ProviderError is
    raised when all were tried. `end` takes one that is gone for ended."""
    names, ended, failure = await over({job for _, job in found}), 0, None
    for one, job in found:
        if job in names:
            try:
                await end(one)
                ended += 1
            except ProviderError as error:
                failure = error
    if failure is not None:
        raise failure
    return ended
