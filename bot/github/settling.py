"""A write whose answer was lost: look for what it made, for as long as GitHub may take to show it, before another."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot.domain.errors import AmbiguousWrite, Unprocessable
from bot.github.turn import Sleep

Made = TypeVar("Made")
LOOKS_AFTER_S = (0.0, 2.0, 4.0, 8.0, 20.0)  # each after the one before; what happened is visible within 30 s or so


async def made(
    write: Callable[[], Awaitable[Made]], find: Callable[[], Awaitable[Made | None]], *, sleep: Sleep
) -> Made:
    """What `write` made, as it says or as `find` sees. Raises AmbiguousWrite when nothing shows."""
    try:
        return await write()
    except AmbiguousWrite as lost:
        return await _shown(find, lost, sleep=sleep)


async def made_once(
    write: Callable[[], Awaitable[Made]], find: Callable[[], Awaitable[Made | None]], *, sleep: Sleep
) -> Made:
    """The same for what GitHub refuses to make twice: written again at once, and looked for when it exists already."""
    try:
        return await write()
    except AmbiguousWrite:
        found = await find()
    if found is not None:
        return found
    try:
        return await write()
    except AmbiguousWrite as lost:
        return await _shown(find, lost, sleep=sleep)
    except Unprocessable as refused:
        if "already exists" not in refused.message:
            raise
        return await _shown(find, refused, sleep=sleep)


async def _shown(
    find: Callable[[], Awaitable[Made | None]], otherwise: AmbiguousWrite | Unprocessable, *, sleep: Sleep
) -> Made:
    for pause_s in LOOKS_AFTER_S:
        if pause_s:
            await sleep(pause_s)
        found = await find()
        if found is not None:
            return found
    raise otherwise
