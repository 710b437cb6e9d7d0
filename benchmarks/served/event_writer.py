"""Events written by a process of their own, into our store or into the peer's table. Arguments: JSON of the wish.

Prints where they can be watched, waits for a line on standard input, then writes `events` at `per_second`.
"""

import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.jobs import job
from bot.domain.events import Recorded, ToolReturned
from bot.report.progress import Progress, after
from bot.report.sse import frame
from bot.stores import open_store

OUTPUT = "tests/test_greeting.py::test_it_greets PASSED\n" * 8


def event(number: int) -> ToolReturned:
    """What a tool returned; it holds the instant of its writing, for the watchers to subtract."""
    return ToolReturned(f"call-{number}", "bash", True, f"at:{time.monotonic():.6f}; {OUTPUT}", 0.1)


async def into_our_store(wish: dict[str, Any]) -> None:
    store = await open_store(f"sqlite:///{wish['file']}")
    asked = job(1)
    await store.accept(guid=asked.delivery, event="issue_comment", action="created", job=asked)
    claim = await store.claim("benchmark")
    assert claim is not None
    await begun(f"/jobs/{asked.id}/events?t={asked.watch_key}")
    for number in range(wish["events"]):
        await asyncio.sleep(1 / wish["per_second"])
        await store.commit(claim, events=(event(number),))
    await store.close()


async def into_the_peers_table(wish: dict[str, Any]) -> None:
    """The very frames that ours sends."""
    database, so_far = sqlite3.connect(wish["file"], isolation_level=None), Progress()
    database.execute("CREATE TABLE frames (seq INTEGER PRIMARY KEY, data TEXT)")
    await begun("/events")
    for number in range(wish["events"]):
        await asyncio.sleep(1 / wish["per_second"])
        recorded = Recorded(number + 2, time.time(), event(number))
        so_far = after(so_far, recorded)
        data = frame(recorded, so_far).decode().partition("data: ")[2].rstrip("\n")
        database.execute("INSERT INTO frames VALUES (?, ?)", (recorded.seq, data))


async def begun(path: str) -> None:
    sys.stdout.write(path + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    wish = json.loads(sys.argv[1])
    Path(wish["file"]).parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(into_our_store(wish) if wish["ours"] else into_the_peers_table(wish))
