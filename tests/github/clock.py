"""Time that passes only when everybody waits for it, and a line to GitHub on which it passes."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import httpx

from tests.github.wire import NOW

SETTLED = 30  # turns of the loop after which everybody who can go on has gone on


@dataclass
class VirtualClock:
    """Exact: nobody's sleep ends before that of somebody who wakes earlier. `busy`: work that takes real time."""

    now: float = NOW
    busy: int = 0
    _sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    _count: int = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.now + max(seconds, 0.0), self._count, woken))
        await woken

    async def run(self, *jobs: Coroutine[Any, Any, None]) -> None:
        """Until all jobs are done; raises what one of them raised."""
        running = asyncio.gather(*jobs)
        while not running.done():
            for _ in range(SETTLED):
                await asyncio.sleep(0)
            if self.busy:
                await asyncio.sleep(0.0005)
            elif self._sleepers and not running.done():
                at, _, woken = heappop(self._sleepers)
                if not woken.done():
                    self.now = max(self.now, at)
                    woken.set_result(None)
        await running


@dataclass(frozen=True)
class Sent:
    """One request as its sender saw it: when it left, when the answer was there, and what that was."""

    at: float
    answered_at: float
    method: str
    path: str
    status: int
    headers: httpx.Headers


class Line(httpx.AsyncBaseTransport):
    """To an app in this process, `latency_s` each way; `sent` lists what is answered, in the order of the answers."""

    def __init__(self, app: Any, clock: VirtualClock, *, latency_s: float = 0.05) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self._clock, self.latency_s = clock, latency_s
        self.sent: list[Sent] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        at = self._clock.now
        await self._clock.sleep(self.latency_s)
        self._clock.busy += 1
        try:
            response = await self._inner.handle_async_request(request)
            await response.aread()
        finally:
            self._clock.busy -= 1
        await self._clock.sleep(self.latency_s)
        row = Sent(at, self._clock.now, request.method, request.url.path, response.status_code, response.headers)
        self.sent.append(row)
        return response
