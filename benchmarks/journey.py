"""From comment to pull request with a slow GitHub (100 ms a call), beside the same calls made one after the other."""

import asyncio
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
from bot.standins.github.faults import Logged

PEER = "one step after the other"
WITHIN_S = 120.0
SLACK_S = 0.002  # of the clocks: a call that begins as another ends comes after it


@dataclass(frozen=True, slots=True)
class Size:
    """`rounds` warm journeys after the cold one."""

    files: int
    delay_ms: float
    rounds: int


FULL, QUICK = Size(5_000, 100.0, 5), Size(5_000, 100.0, 3)


@dataclass(frozen=True, slots=True)
class Trip:
    """One journey: the calls GitHub had until the pull request was open, and the event log (Unix time in s)."""

    began: float
    opened: float
    calls: Sequence[Logged]
    events: Sequence[Recorded]
    delay_s: float

    @property
    def seconds(self) -> float:
        return self.opened - self.began

    @property
    def one_by_one_s(self) -> float:
        """Each call waits for the one before; what is done between the calls stays."""
        return len(self.calls) * self.delay_s + self.seconds - self.waited_s

    @property
    def waited_s(self) -> float:
        """How long at least one call was under way."""
        waited, until = 0.0, 0.0
        for call in sorted(self.calls, key=lambda call: call.at):
            ends = min(call.at + self.delay_s, self.opened)
            waited += max(0.0, ends - max(call.at, until))
            until = max(until, ends)
        return waited

    @property
    def in_a_row(self) -> int:
        """The longest chain of calls of which none overlap: what cannot have been less round trips one by one."""
        chain, until = 0, 0.0
        for call in sorted(self.calls, key=lambda call: call.at):
            if call.at >= until - SLACK_S:
                chain, until = chain + 1, call.at + self.delay_s
        return chain

    def stages(self) -> dict[str, float]:
        """Milliseconds from one event of the log to the next, by the name of the later one."""
        split: dict[str, float] = {}
        for sooner, later in pairwise(self.events):
            name = later.event.kind.replace("_", " ")
            split[name] = split.get(name, 0.0) + (later.at - sooner.at) * 1_000
            if isinstance(later.event, PullRequestOpened):
                break
        return split


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    source = at / "source"
    await asyncio.to_thread(committed, source, size.files)
    async with staged(at / "stage", source=source, settings={"BACKSPACE_MODEL": "rules"}) as stage:
        stage.github.faults.delay_all_ms = size.delay_ms
        cold = await _trip(stage, 0, size.delay_ms / 1_000)
        warm = [await _trip(stage, number, size.delay_ms / 1_000) for number in range(1, size.rounds + 1)]
    return [
        _row("cold: comment to pull request", [cold], None),
        _row("warm: comment to pull request", warm, Goal("at most", 0.35, 0.2)),
        _calls("cold: calls in a row", [cold], Goal("at most", 7, 4, of="ours")),
        _calls("warm: calls in a row", warm, Goal("at most", 5, 3, of="ours")),
        *_split(warm),
    ]


def _row(what: str, trips: Sequence[Trip], goal: Goal | None) -> Row:
    ours, theirs = [trip.seconds * 1_000 for trip in trips], [trip.one_by_one_s * 1_000 for trip in trips]
    return Row(what=what, unit="ms", ours=ours, peer=PEER, theirs=theirs, goal=goal)


def _calls(what: str, trips: Sequence[Trip], goal: Goal) -> Row:
    ours, theirs = [trip.in_a_row for trip in trips], [len(trip.calls) for trip in trips]
    return Row(what=what, unit="calls", ours=ours, peer="all calls", theirs=theirs, goal=goal)


def _split(trips: Sequence[Trip]) -> list[Row]:
    """A stage is named by the event that ends it."""
    names = dict.fromkeys(name for trip in trips for name in trip.stages())
    found = []
    for name in names:
        ours = [trip.stages().get(name, 0.0) for trip in trips]
        whole = [trip.seconds * 1_000 for trip in trips]
        found.append(Row(what=f"warm, until {name}", unit="ms", ours=ours, peer="the whole way", theirs=whole))
    return found


async def _trip(stage: Stage, number: int, delay_s: float) -> Trip:
    path = f"HELLO-{number}.md"
    issue = stage.github.open_issue(stage.repository, "alice", f"Say hello, {number}", "A file would be friendlier.")
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
    calls = [call for call in stage.github.log.rows[earlier:] if began <= call.at < opened]
    return Trip(began, opened, calls, events, delay_s)
