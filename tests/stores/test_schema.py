"""How a database gets its tables, and what happens when another version has been there."""

import asyncio
from pathlib import Path

import pytest

from bot.domain.errors import UserError
from bot.domain.events import Conclusion, JobFinished, Noted
from bot.ports import DayBudgets, Entry
from bot.stores import Store, open_store
from bot.stores.schema import VERSION
from tests.stores.beside import pass_time, run
from tests.stores.conftest import Open
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("table", "columns"),
    [("events", "name text"), ("jobs", "id integer"), ("schema_version", "version integer")],
)
async def test_a_database_of_another_program_is_refused_in_a_sentence(
    database_url: str, table: str, columns: str
) -> None:
    """R18. Red without the look: the bot starts, is healthy, and every delivery fails (seen)."""
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    await run(database_url, f"CREATE TABLE {table} ({columns})")
    with pytest.raises(UserError, match=rf"a database with tables of another program \({table}\): make one"):
        await open_store(database_url)


async def test_a_newer_schema_is_refused_in_a_sentence(opened: Open, database_url: str) -> None:
    await opened(database_url)
    await run(database_url, "UPDATE schema_version SET version = 99")
    with pytest.raises(UserError) as refused:
        await open_store(database_url)
    assert str(refused.value) == (
        f"The database was written by a newer Tiny Backspace (schema 99; this one knows {VERSION}): "
        "update the bot, or give it another DATABASE_URL."
    )


async def test_many_processes_may_start_on_an_empty_database(opened: Open, database_url: str) -> None:
    stores: list[Store] = await asyncio.gather(*(opened(database_url) for _ in range(6)))
    assert (await deliver(stores[0], a_job("a"))).is_new
    assert not (await deliver(stores[5], a_job("a"))).is_new


async def test_an_event_of_a_newer_version_stops_no_reader(opened: Open, database_url: str) -> None:
    store = await opened(database_url)
    claim = await claimed(store, "a")
    await store.commit(claim, events=[Noted("x")])
    renamed = "UPDATE events SET kind = 'later', data = '{\"kind\":\"later\"}' WHERE seq = 2"
    await run(database_url, renamed)
    await store.commit(claim, events=[JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")
    words = [getattr(recorded.event, "text", "") async for recorded in store.watch("job-a")]
    assert words == ["", "This version of the bot cannot show an event of the kind 'later'.", ""]


async def test_a_job_nobody_can_read_is_closed_and_does_not_block_the_queue(opened: Open, database_url: str) -> None:
    store = await opened(database_url)
    for name in "ab":
        await deliver(store, a_job(name))
    await run(database_url, "UPDATE jobs SET spec = '{}' WHERE id = 'job-a'")
    claim = await store.claim("w")
    assert claim is not None
    assert claim.job.id == "job-b"
    last = (await store.events("job-a"))[-1].event
    assert isinstance(last, JobFinished)
    assert last.conclusion is Conclusion.FAILURE


async def test_a_job_nobody_can_read_breaks_no_list(opened: Open, sqlite_url: str) -> None:
    """Red when such a row is an error: no list, page, `status` or `cancel` of its thread (seen)."""
    store = await opened(sqlite_url)
    for name in ("unread", "read"):
        await deliver(store, a_job(name, issue=5))
    await run(sqlite_url, "UPDATE jobs SET spec = '{}' WHERE id = 'job-unread'")
    assert [row.job.id for row in await store.jobs_on(7, 5)] == ["job-read"]
    assert [listed.row.job.id for listed in await store.latest(finished=9)] == ["job-read"]
    assert await store.job("job-unread") is None
    assert await store.unfinished() == {"job-unread", "job-read"}, "it may be at work elsewhere: its sandbox stays"


async def test_a_database_of_the_first_version_learns_to_keep_work_trees(opened: Open, database_url: str) -> None:
    store = await opened(database_url)
    claim = await claimed(store, "a")
    await run(database_url, "DROP TABLE contents", "UPDATE schema_version SET version = 1")
    newer = await opened(database_url)
    await newer.commit(claim, entries=[Entry("tool", "1", {}, {"f" * 64: b"kept"})])
    assert await newer.content("job-a", "f" * 64) == b"kept"


async def test_an_older_database_is_brought_up_with_its_jobs(opened: Open, database_url: str) -> None:
    """A job in flight goes on as its second attempt; an end from before is old news, and nobody is told of it again."""
    older = await open_store(database_url)
    claim = await claimed(older, "ended")
    await older.commit(claim, events=[JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")
    await claimed(older, "flies")
    await older.close()
    await run(
        database_url,
        "DROP INDEX jobs_by_state",
        *(f"ALTER TABLE jobs DROP COLUMN {column}" for column in ("conclusion", "reported", "tellings", "retries")),
        *(f"DROP TABLE {table}" for table in ("spending", "contents")),
        "UPDATE schema_version SET version = 1",
    )
    store = await opened(database_url)
    assert await store.untold("reaper") is None
    assert (await store.census()).finished == {"succeeded": 1}
    await pass_time(database_url)
    going_on = await store.claim("worker")
    assert going_on is not None
    assert (going_on.job.id, going_on.attempts) == ("job-flies", 2)
    assert (
        await store.reserve(going_on, usd=1.0, spent_usd=0.0, budgets=DayBudgets(repo_usd=2, installation_usd=2))
        is None
    )
    await store.commit(going_on, events=[JobFinished(Conclusion.FAILURE, "No.")], finish="failed")
    assert (await store.census()).untold == 1
