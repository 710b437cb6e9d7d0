"""While a long step runs, the prompt is kept in the model's cache: to write it anew costs twelve times as much."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace

from bot.agent.asking import Sleep
from bot.agent.ledger import Ledger
from bot.domain.conversation import AssistantTurn, Conversation, Usage
from bot.domain.errors import LeaseLost, LimitReached, ModelError, ProviderError
from bot.domain.events import Noted
from bot.ports import Entry, KeepsWarm, Model

EVERY_S = 270.0  # an entry of the cache lives five minutes from the start of the request that read it last
SURELY_KEPT_S = 290.0  # of that
PATIENCE_S = 5.0  # with a request that is on its way when the step ends; a bot told to go has ten
KEPT = "The prompt was kept in the model's cache during a long step."
NOT_KEPT = "The prompt could not be kept in the model's cache during a long step."


class Warming:
    """Of one attempt at a run. The first failure ends it: a cold cache only costs money."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        price: Callable[[str, Usage], float | None],
        reserve: Callable[[int], Awaitable[int]],
        lost: Callable[[ModelError | None, str], tuple[Noted, Entry]],
        settle: Callable[[], Awaitable[None]],
        nap: Sleep,
    ) -> None:
        """`reserve` sets money aside for a reply of so many tokens, `lost` says what a failed request cost, or at most
        one that was left, and `settle` what was paid."""
        self._ledger = ledger
        self._price = price
        self._reserve = reserve
        self._lost = lost
        self._settle = settle
        self._nap = nap
        self._asked_at = ledger.elapsed()
        self._cached_until = 0.0
        self._works = True
        self._asking: asyncio.Task[None] | None = None

    def asked(self) -> None:
        """A request begins."""
        self._asked_at = self._ledger.elapsed()

    def answered(self) -> None:
        """It was read, and so is its prompt's entry in the cache."""
        self._cached_until = self._asked_at + SURELY_KEPT_S

    def cached(self, model: Model) -> int:
        """How many tokens of the next prompt are surely in the model's cache: those of a prompt that it has read in
        this attempt, and less than an entry's life ago."""
        is_kept = isinstance(model, KeepsWarm) and self._ledger.elapsed() < self._cached_until
        return self._ledger.progress.cached if is_kept else 0

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
            await self._finished()

    async def _keep(self, model: KeepsWarm) -> None:
        conversation = self._ledger.progress.conversation
        if conversation is None or not isinstance(conversation.turns[-1], AssistantTurn):
            return
        as_last_asked = replace(conversation, turns=conversation.turns[:-1])
        wait = max(0.0, EVERY_S - (self._ledger.elapsed() - self._asked_at))
        while self._works:
            await self._nap(wait)
            wait = EVERY_S
            self._asking = asyncio.create_task(self._ask(model, as_last_asked))
            await asyncio.shield(self._asking)

    async def _finished(self) -> None:
        """What is on its way is paid for: it is waited for and written down, though the step is over."""
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=PATIENCE_S)
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self, model: KeepsWarm, conversation: Conversation) -> None:
        with suppress(LeaseLost):  # the step itself finds out
            try:
                await self._reserve(0)
            except (ProviderError, LimitReached):  # of the store that counts the day's money
                self._works = False
                return
            began = self._ledger.elapsed()
            try:
                usage = await model.keep_warm(conversation)
            except (ModelError, asyncio.CancelledError) as error:
                self._works = False
                event, entry = self._lost(error if isinstance(error, ModelError) else None, NOT_KEPT)
                self._ledger.hold(event, entry=entry)
                return
            self._cached_until = began + SURELY_KEPT_S
            await self._kept(model.name, usage)

    async def _kept(self, model: str, usage: Usage) -> None:
        usd = self._price(model, usage)
        data = {"model": model, "usage": asdict(usage), "usd": usd, "elapsed": self._ledger.elapsed()}
        entry = Entry("model", f"warm {self._ledger.progress.warmed + 1}", data)
        await self._ledger.record(Noted(KEPT, usage, usd), entry=entry)
        await self._settle()
