"""What is special about Postgres: connections that break, and notices that do not arrive."""

import asyncio
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from bot.domain.errors import BotError, ProviderError, UserError
from bot.domain.events import Noted
from bot.ports import Accepted, AccessChanged
from bot.stores import QueueLimits, Retention, Store, failures, open_store, retention
from bot.stores.postgres import CONNECTIONS, PostgresDatabase, T
from tests.polling import WITHIN_S, until
from tests.stores.beside import pass_time
from tests.stores.conftest import Open
from tests.stores.postgres import ACCOUNT, Postgres
from tests.stores.samples import a_job, claimed, deliver
from tests.stores.silenced import SOCKET, way_to

pytestmark = pytest.mark.anyio

OTHERS = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname LIKE 'test%'"
LISTENERS = OTHERS + " AND query LIKE 'LISTEN%' AND state = 'idle'"
WAITING = OTHERS + " AND wait_event_type = 'Lock'"
CUT = "SELECT pg_terminate_backend(pid) "


async def test_an_event_arrives_when_its_notice_is_lost(opened: Open, postgres: Postgres) -> None:
    url = postgres.new_schema()
    worker, reader = await opened(url), await opened(url)
    claim = await claimed(worker, "a")
    seen: list[int] = []

    async def watch() -> None:
        async for recorded in reader.watch("job-a"):
            seen.append(recorded.seq)

    watching = asyncio.create_task(watch())
    await worker.commit(claim, events=[Noted("one")])
    await until(lambda: seen == [1, 2] and postgres.execute("SELECT 1 " + LISTENERS) > 0)
    postgres.execute(CUT + LISTENERS)
    await worker.commit(claim, events=[Noted("two")])
    await until(lambda: seen == [1, 2, 3])
    await worker.commit(claim, finish="succeeded")
    await asyncio.wait_for(watching, WITHIN_S)


async def test_cut_connections_are_made_again(opened: Open, postgres: Postgres) -> None:
    store = await opened(postgres.new_schema())
    await deliver(store, a_job("a"))
    postgres.execute(CUT + OTHERS)
    assert await store.job("job-a") is not None
    assert (await deliver(store, a_job("b"))).is_new


async def test_a_server_that_is_away_is_said_to_be_away_and_the_store_recovers(
    opened: Open, postgres: Postgres
) -> None:
    url = postgres.new_schema()
    store = await opened(url)
    await deliver(store, a_job("a"))
    await asyncio.to_thread(postgres.stop)
    try:
        for call in (deliver(store, a_job("b")), store.job("job-a"), store.claim("w"), open_store(url)):
            with pytest.raises(ProviderError) as away:
                await call
            assert (str(away.value), away.value.retryable) == (f"store: {failures.SILENT}", True)
        await store.wait_for_work(0.05)
    finally:
        await asyncio.to_thread(postgres.start)
    assert (await deliver(store, a_job("b"))).is_new
    assert await store.job("job-a") is not None


class Breaking(PostgresDatabase):
    """`away`: no transaction reaches the server."""

    away = False

    async def _transaction(self, act: Callable[[Connection], T], *, writing: bool) -> T:
        if self.away:
            raise ProviderError("store", failures.SILENT, retryable=True)
        return await super()._transaction(act, writing=writing)


