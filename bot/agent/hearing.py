"""A run's ear: what people say reaches the next request, and the end of a run is held back for it."""

from collections.abc import Awaitable, Callable

from bot.agent.ledger import Ledger
from bot.agent.steering import CALLED_BACK, REOPENED, SEALED, TOO_LATE, blocks
from bot.domain.events import Noted
from bot.ports import Entry

Listen = Callable[[], Awaitable[None]]  # looks for messages and journals them; nobody is heard once the run is sealed


class Hearing:
    """Without `listen` nobody is heard."""

    def __init__(self, ledger: Ledger, listen: Listen | None) -> None:
        self._ledger = ledger
        self._listen = listen

    async def look(self) -> None:
        """Whoever spoke before this was called is heard when it returns."""
        if self._listen is not None:
            await self._listen()
            self._ledger.hear()

    @property
    def unread(self) -> int:
        """How many entries of the journal the model has not been told about."""
        return len(self._ledger.progress.unheard)

    @property
    def news(self) -> list[str]:
        """What the model is to be told of them; nothing, where all was taken back in time."""
        return self.texts(self._ledger.progress.nonce)

    def texts(self, nonce: str) -> list[str]:
        """What the model has not read yet, a block each, between fences that carry the run's word."""
        return blocks(self._ledger.progress.unheard, nonce)

    @property
    def afterword(self) -> str:
        """At the end: for those whose words the model did not read any more."""
        return TOO_LATE if self.news else ""

    async def calls_back(self, *, may_go_on: bool) -> bool:
        """At a run's end. True: somebody spoke before it was sealed, and the run goes on; what was submitted is void.

        After a False all that is said makes a job of its own. Raises LeaseLost.
        """
        if self._listen is None:
            return False
        await self.look()
        if not (may_go_on and self.news):
            await self._seal()
        if not self.news:
            return False
        if not may_go_on:
            await self._ledger.record(Noted(TOO_LATE))
            return False
        note = [CALLED_BACK] if self._ledger.progress.accepted else []
        await self._ledger.record(entry=Entry("effect", REOPENED, {"texts": note}))
        return True

    async def _seal(self) -> None:
        if not self._ledger.progress.is_sealed:
            await self._ledger.record(entry=Entry("effect", SEALED, {}))
            self._ledger.hear()
