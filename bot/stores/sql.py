"""What the store does to its tables: plain functions over one transaction, the same for SQLite and Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from bot.domain.errors import LeaseLost, ProviderError
from bot.domain.events import JobEvent, JobFinished, JobQueued, Recorded
from bot.domain.job import Job
from bot.ports import Claim, Entry, JobRow, JobState
from bot.stores import codec
from bot.stores.schema import CONTENTS, EVENTS, JOBS, JOURNAL, LONGEST_REST_S, UNFINISHED, Now

STARTED = "job_started"  # the kind of JobStarted
RECENT = 50  # jobs of a thread that came to nothing, of which anybody may ask for any number
FINAL: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Head:
    """How far a job's log has come: its newest `seq`, and whether nothing can follow."""

    seq: int
    finished: bool


_ADD_EVENT = insert(EVENTS)
_ADD_ENTRY = insert(JOURNAL)
_ADD_CONTENT = text(
    "INSERT INTO contents (job_id, sha256, content) VALUES (:job_id, :sha256, :content)"
    " ON CONFLICT (job_id, sha256) DO NOTHING"
)


def database_time(connection: Connection) -> float:
    return connection.execute(select(Now())).scalar_one()


def append(
    connection: Connection, job_id: str, first_seq: int, at: float, events: Sequence[JobEvent]
) -> tuple[Recorded, ...]:
    recorded = tuple(Recorded(first_seq + n, at, event) for n, event in enumerate(events))
    rows = [
        {"job_id": job_id, "seq": r.seq, "at": r.at, "kind": r.event.kind, "data": codec.event_text(r.event)}
        for r in recorded
    ]
    if rows:
        connection.execute(_ADD_EVENT, rows)
    return recorded


# ---------------------------------------------------------------- under a claim

_MINE = (JOBS.c.id == bindparam("job_id")) & (JOBS.c.fence == bindparam("fence_held")) & (JOBS.c.state == "running")
_GO_ON = (  # made once: to put it together takes longer than to carry it out
    update(JOBS)
    .where(_MINE)
    .values(
        next_event=JOBS.c.next_event + bindparam("events"),
        next_entry=JOBS.c.next_entry + bindparam("entries"),
        lease_until=Now() + bindparam("lease_s"),
    )
    .returning(JOBS.c.next_event, JOBS.c.next_entry, Now().label("at"))
)


def commit(
    connection: Connection,
    claim: Claim,
    *,
    entries: Sequence[Entry],
    events: Sequence[JobEvent],
    finish: JobState | None,
    reported: bool,
    lease_s: float,
) -> tuple[Recorded, ...]:
    """Entries, events and final state together, or LeaseLost and nothing at all."""
    statement = _GO_ON
    if finish is not None:
        statement = statement.values(state=finish, finished_at=Now(), owner=None, reported=int(reported))
    for ending in (event for event in events if isinstance(event, JobFinished)):
        statement = statement.values(conclusion=ending.conclusion.value)
    steps = {"events": len(events), "entries": len(entries), "lease_s": lease_s}
    row = _owned(connection.execute(statement, {**_held(claim), **steps}).one_or_none(), claim)
    _write_down(connection, claim, row.next_entry - len(entries), row.at, entries)
    recorded = append(connection, claim.job.id, row.next_event - len(events), row.at, events)
    if finish is not None and reported:
        _shorten(connection, claim.job)
    return recorded


def _shorten(connection: Connection, job: Job) -> None:
    """Of a request that nobody worked on and whose asker was answered: a stranger can fill the disk with such."""
    short = codec.shortened(job)
    if short == job:
        return
    cut = update(JOBS).where(JOBS.c.id == job.id, ~_started()).values(spec=codec.job_text(short))
    if connection.execute(cut.returning(JOBS.c.id)).one_or_none() is not None:
        queued = codec.event_text(JobQueued(short.instruction, job.requested_by.login))
        connection.execute(update(EVENTS).where(EVENTS.c.job_id == job.id, EVENTS.c.seq == 1).values(data=queued))


def _started() -> ColumnElement[bool]:
    return select(EVENTS.c.job_id).where(EVENTS.c.job_id == JOBS.c.id, EVENTS.c.kind == STARTED).exists()


def _write_down(connection: Connection, claim: Claim, first_n: int, at: float, entries: Sequence[Entry]) -> None:
    rows = [
        {
            "job_id": claim.job.id,
            "n": n,
            "kind": entry.kind,
            "key": codec.printable(entry.key),
            "data": codec.data_text(entry.data),
            "fence": claim.fence,
            "at": at,
        }
        for n, entry in enumerate(entries, first_n)
    ]
    if rows:
        connection.execute(_ADD_ENTRY, rows)
    kept = [
        {"job_id": claim.job.id, "sha256": sha256, "content": content}
        for entry in entries
        for sha256, content in entry.contents.items()
    ]
    if kept:
        connection.execute(_ADD_CONTENT, kept)


def renew(connection: Connection, claim: Claim, *, lease_s: float) -> str | None:
    statement = update(JOBS).where(_MINE).values(lease_until=Now() + literal(lease_s)).returning(JOBS.c.cancel_by)
    cancel_by: str | None = _owned(connection.execute(statement, _held(claim)).one_or_none(), claim).cancel_by
    return cancel_by


