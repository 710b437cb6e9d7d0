"""Which job is next: limits, fairness and order of the queue, as one statement that also takes the job."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobFinished
from bot.ports import Claim
from bot.stores import codec, ledger, sql
from bot.stores.schema import CLAIM_LOCK, JOBS, LONGEST_LEASE_S, LONGEST_REST_S, UNFINISHED, WORK, Now

DEADLY = (
    "The bot's worker died each time it worked on this ({deaths} times), so the job was closed. "
    "Nothing more will happen here unless somebody asks again."
)
UNREADABLE = "Another version of the bot accepted this job and this one cannot read it, so it was closed. Ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How many jobs work at once, in all and for one installation; how many commands are answered at once beside
    them, for one installation half of those; how long a silent worker keeps its job (seconds); after how many dead
    workers a job is closed (three: R17)."""

    running: int = 4
    running_per_installation: int = 2
    answering: int = 8
    lease_s: float = 30.0
    deaths: int = 3


Announce = Callable[[Connection, str], None]


def claim(
    connection: Connection,
    owner: str,
    job_id: str | None,
    limits: QueueLimits,
    announce: Announce,
    *,
    orphans: bool = True,
) -> Claim | None:
    """The next job that may run, now running under a new fence; None when there is none.

    Without `orphans` those are left alone whose worker seems to be dead, as every worker does after an outage. Jobs
    that killed their workers too often are closed on the way and announced.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": CLAIM_LOCK})
    while (row := _take(connection, owner, job_id, limits, orphans=orphans)) is not None:
        if row.deaths >= limits.deaths:
            _close(connection, row, DEADLY.format(deaths=row.deaths), announce)
            continue
        try:
            return Claim(
                job=codec.job_of(row.spec),
                fence=row.fence,
                attempts=row.attempts,
                cancel_by=row.cancel_by,
                lease_s=limits.lease_s,
                retries=row.retries,
            )
        except ProviderError:
            _close(connection, row, UNREADABLE, announce)
    return None


def claimable(connection: Connection, limits: QueueLimits) -> bool:
    """Whether a claim would find something now."""
    return connection.execute(_next_job(None, limits, lock=False)).one_or_none() is not None


def due(connection: Connection, limits: QueueLimits) -> tuple[str, ...]:
    """Ids of jobs that a claim would take now, in its order; no more than may run at once."""
    most = limits.running + limits.answering
    positions = connection.execute(_next_job(None, limits, lock=False).limit(most)).scalars().all()
    found = select(JOBS.c.id, JOBS.c.position).where(JOBS.c.position.in_(positions))
    ids = {row.position: row.id for row in connection.execute(found)}
    return tuple(ids[position] for position in positions if position in ids)


def take_over(connection: Connection) -> None:
    """Every running job is free at once: for a runner that knows all others to be dead."""
    connection.execute(update(JOBS).where(JOBS.c.state == "running").values(lease_until=0.0))


def _take(
    connection: Connection, owner: str, job_id: str | None, limits: QueueLimits, *, orphans: bool
) -> Row[Any] | None:
    died = case((JOBS.c.state == "running", 1), else_=0)
    candidate = _next_job(job_id, limits, lock=True, orphans=orphans).scalar_subquery()
    statement = (
        update(JOBS)
        # Said twice: Postgres checks these words again on a row that somebody renewed in the meantime.
        .where(JOBS.c.position == candidate, free(JOBS.c))
        .values(
            state="running",
            owner=codec.printable(owner),
            fence=JOBS.c.fence + 1,
            attempts=JOBS.c.attempts + 1,
            deaths=JOBS.c.deaths + died,
            lease_until=Now() + literal(limits.lease_s),
        )
        .returning(
            JOBS.c.id,
            JOBS.c.spec,
            JOBS.c.fence,
            JOBS.c.attempts,
            JOBS.c.deaths,
            JOBS.c.retries,
            JOBS.c.cancel_by,
            JOBS.c.next_event,
        )
    )
    row: Row[Any] | None = connection.execute(statement).one_or_none()
    return row


def _next_job(job_id: str | None, limits: QueueLimits, *, lock: bool, orphans: bool = True) -> Select[tuple[int]]:
    """The position of the next free job: fewest of its kind at once in its installation first, then by age.

    A thread's jobs run one at a time and in their order. What needs only an answer, such as the command that cancels
    one of them, waits for none; nor does a cancelled job: all that is left is to clean up.
    """
    candidate = JOBS.alias("candidate")
    is_live = and_(JOBS.c.state == "running", is_held(JOBS.c))
    is_work = JOBS.c.priority == WORK
    kinds = select(JOBS.c.tenant, is_work.label("is_work"), func.count().label("jobs")).where(is_live)
    live = kinds.group_by(JOBS.c.tenant, is_work).subquery("live")
    running = select(func.count()).select_from(JOBS).where(is_live, is_work).scalar_subquery()
    answering = select(func.count()).select_from(JOBS).where(is_live, ~is_work).scalar_subquery()
    here = and_(live.c.tenant == candidate.c.tenant, live.c.is_work == (candidate.c.priority == WORK))
    running_here = func.coalesce(live.c.jobs, 0)  # of the candidate's kind
    may_work = and_(
        running < limits.running, running_here < limits.running_per_installation, ~behind_another(candidate)
    )
    may_answer = and_(answering < limits.answering, running_here < max(1, limits.answering // 2))
    may_start = case((candidate.c.priority == WORK, may_work), else_=may_answer)
    statement = (
        select(candidate.c.position)
        .select_from(candidate.outerjoin(live, here))
        .where(free(candidate.c), or_(candidate.c.cancel_by.is_not(None), may_start))
        .order_by(candidate.c.priority.desc(), running_here, candidate.c.position)
        .limit(1)
    )
    if not orphans:
        statement = statement.where(candidate.c.state == "queued")
    if lock:  # a worker frozen in the middle of a commit keeps its own row and nobody else's
        statement = statement.with_for_update(of=candidate, skip_locked=True)
    return statement if job_id is None else statement.where(candidate.c.id == job_id)


def behind_another(job: FromClause) -> ColumnElement[bool]:
    """Work of the same thread comes first, and is not finished."""
    return ahead_of(job).exists()


def ahead_of(job: FromClause) -> Select[tuple[str]]:
    """Ids of the unfinished work that comes first in a job's thread, the nearest first."""
    earlier = JOBS.alias("earlier")
    same_thread = and_(earlier.c.repo_id == job.c.repo_id, earlier.c.issue == job.c.issue)
    unfinished_work = and_(earlier.c.priority == WORK, earlier.c.state.in_(UNFINISHED))
    before = select(earlier.c.id).where(same_thread, earlier.c.position < job.c.position, unfinished_work)
    return before.order_by(earlier.c.position.desc())


