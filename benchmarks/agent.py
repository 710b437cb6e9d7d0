"""What the harness adds to a turn in which the model and its command do next to nothing, beside mini-swe-agent."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.measuring import Goal, Row
from benchmarks.peers import NotHad, Peers
from benchmarks.processes import BenchmarkFailed, environment, server, told
from bot.standins.serving import reserved_port

HERE = Path(__file__).parent
SERVED = HERE / "served"
PEER = "mini-swe-agent"
WARM_UP = 5  # turns that are not counted: connections, first imports


@dataclass(frozen=True, slots=True)
class Size:
    """`turns` of a run each, `files` in the larger repository; `early` and `late` are turns of one long run of ours,
    each the middle of ten."""

    turns: int
    files: int
    early: int
    late: int
    rounds: int


FULL, QUICK = Size(100, 5_000, 40, 400, 3), Size(60, 5_000, 40, 400, 2)


@dataclass(frozen=True, slots=True)
class Run:
    """Milliseconds between one request for an answer and the next, and of the processor for each."""

    turns_ms: Sequence[float]
    cpu_ms: float

    def at(self, turn: int) -> float:
        return median(self.turns_ms[max(0, turn - 5) : turn + 5])


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    note, python = "", ""
    try:
        python = await peers.python("litellm", "mcp", "mini-swe-agent")
    except NotHad as reason:
        note = str(reason)
    ours, theirs, large = [], [], []
    for number in range(size.rounds):
        ours.append(await _ours(size.turns, at / f"ours-{number}"))
        large.append(await _ours(size.turns, at / f"large-{number}", files=size.files))
        if python:
            theirs.append(await _theirs(python, size.turns, at / f"theirs-{number}"))
    long = ours[-1] if size.turns > size.late + 5 else await _ours(size.late + 6, at / "long")
    return [
        Row(
            what="a trivial turn",
            unit="ms",
            ours=[median(run.turns_ms[WARM_UP:]) for run in ours],
            peer=PEER,
            theirs=[median(run.turns_ms[WARM_UP:]) for run in theirs],
            goal=Goal("at most", 12.0, 8.0, of="ours"),
            note=note,
        ),
        Row(
            what=f"a trivial turn, {size.files:,} files in the repository",
            unit="ms",
            ours=[median(run.turns_ms[WARM_UP:]) for run in large],
            peer=PEER,
            theirs=[median(run.turns_ms[WARM_UP:]) for run in theirs],
            goal=Goal("at most", 12.0, 8.0, of="ours"),
            note=note,
        ),
        Row(
            what="a trivial turn: CPU of the harness",
            unit="ms",
            ours=[run.cpu_ms for run in ours],
            peer=PEER,
            theirs=[run.cpu_ms for run in theirs],
            note=note,
        ),
        Row(
            what=f"turn {size.late}",
            unit="ms",
            ours=[long.at(size.late)],
            peer=f"our turn {size.early}",
            theirs=[long.at(size.early)],
            goal=Goal("at most", 1.5, 1.2),
        ),
    ]


async def _ours(turns: int, at: Path, *, files: int = 1) -> Run:
    await asyncio.to_thread(at.mkdir)
    env = environment(PYTHONPATH=str(HERE.parent))
    return await _run([sys.executable, str(SERVED / "our_agent.py")], turns, at, str(at), str(files), env=env)


async def _theirs(python: str, turns: int, at: Path) -> Run:
    """It talks to nobody but the scripted server: litellm's price list stays the one it brought."""
    await asyncio.to_thread(at.mkdir)
    env = environment(
        MSWEA_GLOBAL_CONFIG_DIR=str(at), MSWEA_SILENT_STARTUP="1", LITELLM_LOCAL_MODEL_COST_MAP="True", NO_PROXY="*"
    )
    program = [python, str(SERVED / "mini_swe_agent.py")]
    return await _run(program, turns, at, str(at / "trajectory.json"), env=env)


async def _run(program: list[str], turns: int, at: Path, *last: str, env: dict[str, str]) -> Run:
    with reserved_port() as port:
        scripted = [sys.executable, str(SERVED / "scripted_messages.py"), str(port)]
        async with server(scripted, port=port, cwd=at, env=environment()):
            url = f"http://127.0.0.1:{port}"
            heard = await told([*program, url, str(turns), *last], cwd=at, env=env)
            arrivals = json.loads(await asyncio.to_thread(_fetched, f"{url}/turns"))
    if len(arrivals) < turns:
        raise BenchmarkFailed(f"{turns} turns were wished, {len(arrivals)} were asked for")
    between = [(later - sooner) * 1_000 for sooner, later in pairwise(arrivals)]
    return Run(between, heard["cpu_s"] / len(arrivals) * 1_000)


def _fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
    return content
