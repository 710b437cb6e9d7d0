"""What goes on until it is told to stop is left off at once; what does not listen is cut off."""

import asyncio

import pytest

from bot.stopping import all_ended, until
from tests.polling import WITHIN_S

pytestmark = pytest.mark.anyio


async def test_work_is_left_off_wherever_it_is_and_may_say_farewell() -> None:
    stop, said = asyncio.Event(), []

    async def work() -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("farewell")

    async with asyncio.timeout(WITHIN_S):
        await until(stop, work())
    assert said == ["farewell"]


async def test_what_breaks_is_told() -> None:
    async def work() -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await until(asyncio.Event(), work())


async def test_a_part_that_does_not_listen_does_not_keep_the_process() -> None:
    """Red when the others are waited for without an end: seen."""

    async def deaf() -> None:
        await asyncio.Event().wait()

    async def listens() -> None:
        return

    parts = [asyncio.create_task(deaf()), asyncio.create_task(listens())]
    async with asyncio.timeout(WITHIN_S):
        await all_ended(parts, within_s=0.01)
        await asyncio.wait(parts)
    assert parts[0].cancelled()


async def test_what_broke_in_a_part_is_told() -> None:
    async def broke() -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await all_ended([asyncio.create_task(broke())], within_s=WITHIN_S)
