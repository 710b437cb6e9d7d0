"""From comment to pull request with a slow GitHub, beside one step after the other with nothing kept from before."""

import asyncio
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.measuring import Goal, Row
from benchmarks.peers import Peers
from benchmarks.processes import BenchmarkFailed
from benchmarks.tree import committed
from bot.domain.events import JobFinished, PullRequestOpened, Recorded
from bot.stage import Stage, staged

PEER = "cold, one step after the other"
WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Size:
    """`delay_ms` a call, and `slow_ms` where calls in a row are counted, beside which nothing else matters.

    A round is a cold and a warm journey with each of both, and a cold and a warm one without any delay.
    """

    files: int
    delay_ms: float
    slow_ms: float
    rounds: int


FULL, QUICK = Size(5_000, 100.0, 1_000.0, 5), Size(5_000, 100.0, 1_000.0, 3)


@dataclass(frozen=True, slots=True)
class Trip:
    """One journey: how many calls GitHub had until the pull request was open, and the event log (Unix time in s)."""

    ms: float
    calls: int
    events: Sequence[Recorded]

    def stages(self) -> dict[str, float]:
        """Milliseconds from one event of the log to the next, by the name of the later one."""
        split: dict[str, float] = {}
        for sooner, later in pairwise(self.events):
            name = later.event.kind.replace("_", " ")
            split[name] = split.get(name, 0.0) + (later.at - sooner.at) * 1_000
            if isinstance(later.event, PullRequestOpened):
                break
        return split


class Trips:
    """Those of one kind, by the delay of a call in ms."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self.by_delay: dict[float, list[Trip]] = {delay: [] for delay in (0.0, size.delay_ms, size.slow_ms)}

    @property
    def timed(self) -> list[Trip]:
        return self.by_delay[self._size.delay_ms]

    def one_by_one_ms(self) -> list[float]:
        """All calls, each after the one before, and what takes time without them."""
        pairs = zip(self.timed, self.by_delay[0.0], strict=True)
        return [trip.calls * self._size.delay_ms + without.ms for trip, without in pairs]

    def in_a_row(self) -> list[float]:
        """By how many calls a journey is longer when each call is slower: of those beside one another one counts, and
        none of those that nothing waits for."""
        slower = self._size.slow_ms - self._size.delay_ms
        quick = statistics.median(trip.ms for trip in self.timed)
        return [(trip.ms - quick) / slower for trip in self.by_delay[self._size.slow_ms]]


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    source, cold, warm = at / "source", Trips(size), Trips(size)
    await asyncio.to_thread(committed, source, size.files)
    async with staged(at / "stage", source=source, settings={"BACKSPACE_MODEL": "rules"}) as stage:
        await _trip(stage, "first", 0.0)  # what is imported at first use is no part of a journey
        for number in range(size.rounds):
            for delay in warm.by_delay:
                shutil.rmtree(stage.config.home / "mirrors")
                cold.by_delay[delay].append(await _trip(stage, f"cold-{delay}-{number}", delay))
                warm.by_delay[delay].append(await _trip(stage, f"warm-{delay}-{number}", delay))
    theirs = cold.one_by_one_ms()
    return [
        _row("cold: comment to pull request", cold, PEER, theirs, None),
        _row("warm: comment to pull request", warm, PEER, theirs, Goal("at most", 0.35, 0.2)),
        _row("warm: comment to pull request", warm, "warm, one step after the other", warm.one_by_one_ms(), None),
        _calls("cold: calls in a row", cold, Goal("at most", 7, 4, of="ours")),
        _calls("warm: calls in a row", warm, Goal("at most", 5, 3, of="ours")),
        *_split(warm.timed),
    ]


def _row(what: str, trips: Trips, peer: str, theirs: Sequence[float], goal: Goal | None) -> Row:
    return Row(what=what, unit="ms", ours=[trip.ms for trip in trips.timed], peer=peer, theirs=theirs, goal=goal)


def _calls(what: str, trips: Trips, goal: Goal) -> Row:
    theirs = [float(trip.calls) for trip in trips.timed]
    return Row(what=what, unit="calls", ours=trips.in_a_row(), peer="all calls", theirs=theirs, goal=goal)


def _split(trips: Sequence[Trip]) -> list[Row]:
    """A stage is named by the event that ends it."""
    names = dict.fromkeys(name for trip in trips for name in trip.stages())
    found = []
    for name in names:
        ours, whole = [trip.stages().get(name, 0.0) for trip in trips], [trip.ms for trip in trips]
        found.append(Row(what=f"warm, until {name}", unit="ms", ours=ours, peer="the whole way", theirs=whole))
    return found


async def _trip(stage: Stage, name: str, delay_ms: float) -> Trip:
    stage.github.faults.delay_all_ms, path = delay_ms, f"HELLO-{name}.md"
    issue = stage.github.open_issue(stage.repository, "alice", f"Say hello, {name}", "A file would be friendlier.")
    await stage.github.deliver()
    earlier = len(stage.github.log.rows)
    request = f"/backspace Add the file `{path}` with exactly this content:\n\n```markdown {path}\n# Hello\n```"
    began = stage.github.world.now()
    stage.github.comment(stage.repository, issue.number, "alice", request)
    await stage.github.deliver()
    (row,) = await stage.jobs(issue.number)
    async with asyncio.timeout(WITHIN_S):
        async for _ in stage.store.watch(row.job.id):
            pass
        while (await stage.store.job(row.job.id) or row).finished_at is None:  # the last words in the thread
            await stage.store.wait_for_work(0.05)
    events = await stage.store.events(row.job.id)
    opened = next((r.at for r in events if isinstance(r.event, PullRequestOpened)), None)
    if opened is None:
        ends = [r.event.message for r in events if isinstance(r.event, JobFinished)]
        raise BenchmarkFailed(f"no pull request was opened: {ends}")
    calls = sum(began <= call.at < opened for call in stage.github.log.rows[earlier:])
    return Trip((opened - began) * 1_000, calls, events)
