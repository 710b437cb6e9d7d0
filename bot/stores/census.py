"""How the queue fares: counts, ages, and the list of jobs an operator looks at."""

from sqlalchemy import Connection, func, select

from bot.domain.events import Conclusion
from bot.ports import Census, Listed
from bot.stores import ledger, sql
from bot.stores.schema import JOBS, UNFINISHED, Now


def census(connection: Connection) -> Census:
    unfinished = (
        select(JOBS.c.state, func.count().label("jobs"), (Now() - func.min(JOBS.c.created_at)).label("oldest"))
        .where(JOBS.c.state.in_(UNFINISHED))
        .group_by(JOBS.c.state)
    )
    states = {row.state: row for row in connection.execute(unfinished)}
    ended = select(func.coalesce(JOBS.c.conclusion, JOBS.c.state).label("how"), func.count().label("jobs"))
    finished = connection.execute(ended.where(JOBS.c.state.not_in(UNFINISHED)).group_by("how"))
    untold = select(func.count()).where(JOBS.c.state.not_in(UNFINISHED), JOBS.c.reported == 0)
    queued, running = states.get("queued"), states.get("running")
    return Census(
        queued=queued.jobs if queued else 0,
        running=running.jobs if running else 0,
        oldest_queued_s=max(0.0, queued.oldest) if queued else None,
        finished={row.how: row.jobs for row in finished},
        untold=connection.execute(untold).scalar_one(),
        usd_today=ledger.spent_today(connection),
    )


def latest(connection: Connection, *, finished: int) -> tuple[Listed, ...]:
    """Unfinished jobs first, oldest first; then the last that ended, newest first."""
    unfinished = select(JOBS).where(JOBS.c.state.in_(UNFINISHED)).order_by(JOBS.c.position)
    ended = select(JOBS).where(JOBS.c.state.not_in(UNFINISHED)).order_by(JOBS.c.finished_at.desc()).limit(finished)
    rows = [*connection.execute(unfinished), *connection.execute(ended)]
    usd = ledger.spent_by(connection, [row.id for row in rows])
    return tuple(
        Listed(
            row=sql.job_row(row),
            conclusion=Conclusion(row.conclusion) if row.conclusion else None,
            usd=usd.get(row.id),
        )
        for row in rows
    )
