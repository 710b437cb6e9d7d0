"""Commands in a running sandbox beside plain processes; cold and warm starts beside a bare `bwrap` and `docker run`."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Goal, Row, alternate
from benchmarks.peers import Peers
from benchmarks.processes import BenchmarkFailed
from bot.ports import Sandbox, SandboxProvider
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.sandboxes.docker import Docker
from bot.sandboxes.images import DEFAULT, published_name
from bot.sandboxes.shelf import Shelf
from bot.settings.sandboxes import DOCKER_SOCKET

TRUE = "/usr/bin/true"
KEY = "benchmark"
BARE = (
    *("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev", TRUE),
)


@dataclass(frozen=True, slots=True)
class Size:
    """`commands` run one after the other in each round. `kept`: files of 8 KB that a setup phase made."""

    commands: int
    starts: int
    rounds: int
    kept: int


FULL, QUICK = Size(200, 10, 7, 2_000), Size(100, 5, 5, 500)


@dataclass(frozen=True, slots=True)
class Contender:
    """A provider, the least that the program below it can do, and why a provider is not among them."""

    provider: SandboxProvider
    floor: tuple[str, ...]
    floor_name: str


async def rows(size: Size, at: Path, peers: Peers) -> list[Row]:
    shelf = Shelf(at / "warm")
    contenders = [Contender(Bubblewrap(shelf=shelf), BARE, "bwrap with true")]
    address = os.environ.get("DOCKER_HOST", DOCKER_SOCKET)
    image = os.environ.get("DOCKER_IMAGE", published_name(DEFAULT))
    docker = Docker(address=address, bot=f"benchmark-{os.getpid()}", image=image, shelf=shelf)
    without_docker = await asyncio.to_thread(docker.problem)
    if without_docker is None:
        bare = ("docker", "--host", address, "run", "--rm", "--network", "none", image, TRUE)
        contenders.append(Contender(docker, bare, "docker run true"))
    measured = [await _commands(contenders[0].provider, size)]
    for contender in contenders:
        measured += await _starts(contender, size, note="" if without_docker is None else f"alone: {without_docker}")
    return measured


async def _commands(provider: SandboxProvider, size: Size) -> Row:
    sandbox = await provider.open("benchmark")
    try:
        await _true(sandbox)
        contenders: dict[str, Callable[[], Awaitable[float]]] = {
            "ours": lambda: _mean_ms(lambda: _true(sandbox), size.commands),
            "plain": lambda: _mean_ms(lambda: _spawned(TRUE), size.commands),
        }
        executed = await alternate(contenders, size.rounds)
    finally:
        await sandbox.close()
    return Row(
        what="a command in a running sandbox",
        unit="ms",
        ours=executed["ours"],
        peer="a plain process",
        theirs=executed["plain"],
        goal=Goal("at most", 3.0, 2.0),
    )


async def _starts(contender: Contender, size: Size, *, note: str) -> list[Row]:
    provider = contender.provider
    await _kept(provider, size.kept)
    contenders: dict[str, Callable[[], Awaitable[float]]] = {
        "cold": lambda: _mean_ms(lambda: _opened(provider, warm=""), size.starts),
        "warm": lambda: _mean_ms(lambda: _opened(provider, warm=KEY), size.starts),
        "floor": lambda: _mean_ms(lambda: _spawned(*contender.floor), size.starts),
    }
    started = await alternate(contenders, size.rounds)
    return [
        Row(
            what=f"{provider.name}: a {kind} start, one command, the end",
            unit="ms",
            ours=started[kind],
            peer=contender.floor_name,
            theirs=started["floor"],
            note=note if kind == "cold" else f"with {size.kept:,} files of 8 KB laid out again",
        )
        for kind in ("cold", "warm")
    ]


async def _kept(provider: SandboxProvider, files: int) -> None:
    """What a setup phase made, under KEY."""
    sandbox = await provider.open("benchmark-setup")
    try:
        make = f"git init -q; mkdir .venv; cd .venv; for n in $(seq {files}); do head -c 8192 /dev/urandom > $n; done"
        made = await sandbox.exec(["sh", "-c", make], timeout_s=120)
        if made.exit_code != 0:
            raise BenchmarkFailed(f"no files were made: {made.stderr.decode(errors='replace')[:300]}")
        await sandbox.keep(KEY)
    finally:
        await sandbox.close()


async def _mean_ms(act: Callable[[], Awaitable[None]], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        await act()
    return (time.perf_counter() - began) / times * 1_000


async def _opened(provider: SandboxProvider, *, warm: str) -> None:
    sandbox = await provider.open("benchmark", warm=warm)
    try:
        if sandbox.warm != bool(warm):
            raise BenchmarkFailed(f"{provider.name} did not begin with what was kept")
        await _true(sandbox)
    finally:
        await sandbox.close()


async def _true(sandbox: Sandbox) -> None:
    if (done := await sandbox.exec([TRUE], timeout_s=30)).exit_code != 0:
        raise BenchmarkFailed(f"true failed in the sandbox: {done.stderr.decode(errors='replace')}")


async def _spawned(*argv: str) -> None:
    """As a program without a sandbox would: a process with pipes for what it says, and its end awaited."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    _, said = await process.communicate()
    if process.returncode:
        raise BenchmarkFailed(f"{argv[0]} failed: {said.decode(errors='replace')[:300]}")
