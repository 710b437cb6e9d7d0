"""A worker that is stopped past its lease, like a suspended machine, and goes on while another has finished its job."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from bot.domain.events import JobFinished
from bot.stage import Stage, front_door
from bot.standins.github.faults import Logged
from tests.repositories import commit, write
from tests.stores.postgres import Postgres

pytestmark = pytest.mark.anyio

LEASE_S = 1.5
WITHIN_S = 60.0
AFTERWARDS_S = 2.0  # how long a thawed worker is watched
REQUEST = "/backspace replace `broken` with `fixed` in `value.txt`"


@asynccontextmanager
async def scene(tmp_path: Path, postgres: Postgres) -> AsyncIterator[Stage]:
    """GitHub and the door here, the workers in processes of their own."""
    source = tmp_path / "source"
    source.mkdir()
    write(source, {"value.txt": b"broken\n", ".github/backspace.yml": b"test: grep -q fixed value.txt\n"})
    settings = {"DATABASE_URL": postgres.new_database(), "BACKSPACE_MODEL": "rules"}
    front = front_door(
        tmp_path, source=commit(source), settings=settings, owner="acme", name="widget", maintainer="alice"
    )
    async with front as stage:
        yield stage


@contextmanager
def worker(stage: Stage, home: Path, freeze_at: str = "") -> Iterator[subprocess.Popen[str]]:
    """A replica on a machine of its own. The block sees it end in good order, and fails with its log otherwise."""
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
    argv = [sys.executable, "-m", "tests.faults.worker", str(LEASE_S), freeze_at]
    with (home.with_suffix(".log")).open("w") as log:
        process = subprocess.Popen(argv, env=settings, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0, home.with_suffix(".log").read_text()
    finally:
        process.kill()
        process.communicate()


async def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        return (await asyncio.to_thread(process.stdout.readline)).strip()


async def asked(stage: Stage) -> int:
    issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "Please see to it.")
    stage.github.comment(stage.repository, issue.number, "alice", REQUEST)
    await stage.github.deliver()
    return issue.number


async def finished(stage: Stage, issue: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            rows = await stage.jobs(issue)
            if rows and all(row.finished_at is not None for row in rows):
                return
            await asyncio.sleep(0.05)


def writes(stage: Stage) -> list[Logged]:
    """What changed GitHub; tokens are minted and revoked by whoever leaves."""
    return [
        one for one in stage.github.requests if one.method != "GET" and not one.path.endswith(("/token", "_tokens"))
    ]


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


async def thawed_writes_nothing(stage: Stage, issue: int, frozen: subprocess.Popen[str]) -> None:
    (row,) = await stage.jobs(issue)
    written, events = len(writes(stage)), await stage.store.events(row.job.id)
    entries = await stage.store.journal(row.job.id)
    frozen.send_signal(signal.SIGCONT)
    await asyncio.sleep(AFTERWARDS_S)
    assert writes(stage)[written:] == []
    assert await stage.store.events(row.job.id) == events
    assert await stage.store.journal(row.job.id) == entries


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
        with worker(stage, tmp_path / "first", freeze_at=method) as first:
            assert await line(first) == "ready"
            issue = await asked(stage)
            assert await line(first) == "frozen"
            with worker(stage, tmp_path / "second"):
                await finished(stage, issue)
                await assert_one_of_each(stage, issue)
                await thawed_writes_nothing(stage, issue, first)
        await assert_one_of_each(stage, issue)


@pytest.mark.slow
@pytest.mark.parametrize("round_number", range(20))
async def test_a_worker_frozen_at_any_instant_does_nothing_when_it_thaws(
    tmp_path: Path, postgres: Postgres, round_number: int
) -> None:
    async with scene(tmp_path, postgres) as stage:
        with worker(stage, tmp_path / "first") as first:
            assert await line(first) == "ready"
            issue = await asked(stage)
            await asyncio.sleep(random.Random(round_number).uniform(0.05, 2.0))
            first.send_signal(signal.SIGSTOP)
            with worker(stage, tmp_path / "second"):
                await finished(stage, issue)
                await thawed_writes_nothing(stage, issue, first)
        await assert_one_of_each(stage, issue)
