"""What is special about SQLite: one runner a file, group commit, and a disk that fails."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.errors import BotError, LeaseLost, ProviderError, UserError
from bot.domain.events import Noted
from bot.ports import Accepted
from bot.stores import QueueLimits, Store, failures, open_store
from bot.stores.sqlite import SqliteDatabase
from tests.stores.conftest import Open
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

SAFETY = {"synchronous": 2, "journal_mode": "wal"}  # 2: FULL, each commit waits for the disk


async def test_only_one_process_runs_jobs_and_the_others_may_accept_them(opened: Open, sqlite_url: str) -> None:
    """Red without the defence: without the lock the second claim takes the job of a living runner."""
    runner, door = await opened(sqlite_url), await opened(sqlite_url)
    await claimed(runner, "a")
    await deliver(door, a_job("b"))
    with pytest.raises(UserError, match="Another process already runs the jobs of this database"):
        await door.claim("second")
    assert await runner.claim("w") is not None
    await runner.close()
    resumed = await door.claim("second")
    assert resumed is not None
    assert (resumed.job.id, resumed.attempts) == ("job-a", 2)


async def test_a_runner_whose_first_write_fails_takes_the_jobs_over_at_the_next(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Red when the lock counts as taken before the jobs are: seen."""
    gone = await open_store(sqlite_url)
    await claimed(gone, "a")
    await gone.close()
    store = Store(SqliteDatabase(tmp_path / "backspace.db", busy_timeout_ms=50), QueueLimits())
    with closing(sqlite3.connect(tmp_path / "backspace.db", isolation_level=None)) as thief:
        thief.execute("BEGIN IMMEDIATE")
        with pytest.raises(ProviderError, match="locked"):
            await store.claim("w")
        thief.execute("ROLLBACK")
    claim = await store.claim("w")
    assert claim is not None
    assert claim.job.id == "job-a"
    await store.close()


async def test_what_is_acknowledged_is_on_the_disk(opened: Open, sqlite_url: str, tmp_path: Path) -> None:
    """R1: 202 is a promise that outlives the machine's power. Red with synchronous = OFF or NORMAL: seen."""
    await opened(sqlite_url)
    database = SqliteDatabase(tmp_path / "backspace.db")
    found = await database.write(lambda held: {one: held.exec_driver_sql(f"PRAGMA {one}").scalar() for one in SAFETY})
    assert found == SAFETY
    await database.close()


