"""What the store does to its tables: plain functions over one transaction, the same for SQLite and Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bot.domain.errors import LeaseLost
from bot.domain.events import JobEvent, JobQueued, Recorded
from bot.domain.job import Job
from bot.ports import Accepted, Claim, Entry, JobRow, JobState
from bot.stores import codec
from bot.stores.schema import DELIVERIES, EVENTS, JOBS, JOURNAL, UNFINISHED, Now

FINAL: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")
NEVER_RETURNED = 10_000_000  # events of one job: an upper end for "all of them"


@dataclass(frozen=True, slots=True)
class Head:
    """How far a job's log has come: its newest `seq`, and whether nothing can follow."""

    seq: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery with everything the database needs, made outside the transaction."""

    guid: str
    event: str
    action: str
    job: Job | None
    spec: str


def arrival(guid: str, event: str, action: str, job: Job | None) -> Arrival:
    """Raises UserError for ids that cannot be stored."""
    codec.name(guid, of="delivery's id")
    if job is None:
        return Arrival(guid, codec.printable(event), codec.printable(action), None, "")
    codec.name(job.id, of="job's id")
    codec.name(job.key, of="job's key")
    codec.number(job.installation_id, of="installation's id")
    codec.number(job.repo.id, of="repository's id")
    codec.number(job.issue.number, of="issue's number")
    return Arrival(guid, codec.printable(event), codec.printable(action), job, codec.job_text(job))


_JOB_VALUES = {
    "id": bindparam("id"),
    "key": bindparam("key"),
    "tenant": bindparam("tenant"),
    "repo_id": bindparam("repo_id"),
    "issue": bindparam("issue"),
    "state": "queued",
    "spec": bindparam("spec"),
    "created_at": Now(),
    "run_at": Now(),
    "next_event": 2,
}
_DELIVERY_VALUES = {
    "guid": bindparam("guid"),
    "event": bindparam("event"),
    "action": bindparam("action"),
    "job_id": bindparam("job_id"),
    "received_at": Now(),
}
# Once for each database: "ON CONFLICT DO NOTHING" is not in SQLAlchemy's common language.
_ADD_JOB = {
    dialect: insert_into(JOBS)
    .values(_JOB_VALUES)
    .on_conflict_do_nothing(index_elements=["key"])
    .returning(JOBS.c.created_at)
    for dialect, insert_into in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_ADD_DELIVERY = {
    dialect: insert_into(DELIVERIES).values(_DELIVERY_VALUES).on_conflict_do_nothing(index_elements=["guid"])
    for dialect, insert_into in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_ADD_EVENT = insert(EVENTS)
_ADD_ENTRY = insert(JOURNAL)
_ID_OF_KEY = select(JOBS.c.id).where(JOBS.c.key == bindparam("key"))


def accept(connection: Connection, arrival: Arrival) -> Accepted:
    """The delivery, its job and the job's first event; whatever is there already stays as it is."""
    job, is_new = arrival.job, False
    job_id: str | None = None
    if job is not None:
        values = {
            "id": job.id,
            "key": job.key,
            "tenant": job.installation_id,
            "repo_id": job.repo.id,
            "issue": job.issue.number,
            "spec": arrival.spec,
        }
        created_at = connection.execute(_ADD_JOB[connection.dialect.name], values).scalar_one_or_none()
        is_new = created_at is not None
        job_id = job.id if is_new else connection.execute(_ID_OF_KEY, {"key": job.key}).scalar_one()
        if created_at is not None:
            append(connection, job.id, 1, created_at, (first_event(job),))
    delivery = {"guid": arrival.guid, "event": arrival.event, "action": arrival.action, "job_id": job_id}
    connection.execute(_ADD_DELIVERY[connection.dialect.name], delivery)
    return Accepted(job_id, is_new)


def first_event(job: Job) -> JobEvent:
    return JobQueued(job.instruction, job.requested_by.login)


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