async def test_after_an_outage_nobody_counts_a_worker_dead_before_it_could_put_its_job_back(
    opened: Open, postgres: Postgres
) -> None:
    """R17. Red when a claim takes orphans as soon as the database is back: a death of a job that its own worker still
    holds (seen)."""
    url = postgres.new_schema()
    database = Breaking(make_url(url))
    holder, other = await opened(url, lease_s=0.4), Store(database, QueueLimits(lease_s=0.4, deaths=1))
    mine = await claimed(holder, "a")
    database.away = True
    with pytest.raises(ProviderError):
        await other.claim("other")
    await pass_time(url)
    database.away = False
    assert await other.claim("other") is None
    await holder.release(mine)
    assert await other.claim("other") is not None, "one death would end the job"
    await pass_time(url)
    await asyncio.sleep(0.25)
    assert await other.claim("other") is None
    row = await other.job("job-a")
    await other.close()
    assert row is not None
    assert row.state == "failed", "who does not come back is dead after all"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param("default_transaction_read_only = on", failures.READ_ONLY, id="read-only"),
        pytest.param("search_path = nowhere", "the database refused", id="no-schema"),
    ],
)
async def test_a_database_that_refuses_is_described(postgres: Postgres, setting: str, words: str) -> None:
    url = postgres.new_database()
    name = url.split("/")[3].split("?")[0]
    postgres.execute(f"ALTER DATABASE {name} SET {setting}")
    with pytest.raises(ProviderError) as refused:
        await open_store(url)
    assert str(refused.value).startswith(f"store: {words}")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        pytest.param("nowhere?", "the database named in DATABASE_URL does not exist: create it", id="no-database"),
        pytest.param("test?pgbouncer=true&", "DATABASE_URL has an option", id="an-option-of-another-program"),
        pytest.param("test?user=nobody&", "the user named in DATABASE_URL does not exist", id="no-user"),
        pytest.param("test?user=full&", "the database server takes no more connections", id="too-many"),
    ],
)
async def test_what_is_wrong_in_its_address_is_said(postgres: Postgres, part: str, words: str) -> None:
    """Red without `_CONNECTING`: psycopg gives no SQLSTATE where no connection came about (seen)."""
    postgres.execute('CREATE ROLE "full" LOGIN CONNECTION LIMIT 0')
    try:
        with pytest.raises(BotError) as refused:
            await open_store(f"postgresql://postgres:geheim12@/{part}host={postgres.folder}")
    finally:
        postgres.execute('DROP ROLE "full"')
    assert "geheim" not in str(refused.value)
    assert str(refused.value).startswith(f"store: {words}")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_character_is_refused_when_it_is_opened(
    postgres: Postgres, encoding: str
) -> None:
    """Red without the look: a request with an emoji breaks the door, days later (seen)."""
    name = f"test_{encoding.lower()}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(UserError, match=f"keeps its text as {encoding}, .* ENCODING 'UTF8'"):
        await open_store(postgres.url(name))


async def test_a_job_somebody_holds_locked_keeps_no_other_from_being_claimed(opened: Open, postgres: Postgres) -> None:
    """Red without the defence: without SKIP LOCKED the claim waits until its lock time-out, and fails."""
    url = postgres.new_schema()
    store = await opened(url)
    for name in "ab":
        await deliver(store, a_job(name))
    async with await psycopg.AsyncConnection.connect(url) as frozen:
        await frozen.execute("SELECT 1 FROM jobs WHERE id = 'job-a' FOR UPDATE")
        claim = await store.claim("w")
        assert claim is not None
        assert claim.job.id == "job-b"


async def test_a_replay_that_meets_the_deletion_of_its_old_job_starts_nothing(opened: Open, postgres: Postgres) -> None:
    """Red when the deletion does not take the request's lock: the replay waits for the row, then makes it (seen)."""
    url, gone, look = postgres.new_schema(), threading.Event(), threading.Event()
    store, database = await opened(url), PostgresDatabase(make_url(url))
    await store.commit(await claimed(store, "a"), finish="succeeded")

    def pruned(connection: Connection) -> int:
        rows = retention.prune(connection, Retention(journal_days=0, job_days=0, delivery_days=0))
        gone.set()
        look.wait(WITHIN_S)
        return rows

    deleting = asyncio.create_task(database.write(pruned))
    await until(gone.is_set)
    replay = asyncio.create_task(deliver(store, replace(a_job("a"), id="job-again"), guid="guid-new"))
    await until(lambda: postgres.execute("SELECT 1 " + WAITING) > 0)
    look.set()
    assert await deleting > 0
    assert await replay == Accepted(None, False, "It was carried out long ago.")
    await database.close()


async def test_a_stop_waits_for_the_first_job_of_a_thread_before_it_holds_another(
    opened: Open, postgres: Postgres
) -> None:
    """Red without the order: the database ends one of the two as a deadlock (seen)."""
    url = postgres.new_schema()
    store = await opened(url)
    for name in "ab":
        await deliver(store, a_job(name))
    claim = await store.claim("w", job_id="job-a")
    assert claim is not None
    for _ in range(3):
        await store.renew(claim)  # its row lies behind the other's now
    suspended = AccessChanged(installation_id=1, repo_ids=(), state="suspended", at=100.0, by="alice")
    async with await psycopg.AsyncConnection.connect(url) as passing_on:
        await passing_on.execute("SELECT 1 FROM jobs WHERE id = 'job-a' FOR UPDATE")
        stopping = asyncio.create_task(store.set_access(suspended))
        await until(lambda: postgres.execute("SELECT 1 " + WAITING) > 0)
        await passing_on.execute("UPDATE jobs SET run_at = 0 WHERE id = 'job-b'")
    assert set(await stopping) == {"job-a", "job-b"}


