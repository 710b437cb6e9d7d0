"""A sliding window: at most so many events in any span of so many seconds, for each key."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True)
class Decision:
    """`retry_after` is how many seconds to wait, 0 when the event is allowed."""

    allowed: bool
    remaining: int
    retry_after: float


class SlidingWindow:
    def __init__(self, limit: int, seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        if limit < 1 or seconds <= 0:
            raise ValueError("limit and seconds must be positive")
        self.limit = limit
        self.seconds = seconds
        self._clock = clock
        self._events: dict[str, deque[float]] = {}

    def hit(self, key: str) -> Decision:
        """Count an event, if it is allowed."""
        now = self._clock()
        events = self._events.setdefault(key, deque())
        self._forget(events, now)
        events.append(now)
        if len(events) > self.limit:
            return Decision(False, 0, events[0] + self.seconds - now)
        return Decision(True, self.limit - len(events), 0.0)

    def peek(self, key: str) -> Decision:
        """What `hit` would answer, without counting anything."""
        now = self._clock()
        events = self._events.get(key, deque())
        self._forget(events, now)
        if len(events) >= self.limit:
            return Decision(False, 0, events[0] + self.seconds - now)
        return Decision(True, self.limit - len(events) - 1, 0.0)

    def keys(self) -> list[str]:
        return list(self._events)

    def _forget(self, events: deque[float], now: float) -> None:
        while events and events[0] < now - self.seconds:
            events.popleft()