def free(job: ReadOnlyColumnCollection[str, Column[Any]]) -> ColumnElement[bool]:
    """Nobody works on it, and somebody may."""
    set_back = job.run_at > Now() + literal(LONGEST_REST_S)  # the clock was: nothing rests for so long
    due = and_(job.state == "queued", or_(job.run_at <= Now(), set_back))
    return or_(due, and_(job.state == "running", ~is_held(job)))


def is_held(job: ReadOnlyColumnCollection[str, Column[Any]]) -> ColumnElement[bool]:
    """Whether a running job's lease goes on; one that ends later than any can is from before the clock was set back."""
    return and_(job.lease_until >= Now(), job.lease_until <= Now() + literal(LONGEST_LEASE_S))


def _close(connection: Connection, row: Row[Any], message: str, announce: Announce) -> None:
    closed = update(JOBS).where(JOBS.c.id == row.id)
    ending = JobFinished(Conclusion.FAILURE, message)
    connection.execute(
        closed.values(
            state="failed",
            finished_at=Now(),
            conclusion=ending.conclusion.value,
            owner=None,
            lease_until=0.0,  # nobody has told GitHub: the reaper may, at once
            next_event=JOBS.c.next_event + 1,
        )
    )
    ledger.close(connection, row.id)
    sql.append(connection, row.id, row.next_event, sql.database_time(connection), (ending,))
    announce(connection, row.id)
