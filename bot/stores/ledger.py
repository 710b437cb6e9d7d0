"""What model calls cost a repository and an installation on one day: set aside before a call, settled after it."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select, text, update

from bot.ports import Claim, DayBudgets, Shortfall
from bot.stores import sql
from bot.stores.schema import JOURNAL, PURSE_LOCK, SPENDING

NANO = 1_000_000_000  # one dollar
SECONDS_A_DAY = 86_400.0

_SETTLE = """
INSERT INTO spending (job_id, day, repo_id, tenant, spent, reserved)
VALUES (:job_id, :day, :repo_id, :tenant, :spent, :reserved)
ON CONFLICT (job_id, day) DO UPDATE SET spent = excluded.spent, reserved = excluded.reserved"""


def reserve(
    connection: Connection, claim: Claim, *, usd: float, spent_usd: float, budgets: DayBudgets
) -> Shortfall | None:
    """Set `usd` aside for a job's next model call, or say whose day has too little left for it.

    `spent_usd` is what all calls of the job so far cost: it is settled in any case, and a reservation that an earlier
    call or a dead worker left is given up for the new one. Raises LeaseLost.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": PURSE_LOCK})
    sql.assure(connection, claim)
    day = _today(connection)
    settled = _settled_today(connection, claim, day, nanos(spent_usd))
    wanted = settled + nanos(usd)
    repo, installation = _others(connection, claim, day)
    shortfall: Shortfall | None = None
    if repo + wanted > nanos(budgets.repo_usd):
        shortfall = Shortfall("repository", dollars(repo + settled))
    elif installation + wanted > nanos(budgets.installation_usd):
        shortfall = Shortfall("installation", dollars(installation + settled))
    _write(connection, claim, day, spent=settled, reserved=0 if shortfall else nanos(usd))
    return shortfall


def settle(connection: Connection, claim: Claim, spent_usd: float) -> None:
    """The job's calls so far cost `spent_usd` in all, and none is under way. Raises LeaseLost."""
    sql.assure(connection, claim)
    day = _today(connection)
    _write(connection, claim, day, spent=_settled_today(connection, claim, day, nanos(spent_usd)), reserved=0)


def close(connection: Connection, job_id: str) -> None:
    """The job is over: nothing stays set aside for it, and what its journal says it cost is what it cost."""
    rows = connection.execute(select(SPENDING).where(SPENDING.c.job_id == job_id).order_by(SPENDING.c.day)).all()
    if not rows:
        return
    missing = max(0, _recorded(connection, job_id) - sum(row.spent for row in rows))
    mine = SPENDING.c.job_id == job_id
    connection.execute(update(SPENDING).where(mine).values(reserved=0))
    if missing:
        latest = mine & (SPENDING.c.day == rows[-1].day)
        connection.execute(update(SPENDING).where(latest).values(spent=SPENDING.c.spent + missing))


def spent_today(connection: Connection) -> float:
    """Dollars of all jobs, settled ones only."""
    today = select(func.coalesce(func.sum(SPENDING.c.spent), 0)).where(SPENDING.c.day == _today(connection))
    return dollars(connection.execute(today).scalar_one())


def spent_by(connection: Connection, job_ids: Sequence[str]) -> dict[str, float]:
    """Dollars of each of these jobs, on all days; a job that asked no model is left out."""
    sums = select(SPENDING.c.job_id, func.sum(SPENDING.c.spent).label("spent"))
    rows = connection.execute(sums.where(SPENDING.c.job_id.in_(job_ids)).group_by(SPENDING.c.job_id))
    return {row.job_id: dollars(row.spent) for row in rows}


def nanos(usd: float) -> int:
    return round(usd * NANO)


def dollars(amount: int) -> float:
    return int(amount) / NANO


def _today(connection: Connection) -> int:
    return int(sql.database_time(connection) // SECONDS_A_DAY)


def _settled_today(connection: Connection, claim: Claim, day: int, spent: int) -> int:
    """The part of a job's whole cost that falls on this day: what earlier days do not hold."""
    mine = SPENDING.c.job_id == claim.job.id
    connection.execute(update(SPENDING).where(mine, SPENDING.c.day != day).values(reserved=0))
    before = select(func.coalesce(func.sum(SPENDING.c.spent), 0)).where(mine, SPENDING.c.day != day)
    return max(0, spent - int(connection.execute(before).scalar_one()))


def _others(connection: Connection, claim: Claim, day: int) -> tuple[int, int]:
    """What the day holds beside this job: of its repository, of its installation."""
    job = claim.job
    used = func.coalesce(func.sum(SPENDING.c.spent + SPENDING.c.reserved), 0)
    today = (SPENDING.c.day == day) & (SPENDING.c.job_id != job.id)
    repo = select(used).where(today, SPENDING.c.repo_id == job.repo.id)
    installation = select(used).where(today, SPENDING.c.tenant == job.installation_id)
    return int(connection.execute(repo).scalar_one()), int(connection.execute(installation).scalar_one())


def _write(connection: Connection, claim: Claim, day: int, *, spent: int, reserved: int) -> None:
    job = claim.job
    row = {"job_id": job.id, "day": day, "repo_id": job.repo.id, "tenant": job.installation_id}
    connection.execute(text(_SETTLE), {**row, "spent": spent, "reserved": reserved})


def _recorded(connection: Connection, job_id: str) -> int:
    """What the journal says about each model call; the last one may have been lost with the job's last worker."""
    calls = (JOURNAL.c.kind == "model") | ((JOURNAL.c.kind == "effect") & JOURNAL.c.key.like("request %"))
    rows = (
        select(JOURNAL.c.kind, JOURNAL.c.data).where(JOURNAL.c.job_id == bindparam("of"), calls).order_by(JOURNAL.c.n)
    )
    answered = unanswered = 0
    for row in connection.execute(rows, {"of": job_id}):
        cost = nanos(json.loads(row.data).get("usd") or 0.0)
        answered, unanswered = (answered + cost, 0) if row.kind == "model" else (answered, cost)
    return answered + unanswered
