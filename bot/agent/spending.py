"""The days' money in one run: the most its next model call can cost, and what all its calls so far did cost."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date

from bot.agent.entries import usage_of
from bot.agent.limits import Limits, Spent
from bot.domain.conversation import AssistantTurn, Conversation, Json, Text, Turn, Usage
from bot.domain.errors import LimitReached
from bot.domain.pricing import LEAST_BYTES_A_TOKEN, most_usd
from bot.ports import Entry, Model, Purse

TOKENS_A_PICTURE = 5_000  # the largest that models make of one, whatever its file's size; it is scaled down before
BYTES_AROUND_A_BLOCK = 48  # of an API's own words around each of a prompt's texts: its role, its kind


LEAST_REPLY = 1_000  # tokens: what a step with a small edit needs


def paid_for(most: Usage, price: Callable[[Usage], float | None], spent: Spent, limits: Limits) -> int:
    """How many tokens of a reply the run's dollars hold, before each request, a repeated one too; none above `most`'s.

    `most` is the most that the request can use. Raises LimitReached when the dollars do not hold its prompt and a
    useful reply. A model without a known price is held by the run's other limits.
    """
    prompt_usd, most_usd = price(replace(most, output=0)) or 0.0, price(most) or 0.0
    left, room = limits.usd - spent.usd - prompt_usd, most.output
    if most_usd > prompt_usd:
        room = min(room, int(left / (most_usd - prompt_usd) * most.output))
    if left < 0 or room < min(LEAST_REPLY, most.output):
        raise LimitReached(
            f"${spent.usd:.2f} of ${limits.usd:.2f} is used and the next request can cost more than the rest."
        )
    return room


class Uncounted:
    """A purse without a bottom: for models that cost nothing, and for runs that nobody else pays for."""

    async def reserve(self, usd: float, *, spent_usd: float) -> None:
        return

    async def settle(self, spent_usd: float) -> None:
        return


class Till:
    """A run's purse beside its journal: the journal says what was paid, so a resumed run pays nothing twice."""

    def __init__(self, purse: Purse, entries: Callable[[], Iterable[Entry]], *, day: date) -> None:
        self._purse = purse
        self._entries = entries
        self._day = day

    async def reserve(self, model: Model, conversation: Conversation, *, last_prompt: int, max_tokens: int) -> None:
        """Before a call. Raises LimitReached when a day's budget does not hold it."""
        prompt = most_tokens(conversation, last_prompt=last_prompt)
        most = most_usd(model.name, prompt_tokens=prompt, output_tokens=max_tokens, day=self._day, own=model.price)
        await self._purse.reserve(most, spent_usd=charged(self._entries(), day=self._day))

    async def settle(self) -> None:
        """After a call; and when a run goes on, for a call whose worker died before it could say so."""
        spent = charged(self._entries(), day=self._day)
        if spent:
            await self._purse.settle(spent)


def charged(entries: Iterable[Entry], *, day: date) -> float:
    """Dollars of all calls in a journal, lost replies included; a call of unknown price counts as the dearest."""
    return sum(_cost(entry, day) for entry in entries if entry.kind == "model")


def _cost(entry: Entry, day: date) -> float:
    usd: float | None = entry.data["usd"]
    if usd is not None:
        return usd
    usage = usage_of(entry.data["usage"])
    model = entry.data.get("model", "")
    return most_usd(model, prompt_tokens=usage.input, output_tokens=usage.output, day=day)


def most_tokens(conversation: Conversation, *, last_prompt: int) -> int:
    """What the next prompt can have: the last one as the provider counted it, and all that came after it."""
    turns, size = conversation.turns, 0
    if last_prompt:
        newest = max((place for place, turn in enumerate(turns) if isinstance(turn, AssistantTurn)), default=0)
        turns = turns[newest:]
    else:
        tools = [(tool.name, tool.description, dict(tool.input_schema)) for tool in conversation.tools]
        size = len((conversation.system + json.dumps(tools)).encode())
    return last_prompt + (size + sum(_bytes(turn) for turn in turns)) // LEAST_BYTES_A_TOKEN


def at_most(conversation: Conversation, *, last_prompt: int, cached: int, max_tokens: int) -> Usage:
    """The most that a request can use; `cached`: tokens of its prompt that are surely in the model's cache."""
    prompt = most_tokens(conversation, last_prompt=last_prompt)
    return Usage(cache_read=cached, cache_write_5m=prompt - cached, output=max_tokens)


def used(told: Usage | None, most: Usage) -> Usage:
    """What a request used, exactly as its provider told it, and never less than that where it did not.

    None: no answer began, nothing is charged. A prompt that nobody told is `most`'s: what the provider counted in the
    last one, and for what is new a token for every two bytes, all written to the cache but what is surely in it.
    The models tell an output that was cut off in the same way, by the bytes that came; a model that thinks unseen just
    then wrote more. A request whose worker died used `most`, the longest answer it allows included: nobody knows more.
    """
    if told is None or told.input:
        return told or Usage()
    return replace(most, output=told.output)


def unanswered(entries: Iterable[Entry]) -> Json | None:
    """The request that was on its way when a worker died: what was written down of it before it was sent."""
    request: Json | None = None
    for entry in entries:
        if entry.kind == "model":
            request = None
        elif entry.kind == "effect" and entry.key.startswith("request "):
            request = entry.data
    return request


def _bytes(turn: Turn) -> int:
    if isinstance(turn, AssistantTurn):
        return len(json.dumps(turn.blocks, ensure_ascii=False, default=dict).encode("utf-8", "replace"))
    texts = (block.text if isinstance(block, Text) else block.call_id + block.text for block in turn.blocks)
    size = sum(len(text.encode("utf-8", "replace")) + BYTES_AROUND_A_BLOCK for text in (*texts, *turn.notes))
    return size + len(turn.pictures) * TOKENS_A_PICTURE * LEAST_BYTES_A_TOKEN
