"""What ends jobs from outside, and the small facts beside them: plain functions over one transaction."""

from collections.abc import Collection, Sequence
from contextlib import suppress

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select, text, update

from bot.domain.errors import ProviderError
from bot.domain.job import Job
from bot.ports import (
    AccessChanged,
    AccessState,
    Claim,
    Notice,
    RequestDeleted,
    RequestEdited,
    ShutOut,
    ThreadStopped,
    Waiting,
)
from bot.stores import claims, codec, sql
from bot.stores.schema import ACCESS, DELIVERIES, EVENTS, JOBS, MARKS, NOW, PAST_REQUESTS, UNFINISHED, WORK, Now

WHOLE = 0  # stands for all repositories of an installation
SECONDS_AN_HOUR = 3600.0
WAITING_A_LOOK = 20
DELETED = "deleted:"  # marks of requests that must start nothing any more
EDITED = "edited:"  # and of those whose words are not on the page any more
UNLABELED = "unlabeled:"  # when the label of a thread was last taken off
_SHUT_OUT: dict[AccessState, str] = {
    "suspended": "The App is suspended here: somebody with admin rights can wake it up in the installation's settings.",
    "removed": "The App is not installed here any more.",
}
_SET_MARK = {
    dialect: text(f"""
INSERT INTO marks (name, value, at) VALUES (:name, :value, {now})
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at""")
    for dialect, now in NOW.items()
}
_SET_ACCESS = text(f"""
INSERT INTO access (installation_id, repo_id, state, at) VALUES (:installation_id, :repo_id, :state, :at)
ON CONFLICT (installation_id, repo_id) DO UPDATE SET state = excluded.state, at = excluded.at
WHERE access.at <= excluded.at AND NOT (access.repo_id = {WHOLE} AND access.state = 'removed') RETURNING repo_id""")


def heed(connection: Connection, notice: Notice) -> tuple[str, ...]:
    """The ids of the jobs that are cancelled by it."""
    match notice:
        case RequestDeleted(key=key, by=by):
            alone_with(connection, key)
            set_mark(connection, DELETED + key, 0.0)
            return _cancel(connection, and_(JOBS.c.key == key, JOBS.c.priority == WORK), by)
        case RequestEdited(key=key):
            if connection.execute(select(JOBS.c.id).where(JOBS.c.key == key)).one_or_none() is not None:
                set_mark(connection, EDITED + key, 0.0)
            return ()
        case ThreadStopped():
            if notice.asked_by == "label":
                name = unlabeled(notice.installation_id, notice.repo_id, notice.issue)
                alone_with(connection, name)
                set_mark(connection, name, max(notice.at, mark(connection, name) or 0.0))
            return _cancel(connection, JOBS.c.id.in_(_stopped(connection, notice)), notice.by)
        case AccessChanged():
            return set_access(connection, notice)


