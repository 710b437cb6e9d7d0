"""While a long step runs, the prompt is kept in the model's cache: to write it anew costs twelve times as much."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from bot.agent.asking import Sleep
from bot.agent.entries import usage_data
from bot.agent.ledger import Ledger
from bot.domain.conversation import AssistantTurn, Usage
from bot.domain.errors import LeaseLost, LimitReached, ProviderError
from bot.domain.events import Noted
from bot.ports import Entry, KeepsWarm, Model

EVERY_S = 270.0  # an entry of the cache lives five minutes from the start of the request that read it last


class Warming:
    """Of one attempt at a run. The first failure ends it: a cold cache only costs money."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        price: Callable[[str, Usage], float | None],
        reserve: Callable[[int], Awaitable[None]],
        settle: Callable[[], Awaitable[None]],
        nap: Sleep,
    ) -> None:
        """`reserve` sets money aside for a reply of so many tokens, and `settle` says what was paid."""
        self._ledger = ledger
        self._price = price
        self._reserve = reserve
        self._settle = settle
        self._nap = nap
        self._asked_at = ledger.elapsed()
        self._works = True
        self._writing: asyncio.Task[None] | None = None

    def asked(self) -> None:
        """A request begins."""
        self._asked_at = self._ledger.elapsed()

    @asynccontextmanager
    async def during(self, model: Model) -> AsyncIterator[None]:
        """Around a step that follows a reply."""
        if not (self._works and isinstance(model, KeepsWarm)):
            yield
            return
        keeping = asyncio.create_task(self._keep(model))
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            if self._writing is not None:  # what was paid is written down, whoever waits for it
                await asyncio.wait({self._writing})

    async def _keep(self, model: KeepsWarm) -> None:
        conversation = self._ledger.progress.conversation
        if conversation is None or not isinstance(conversation.turns[-1], AssistantTurn):
            return
        as_last_asked = replace(conversation, turns=conversation.turns[:-1])
        wait = max(0.0, EVERY_S - (self._ledger.elapsed() - self._asked_at))
        with suppress(LeaseLost):  # the step itself finds out
            while self._works:
                await self._nap(wait)
                wait = EVERY_S
                try:
                    await self._reserve(0)
                    usage = await model.keep_warm(as_last_asked)
                except (ProviderError, LimitReached):  # of the store that counts the day's money too
                    self._works = False
                    return
                self._writing = asyncio.create_task(self._kept(model.name, usage))
                await asyncio.shield(self._writing)

    async def _kept(self, model: str, usage: Usage) -> None:
        data = {
            "model": model,
            "usage": usage_data(usage),
            "usd": self._price(model, usage),
            "elapsed": self._ledger.elapsed(),
        }
        entry = Entry("model", f"warm {self._ledger.progress.warmed + 1}", data)
        await self._ledger.record(Noted("The prompt was kept in the model's cache during a long step."), entry=entry)
        await self._settle()
