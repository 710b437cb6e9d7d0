"""Commands in a running sandbox beside plain processes, and a sandbox's start beside a bare `bwrap`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Goal, Row, alternate
from benchmarks.peers import Peers
from benchmarks.processes import BenchmarkFailed
from bot.sandboxes.bubblewrap import Bubblewrap

TRUE = "/usr/bin/true"
BARE = (
    *("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", TRUE),
)


@dataclass(frozen=True, slots=True)
class Size:
    """`commands` run one after the other in each round; their mean is the round's sample."""

    commands: int
    starts: int
    rounds: int


FULL, QUICK = Size(200, 10, 7), Size(100, 5, 5)


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    async with AsyncExitStack() as closing:
        sandbox = await Bubblewrap().open("benchmark")
        closing.push_async_callback(sandbox.close)

        async def inside() -> None:
            done = await sandbox.exec([TRUE], timeout_s=30)
            if done.exit_code != 0:
                raise BenchmarkFailed(f"true failed in the sandbox: {done.stderr.decode(errors='replace')}")

        await inside()
        commands: dict[str, Callable[[], Awaitable[float]]] = {
            "ours": lambda: _mean_ms(inside, size.commands),
            "plain": lambda: _mean_ms(lambda: _spawned(TRUE), size.commands),
        }
        executed = await alternate(commands, size.rounds)
    starts: dict[str, Callable[[], Awaitable[float]]] = {
        "ours": lambda: _mean_ms(_opened, size.starts),
        "bwrap": lambda: _mean_ms(lambda: _spawned(*BARE), size.starts),
    }
    started = await alternate(starts, size.rounds)
    return [
        Row(
            what="a command in a running sandbox",
            unit="ms",
            ours=executed["ours"],
            peer="a plain process",
            theirs=executed["plain"],
            goal=Goal("at most", 3.0, 2.0),
        ),
        Row(
            what="a sandbox, started, asked once, ended",
            unit="ms",
            ours=started["ours"],
            peer="bwrap with true",
            theirs=started["bwrap"],
        ),
    ]


async def _mean_ms(act: Callable[[], Awaitable[None]], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        await act()
    return (time.perf_counter() - began) / times * 1_000


async def _opened() -> None:
    sandbox = await Bubblewrap().open("benchmark")
    try:
        await sandbox.exec([TRUE], timeout_s=30)
    finally:
        await sandbox.close()


async def _spawned(*argv: str) -> None:
    """As a program without a sandbox would: a process with pipes for what it says, and its end awaited."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise BenchmarkFailed(f"{argv[0]} failed: {said.decode(errors='replace')[:300]}")