async def test_a_failing_write_takes_no_other_with_it(opened: Open, sqlite_url: str) -> None:
    store = await opened(sqlite_url)
    claim = await claimed(store, "zombie")
    await store.release(claim)
    late = store.commit(claim, events=[Noted("too late")])
    outcomes = await asyncio.gather(
        *(deliver(store, a_job(f"{n}")) for n in range(40)),
        late,
        *(deliver(store, a_job(f"{n}")) for n in range(40, 80)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[40], LeaseLost)
    assert [n for n in range(80) if await store.job(f"job-{n}") is None] == []
    assert len(await store.events("job-zombie")) == 1


async def test_of_a_burst_only_the_request_that_cannot_be_stored_is_refused(opened: Open, sqlite_url: str) -> None:
    """Red when those who were written together with it are not written again, each alone: seen."""
    store = await opened(sqlite_url)
    jobs = [a_job("a"), replace(a_job("b"), id="job-a"), a_job("c"), a_job("a")]
    outcomes = await asyncio.gather(*(deliver(store, job) for job in jobs), return_exceptions=True)
    assert isinstance(outcomes.pop(1), ProviderError)
    assert outcomes == [Accepted("job-a", True), Accepted("job-c", True), Accepted("job-a", False)]
    assert await store.stored(["guid-a", "guid-b", "guid-c"]) == {"guid-a", "guid-c"}
    assert len(await store.events("job-a")) == 1


async def test_the_file_is_for_the_bot_s_user_alone(opened: Open, sqlite_url: str, tmp_path: Path) -> None:
    await opened(sqlite_url)
    assert (tmp_path / "backspace.db").stat().st_mode & 0o777 == 0o600


async def test_a_locked_database_is_said_to_be_locked_and_recovers(tmp_path: Path, sqlite_url: str) -> None:
    await (await open_store(sqlite_url)).close()
    path = tmp_path / "backspace.db"
    store = Store(SqliteDatabase(path, busy_timeout_ms=50), QueueLimits())
    thief = sqlite3.connect(path, isolation_level=None)
    thief.execute("BEGIN IMMEDIATE").close()
    with pytest.raises(ProviderError) as locked:
        await deliver(store, a_job("a"))
    assert (locked.value.message, locked.value.retryable) == (failures.LOCKED, True)
    with pytest.raises(ProviderError, match="locked"):
        await store.prove()
    assert await store.job("job-a") is None, "reading works all the while: health must write"
    thief.execute("ROLLBACK").close()
    thief.close()
    await store.prove()
    assert (await deliver(store, a_job("a"))).is_new
    await store.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("sqlite:///{tmp}/garbage", f"store: {failures.DAMAGED}", id="garbage"),
        pytest.param("sqlite:///{tmp}/garbage/below.db", f"store: {failures.UNOPENED}", id="below-a-file"),
        pytest.param("sqlite:///{tmp}", f"store: {failures.UNOPENED}", id="a-folder"),
        pytest.param("sqlite://", "DATABASE_URL must name a file", id="memory"),
        pytest.param("sqlite:///:memory:", "DATABASE_URL must name a file", id="memory-by-name"),
        pytest.param("mysql://u:geheim@h/d", "DATABASE_URL must begin with sqlite:/// or postgresql://.", id="mysql"),
        pytest.param("backspace.db", "DATABASE_URL must look like", id="no-url"),
        pytest.param("postgresql://u:geheim@h:port/d", "DATABASE_URL must look like", id="no-port"),
    ],
)
async def test_what_cannot_be_opened_is_said_in_a_sentence(tmp_path: Path, url: str, words: str) -> None:
    (tmp_path / "garbage").write_bytes(b"this is no database, " * 100)
    with pytest.raises(BotError) as refused:
        await open_store(url.format(tmp=tmp_path))
    assert str(refused.value).startswith(words)
    assert "geheim" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def in_a_box(*mounts: str, act: tuple[str, ...], stdin: bytes = b"") -> list[str]:
    """What a process of its own prints where everything is read-only but what `mounts` add."""
    box = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", *mounts, "--"]
    argv = [*box, sys.executable, "-m", "tests.stores.process", *act]
    done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, timeout=60, check=True)
    return done.stdout.decode().split("\n")[:-1]


async def test_a_read_only_file_or_folder_is_said_to_be_so(sqlite_url: str, tmp_path: Path) -> None:
    store = await open_store(sqlite_url)
    await deliver(store, a_job("a"))
    await store.close()
    folder, file = str(tmp_path), str(tmp_path / "backspace.db")
    accept_b = ("accept-one", sqlite_url, "b")
    assert await asyncio.to_thread(in_a_box, act=accept_b) == [f"store: {failures.UNOPENED}"]
    said = await asyncio.to_thread(in_a_box, "--bind", folder, folder, "--ro-bind", file, file, act=accept_b)
    assert said == [f"store: {failures.READ_ONLY}"]


async def test_a_full_disk_loses_nothing_and_is_used_again_when_there_is_room() -> None:
    """Red without the defence: an `accept` that ignores the failed commit counts jobs that are not there."""
    mounts = ("--size", "3000000", "--tmpfs", "/mnt", "--file", "0", "/mnt/ballast")
    act = ("fill", "sqlite:////mnt/full.db", "/mnt/ballast")
    said = await asyncio.to_thread(in_a_box, *mounts, act=act, stdin=bytes(1_000_000))
    assert said == [f"store: {failures.FULL}", "accepted"]


async def test_the_web_process_loads_nothing_heavy_with_the_store() -> None:
    code = "import sys, bot.stores, bot.stores.sqlite; print(*sys.modules)"
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    assert set(done.stdout.decode().split()) & {"anthropic", "modal", "starlette", "githubkit", "psycopg"} == set()
