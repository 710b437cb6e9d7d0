"""What survives kill -9 and SIGSTOP, with real processes."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bot.domain.events import Noted
from tests.stores.beside import pass_time
from tests.stores.conftest import Open
from tests.stores.postgres import Postgres
from tests.stores.samples import a_job, deliver

pytestmark = pytest.mark.anyio

ROUNDS = 2


@contextmanager
def process(*argv: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen([sys.executable, "-m", "tests.stores.process", *argv], stdout=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        with started:
            started.kill()


async def line(of: subprocess.Popen[str]) -> str:
    assert of.stdout is not None
    text = await asyncio.to_thread(of.stdout.readline)
    return text.strip() if text.endswith("\n") else ""


async def test_killing_the_acceptor_loses_no_acknowledged_job(opened: Open, database_url: str) -> None:
    """Red without the defence: with answers before the commit, jobs are missing."""
    chance = random.Random(7)
    acknowledged = []
    for number in range(ROUNDS):
        with process("accept", database_url, f"round{number}") as acceptor:
            acknowledged += [await line(acceptor) for _ in range(chance.randint(3, 40))]
            acceptor.send_signal(signal.SIGKILL)
            assert acceptor.stdout is not None
            rest = await asyncio.to_thread(acceptor.stdout.read)
            acknowledged += rest.split("\n")[:-1]
    store = await opened(database_url)
    assert len(acknowledged) > 2 * ROUNDS
    logs = await asyncio.gather(*(store.events(job_id) for job_id in acknowledged))
    assert [job_id for job_id, log in zip(acknowledged, logs, strict=True) if len(log) != 1] == []


async def test_a_killed_sqlite_runner_s_job_goes_on_at_once(opened: Open, sqlite_url: str) -> None:
    store = await opened(sqlite_url, lease_s=30)
    await deliver(store, a_job("a"))
    with process("hold", sqlite_url, "job-a") as holder:
        assert await line(holder) == "claimed"
    claim = await store.claim("next")
    assert claim is not None
    assert (claim.job.id, claim.fence, claim.attempts) == ("job-a", 2, 2)


async def test_a_frozen_worker_writes_nothing_when_it_thaws(opened: Open, postgres: Postgres) -> None:
    """Red without the defence: with the fence taken out of `_MINE` the thawed worker goes on writing."""
    url = postgres.new_schema()
    store = await opened(url)
    await deliver(store, a_job("a"))
    with process("freeze", url, "job-a") as frozen:
        assert await line(frozen) == "claimed"
        await asyncio.to_thread(os.waitid, os.P_PID, frozen.pid, os.WSTOPPED)
        assert await store.claim("next") is None
        await pass_time(url)
        claim = await store.claim("next")
        assert claim is not None
        await store.commit(claim, events=[Noted("mine")])
        frozen.send_signal(signal.SIGCONT)
        assert await line(frozen) == "The job job-a belongs to another worker now."
    assert [one.event for one in await store.events("job-a", after=1)] == [Noted("before"), Noted("mine")]