def release(connection: Connection, claim: Claim, *, after_s: float, failures: int) -> None:
    """`failures`: 1 when a provider's failure sends the job back, 0 when its worker just stops."""
    statement = (
        update(JOBS)
        .where(_MINE)
        .values(
            state="queued",
            owner=None,
            lease_until=0.0,
            run_at=Now() + literal(min(after_s, LONGEST_REST_S)),
            retries=JOBS.c.retries + literal(failures),
        )
        .returning(JOBS.c.id)
    )
    _owned(connection.execute(statement, _held(claim)).one_or_none(), claim)


def _held(claim: Claim) -> dict[str, object]:
    return {"job_id": claim.job.id, "fence_held": claim.fence}


def assure(connection: Connection, claim: Claim) -> None:
    """Raises LeaseLost unless the job still runs under this claim."""
    _owned(connection.execute(select(JOBS.c.id).where(_MINE), _held(claim)).one_or_none(), claim)


def _owned(row: Row[Any] | None, claim: Claim) -> Row[Any]:
    if row is None:
        raise LeaseLost(f"The job {claim.job.id} belongs to another worker now.")
    return row


# ---------------------------------------------------------------- from anywhere


def request_cancel(connection: Connection, job_id: str, by: str) -> bool:
    mine = and_(JOBS.c.id == job_id, JOBS.c.state.in_(UNFINISHED))
    return connection.execute(cancelling(by).where(mine).returning(JOBS.c.id)).one_or_none() is not None


def cancelling(by: str) -> Update:
    """The first request counts. It ends the rest that a failure brought, so that the job ends at once; one after that
    holds. A job that nobody has begun is held back while its comment is made, which is to be there to tell its end."""
    rests = and_(JOBS.c.cancel_by.is_(None), JOBS.c.attempts > 0)
    return update(JOBS).values(
        cancel_by=func.coalesce(JOBS.c.cancel_by, codec.printable(by)),
        run_at=case((rests, Now()), else_=JOBS.c.run_at),
    )


def cancelled(connection: Connection, job_ids: Sequence[str]) -> dict[str, str]:
    """Who asked for the end of which of these jobs."""
    statement = select(JOBS.c.id, JOBS.c.cancel_by).where(JOBS.c.id.in_(job_ids), JOBS.c.cancel_by.is_not(None))
    return {row.id: row.cancel_by for row in connection.execute(statement)}


def job(connection: Connection, job_id: str) -> JobRow | None:
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    return None if row is None else job_row(row)


def jobs_on(connection: Connection, repo_id: int, issue: int) -> tuple[JobRow, ...]:
    newest_first = JOBS.c.position.desc()
    recent = select(JOBS.c.position).where(_on(repo_id, issue)).order_by(newest_first).limit(RECENT)
    counts = or_(JOBS.c.state.in_(UNFINISHED), JOBS.c.position.in_(recent), _started())
    rows = connection.execute(select(JOBS).where(_on(repo_id, issue), counts).order_by(newest_first))
    return tuple(read for row in rows if (read := job_row(row)) is not None)


def seconds_since_entry(connection: Connection, repo_id: int, issue: int, key: str) -> float | None:
    mine = JOURNAL.join(JOBS, JOBS.c.id == JOURNAL.c.job_id)
    age = select(Now() - func.max(JOURNAL.c.at)).select_from(mine).where(_on(repo_id, issue), JOURNAL.c.key == key)
    seconds: float | None = connection.execute(age).scalar_one()
    return seconds


def _on(repo_id: int, issue: int) -> ColumnElement[bool]:
    return and_(JOBS.c.repo_id == repo_id, JOBS.c.issue == issue)


def job_row(row: Row[Any]) -> JobRow | None:
    """None for a job that another version of the bot wrote and this one cannot read."""
    try:
        job = codec.job_of(row.spec)
    except ProviderError:
        return None
    return JobRow(
        job=job,
        state=row.state,
        attempts=row.attempts,
        created_at=row.created_at,
        finished_at=row.finished_at,
        cancel_by=row.cancel_by,
    )


def journal(connection: Connection, job_id: str) -> tuple[Entry, ...]:
    rows = connection.execute(select(JOURNAL).where(JOURNAL.c.job_id == job_id).order_by(JOURNAL.c.n))
    return tuple(Entry(row.kind, row.key, codec.data_of(row.data)) for row in rows)


def content(connection: Connection, job_id: str, sha256: str) -> bytes | None:
    mine = (CONTENTS.c.job_id == job_id) & (CONTENTS.c.sha256 == sha256)
    found: bytes | None = connection.execute(select(CONTENTS.c.content).where(mine)).scalar_one_or_none()
    return found


def events(connection: Connection, job_id: str, after: int, *, at_most: int | None = None) -> tuple[Recorded, ...]:
    mine = (EVENTS.c.job_id == job_id) & (EVENTS.c.seq > after)
    rows = connection.execute(select(EVENTS).where(mine).order_by(EVENTS.c.seq).limit(at_most))
    return tuple(Recorded(row.seq, row.at, codec.event_of(row.kind, row.data)) for row in rows)


def heads(connection: Connection, job_ids: Sequence[str]) -> dict[str, Head]:
    """How far each job's log has come; a job the store does not know is left out."""
    statement = select(JOBS.c.id, JOBS.c.next_event, JOBS.c.state).where(JOBS.c.id.in_(job_ids))
    return {row.id: Head(row.next_event - 1, row.state not in UNFINISHED) for row in connection.execute(statement)}
