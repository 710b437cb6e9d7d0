"""Asking a model again: when, how long to wait, and when to give up."""

from collections.abc import Sequence

import pytest

from bot.agent.asking import ask, wait_before
from bot.domain.conversation import Conversation, Reply
from bot.domain.errors import ModelError
from tests.fakes import ScriptedModel, say

EMPTY = Conversation("", (), ())
BUSY = ModelError("anthropic", "busy", retryable=True, remedy="retry")


def told(seconds: float) -> ModelError:
    return ModelError("anthropic", "busy", retryable=True, remedy="retry", retry_after_s=seconds)


@pytest.mark.parametrize(
    ("attempt", "error", "wait"),
    [
        pytest.param(2, BUSY, 2.0, id="first-wait"),
        pytest.param(3, BUSY, 4.0, id="doubles"),
        pytest.param(6, BUSY, 32.0, id="last-wait"),
        pytest.param(7, BUSY, None, id="six-attempts"),
        pytest.param(2, told(90), 90.0, id="as-told"),
        pytest.param(2, told(121), None, id="told-too-long"),
        pytest.param(2, ModelError("anthropic", "no", remedy="stop"), None, id="stop"),
        pytest.param(2, ModelError("anthropic", "no", remedy="refused"), None, id="refused"),
    ],
)
def test_the_wait_before_an_attempt(attempt: int, error: ModelError, wait: float | None) -> None:
    assert wait_before(attempt, error, 1.0) == wait
    if wait and error.retry_after_s is None:
        assert wait_before(attempt, error, 0.0) == 0.0, "full jitter begins at nothing"


class _Asked:
    def __init__(self, failures: Sequence[ModelError], *, seconds_left: float = 1000.0) -> None:
        self.failures = list(failures)
        self.slept: list[float] = []
        self.lost: list[str] = []
        self.reserved: list[int] = []
        self.paid_for = 1_000_000
        self.left = seconds_left
        self.model = ScriptedModel(lambda seen: self.failures.pop(0) if self.failures else [say("hi")])

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left -= seconds

    async def discard(self, error: ModelError, words: str) -> None:
        self.lost.append(words)

    async def reserve(self, max_tokens: int) -> int:
        self.reserved.append(max_tokens)
        return min(max_tokens, self.paid_for)

    async def abandoned(self, error: ModelError | None) -> None:
        self.lost.append("abandoned")

    async def reply(self) -> Reply:
        return await ask(
            self.model,
            EMPTY,
            max_tokens=16_000,
            seconds_left=lambda: self.left,
            discard=self.discard,
            reserve=self.reserve,
            abandoned=self.abandoned,
            sleep=self.sleep,
            chance=lambda: 1.0,
        )


async def test_a_busy_model_is_asked_six_times_with_longer_waits() -> None:
    asked = _Asked([BUSY] * 5)
    assert (await asked.reply()).text == "hi"
    assert asked.slept == [2, 4, 8, 16, 32]
    assert asked.lost[0] == "busy Attempt 2 of 6 follows in 2 s."


async def test_after_six_attempts_the_failure_is_the_answer() -> None:
    asked = _Asked([BUSY] * 9)
    with pytest.raises(ModelError):
        await asked.reply()
    assert len(asked.model.asked) == 6
    assert asked.lost[-1] == "The model did not answer: busy"


async def test_no_more_than_five_minutes_are_waited_in_all() -> None:
    asked = _Asked([told(110)] * 5)
    with pytest.raises(ModelError):
        await asked.reply()
    assert asked.slept == [110, 110]


async def test_nothing_waits_past_the_end_of_the_run() -> None:
    asked = _Asked([told(60)], seconds_left=50)
    with pytest.raises(ModelError):
        await asked.reply()
    assert asked.slept == []


async def test_a_reply_that_was_cut_where_the_money_ends_gets_no_more_room() -> None:
    asked = _Asked([ModelError("anthropic", "cut", remedy="longer")])
    asked.paid_for = 5_000
    await asked.reply()
    assert (asked.model.max_tokens, asked.reserved) == ([5_000, 5_000], [16_000, 16_000])
    assert asked.lost == ["The reply was cut where the run's dollars end."]


async def test_a_cut_reply_is_asked_again_with_more_room_up_to_128k() -> None:
    cut = ModelError("anthropic", "cut", remedy="longer")
    asked = _Asked([cut, cut, cut])
    await asked.reply()
    assert asked.model.max_tokens == [16_000, 32_000, 64_000, 128_000]
    assert asked.slept == []
    with pytest.raises(ModelError):
        await _Asked([cut] * 4).reply()


async def test_a_reply_that_cannot_be_read_is_asked_for_once_more_and_then_taken_as_far_as_it_goes() -> None:
    whole = await _Asked([]).reply()
    unreadable = ModelError("anthropic", "no JSON", remedy="again", salvaged=whole)
    asked = _Asked([unreadable])
    assert (await asked.reply()).text == "hi"
    assert (asked.slept, asked.lost) == ([], ["no JSON It is asked again."])
    asked = _Asked([unreadable, unreadable])
    assert await asked.reply() is whole
    assert len(asked.model.asked) == 2
    with pytest.raises(ModelError):
        await _Asked([ModelError("anthropic", "no text", remedy="again")] * 2).reply()
