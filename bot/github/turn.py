"""The requests of one installation, one after another: each waits for the instant at which it may leave."""

import asyncio
from bisect import insort
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from math import inf
from typing import Protocol

import structlog

from bot.domain.errors import ProviderError
from bot.github.pace import LONGEST_UNSAID_S, MINUTE_S, Kind, Limits, Priority, Traffic, writes
from bot.ports.github import OnWait

Sleep = Callable[[float], Awaitable[None]]
PATIENCE_S: Mapping[Priority, float] = {
    Priority.RESULT: 10_800.0,  # the longest limit is an hour, and others may use up the next one
    Priority.PROGRESS: 30.0,  # a progress update that would wait longer is dropped: the next one says more
    Priority.FAREWELL: 10.0,  # a token that is not given back ends by itself, and the process may be leaving
}


class OutOfTurn(ProviderError):
    """The permitted instant is further away than this request may wait: nothing was sent."""


class Marks(Protocol):
    """Numbers that outlive the process. Both raise ProviderError."""

    async def mark(self, name: str) -> float | None: ...
    async def set_mark(self, name: str, value: float) -> None: ...


class Turn:
    """Shared by all that one process sends for one installation; `now` is a clock that nobody sets, in seconds.

    Until when GitHub lets nothing through is kept in `marks` under `name`, for other processes and the next one.
    """

    def __init__(
        self, limits: Limits, *, now: Callable[[], float], sleep: Sleep, marks: Marks | None = None, name: str = "held"
    ) -> None:
        self.traffic = Traffic(limits)
        self.now, self._sleep, self._marks, self._name = now, sleep, marks, name
        self._lanes: dict[bool, list[tuple[Priority, int]]] = {True: [], False: []}  # writes, and the others
        self._numbers = count()
        self._changed = asyncio.Event()

    async def recall(self, *, unix: float) -> None:
        """What another process was told; `unix` is the time now. No limit lasts for longer than an hour: what says
        so was kept by a clock that was ahead."""
        if self._marks is None:
            return
        try:
            left_s = (await self._marks.mark(self._name) or 0.0) - unix
        except ProviderError as error:
            structlog.get_logger().warning("limit not recalled", name=self._name, error=str(error))
            return
        if 0 < left_s <= LONGEST_UNSAID_S + MINUTE_S:
            self.traffic.held_until = max(self.traffic.held_until, self.now() + left_s)

    async def limited(self, said_s: float | None, kind: Kind, *, sent_at: float, unix: float) -> float:
        """As `Traffic.limited`, and kept, unless another process was told of a later instant."""
        now = self.now()
        wait_s = self.traffic.limited(said_s, kind, sent_at=sent_at, now=now)
        await self.recall(unix=unix)
        if self._marks is not None:
            try:
                await self._marks.set_mark(self._name, unix + self.traffic.held_until - now)
            except ProviderError as error:
                structlog.get_logger().warning("limit not kept", name=self._name, error=str(error))
        return wait_s

    @asynccontextmanager
    async def taken(self, kind: Kind, priority: Priority, on_wait: OnWait | None = None) -> AsyncIterator[None]:
        """The block sends one request. Results before progress, else first come, first served. Raises OutOfTurn.

        `on_wait` hears for how many seconds GitHub lets it wait, where that is longer than progress would.
        """
        await self._wait(kind, priority, on_wait)
        try:
            yield
        finally:
            self.traffic.answered(kind, self.now())
            self._tell()

    async def _wait(self, kind: Kind, priority: Priority, on_wait: OnWait | None) -> None:
        lane, ticket = self._lanes[writes(kind)], (priority, next(self._numbers))
        told_until = self.now() + PATIENCE_S[Priority.PROGRESS]
        deadline = self.now() + PATIENCE_S[priority]
        insort(lane, ticket)
        try:
            while True:
                now = self.now()
                at = self.traffic.permitted_at(kind, priority, now)
                if at <= now and lane[0] == ticket:
                    self.traffic.sent(kind, now)
                    return
                if now >= deadline or deadline < at < inf:
                    wait_s = max(1.0, at - now) if at < inf else 1.0
                    raise OutOfTurn("github", "rate limited", retryable=True, retry_after_s=wait_s, status=429)
                if on_wait is not None and told_until < at < inf:
                    told_until = at
                    await on_wait(at - now)
                    continue
                await self._pause((at if now < at < deadline else deadline) - now)
        finally:
            lane.remove(ticket)
            self._tell()

    async def _pause(self, seconds: float) -> None:
        """Until something changes, at most so long."""
        nap, change = asyncio.ensure_future(self._sleep(seconds)), asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({nap, change}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            change.cancel()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
