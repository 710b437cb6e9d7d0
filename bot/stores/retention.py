"""What is deleted when: one batch of each kind of row, oldest first."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, text, tuple_

from bot.stores import notices
from bot.stores.schema import CONTENTS, DELIVERIES, EVENTS, JOBS, JOURNAL, MARKS, SPENDING, Now

SECONDS_A_DAY = 86_400.0
_REMEMBER = text("INSERT INTO past_requests (key) VALUES (:key) ON CONFLICT (key) DO NOTHING")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days after a job's end that its journal and its events stay, days that a delivery's id stays; rows a batch."""

    journal_days: float = 3.0
    job_days: float = 30.0
    delivery_days: float = 30.0
    batch: int = 500


def prune(connection: Connection, keep: Retention) -> int:
    """Delete one batch of each kind of row; answers how many went. 0: nothing old is left."""
    return sum(
        delete_old(connection, keep)
        for delete_old in (_contents, _journal, _events, _jobs, _deliveries, _marks, _spending)
    )


def _contents(connection: Connection, keep: Retention) -> int:
    """Needed only while a job may go on: they go as soon as it has ended."""
    old = select(JOBS.c.id).where(_ended(0.0))
    rows = select(CONTENTS.c.job_id, CONTENTS.c.sha256).where(CONTENTS.c.job_id.in_(old)).limit(keep.batch)
    return connection.execute(delete(CONTENTS).where(tuple_(CONTENTS.c.job_id, CONTENTS.c.sha256).in_(rows))).rowcount


def _journal(connection: Connection, keep: Retention) -> int:
    old = select(JOBS.c.id).where(_ended(min(keep.journal_days, keep.job_days)))
    rows = select(JOURNAL.c.job_id, JOURNAL.c.n).where(JOURNAL.c.job_id.in_(old)).limit(keep.batch)
    return connection.execute(delete(JOURNAL).where(tuple_(JOURNAL.c.job_id, JOURNAL.c.n).in_(rows))).rowcount


def _events(connection: Connection, keep: Retention) -> int:
    old = select(JOBS.c.id).where(_ended(keep.job_days))
    rows = select(EVENTS.c.job_id, EVENTS.c.seq).where(EVENTS.c.job_id.in_(old)).limit(keep.batch)
    return connection.execute(delete(EVENTS).where(tuple_(EVENTS.c.job_id, EVENTS.c.seq).in_(rows))).rowcount


def _jobs(connection: Connection, keep: Retention) -> int:
    """Only jobs without rows below them: one may have grown old since the steps before. Their keys stay for good (some
    80 bytes each), since GitHub's signature on a delivery has no date. A replay at the same moment waits for both: it
    would wait for the job alone, not see its key, and start it again."""
    bare = (
        ~select(EVENTS.c.job_id).where(EVENTS.c.job_id == JOBS.c.id).exists()
        & ~select(JOURNAL.c.job_id).where(JOURNAL.c.job_id == JOBS.c.id).exists()
        & ~select(CONTENTS.c.job_id).where(CONTENTS.c.job_id == JOBS.c.id).exists()
    )
    old = select(JOBS.c.key).where(_ended(keep.job_days), bare).order_by(JOBS.c.position).limit(keep.batch)
    keys = connection.execute(old).scalars().all()
    if not keys:
        return 0
    for key in keys:
        notices.alone_with(connection, key)
    connection.execute(_REMEMBER, [{"key": key} for key in keys])
    return connection.execute(delete(JOBS).where(JOBS.c.key.in_(keys))).rowcount


def _deliveries(connection: Connection, keep: Retention) -> int:
    old = DELIVERIES.c.received_at < Now() - keep.delivery_days * SECONDS_A_DAY
    rows = select(DELIVERIES.c.guid).where(old).limit(keep.batch)
    return connection.execute(delete(DELIVERIES).where(DELIVERIES.c.guid.in_(rows))).rowcount


def _marks(connection: Connection, keep: Retention) -> int:
    rows = select(MARKS.c.name).where(MARKS.c.at < Now() - keep.delivery_days * SECONDS_A_DAY).limit(keep.batch)
    return connection.execute(delete(MARKS).where(MARKS.c.name.in_(rows))).rowcount


def _spending(connection: Connection, keep: Retention) -> int:
    old = SPENDING.c.day * SECONDS_A_DAY < Now() - keep.job_days * SECONDS_A_DAY
    rows = select(SPENDING.c.job_id, SPENDING.c.day).where(old).limit(keep.batch)
    return connection.execute(delete(SPENDING).where(tuple_(SPENDING.c.job_id, SPENDING.c.day).in_(rows))).rowcount


def _ended(days: float) -> ColumnElement[bool]:
    return JOBS.c.finished_at < Now() - days * SECONDS_A_DAY
