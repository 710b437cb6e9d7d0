"""Time-outs of minutes that end at once: the clock of the running loop is put forward, and nothing races with them."""

import asyncio

import pytest

TURNS = 100  # of the loop; a machine that stalls makes them longer and not fewer


async def at_rest() -> None:
    """What parts of this process are telling each other over loopback has been told: now they wait."""
    for _ in range(TURNS):
        await asyncio.sleep(0.002)


async def leap(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all is at rest; whatever waits for no longer than this ends."""
    await at_rest()
    loop = asyncio.get_running_loop()
    before = loop.time
    monkeypatch.setattr(loop, "time", lambda: before() + seconds)
