"""One whole reply from a model: waiting and asking again as its failures advise, within the time that is left."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from bot.agent.transcript import MOST_MAX_TOKENS
from bot.domain.conversation import Conversation, Reply
from bot.domain.errors import ModelError
from bot.ports import Model

ATTEMPTS = 6
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 60.0
LONGEST_TOLD_WAIT_S = 120.0  # a provider that says more is out for this run
WAITED_IN_ALL_S = 300.0

Sleep = Callable[[float], Awaitable[object]]


def wait_before(attempt: int, error: ModelError, chance: float) -> float | None:
    """Seconds before attempt number `attempt` (2 is the first repetition); None when waiting is no use.

    Full jitter: between nothing and a bound that doubles from 2 s to 60 s; `chance` is 0 to 1. A provider's own
    retry-after is obeyed up to 120 s.
    """
    if error.remedy != "retry" or attempt > ATTEMPTS:
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= LONGEST_TOLD_WAIT_S else None
    return chance * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (attempt - 2))


async def ask(
    model: Model,
    conversation: Conversation,
    *,
    max_tokens: int,
    seconds_left: Callable[[], float],
    discard: Callable[[ModelError, str], Awaitable[None]],
    reserve: Callable[[int], Awaitable[int]],
    abandoned: Callable[[ModelError | None], Awaitable[None]],
    sleep: Sleep = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> Reply:
    """Ask until there is a whole reply. `discard` hears of each lost one, with words for watchers; `reserve`, before
    each attempt, how many tokens its reply wants, and answers how many are paid for; `abandoned`, that time or a cancel
    ended one in mid-reply, and what the model knows of it.

    `max_tokens` doubles, up to 128k, when a reply was cut by it. A reply that cannot be read is asked for once more,
    and after that taken as far as it goes: its calls are then answered with what is wrong with them. Raises the
    ModelError that ended the attempts, TimeoutError when the time ran out in mid-reply, and what `reserve` raises.
    """
    attempt, waited, is_second_sample = 1, 0.0, False
    while True:
        room = await reserve(max_tokens)
        try:
            async with asyncio.timeout(max(0.0, seconds_left())):
                return await model.ask(conversation, max_tokens=room)
        except (TimeoutError, asyncio.CancelledError) as error:
            await abandoned(_known(error))
            raise
        except ModelError as error:
            if error.remedy == "longer" and room < max_tokens:
                await discard(error, "The reply was cut where the run's dollars end.")
                continue
            if error.remedy == "longer" and max_tokens < MOST_MAX_TOKENS:
                max_tokens = min(MOST_MAX_TOKENS, max_tokens * 2)
                await discard(error, f"The reply was cut; asking again with room for {max_tokens:,} tokens.")
                continue
            if error.remedy == "again" and is_second_sample and error.salvaged:
                return error.salvaged
            if error.remedy == "again" and not is_second_sample:
                is_second_sample = True
                await discard(error, f"{error.message} It is asked again.")
                continue
            attempt += 1
            wait = wait_before(attempt, error, chance())
            if wait is None or waited + wait > WAITED_IN_ALL_S or wait >= seconds_left():
                await discard(error, f"The model did not answer: {error.message}")
                raise
            await discard(error, f"{error.message} Attempt {attempt} of {ATTEMPTS} follows in {wait:.0f} s.")
        waited += wait
        await sleep(wait)


def _known(error: BaseException | None) -> ModelError | None:
    """What a model says of the reply it was made to leave: it stands among the causes of the cancel."""
    while error is not None and not isinstance(error, ModelError):
        error = error.__cause__
    return error
