"""When may the next request of an installation leave? Decided from what was sent, what GitHub said, and the time.

Sources, in GitHub's documentation: "Rate limits for the REST API" and "Best practices for using the REST API".
"""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf
from typing import Literal

Kind = Literal["read", "object", "content", "credential"]
# object: a git object that nothing points at yet. content: what people see or are told of. credential: tokens.
# Objects and content are writes and keep their distance; content alone is counted by the minute and hour.

KEPT_FOR_RESULTS = 100  # requests of the hour that progress updates leave alone
PROGRESS_OF_MINUTE, PROGRESS_OF_HOUR = (3, 4), (3, 5)  # their share of the content writes; the rest is for results
FIRST_UNSAID_S = 60.0  # "wait for at least one minute" where a secondary limit does not say how long
LONGEST_UNSAID_S = 3_600.0
ON_THE_WAY_S = 1.0  # GitHub counts when a request arrives, and its clock is not ours
MINUTE_S, HOUR_S = 60.0 + ON_THE_WAY_S, 3_600.0 + ON_THE_WAY_S


class Priority(IntEnum):
    """Who goes first where both wait."""

    RESULT = 0
    PROGRESS = 1
    FAREWELL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """GitHub's secondary limits for one installation; 0 stands for no limit.

    Writes go one at a time, `seconds_between_writes` after the answer to the one before.
    """

    seconds_between_writes: float = 1.0
    content_a_minute: int = 80
    content_an_hour: int = 500
    points_a_minute: int = 900
    at_once: int = 100

    def shared_by(self, processes: int) -> "Limits":
        """One process's part where several serve the same installations, each without knowing of the others."""
        return Limits(
            seconds_between_writes=self.seconds_between_writes * processes,
            content_a_minute=_part(self.content_a_minute, 1, processes),
            content_an_hour=_part(self.content_an_hour, 1, processes),
            points_a_minute=_part(self.points_a_minute, 1, processes),
            at_once=_part(self.at_once, 1, processes),
        )


NO_LIMITS = Limits(seconds_between_writes=0, content_a_minute=0, content_an_hour=0, points_a_minute=0, at_once=0)


def _part(limit: int, share: int, of: int) -> int:
    return max(1, limit * share // of) if limit else 0


def writes(kind: Kind) -> bool:
    return kind in ("object", "content")


def points(kind: Kind) -> int:
    return 1 if kind == "read" else 5


@dataclass(slots=True)
class Traffic:
    """What this process has sent for one installation, and what GitHub said to it.

    Times are seconds on a clock that nobody sets; `resets_at` alone is GitHub's, Unix time, and names the hour.
    """

    limits: Limits
    spent: deque[tuple[float, int]] = field(default_factory=deque)
    content: deque[float] = field(default_factory=deque)
    under_way: int = 0
    write_under_way: bool = False
    write_answered_at: float = -inf
    held_until: float = -inf
    held_since: float = -inf
    unsaid_in_a_row: dict[Kind, int] = field(default_factory=dict)
    remaining: int | None = None
    resets_at: float = -inf
    reset_at: float = -inf

    def permitted_at(self, kind: Kind, priority: Priority, now: float) -> float:
        """The instant before which this request must not leave; infinity while it hangs on another one's answer."""
        limits, at = self.limits, max(now, self.held_until)
        if limits.at_once and self.under_way >= limits.at_once:
            return inf
        at = max(at, self._primary(priority, now))
        at = max(at, _room_at(self.spent, points(kind), limits.points_a_minute, MINUTE_S))
        if writes(kind) and limits.seconds_between_writes:
            if self.write_under_way:
                return inf
            at = max(at, self.write_answered_at + limits.seconds_between_writes)
        if kind == "content":
            minute, hour = limits.content_a_minute, limits.content_an_hour
            if priority is Priority.PROGRESS:
                minute, hour = _part(minute, *PROGRESS_OF_MINUTE), _part(hour, *PROGRESS_OF_HOUR)
            at = max(at, _room_in(self.content, minute, MINUTE_S), _room_in(self.content, hour, HOUR_S))
        return at

    def _primary(self, priority: Priority, now: float) -> float:
        if self.remaining is None or now >= self.reset_at:
            return now
        kept = KEPT_FOR_RESULTS if priority is Priority.PROGRESS else 0
        if self.remaining <= kept:
            return self.reset_at
        return inf if self.remaining - self.under_way <= kept else now

    def sent(self, kind: Kind, now: float) -> None:
        while self.spent and self.spent[0][0] < now - MINUTE_S:
            self.spent.popleft()
        while self.content and self.content[0] < now - HOUR_S:
            self.content.popleft()
        self.spent.append((now, points(kind)))
        self.under_way += 1
        if kind == "content":
            self.content.append(now)
        if writes(kind):
            self.write_under_way = True

    def answered(self, kind: Kind, now: float) -> None:
        """Also when no answer came: the request is over."""
        self.under_way -= 1
        if writes(kind):
            self.write_under_way, self.write_answered_at = False, now

    def is_closed(self, now: float) -> bool:
        """Whether GitHub has said, to a request that left before, that none may leave now."""
        return now < self.held_until or (self.remaining == 0 and now < self.reset_at)

    def learned(self, remaining: int, resets_at: float, *, now: float, unix: float) -> None:
        """From an answer's headers. Answers overtake one another: of the same hour the smallest number counts.

        `now` and `unix` are the same instant, on this clock and in Unix time.
        """
        if self.remaining is None or resets_at > self.resets_at:
            self.remaining, self.resets_at = remaining, resets_at
            self.reset_at = now + resets_at - unix + ON_THE_WAY_S
        elif resets_at == self.resets_at:
            self.remaining = min(self.remaining, remaining)

    def limited(self, said_s: float | None, kind: Kind, *, sent_at: float, now: float) -> float:
        """GitHub refused a request that left at `sent_at`; answers for how many seconds all the others wait now.

        `said_s` None: GitHub does not say. Then it is twice as long each time in a row that it refuses this kind,
        requests that were under way together counting once.
        """
        if said_s is None:
            in_a_row = max(1, self.unsaid_in_a_row.get(kind, 0) + (sent_at >= self.held_since))
            self.unsaid_in_a_row[kind] = in_a_row
            self.held_since = now if sent_at >= self.held_since else self.held_since
            said_s = min(FIRST_UNSAID_S * 2.0 ** min(in_a_row - 1, 10), LONGEST_UNSAID_S)
        self.held_until = max(self.held_until, now + said_s)
        return said_s

    def accepted(self, kind: Kind) -> None:
        """A request was not refused for its pace, which says nothing of another kind."""
        self.unsaid_in_a_row.pop(kind, None)


def _room_in(times: deque[float], limit: int, window_s: float) -> float:
    """When one more fits into the window."""
    return times[-limit] + window_s if limit and len(times) >= limit else -inf


def _room_at(spent: deque[tuple[float, int]], cost: int, limit: int, window_s: float) -> float:
    """When `cost` more points fit into the window: as soon as enough of the newest have left it."""
    if not limit:
        return -inf
    total = cost
    for at, points_then in reversed(spent):
        total += points_then
        if total > limit:
            return at + window_s
    return -inf
