"""A run's journal together with what it says so far: one is never ahead of the other for long."""

from collections.abc import Callable

from bot.agent.limits import Limits
from bot.agent.progress import Progress
from bot.agent.steering import is_message
from bot.agent.transcript import advance, fold
from bot.domain.events import JobEvent
from bot.ports import Entry, Journal


class Ledger:
    """Writes entries and believes them; time goes on from where an earlier attempt stopped.

    An entry can be held: it becomes durable with the next one, in one commit. Nothing outside the journal may happen
    in between: whoever acts on the world records first.
    """

    def __init__(self, journal: Journal, *, limits: Limits, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._started = clock()
        self._held: list[Entry] = []
        self._held_events: list[JobEvent] = []
        self._on_the_way: list[Entry] = []
        self.limits = limits
        self._looked_at = len(journal.entries())
        self.progress: Progress = fold(journal.entries())
        self._elapsed_before = self.progress.elapsed

    def elapsed(self) -> float:
        """Seconds of work in all attempts."""
        return self._elapsed_before + self._clock() - self._started

    def seconds_left(self) -> float:
        return self.limits.minutes * 60 - self.elapsed()

    def entries(self) -> tuple[Entry, ...]:
        """The journal's, and after them what is not durable yet."""
        return (*self._journal.entries(), *self._on_the_way, *self._held)

    def hold(self, *events: JobEvent, entry: Entry) -> None:
        """True from now on, durable with the next record."""
        self._held.append(entry)
        self._held_events += events
        self.progress = advance(self.progress, entry)

    async def record(self, *events: JobEvent, entries: tuple[Entry, ...] = (), entry: Entry | None = None) -> None:
        """Durable before it returns, with all that was held; `entry` is the last. Raises LeaseLost."""
        new = (*entries, *(() if entry is None else (entry,)))
        before, told = (*self._held, *new), (*self._held_events, *events)
        self._held, self._held_events = [], []
        if before or told:
            self._on_the_way += before
            await self._journal.record(*told, before=before)
            del self._on_the_way[: len(before)]
        for added in new:
            self.progress = advance(self.progress, added)

    def hear(self) -> None:
        """Believes what others wrote meanwhile: messages to the agent."""
        entries = self._journal.entries()
        for said in entries[self._looked_at :]:
            if is_message(said):
                self.progress = advance(self.progress, said)
        self._looked_at = len(entries)

    async def flush(self) -> None:
        """What is held becomes durable. Raises LeaseLost."""
        await self.record()
