"""The webhook door as it ships (`backspace serve --web-only`) beside the doors of other frameworks."""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import doors, load
from benchmarks.measuring import Goal, Row, alternate
from benchmarks.peers import NotHad, Peers
from benchmarks.processes import BenchmarkFailed, Served, environment, told

STARTS = 3
WARMING = 1  # rounds that are not counted: node compiles what is hot


@dataclass(frozen=True, slots=True)
class Size:
    """`count` deliveries and `seconds` bound one burst of `connections` senders."""

    count: int
    seconds: float
    connections: int
    rounds: int


FULL, QUICK = Size(6_000, 8.0, 32, 5), Size(2_000, 4.0, 32, 3)


@dataclass(frozen=True, slots=True)
class Burst:
    per_second: float
    cpu_us: float
    p99_ms: float


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    missing: dict[str, str] = {}
    bursts: dict[str, Callable[[], Awaitable[Burst]]] = {}
    async with AsyncExitStack() as running:
        open_doors: dict[str, Served] = {}
        for name, door, comment, expected in doors.CONTENDERS:
            try:
                if door not in open_doors:
                    started = await doors.command(door, at, peers)
                    open_doors[door] = await running.enter_async_context(doors.served(*started, at / door))
                bursts[name] = _Bursts(open_doors[door], size, at, comment, expected)
            except NotHad as reason:
                missing[name] = str(reason)
        again = {name: partial(_start, name, at, peers) for name in open_doors if name in (doors.OURS, doors.PROBOT)}
        began = await alternate(again, min(size.rounds, STARTS) - 1)
        for name, starts in began.items():
            starts.append(open_doors[name])
        await alternate(bursts, WARMING)
        taken = await alternate(bursts, size.rounds)
    return [*_ratios(taken, missing), *_starts(began, missing)]


async def _start(name: str, at: Path, peers: Peers) -> Served:
    """Started, weighed and ended."""
    async with doors.served(*await doors.command(name, at, peers), at / "start") as one:
        return one


class _Bursts:
    """One server under load; each burst has deliveries nobody has seen before."""

    def __init__(self, served: Served, size: Size, at: Path, comment: str, expected: str) -> None:
        self._served, self._size, self._at, self._first = served, size, at, 0
        self._wish = {"comment": comment, "expected": expected, "secret": doors.SECRET, "path": "/webhook"}

    async def __call__(self) -> Burst:
        size, before = self._size, self._served.cpu_s()
        wish = {**self._wish, "port": self._served.port, "first": self._first, "count": size.count}
        wish |= {"seconds": size.seconds, "connections": size.connections}
        self._first += size.count
        heard = await told([sys.executable, load.__file__, json.dumps(wish)], cwd=self._at, env=environment())
        if heard["unexpected"] or not heard["answered"]:
            raise BenchmarkFailed(f"the door answered {heard['unexpected']}")
        cpu_us = (self._served.cpu_s() - before) / heard["answered"] * 1e6
        return Burst(heard["answered"] / heard["seconds"], cpu_us, heard["p99_ms"])


def _ratios(taken: Mapping[str, Sequence[Burst]], missing: Mapping[str, str]) -> list[Row]:
    def row(unit: str, ours: str, peer: str, value: Callable[[Burst], float], goal: Goal | None = None) -> Row:
        what = {"1/s": "acknowledged", "us": "CPU a delivery", "ms": "p99"}[unit]
        mine, theirs = ([value(burst) for burst in taken.get(name, ())] for name in (ours, peer))
        note = missing.get(peer, "")
        return Row(what=f"{ours}: {what}", unit=unit, ours=mine, peer=peer, theirs=theirs, goal=goal, note=note)

    compared = (
        (doors.OURS, doors.PROBOT, Goal("at least", 1.4, 2.0), Goal("at most", 0.7, 0.5)),
        (doors.DURABLE, doors.PROBOT, Goal("at least", 1.2, 1.6), None),
        (doors.LOGGED, doors.PROBOT_LOGGED, None, None),
        (doors.OURS, doors.GIDGETHUB, None, None),
        (doors.OURS, doors.GITHUBKIT, None, None),
    )
    found = []
    for ours, peer, rate, cpu in compared:
        found.append(row("1/s", ours, peer, lambda burst: burst.per_second, rate))
        found.append(row("us", ours, peer, lambda burst: burst.cpu_us, cpu))
        found.append(row("ms", ours, peer, lambda burst: burst.p99_ms))
    return found


def _starts(began: Mapping[str, Sequence[Served]], missing: Mapping[str, str]) -> list[Row]:
    def row(what: str, unit: str, value: Callable[[Served], float], goal: Goal) -> Row:
        ours, theirs = ([value(one) for one in began.get(name, ())] for name in (doors.OURS, doors.PROBOT))
        note = missing.get(doors.PROBOT, "")
        return Row(what=what, unit=unit, ours=ours, peer=doors.PROBOT, theirs=theirs, goal=goal, note=note)

    return [
        row("cold start to the first answer", "ms", lambda one: one.started_s * 1_000, Goal("at most", 1.5, 1.0)),
        row("memory when idle", "MB", lambda one: one.idle_mb, Goal("at most", 1.0, 0.6)),
    ]
