"""The event stream as it ships, many watchers of one job whose events another process writes, beside sse-starlette."""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import watchers
from benchmarks.measuring import Goal, Row, alternate
from benchmarks.peers import NotHad, Peers
from benchmarks.processes import BenchmarkFailed, environment, server, stopped
from bot.standins.serving import reserved_port

HERE = Path(__file__).parent
SERVED = HERE / "served"
PEER = "sse-starlette"
WITHIN_S = 120.0
SECRET = "a secret of the benchmark, that nobody uses"
Process = asyncio.subprocess.Process


@dataclass(frozen=True, slots=True)
class Size:
    watchers: int
    events: int
    per_second: float
    rounds: int


FULL, QUICK = Size(1_000, 100, 10.0, 3), Size(200, 60, 20.0, 3)


@dataclass(frozen=True, slots=True)
class Watched:
    cpu_us: float
    p50_ms: float
    p99_ms: float


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    _allow_open_files(2 * size.watchers + 100)
    sides, note = _Sides(size, at), ""
    contenders: dict[str, Callable[[], Awaitable[Watched]]] = {"ours": sides.ours}
    try:
        sides.python = await peers.python("sse-starlette", "starlette", "uvicorn", "uvloop", "httptools")
        contenders[PEER] = sides.peer
    except NotHad as reason:
        note = str(reason)
    taken = await alternate(contenders, size.rounds)
    goal = Goal("at most", 0.6, 0.4)

    def row(what: str, unit: str, value: Callable[[Watched], float], goal: Goal | None) -> Row:
        ours, theirs = [value(one) for one in taken["ours"]], [value(one) for one in taken.get(PEER, ())]
        what = f"{what}, {size.watchers:,} watchers"
        return Row(what=what, unit=unit, ours=ours, peer=PEER, theirs=theirs, goal=goal, note=note)

    return [
        row("CPU a delivered event", "us", lambda one: one.cpu_us, goal),
        row("p99 from writing to watcher", "ms", lambda one: one.p99_ms, goal),
        row("p50 from writing to watcher", "ms", lambda one: one.p50_ms, None),
    ]


class _Sides:
    """Each measurement has a server, a writer and a crowd of watchers of its own."""

    def __init__(self, size: Size, at: Path) -> None:
        self._size, self._at, self._number = size, at, 0
        self.python = ""

    def _home(self) -> Path:
        self._number += 1
        home = self._at / f"{self._number}"
        home.mkdir()
        return home

    async def ours(self) -> Watched:
        home, argv = self._home(), [sys.executable, "-m", "bot", "serve", "--web-only"]
        env = environment(GITHUB_WEBHOOK_SECRET=SECRET, BACKSPACE_HOME=str(home), LOG_LEVEL="warning")
        with reserved_port() as port:
            return await self._measured(argv, {**env, "PORT": str(port)}, home, home / "backspace.db", port, ours=True)

    async def peer(self) -> Watched:
        home = self._home()
        file = home / "peer.db"
        with reserved_port() as port:
            argv = [self.python, str(SERVED / "sse_starlette_stream.py"), str(port), str(file)]
            return await self._measured(argv, environment(), home, file, port, ours=False)

    async def _measured(
        self, argv: Sequence[str], env: dict[str, str], home: Path, file: Path, port: int, *, ours: bool
    ) -> Watched:
        size = self._size
        wish = {"file": str(file), "events": size.events, "per_second": size.per_second, "ours": ours}
        writing = [sys.executable, str(SERVED / "event_writer.py"), json.dumps(wish)]
        async with _program(writing, home) as writer:
            path = await _line(writer)
            async with server(argv, port=port, cwd=home, env=env) as served:
                crowd = {"port": port, "path": path, "watchers": size.watchers, "last": size.events + 1}
                crowd |= {"seconds": WITHIN_S}
                async with _program([sys.executable, watchers.__file__, json.dumps(crowd)], home) as watching:
                    if await _line(watching) != "ready":
                        raise BenchmarkFailed("the watchers could not begin")
                    before = served.cpu_s()
                    assert writer.stdin is not None
                    writer.stdin.write(b"go\n")
                    seen = json.loads(await _line(watching))
                    cpu_s = served.cpu_s() - before
        if seen["events"] != size.watchers * size.events:
            raise BenchmarkFailed(f"{seen['events']} events arrived of {size.watchers * size.events}")
        return Watched(cpu_s / seen["events"] * 1e6, seen["p50_ms"], seen["p99_ms"])


@asynccontextmanager
async def _program(argv: Sequence[str], cwd: Path) -> AsyncIterator[Process]:
    pipe = asyncio.subprocess.PIPE
    env = environment(PYTHONPATH=str(HERE.parent))
    process = await asyncio.create_subprocess_exec(*argv, cwd=cwd, env=env, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        await stopped(process)


async def _line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        line = await process.stdout.readline()
    if not line:
        raise BenchmarkFailed("a program of the benchmark ended early")
    return line.decode().strip()


def _allow_open_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
