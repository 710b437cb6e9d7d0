"""A delivery arrives: it is kept, and the job it asks for is made, once however often it comes."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, text

from bot.domain.events import JobQueued
from bot.domain.job import Job, Work
from bot.ports import Accepted
from bot.stores import codec, notices
from bot.stores.schema import ANSWER, NOW, WORK


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


_ADD_JOB = {
    dialect: f"""
INSERT INTO jobs (id, key, tenant, repo_id, issue, state, spec, priority, created_at, run_at,
                  fence, lease_until, attempts, deaths, next_event, next_entry)
SELECT :id, :key, :tenant, :repo_id, :issue, 'queued', :spec, :priority, {now}, 0, 0, 0, 0, 0, 2, 1
WHERE NOT EXISTS (SELECT 1 FROM marks WHERE name = :deleted)
  AND NOT EXISTS (SELECT 1 FROM marks WHERE name = :unlabeled AND value > :asked_at)
  AND NOT EXISTS (SELECT 1 FROM past_requests WHERE key = :past)
  AND NOT EXISTS (SELECT 1 FROM access WHERE installation_id = :tenant AND repo_id IN (0, :repo_id)
                  AND state <> 'active')
ON CONFLICT (key) DO NOTHING RETURNING created_at"""
    for dialect, now in NOW.items()
}
_ADD_DELIVERY = {
    dialect: f"""
INSERT INTO deliveries (guid, event, action, job_id, received_at) VALUES (:guid, :event, :action, :job_id, {now})
ON CONFLICT (guid) DO NOTHING"""
    for dialect, now in NOW.items()
}
_ADD_FIRST_EVENT = "INSERT INTO events (job_id, seq, at, kind, data) VALUES (:id, 1, :at, :kind, :data)"
_ID_OF_KEY = "SELECT id FROM jobs WHERE key = :key"


def accept(connection: Connection, arriving: Sequence[Arrival]) -> list[Accepted]:
    """Each delivery, its job and the job's first event; whatever is there already stays as it is."""
    first_events: list[Mapping[str, object]] = []
    accepted = [_accept_job(connection, one, first_events) for one in arriving]
    _write(connection, _ADD_FIRST_EVENT, first_events)
    keep(connection, arriving, [one.job_id for one in accepted])
    return accepted


def keep(connection: Connection, arriving: Sequence[Arrival], job_ids: Iterable[str | None]) -> int:
    """The deliveries alone. Answers how many were not there yet."""
    rows = [
        {"guid": one.guid, "event": one.event, "action": one.action, "job_id": job_id}
        for one, job_id in zip(arriving, job_ids, strict=True)
    ]
    return _write(connection, _ADD_DELIVERY[connection.dialect.name], rows)


def _accept_job(connection: Connection, arrival: Arrival, first_events: list[Mapping[str, object]]) -> Accepted:
    job = arrival.job
    if job is None:
        return Accepted(None, False)
    values: dict[str, Any] = {
        "id": job.id,
        "key": job.key,
        "past": job.key,
        "tenant": job.installation_id,
        "repo_id": job.repo.id,
        "issue": job.issue.number,
        "spec": arrival.spec,
        "priority": WORK if isinstance(job.command, Work) and not job.issue.is_pull_request else ANSWER,
        "deleted": notices.DELETED + job.key,
        "unlabeled": "",
        "asked_at": job.asked_at,
    }
    notices.alone_with(connection, job.key)
    if job.comment_id is None:
        values["unlabeled"] = notices.unlabeled(job.installation_id, job.repo.id, job.issue.number)
        notices.alone_with(connection, values["unlabeled"])
    added = _row(connection, _ADD_JOB[connection.dialect.name], values)
    if added is None:
        (job_id,) = _row(connection, _ID_OF_KEY, {"key": job.key}) or (None,)
        return Accepted(job_id, False, "" if job_id is not None else notices.why_not(connection, job))
    event = JobQueued(job.instruction, job.requested_by.login)
    first_events.append({"id": job.id, "at": added[0], "kind": event.kind, "data": codec.event_text(event)})
    return Accepted(job.id, True)


# On SQLite without SQLAlchemy, whose way costs five times as much: a burst of deliveries waits for this and for
# nothing else.


def _row(connection: Connection, statement: str, values: Mapping[str, object]) -> Sequence[Any] | None:
    """The only row that a statement answers, if it does."""
    if connection.dialect.name != "sqlite":
        return connection.execute(text(statement), values).one_or_none()
    row: Sequence[Any] | None = _driver(connection).execute(statement, values).fetchone()
    return row


def _write(connection: Connection, statement: str, rows: Sequence[Mapping[str, object]]) -> int:
    """Answers how many rows were written."""
    if not rows:
        return 0
    if connection.dialect.name != "sqlite":
        return connection.execute(text(statement), rows).rowcount
    return _driver(connection).executemany(statement, rows).rowcount


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)
