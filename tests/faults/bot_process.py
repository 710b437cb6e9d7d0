"""A real `backspace serve` in a process of its own, on a GitHub that the test holds in its hands."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bot.stage import Host, hosted
from bot.standins.github.state import Delivery, Issue
from tests.polling import until
from tests.repositories import commit, write

ANSWER_S = 5.0  # a health that says nothing for so long is red
WITHIN_S = 60.0  # whole processes start and end, beside others
SERVE = (sys.executable, "-m", "bot", "serve")
REQUEST = "/backspace replace `broken` with `fixed` in `value.txt`"


@dataclass(frozen=True, slots=True)
class BotProcess:
    host: Host
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return self.host.settings["PUBLIC_URL"]

    async def health(self) -> int:
        """The status of `/readyz`; 0 when there is no answer."""
        try:
            async with httpx.AsyncClient(timeout=ANSWER_S) as client:
                return (await client.get(f"{self.url}/readyz")).status_code
        except httpx.HTTPError:
            return 0

    async def healthy(self) -> None:
        async def is_well() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return await self.health() == 200

        await until(is_well, within_s=WITHIN_S)

    async def unwell(self) -> None:
        """Until its health is red: a proof of health holds for a second."""

        async def is_unwell() -> bool:
            return await self.health() != 200

        await until(is_unwell, within_s=WITHIN_S)


@asynccontextmanager
async def github(tmp_path: Path) -> AsyncIterator[Host]:
    source = tmp_path / "source"
    source.mkdir()
    write(source, {"value.txt": b"broken\n", ".github/backspace.yml": b"test: grep -q fixed value.txt\n"})
    async with hosted(tmp_path, source=commit(source), owner="acme", name="widget", maintainer="alice") as host:
        yield host


@asynccontextmanager
async def serving(
    host: Host,
    tmp_path: Path,
    *,
    settings: Mapping[str, str] | None = None,
    box: Sequence[str] = (),
    flags: Sequence[str] = (),
) -> AsyncIterator[BotProcess]:
    """`box` is put before the command, such as a bubblewrap with a small disk. At the end it must leave in order, or
    have been killed."""
    log = tmp_path / "bot.log"
    process = await asyncio.to_thread(_started, log, {**host.settings, **(settings or {})}, [*box, *SERVE, *flags])
    bot = BotProcess(host, process, log)
    try:
        await bot.healthy()
        yield bot
        if process.poll() == -signal.SIGKILL:
            return  # the test did it
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            assert await asyncio.to_thread(process.wait) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _started(log: Path, settings: Mapping[str, str], argv: Sequence[str]) -> subprocess.Popen[bytes]:
    ours = {"BACKSPACE_MODEL": "rules", "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("wb") as lines:
        return subprocess.Popen(argv, env={**ours, **settings}, stdin=subprocess.DEVNULL, stdout=lines, stderr=lines)


async def commented(host: Host) -> tuple[Issue, Delivery]:
    """A new issue with a request on it, and what became of the request's delivery."""
    issue = host.github.open_issue(host.repository, "alice", "It is broken", "Please see to it.")
    before = len(host.github.deliveries)
    host.github.comment(host.repository, issue.number, "alice", REQUEST)
    delivery = host.github.deliveries[before]
    await host.github.deliver()
    return issue, delivery


async def published(host: Host, issue: Issue) -> None:
    """The issue's one pull request is there, and every check is closed."""

    def is_there() -> bool:
        checks = host.github.check_runs(host.repository)
        return bool(pulls_of(host, issue)) and all(check.status == "completed" for check in checks)

    await until(is_there, within_s=WITHIN_S)
    (pull,) = pulls_of(host, issue)
    assert pull.pull is not None
    assert host.github.file(host.repository, pull.pull.head_ref, "value.txt") == b"fixed\n"


def pulls_of(host: Host, issue: Issue) -> list[Issue]:
    return [pull for pull in host.github.pull_requests(host.repository) if f"#{issue.number}" in (pull.body or "")]
