"""What comes in on the thread of a running job: requests that its agent can take as messages, and edits of old ones."""

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Connection, select, update

from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobEvent, Recorded
from bot.domain.job import Job
from bot.ports import Claim, Entry, Meanwhile
from bot.stores import codec, sql
from bot.stores.notices import DELETED, EDITED, waits
from bot.stores.schema import JOBS, MARKS, Now


def meanwhile(connection: Connection, claim: Claim, known: Sequence[str]) -> Meanwhile:
    mine = select(JOBS.c.position).where(JOBS.c.id == claim.job.id).scalar_subquery()
    behind = (
        select(JOBS.c.spec)
        .where(
            JOBS.c.repo_id == claim.job.repo.id,
            JOBS.c.issue == claim.job.issue.number,
            JOBS.c.tenant == claim.job.installation_id,
            JOBS.c.position > mine,
            waits(),
        )
        .order_by(JOBS.c.position)
    )
    requests: list[Job] = []
    for row in connection.execute(behind):
        with suppress(ProviderError):  # another version's job
            requests.append(codec.job_of(row.spec))
    names = [prefix + key for key in known for prefix in (DELETED, EDITED)]
    marks = connection.execute(select(MARKS.c.name).where(MARKS.c.name.in_(names))).scalars() if names else ()
    found = set(marks)
    return Meanwhile(
        tuple(requests),
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
    """The waiting job first: a claim may take it at the same moment, and one of the two finds it gone."""
    ended = (
        update(JOBS)
        .where(JOBS.c.id == job_id, waits())
        .values(
            state="succeeded",
            finished_at=Now(),
            conclusion=Conclusion.NEUTRAL.value,
            reported=1,
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
