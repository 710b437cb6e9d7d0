"""Who goes when: one after another, results before progress, and progress not at all where it would wait too long."""

import asyncio

import pytest

from bot.github.pace import Limits, Priority
from bot.github.turn import PATIENCE_S, OutOfTurn, Turn
from tests.github.clock import VirtualClock

pytestmark = pytest.mark.anyio
RESULT, PROGRESS = Priority.RESULT, Priority.PROGRESS


class Street:
    """Requests that take half a second each, and the order in which they left."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = VirtualClock(now=0.0)
        self.turn = Turn(limits or Limits(), now=self.clock, sleep=self.clock.sleep)
        self.left: list[tuple[float, str]] = []

    async def send(self, name: str, priority: Priority = RESULT, *, after: float = 0.0, lasting: float = 0.5) -> None:
        await self.clock.sleep(after)
        async with self.turn.taken("content", priority):
            self.left.append((self.clock.now, name))
            await self.clock.sleep(lasting)

    async def dropped(self, name: str, *, after: float = 0.0) -> None:
        with pytest.raises(OutOfTurn) as caught:
            await self.send(name, PROGRESS, after=after)
        assert caught.value.retryable
        self.left.append((self.clock.now, f"{name} dropped"))


async def test_writes_leave_one_at_a_time_a_second_after_the_answer_before() -> None:
    street = Street()
    await street.clock.run(*(street.send(name) for name in "abc"))
    assert street.left == [(0.0, "a"), (1.5, "b"), (3.0, "c")]


async def test_a_result_that_comes_later_goes_before_progress_that_waits() -> None:
    """Red when `Turn` orders by arrival alone (tried)."""
    street = Street()
    await street.clock.run(
        street.send("first"),
        street.send("progress", PROGRESS, after=0.1),
        street.send("more progress", PROGRESS, after=0.2),
        street.send("result", after=1.4),
    )
    assert [name for _, name in street.left] == ["first", "result", "progress", "more progress"]


async def test_progress_that_would_wait_longer_than_half_a_minute_is_dropped_at_once_and_results_wait() -> None:
    """Red when both are as patient (tried)."""
    street = Street()
    street.turn.traffic.limited(40.0, "read", sent_at=0.0, now=0.0)
    await street.clock.run(
        street.dropped("progress"), street.send("late progress", PROGRESS, after=15), street.send("x")
    )
    assert street.left == [(0.0, "progress dropped"), (40.0, "x"), (41.5, "late progress")]


async def test_progress_behind_a_long_queue_of_results_is_dropped_when_its_patience_ends() -> None:
    street = Street()
    results = (street.send(f"{number}") for number in range(40))
    await street.clock.run(*results, street.dropped("progress", after=0.1))
    at = next(at for at, name in street.left if name == "progress dropped")
    assert at == pytest.approx(0.1 + PATIENCE_S[PROGRESS])
    assert len(street.left) == 41


async def test_nobody_waits_behind_one_who_was_cancelled() -> None:
    street = Street()
    street.turn.traffic.limited(20.0, "read", sent_at=0.0, now=0.0)
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(street.send("gone"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.cancel()
        await street.clock.run(street.send("next"))
    assert street.left == [(20.0, "next")]


async def test_a_request_that_fails_ends_its_turn() -> None:
    street = Street()

    async def fails() -> None:
        with pytest.raises(ConnectionError):
            async with street.turn.taken("content", RESULT):
                raise ConnectionError

    await street.clock.run(fails(), street.send("next"))
    assert street.left == [(1.0, "next")]


async def test_a_result_hears_of_a_long_wait_once_and_of_a_longer_one_again() -> None:
    street = Street()
    heard: list[tuple[float, float]] = []

    async def on_wait(seconds: float) -> None:
        heard.append((street.clock.now, seconds))

    async def result() -> None:
        async with street.turn.taken("content", RESULT, on_wait):
            street.left.append((street.clock.now, "result"))

    async def limited_again() -> None:
        await street.clock.sleep(50)
        street.turn.traffic.limited(100.0, "read", sent_at=50.0, now=50.0)

    street.turn.traffic.limited(60.0, "read", sent_at=0.0, now=0.0)
    await street.clock.run(result(), limited_again())
    assert heard == [(0.0, 60.0), (60.0, 90.0)]
    assert street.left == [(150.0, "result")]


async def test_a_short_wait_is_not_spoken_of() -> None:
    street = Street()

    async def on_wait(seconds: float) -> None:
        raise AssertionError(seconds)

    street.turn.traffic.limited(29.0, "read", sent_at=0.0, now=0.0)
    async with asyncio.timeout(5):

        async def result() -> None:
            async with street.turn.taken("content", RESULT, on_wait):
                pass

        await street.clock.run(result())