def commit(
    connection: Connection,
    claim: Claim,
    *,
    entries: Sequence[Entry],
    events: Sequence[JobEvent],
    finish: JobState | None,
    lease_s: float,
) -> tuple[Recorded, ...]:
    """Entries, events and final state together, or LeaseLost and nothing at all."""
    statement = (
        update(JOBS)
        .where(_MINE)
        .values(
            next_event=JOBS.c.next_event + literal(len(events)),
            next_entry=JOBS.c.next_entry + literal(len(entries)),
            lease_until=Now() + literal(lease_s),
        )
        .returning(JOBS.c.next_event, JOBS.c.next_entry, Now().label("at"))
    )
    if finish is not None:
        statement = statement.values(state=finish, finished_at=Now(), owner=None)
    row = _owned(connection.execute(statement, _held(claim)).one_or_none(), claim)
    first_entry = row.next_entry - len(entries)
    rows = [
        {
            "job_id": claim.job.id,
            "n": first_entry + n,
            "kind": entry.kind,
            "key": codec.printable(entry.key),
            "data": codec.data_text(entry.data),
            "fence": claim.fence,
            "at": row.at,
        }
        for n, entry in enumerate(entries)
    ]
    if rows:
        connection.execute(_ADD_ENTRY, rows)
    return append(connection, claim.job.id, row.next_event - len(events), row.at, events)


def renew(connection: Connection, claim: Claim, *, lease_s: float) -> str | None:
    statement = update(JOBS).where(_MINE).values(lease_until=Now() + literal(lease_s)).returning(JOBS.c.cancel_by)
    cancel_by: str | None = _owned(connection.execute(statement, _held(claim)).one_or_none(), claim).cancel_by
    return cancel_by


def release(connection: Connection, claim: Claim) -> None:
    statement = update(JOBS).where(_MINE).values(state="queued", owner=None, lease_until=0.0).returning(JOBS.c.id)
    _owned(connection.execute(statement, _held(claim)).one_or_none(), claim)


def _held(claim: Claim) -> dict[str, object]:
    return {"job_id": claim.job.id, "fence_held": claim.fence}


def _owned(row: Row[Any] | None, claim: Claim) -> Row[Any]:
    if row is None:
        raise LeaseLost(f"The job {claim.job.id} belongs to another worker now.")
    return row


# ---------------------------------------------------------------- from anywhere


def request_cancel(connection: Connection, job_id: str, by: str) -> bool:
    statement = (
        update(JOBS)
        .where(JOBS.c.id == job_id, JOBS.c.state.in_(UNFINISHED))
        .values(cancel_by=func.coalesce(JOBS.c.cancel_by, codec.printable(by)))
        .returning(JOBS.c.id)
    )
    return connection.execute(statement).one_or_none() is not None


def job(connection: Connection, job_id: str) -> JobRow | None:
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
    return None if row is None else _job_row(row)


def jobs_on(connection: Connection, repo_id: int, issue: int) -> tuple[JobRow, ...]:
    here = (JOBS.c.repo_id == repo_id) & (JOBS.c.issue == issue)
    return tuple(_job_row(row) for row in connection.execute(select(JOBS).where(here).order_by(JOBS.c.position.desc())))


def _job_row(row: Row[Any]) -> JobRow:
    return JobRow(
        job=codec.job_of(row.spec),
        state=row.state,
        attempts=row.attempts,
        created_at=row.created_at,
        finished_at=row.finished_at,
        cancel_by=row.cancel_by,
    )


def journal(connection: Connection, job_id: str) -> tuple[Entry, ...]:
    rows = connection.execute(select(JOURNAL).where(JOURNAL.c.job_id == job_id).order_by(JOURNAL.c.n))
    return tuple(Entry(row.kind, row.key, codec.data_of(row.data)) for row in rows)


def events(connection: Connection, job_id: str, after: int, *, at_most: int = NEVER_RETURNED) -> tuple[Recorded, ...]:
    mine = (EVENTS.c.job_id == job_id) & (EVENTS.c.seq > after)
    rows = connection.execute(select(EVENTS).where(mine).order_by(EVENTS.c.seq).limit(at_most))
    return tuple(Recorded(row.seq, row.at, codec.event_of(row.kind, row.data)) for row in rows)


def heads(connection: Connection, job_ids: Sequence[str]) -> dict[str, Head]:
    """How far each job's log has come; a job the store does not know is left out."""
    statement = select(JOBS.c.id, JOBS.c.next_event, JOBS.c.state).where(JOBS.c.id.in_(job_ids))
    return {row.id: Head(row.next_event - 1, row.state not in UNFINISHED) for row in connection.execute(statement)}
