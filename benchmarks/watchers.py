"""A program of its own: many watchers of one event stream. Prints "ready", then JSON: the delays of all events in ms.

A watcher that has the first event is ready. Events hold the instant of their writing, `at:SECONDS;`, by the machine's
monotonic clock. Argument: JSON with port, path, watchers, last (the id of the last event) and seconds.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any, cast

import uvloop

ID, AT = re.compile(rb"id: (\d+)"), re.compile(rb"at:([\d.]+);")
END = re.compile(rb"\r?\n\r?\n")


class Watcher(asyncio.Protocol):
    def __init__(self, path: str, last: int, started: asyncio.Semaphore) -> None:
        self._path, self._last, self._started = path, last, started
        self._rest = b""
        self.milliseconds: list[float] = []
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(f"GET {self._path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        *whole, self._rest = END.split(self._rest + data)
        for frame in whole:
            if (found := ID.search(frame)) is not None:
                self._take(int(found[1]), AT.search(frame), now)

    def _take(self, seq: int, written: re.Match[bytes] | None, now: float) -> None:
        if written is None:
            self._started.release()
            return
        self.milliseconds.append((now - float(written[1])) * 1_000)
        if seq >= self._last:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_result(None)


async def watched(wish: dict[str, Any]) -> dict[str, Any]:
    loop, started = asyncio.get_running_loop(), asyncio.Semaphore(0)
    watchers = []
    async with asyncio.timeout(wish["seconds"]):
        for _ in range(wish["watchers"]):
            made = loop.create_connection(
                lambda: Watcher(wish["path"], wish["last"], started), "127.0.0.1", wish["port"]
            )
            watchers.append((await made)[1])
        for _ in watchers:
            await started.acquire()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.gather(*(watcher.finished for watcher in watchers))
    delays = sorted(delay for watcher in watchers for delay in watcher.milliseconds)
    return {"events": len(delays), "p50_ms": delays[len(delays) // 2], "p99_ms": delays[int(len(delays) * 0.99)]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(watched(json.loads(sys.argv[1])))) + "\n")
