"""Servers and programs as processes of their own: started, asked whether they are ready, weighed, stopped."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_S = 60.0
STOP_S = 10.0


class BenchmarkFailed(Exception):
    """A measurement that cannot stand: what happened, in one sentence."""


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answered on `port` after `started_s` seconds, with `idle_mb` of memory resident then."""

    pid: int
    port: int
    started_s: float
    idle_mb: float

    def cpu_s(self) -> float:
        """Processor time of all its threads so far, by the scheduler's own nanoseconds."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def environment(**more: str) -> dict[str, str]:
    """What a peer or our own server gets: no setting of the person who runs the benchmark leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **more}


@asynccontextmanager
async def server(argv: Sequence[str], *, port: int, cwd: Path, env: Mapping[str, str]) -> AsyncIterator[Served]:
    """The block runs once anything answers HTTP on `port`. Raises BenchmarkFailed with the server's last words."""
    words = cwd / f"server-{port}.log"
    began = time.monotonic()
    with words.open("wb") as log:
        process = await asyncio.create_subprocess_exec(*argv, cwd=cwd, env=env, stdout=log, stderr=log)
    try:
        while not await _answers(port):
            if process.returncode is not None or time.monotonic() - began > READY_S:
                raise BenchmarkFailed(f"{argv[0]} did not serve: {words.read_text(errors='replace')[-800:]}")
            await asyncio.sleep(0.01)
        yield Served(process.pid, port, time.monotonic() - began, resident_mb(process.pid))
    finally:
        await stopped(process)


async def stopped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        answer = await reader.read(1)
        writer.close()
    except OSError:
        return False
    return bool(answer)


async def told(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_s: float = 600.0) -> Any:
    """The JSON a program prints on standard output. Raises BenchmarkFailed."""
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        raise BenchmarkFailed(f"{argv[0]} took longer than {timeout_s:.0f} s") from None
    finally:
        await stopped(process)
    if process.returncode:
        raise BenchmarkFailed(f"{' '.join(argv[:3])} failed: {err.decode(errors='replace')[-800:]}")
    return json.loads(out.decode().rstrip().rpartition("\n")[2])
