"""What anybody may write on a public repository costs the store little, however much and often they write."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, create_engine, event

from bot.domain.events import Conclusion, JobEvent, JobFinished, JobQueued, JobStarted
from bot.domain.job import Job, Options, Start
from bot.ports import Claim, Entry
from bot.stores import Store, census, claims, notices
from bot.stores.claims import QueueLimits
from bot.stores.codec import SHORT
from bot.stores.sql import RECENT
from tests.stores.conftest import Open
from tests.stores.samples import a_job, deliver

pytestmark = pytest.mark.anyio

ISSUE = 5
LONG = "\U0001f600" * 65_536
REFUSED = JobFinished(Conclusion.ACTION_REQUIRED, "Not you.")


def wordy(name: str) -> Job:
    job = a_job(name, issue=ISSUE)
    return replace(job, issue=replace(job.issue, body=LONG), command=Start(LONG, Options(model="m")))


async def ended(store: Store, job: Job, *events: JobEvent, entry: Entry | None = None, reported: bool = True) -> Claim:
    await deliver(store, job)
    claim = await store.claim("worker", job_id=job.id)
    assert claim is not None
    await store.commit(claim, entries=[entry] if entry else [], events=events)
    await store.commit(claim, finish="failed", reported=reported)
    return claim


async def test_of_a_refused_request_only_its_beginning_is_kept(store: Store) -> None:
    """Half a megabyte else, for each of 500 comments an hour. Red without the cut: seen."""
    await ended(store, wordy("a"), REFUSED)
    (row,) = await store.jobs_on(7, ISSUE)
    assert (row.job.id, row.job.requested_by) == ("job-a", wordy("a").requested_by)
    assert (row.job.issue.body, row.job.command) == (LONG[:SHORT], Start(LONG[:SHORT]))
    assert [one.event for one in await store.events("job-a")] == [JobQueued(LONG[:SHORT], "octocat"), REFUSED]


async def test_what_was_worked_on_or_is_still_to_be_told_stays_whole(store: Store) -> None:
    """`continue` takes the request from there, and the reaper tells its end."""
    await ended(store, wordy("worked"), JobStarted(1, "a-model", 1.0), REFUSED)
    await ended(store, wordy("untold"), REFUSED, reported=False)
    assert [row.job.command for row in await store.jobs_on(7, ISSUE)] == [wordy("x").command] * 2


async def test_any_number_of_refused_requests_hides_none_that_runs_or_ran(opened: Open, sqlite_url: str) -> None:
    """Red when the newest alone are listed: a stranger could keep others from `cancel` and `continue` (seen)."""
    store = await opened(sqlite_url)
    await ended(store, a_job("ran", issue=ISSUE), JobStarted(1, "a-model", 1.0))
    refused = await ended(store, a_job("refused", issue=ISSUE), REFUSED, entry=Entry("effect", "refused", {}))
    await deliver(store, a_job("waits", issue=ISSUE))
    path = sqlite_url.removeprefix("sqlite:///")
    await asyncio.to_thread(_copied, path, refused.job.id, RECENT)
    ids = [row.job.id for row in await store.jobs_on(7, ISSUE)]
    assert len(ids) == RECENT + 2
    assert ids[-2:] == ["job-waits", "job-ran"]


def _copied(path: str, job_id: str, times: int) -> None:
    database = sqlite3.connect(path, timeout=30)
    columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)") if row[1] != "position"]
    for n in range(times):
        values = ", ".join(f"{column} || {n}" if column in ("id", "key") else column for column in columns)
        database.execute(f"INSERT INTO jobs ({', '.join(columns)}) SELECT {values} FROM jobs WHERE id = ?", (job_id,))
    database.commit()
    database.close()


async def test_the_thread_s_newest_entry_of_a_key_says_how_long_ago_it_was(store: Store) -> None:
    assert await store.seconds_since_entry(7, ISSUE, "refused") is None
    await ended(store, a_job("a", issue=ISSUE), entry=Entry("effect", "refused", {}))
    since_s = await store.seconds_since_entry(7, ISSUE, "refused")
    assert since_s is not None
    assert 0 <= since_s < 600
    assert await store.seconds_since_entry(7, ISSUE, "another") is None
    assert await store.seconds_since_entry(7, ISSUE + 1, "refused") is None


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(census.census, id="census"),
        pytest.param(lambda c: claims.claimable(c, QueueLimits()), id="claim"),
        pytest.param(lambda c: notices.waiting(c, 1.0), id="waiting"),
    ],
)
async def test_what_is_asked_all_the_time_reads_no_ended_job(
    opened: Open, sqlite_url: str, look: Callable[[Connection], object]
) -> None:
    """Red with an index of unfinished jobs alone, which SQLite leaves unused for states that are parameters (seen)."""
    await opened(sqlite_url)
    assert await asyncio.to_thread(_scans, sqlite_url, look) == set()


def _scans(url: str, look: Callable[[Connection], object]) -> set[str]:
    """Steps of SQLite's plans that go through the whole table of jobs."""
    asked: list[tuple[str, tuple[object, ...]]] = []
    engine = create_engine(url)

    @event.listens_for(engine, "before_cursor_execute")
    def _asks(_c: object, _k: object, statement: str, values: tuple[object, ...], *_: object) -> None:
        asked.append((statement, values))

    with engine.connect() as connection:
        look(connection)
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", values) for each, values in tuple(asked)]
        steps = {row[3] for plan in plans for row in plan}
    engine.dispose()
    assert asked
    assert any("jobs_by_state" in step for step in steps)
    return {step for step in steps if step in ("SCAN jobs", "SCAN candidate")}