@pytest.mark.parametrize("given_up", [psycopg.errors.DeadlockDetected(), psycopg.errors.SerializationFailure()])
def test_what_the_database_gave_up_for_another_can_be_tried_again(given_up: psycopg.Error) -> None:
    error = failures.provider_error(DBAPIError(None, None, given_up), writing=True)
    assert (error.message, error.retryable) == (failures.CROSSED, True)


@pytest.mark.parametrize("state", ["08P01", "53300", "58000"])
async def test_behind_a_pooler_whose_server_is_away_every_call_can_be_tried_again(
    postgres: Postgres, state: str
) -> None:
    """Red when what fails at the pool's checkout, or for want of connections, is no outage: a job ends for good
    (seen)."""
    refusal = b"SFATAL\0VFATAL\0C" + state.encode() + b"\0Mserver login has been failing\0\0"

    async def ends_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes a connection, and ends it at its first query."""
        await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
        writer.write(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")  # authenticated, and ready
        await reader.read(65536)
        writer.write(b"E" + (len(refusal) + 4).to_bytes(4) + refusal)
        writer.close()

    def one(connection: Connection) -> int:
        return int(connection.execute(text("SELECT 1")).scalar_one())

    async def refused(database: PostgresDatabase) -> tuple[str, bool]:
        with pytest.raises(ProviderError) as away:
            await database.write(one)
        return away.value.message, away.value.retryable

    with tempfile.TemporaryDirectory() as folder:
        url = make_url(f"postgresql://{ACCOUNT}@/postgres?host={folder}&sslmode=disable")
        at_first, known = PostgresDatabase(url), PostgresDatabase(url)
        async with way_to(postgres.folder, Path(folder)):
            assert await known.write(one) == 1
        (Path(folder) / SOCKET).unlink()
        async with await asyncio.start_unix_server(ends_it, f"{folder}/{SOCKET}"):
            answers = [await refused(database) for database in (at_first, known, known)]
            await asyncio.gather(at_first.close(), known.close())
    assert answers == [(failures.SILENT, True)] * 3


async def test_no_transaction_waits_or_holds_its_locks_for_ever(postgres: Postgres) -> None:
    """A worker frozen inside a claim would otherwise keep the queue's lock."""
    database = PostgresDatabase(make_url(postgres.new_schema()))
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")

    def settings(connection: Connection) -> list[str]:
        return [connection.execute(text(f"SHOW {name}")).scalar_one() for name in names]

    assert await database.read(settings) == ["10s", "5s", "10s", "on"]
    assert await database.write(settings) == ["10s", "5s", "10s", "on"]
    await database.close()


async def test_a_server_that_falls_silent_holds_no_call_for_ever(postgres: Postgres) -> None:
    """Its time-outs are its own and gone with it; nobody here would wait for less than the kernel's two hours.

    Red without the bound of our own: seen.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with way_to(postgres.folder, Path(folder)) as way:
            url = make_url(f"postgresql://{ACCOUNT}@/postgres?host={folder}")
            database = PostgresDatabase(url, call_s=1.0)

            def one(connection: Connection) -> int:
                return int(connection.execute(text("SELECT 1 FROM pg_sleep(0.05)")).scalar_one())

            async def reads(times: int) -> list[int | BaseException]:
                return await asyncio.gather(*(database.read(one) for _ in range(times)), return_exceptions=True)

            async def is_well() -> bool:
                """Asked more than once: a busy machine may stand still for longer than a call may take here."""
                return await reads(CONNECTIONS) == [1] * CONNECTIONS

            await until(is_well)
            way.silence()
            async with asyncio.timeout(WITHIN_S):
                failed = [answer for answer in await reads(12) if answer != 1]
            assert failed
            assert all(isinstance(problem, ProviderError) and problem.retryable for problem in failed)
            await until(is_well)
            await database.close()
