"""How the queue fares: counts, ages, and the list of jobs an operator looks at."""

from sqlalchemy import Connection, and_, case, func, literal, or_, select

from bot.domain.events import Conclusion
from bot.ports import Census, Listed
from bot.stores import claims, ledger, sql
from bot.stores.reports import TOLD_FOR_S
from bot.stores.schema import JOBS, UNFINISHED, WORK, Now


def census(connection: Connection) -> Census:
    now = case((claims.free(JOBS.c), "queued"), else_=JOBS.c.state).label("now")  # a dead worker's job is queued again
    unfinished = select(now, func.count().label("jobs")).where(JOBS.c.state.in_(UNFINISHED)).group_by("now")
    states = {row.now: row.jobs for row in connection.execute(unfinished)}
    how = func.coalesce(JOBS.c.conclusion, JOBS.c.state).label("how")
    untold = and_(JOBS.c.reported == 0, JOBS.c.finished_at > Now() - literal(TOLD_FOR_S))
    ended = select(how, func.count().label("jobs"), func.sum(case((untold, 1), else_=0)).label("untold"))
    finished = connection.execute(ended.where(JOBS.c.state.not_in(UNFINISHED)).group_by("how")).all()
    return Census(
        queued=states.get("queued", 0),
        running=states.get("running", 0),
        oldest_queued_s=_oldest_s(connection),
        finished={row.how: row.jobs for row in finished},
        untold=sum(row.untold for row in finished),
        usd_today=ledger.spent_today(connection),
    )


def _oldest_s(connection: Connection) -> float | None:
    """Of the jobs that could be taken now, since when the first one could have been. A job that rests, for a limit of
    GitHub's or after a failure, is none of them, nor is what comes behind it in its thread."""
    since = case(
        (and_(JOBS.c.state == "queued", JOBS.c.run_at < JOBS.c.created_at), JOBS.c.created_at),  # it never rested
        (JOBS.c.state == "queued", JOBS.c.run_at),
        (JOBS.c.lease_until.between(1.0, Now()), JOBS.c.lease_until),
        else_=Now(),  # freed by a worker that has just started, and takes it next
    )
    takeable = and_(claims.free(JOBS.c), or_(JOBS.c.priority != WORK, ~claims.behind_another(JOBS)))
    age: float | None = connection.execute(select(Now() - func.min(since)).where(takeable)).scalar_one()
    return None if age is None else max(0.0, age)


def unfinished(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(JOBS.c.id).where(JOBS.c.state.in_(UNFINISHED))).scalars())


def latest(connection: Connection, *, finished: int) -> tuple[Listed, ...]:
    """Unfinished jobs first, oldest first; then the last that ended, newest first."""
    unfinished = select(JOBS).where(JOBS.c.state.in_(UNFINISHED)).order_by(JOBS.c.position)
    ended = select(JOBS).where(JOBS.c.state.not_in(UNFINISHED)).order_by(JOBS.c.finished_at.desc()).limit(finished)
    rows = [*connection.execute(unfinished), *connection.execute(ended)]
    usd = ledger.spent_by(connection, [row.id for row in rows])
    return tuple(
        Listed(
            row=read,
            conclusion=Conclusion(row.conclusion) if row.conclusion else None,
            usd=usd.get(row.id),
        )
        for row in rows
        if (read := sql.job_row(row)) is not None
    )
