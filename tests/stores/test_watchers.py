"""As many watchers as a bot may have at once."""

import asyncio

import pytest

from bot.domain.events import Conclusion, JobFinished, Noted
from tests.stores.conftest import Open
from tests.stores.samples import claimed

WATCHERS, SLOW, EVENTS = 1_000, 100, 300
WITHIN_S = 50.0


@pytest.mark.slow
async def test_a_thousand_watchers_a_hundred_of_them_slow_miss_nothing(opened: Open, database_url: str) -> None:
    """A slow one takes nothing until all is said. Red when what has left the hub's memory is not read again: seen."""
    worker, reader = await opened(database_url), await opened(database_url)
    claim, all_is_said = await claimed(worker, "a"), asyncio.Event()

    async def watch(*, slow: bool) -> list[int]:
        seen = []
        async for recorded in reader.watch("job-a"):
            seen.append(recorded.seq)
            if slow and recorded.seq == 1:
                await all_is_said.wait()
        return seen

    watching = [asyncio.create_task(watch(slow=n < SLOW)) for n in range(WATCHERS)]
    async with asyncio.timeout(WITHIN_S):
        for n in range(EVENTS):
            await worker.commit(claim, events=[Noted(f"{n}")])
        await worker.commit(claim, events=[JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")
        all_is_said.set()
        everything = list(range(1, EVENTS + 3))
        assert all(seen == everything for seen in await asyncio.gather(*watching))
