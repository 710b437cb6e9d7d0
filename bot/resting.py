"""A job that waits for somebody says so in its log: for GitHub's limits, or back in the queue for who failed."""

import time
from collections.abc import Callable

from bot.domain.errors import ProviderError
from bot.last_word import RESTED, end_in, rest_s, without_store
from bot.ports import Claim, Entry
from bot.recorder import Recorder
from bot.report.answers import without_call
from bot.report.rests import waiting

WORTH_SAYING_S = 30.0  # what takes no longer does not look hung
RATE_LIMIT = "its rate limit for this installation"


async def rest(error: ProviderError, claim: Claim, journal: Recorder, *, now: Callable[[], float] = time.time) -> None:
    """Writes down, once an attempt, that the job goes back to the queue until its provider may work again, and why."""
    entry = Entry("effect", RESTED, {"attempt": claim.attempts})
    if without_store(error) or entry in journal.entries():
        return
    seconds = rest_s(error, claim, journal.entries())
    said = waiting(error.provider, without_call(error.message), until=now() + seconds)
    await journal.record(*[said] if seconds > WORTH_SAYING_S else [], entry=entry)


class Waits:
    """`note` keeps `ports.github.OnWait` for one attempt at a job, whose `journal` is opened later."""

    def __init__(self, *, steps_aside: bool = False, now: Callable[[], float] = time.time) -> None:
        """`steps_aside`: it waits in the queue, where its place is somebody else's meanwhile."""
        self.journal: Recorder | None = None
        self._steps_aside = steps_aside
        self._now = now
        self._told_until = 0.0

    async def note(self, seconds: float) -> None:
        """Requests that wait together are told of as one, and nothing is after the job's end.

        Raises ProviderError for a job that steps aside.
        """
        if self._steps_aside:
            raise ProviderError("github", "rate limited", retryable=True, retry_after_s=seconds, status=429)
        until, journal = self._now() + seconds, self.journal
        if journal is None or until <= self._told_until + WORTH_SAYING_S or end_in(journal.events()):
            return
        self._told_until = until
        await journal.record(waiting("github", RATE_LIMIT, until=until))
