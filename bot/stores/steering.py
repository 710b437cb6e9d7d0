"""What comes in on the thread of a running job: requests that its agent can take as messages, and edits of old ones."""

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Connection, and_, or_, select, update

from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobEvent, Recorded
from bot.domain.job import Cancel, Job, Work
from bot.ports import Claim, Entry, Meanwhile
from bot.stores import codec, sql
from bot.stores.notices import DELETED, EDITED, waits
from bot.stores.schema import JOBS, MARKS, UNFINISHED, WORK, Now


def meanwhile(connection: Connection, claim: Claim, known: Sequence[str]) -> Meanwhile:
    """What came after a cancel is no message: it is asked for instead of the run which that ends."""
    mine = select(JOBS.c.position).where(JOBS.c.id == claim.job.id, JOBS.c.cancel_by.is_(None)).scalar_subquery()
    answers = and_(JOBS.c.priority != WORK, JOBS.c.state.in_(UNFINISHED))
    others = (
        select(JOBS.c.spec)
        .where(
            JOBS.c.repo_id == claim.job.repo.id,
            JOBS.c.issue == claim.job.issue.number,
            JOBS.c.tenant == claim.job.installation_id,
            or_(answers, and_(JOBS.c.position > mine, waits())),
        )
        .order_by(JOBS.c.position)
    )
    jobs: list[Job] = []
    for row in connection.execute(others):
        with suppress(ProviderError):  # another version's job
            jobs.append(codec.job_of(row.spec))
    cancels = [job for job in jobs if isinstance(job.command, Cancel)]
    behind = [job for job in jobs if isinstance(job.command, Work)]
    names = [prefix + key for key in known for prefix in (DELETED, EDITED)]
    marks = connection.execute(select(MARKS.c.name).where(MARKS.c.name.in_(names))).scalars() if names else ()
    found = set(marks)
    return Meanwhile(
        tuple(job for job in behind if not any(job.asked_after(cancel) for cancel in cancels)),
        frozenset(key for key in known if DELETED + key in found),
        frozenset(key for key in known if EDITED + key in found),
    )


def pass_on(
    connection: Connection,
    claim: Claim,
    job_id: str,
    *,
    end: JobEvent,
    entries: Sequence[Entry],
    events: Sequence[JobEvent],
) -> tuple[Recorded, ...] | None:
    """The waiting job before the other's log: a claim may take it at the same moment, and one of the two finds it gone.

    Nothing is passed on to a job that somebody has cancelled, and until this is written nobody can. Where the thread
    says that the request waits, its end is told.
    """
    mine = select(JOBS.c.cancel_by).where(JOBS.c.id == claim.job.id).with_for_update()
    if connection.execute(mine).scalar_one() is not None:
        return None
    waits_aloud = connection.execute(select(MARKS.c.name).where(MARKS.c.name == f"waits:{job_id}")).first() is not None
    ended = (
        update(JOBS)
        .where(JOBS.c.id == job_id, waits())
        .values(
            state="succeeded",
            finished_at=Now(),
            conclusion=Conclusion.NEUTRAL.value,
            reported=int(not waits_aloud),
            next_event=JOBS.c.next_event + 1,
        )
        .returning(JOBS.c.next_event, Now().label("at"))
    )
    row = connection.execute(ended).one_or_none()
    if row is None:
        return None
    sql.append(connection, job_id, row.next_event - 1, row.at, (end,))
    return sql.commit(
        connection, claim, entries=entries, events=events, finish=None, reported=False, lease_s=claim.lease_s
    )
