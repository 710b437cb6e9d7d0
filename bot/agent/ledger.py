"""A run's journal together with what it says so far: one is never ahead of the other."""

from collections.abc import Callable

from bot.agent.limits import Limits
from bot.agent.transcript import Progress, advance, fold
from bot.domain.events import JobEvent
from bot.ports import Entry, Journal


class Ledger:
    """Writes an entry first and only then believes it; time goes on from where an earlier attempt stopped."""

    def __init__(self, journal: Journal, *, limits: Limits, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._started = clock()
        self.limits = limits
        self.progress: Progress = fold(journal.entries())
        self._elapsed_before = self.progress.elapsed

    def elapsed(self) -> float:
        """Seconds of work in all attempts."""
        return self._elapsed_before + self._clock() - self._started

    def seconds_left(self) -> float:
        return self.limits.minutes * 60 - self.elapsed()

    async def record(self, *events: JobEvent, entry: Entry | None = None) -> None:
        """Raises LeaseLost."""
        await self._journal.record(*events, entry=entry)
        if entry is not None:
            self.progress = advance(self.progress, entry)
