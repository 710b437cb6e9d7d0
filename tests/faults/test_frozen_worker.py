"""A worker that is stopped past its lease, like a suspended machine, and goes on while another has finished its job."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.domain.events import JobFinished
from bot.stage import Stage, front_door
from bot.standins.github.faults import Logged
from tests.polling import until
from tests.repositories import commit, write
from tests.stores.postgres import Postgres

pytestmark = pytest.mark.anyio

SHORT_LEASE_S, LONG_LEASE_S = 1.5, 30.0
WITHIN_S = 60.0
AFTERWARDS_S = 2.0  # how long a thawed worker is watched that may have had no job to give up
REQUEST = "/backspace replace `broken` with `fixed` in `value.txt`"


@asynccontextmanager
async def scene(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Stage]:
    """GitHub and the door here, the workers in processes of their own."""
    source = tmp_path / "source"
    source.mkdir()
    write(source, {"value.txt": b"broken\n", ".github/backspace.yml": b"test: grep -q fixed value.txt\n"})
    settings = {"DATABASE_URL": postgres.new_schema(), "BACKSPACE_MODEL": "rules"}
    front = front_door(
        tmp_path, source=commit(source), settings=settings, owner="acme", name="widget", maintainer="alice"
    )
    async with front as stage:
        yield stage


@dataclass(frozen=True, slots=True)
class Replica:
    process: subprocess.Popen[str]
    log: Path

    async def said(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    async def is_frozen(self) -> None:
        """Until it has stopped itself."""
        assert await self.said() == "frozen"
        await asyncio.to_thread(os.waitid, os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def has_given_up(self) -> bool:
        return "job given up" in self.log.read_text()


def started(argv: list[str], settings: dict[str, str], log: Path) -> subprocess.Popen[str]:
    with log.open("w") as lines:
        return subprocess.Popen(argv, env=settings, stdout=subprocess.PIPE, stderr=lines, text=True)


@asynccontextmanager
async def worker(stage: Stage, home: Path, *, lease_s: float, freeze_at: str = "") -> AsyncIterator[Replica]:
    """On a machine of its own. The block sees it end in good order, and fails with its log otherwise."""
    config = stage.config
    settings = {
        "GITHUB_APP_ID": str(config.app_id),
        "GITHUB_PRIVATE_KEY": config.private_key,
        "GITHUB_API_URL": config.github_api_url,
        "DATABASE_URL": config.database_url,
        "BACKSPACE_MODEL": config.model,
        "BACKSPACE_HOME": str(home),
        "PUBLIC_URL": config.public_url,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    argv = [sys.executable, "-m", "tests.faults.worker", str(lease_s), freeze_at]
    log = home.with_suffix(".log")
    process = await asyncio.to_thread(started, argv, settings, log)
    try:
        yield Replica(process, log)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, WITHIN_S) == 0, log.read_text()
    finally:
        process.kill()
        process.communicate()


async def asked(stage: Stage) -> int:
    issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "Please see to it.")
    stage.github.comment(stage.repository, issue.number, "alice", REQUEST)
    await stage.github.deliver()
    return issue.number


async def finished(stage: Stage, issue: int) -> None:
    async def are_finished() -> bool:
        rows = await stage.jobs(issue)
        return bool(rows) and all(row.finished_at is not None for row in rows)

    await until(are_finished, within_s=WITHIN_S)


def writes(stage: Stage) -> list[Logged]:
    """What changed GitHub; tokens are minted and revoked by whoever leaves, and git asks by POST what it fetches."""
    others = ("/token", "_tokens", "/git-upload-pack")
    return [one for one in stage.github.requests if one.method != "GET" and not one.path.endswith(others)]


async def assert_one_of_each(stage: Stage, issue: int) -> None:
    (row,) = await stage.jobs(issue)
    assert row.state == "succeeded"
    (pull,) = stage.github.pull_requests(stage.repository)
    assert pull.pull is not None
    assert stage.github.file(stage.repository, pull.pull.head_ref, "value.txt") == b"fixed\n"
    by_the_bot = [one for one in stage.github.comments(stage.repository, issue) if one.author.login.endswith("[bot]")]
    assert len(by_the_bot) == 1
    checks = stage.github.check_runs(stage.repository)
    assert len({check.head_sha for check in checks}) == len(checks)
    assert {check.status for check in checks} == {"completed"}
    events = await stage.store.events(row.job.id)
    assert len([one for one in events if isinstance(one.event, JobFinished)]) == 1


async def all_there_is(stage: Stage, issue: int) -> tuple[object, ...]:
    """Every write on GitHub, every event and every entry."""
    (row,) = await stage.jobs(issue)
    return writes(stage), await stage.store.events(row.job.id), await stage.store.journal(row.job.id)


EVERY_KIND = [
    "create_pull_request",
    *(
        pytest.param(method, marks=pytest.mark.slow)
        for method in (
            "react_to_comment",
            "create_comment",
            "create_ref",
            "create_commit",
            "advance_ref",
            "request_review",
            "create_check_run",
            "update_comment",
        )
    ),
]


@pytest.mark.parametrize("method", EVERY_KIND)
async def test_a_worker_frozen_before_a_write_to_github_never_makes_it(
    tmp_path: Path, postgres: Postgres, method: str
) -> None:
    """R5; red when `Client` does not ask `hold` (tried): GitHub has no fence, so the thawed worker's write arrives."""
    async with scene(tmp_path, postgres) as stage:
        async with worker(stage, tmp_path / "first", lease_s=SHORT_LEASE_S, freeze_at=method) as first:
            assert await first.said() == "ready"
            issue = await asked(stage)
            await first.is_frozen()
            async with worker(stage, tmp_path / "second", lease_s=LONG_LEASE_S):
                await finished(stage, issue)
            await assert_one_of_each(stage, issue)
            before = await all_there_is(stage, issue)
            first.thaw()
            await until(first.has_given_up)
        assert await all_there_is(stage, issue) == before


@pytest.mark.slow
@pytest.mark.parametrize("round_number", range(20))
async def test_a_worker_frozen_at_any_instant_does_nothing_when_it_thaws(
    tmp_path: Path, postgres: Postgres, round_number: int
) -> None:
    async with scene(tmp_path, postgres) as stage:
        async with worker(stage, tmp_path / "first", lease_s=SHORT_LEASE_S) as first:
            assert await first.said() == "ready"
            issue = await asked(stage)
            await asyncio.sleep(random.Random(round_number).uniform(0.05, 2.0))
            first.process.send_signal(signal.SIGSTOP)
            async with worker(stage, tmp_path / "second", lease_s=LONG_LEASE_S) as second:
                assert await second.said() == "ready"  # before it a SIGTERM ends it as any process
                await finished(stage, issue)
            before = await all_there_is(stage, issue)
            first.thaw()
            await asyncio.sleep(AFTERWARDS_S)
        assert await all_there_is(stage, issue) == before
        await assert_one_of_each(stage, issue)