def alone_with(connection: Connection, key: str) -> None:
    """A request and its deletion at the same moment: one waits for the other. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def unlabeled(installation_id: int, repo_id: int, issue: int) -> str:
    """The name of that mark. Its deliveries can overtake the one that tells of the label: then nothing starts."""
    return f"{UNLABELED}{installation_id}:{repo_id}:{issue}"


def why_not(connection: Connection, job: Job) -> str:
    """Why a job that was asked for is not made."""
    taken_back = "comment that asked for it was deleted" if job.comment_id else "label that asked for it was removed"
    if connection.execute(select(PAST_REQUESTS.c.key).where(PAST_REQUESTS.c.key == job.key)).first():
        return "It was carried out long ago."
    shut = shut_out(connection, job.installation_id, job.repo.id)
    return shut.why if shut else f"The {taken_back}."


def _stopped(connection: Connection, notice: ThreadStopped) -> list[str]:
    thread = and_(
        JOBS.c.tenant == notice.installation_id,
        JOBS.c.repo_id == notice.repo_id,
        JOBS.c.issue == notice.issue,
        JOBS.c.state.in_(UNFINISHED),
        JOBS.c.priority == WORK,
    )
    ids = []
    for row in connection.execute(select(JOBS.c.id, JOBS.c.spec).where(thread)):
        try:
            job = codec.job_of(row.spec)
        except ProviderError:  # another version's: it is closed when somebody claims it
            continue
        if job.asked_at <= notice.at and (notice.asked_by == "anything" or job.comment_id is None):
            ids.append(row.id)
    return ids


def _cancel(connection: Connection, which: ColumnElement[bool], by: str) -> tuple[str, ...]:
    """In the order of `pass_on`, so that neither waits for a job that the other holds."""
    those = and_(which, JOBS.c.state.in_(UNFINISHED), JOBS.c.cancel_by.is_(None))
    connection.execute(select(JOBS.c.id).where(those).order_by(JOBS.c.position).with_for_update())
    return tuple(connection.execute(sql.cancelling(by).where(those).returning(JOBS.c.id)).scalars())


def set_access(connection: Connection, change: AccessChanged) -> tuple[str, ...]:
    """A later word counts, and of two as old as each other the one heard last; an uninstalled App stays so: an account
    that installs it again gets another number."""
    changed: list[int] = []
    for repo_id in change.repo_ids or (WHOLE,):
        row = {"installation_id": change.installation_id, "repo_id": repo_id, "state": change.state, "at": change.at}
        changed += connection.execute(_SET_ACCESS, row).scalars()
    if change.state == "active" or not changed:
        return ()
    lost = JOBS.c.tenant == change.installation_id
    if change.repo_ids:
        lost = and_(lost, JOBS.c.repo_id.in_(changed))
    return _cancel(connection, lost, change.by)


def shut_out(connection: Connection, installation_id: int, repo_id: int) -> ShutOut | None:
    where = and_(ACCESS.c.installation_id == installation_id, ACCESS.c.repo_id.in_((WHOLE, repo_id)))
    states = {
        row.repo_id: row.state for row in connection.execute(select(ACCESS.c.repo_id, ACCESS.c.state).where(where))
    }
    why = next((words for state, words in _SHUT_OUT.items() if state in states.values()), None)
    return None if why is None else ShutOut(why, for_good=states.get(WHOLE) == "removed")


def started_this_hour(connection: Connection, claim: Claim) -> int:
    """Counts what was started, and what is about to be and came first: so the limit holds among claims at once."""
    hour_ago = Now() - literal(SECONDS_AN_HOUR)
    started = select(EVENTS.c.job_id).where(
        EVENTS.c.job_id == JOBS.c.id, EVENTS.c.kind == sql.STARTED, EVENTS.c.at > hour_ago
    )
    mine = select(JOBS.c.position).where(JOBS.c.id == claim.job.id).scalar_subquery()
    others = and_(
        JOBS.c.tenant == claim.job.installation_id,
        JOBS.c.priority == WORK,
        JOBS.c.id != claim.job.id,
        or_(JOBS.c.state.in_(UNFINISHED), JOBS.c.finished_at > hour_ago),
        or_(started.exists(), and_(JOBS.c.state == "running", JOBS.c.position < mine)),
    )
    return connection.execute(select(func.count()).select_from(JOBS).where(others)).scalar_one()


def mark(connection: Connection, name: str) -> float | None:
    return connection.execute(select(MARKS.c.value).where(MARKS.c.name == name)).scalar_one_or_none()


def set_mark(connection: Connection, name: str, value: float) -> None:
    connection.execute(_SET_MARK[connection.dialect.name], {"name": name, "value": value})


def stored(connection: Connection, guids: Sequence[str]) -> frozenset[str]:
    return frozenset(connection.execute(select(DELIVERIES.c.guid).where(DELIVERIES.c.guid.in_(guids))).scalars())


def waiting(connection: Connection, longer_than_s: float, but: Collection[str] = ()) -> tuple[Waiting, ...]:
    behind = claims.ahead_of(JOBS).limit(1).scalar_subquery()
    told = select(MARKS.c.name).where(MARKS.c.name == literal("waits:") + JOBS.c.id)
    rows = connection.execute(
        select(JOBS.c.spec, behind.label("behind"))
        .where(waits(), JOBS.c.created_at < Now() - literal(longer_than_s), ~told.exists(), JOBS.c.id.not_in(but))
        .order_by(JOBS.c.position)
        .limit(WAITING_A_LOOK)
    )
    found = []
    for row in rows:
        with suppress(ProviderError):  # another version's job
            found.append(Waiting(codec.job_of(row.spec), row.behind))
    return tuple(found)


def hold_back(connection: Connection, job_id: str, seconds: float) -> bool:
    held = update(JOBS).where(JOBS.c.id == job_id, waits()).values(run_at=Now() + literal(seconds))
    return connection.execute(held.returning(JOBS.c.id)).one_or_none() is not None


def let_go(connection: Connection, job_id: str) -> tuple[str, ...]:
    """The job's id, when it is still waiting."""
    free = update(JOBS).where(JOBS.c.id == job_id, JOBS.c.state == "queued").values(run_at=Now())
    return tuple(connection.execute(free.returning(JOBS.c.id)).scalars())


def waits() -> ColumnElement[bool]:
    """Work that nobody has begun, holds back or has cancelled."""
    return and_(
        JOBS.c.state == "queued",
        JOBS.c.priority == WORK,
        JOBS.c.attempts == 0,
        JOBS.c.cancel_by.is_(None),
        JOBS.c.run_at <= Now(),
    )
