"""Ends that GitHub does not show yet: one is taken, told and ticked off; what fails is tried again later."""

from typing import Any

from sqlalchemy import Connection, Row, and_, case, literal, select, update

from bot.domain.errors import LeaseLost, ProviderError
from bot.ports import Claim
from bot.stores import codec
from bot.stores.schema import JOBS, UNFINISHED, Now

TELLING_S = 60.0  # how long one may take; also the first wait before the next try, which then doubles
LONGEST_WAIT_S = 480.0
TOLD_FOR_S = 3 * 86_400.0  # after that the thread is old news


def take_untold(connection: Connection, owner: str) -> Claim | None:
    """A finished job that GitHub does not show as finished, under a new fence."""
    while (row := _take(connection, owner)) is not None:
        try:
            return Claim(codec.thread_of(row.spec), row.fence, row.tellings, row.cancel_by)
        except ProviderError:  # another version's job: nobody knows its thread
            connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(reported=1))
    return None


def told(connection: Connection, claim: Claim) -> None:
    """Raises LeaseLost when somebody else has taken it since."""
    mine = (JOBS.c.id == claim.job.id) & (JOBS.c.fence == claim.fence)
    statement = update(JOBS).where(mine).values(reported=1, owner=None).returning(JOBS.c.id)
    if connection.execute(statement).one_or_none() is None:
        raise LeaseLost(f"Another worker tells the end of the job {claim.job.id} now.")


def _take(connection: Connection, owner: str) -> Row[Any] | None:
    waiting = and_(JOBS.c.reported == 0, JOBS.c.state.not_in(UNFINISHED), JOBS.c.lease_until < Now())
    recent = JOBS.c.finished_at > Now() - literal(TOLD_FOR_S)
    oldest = select(JOBS.c.position).where(waiting, recent).order_by(JOBS.c.tellings, JOBS.c.finished_at).limit(1)
    wait = case(
        *((JOBS.c.tellings == tries, literal(TELLING_S * 2.0**tries)) for tries in range(3)),
        else_=literal(LONGEST_WAIT_S),
    )
    statement = (
        update(JOBS)
        .where(JOBS.c.position == oldest.with_for_update(skip_locked=True).scalar_subquery(), waiting)
        .values(
            owner=codec.printable(owner), fence=JOBS.c.fence + 1, tellings=JOBS.c.tellings + 1, lease_until=Now() + wait
        )
        .returning(JOBS.c.id, JOBS.c.spec, JOBS.c.fence, JOBS.c.tellings, JOBS.c.cancel_by)
    )
    row: Row[Any] | None = connection.execute(statement).one_or_none()
    return row
