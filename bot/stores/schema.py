"""The tables of the store, the database's own clock, and how an older database becomes a current one."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from bot.domain.errors import UserError

METADATA = MetaData()

MIGRATION_LOCK = 0x7B5_0001  # Postgres advisory locks are numbers; these are ours
CLAIM_LOCK = 0x7B5_0002
PURSE_LOCK = 0x7B5_0003

UNFINISHED = ("queued", "running")
LONGEST_LEASE_S = 600.0  # of a running job: twenty times the usual one
LONGEST_REST_S = 7_200.0  # of a queued job: GitHub's longest limit is over in an hour
WORK, ANSWER = 0, 1  # priorities: what is answered at once waits for no job and for no limit of theirs


class Now(FunctionElement[float]):
    """The database's clock, Unix time in seconds. One clock decides about leases, whatever the machines think."""

    name = "now"
    type = Double()
    inherit_cache = True  # else each statement with it would be compiled anew: a third of a commit's time


NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",  # unixepoch('subsec') would need SQLite 3.42
    "postgresql": "extract(epoch from clock_timestamp())::float8",  # now() stands still while a lock is waited for
}


@compiles(Now)
def _now(_element: Now, compiler: SQLCompiler, **_: Any) -> str:
    return NOW[compiler.dialect.name]


SCHEMA_VERSION = Table("schema_version", METADATA, Column("version", Integer, nullable=False))

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("guid", String, primary_key=True),
    Column("event", String, nullable=False),
    Column("action", String, nullable=False),
    Column("job_id", String),
    Column("received_at", Double, nullable=False, index=True),
)

JOBS = Table(
    "jobs",
    METADATA,
    # The order of acceptance. Its own number, because a clock can stand still or jump.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("key", String, nullable=False, unique=True),
    Column("tenant", BigInteger, nullable=False),
    Column("repo_id", BigInteger, nullable=False),
    Column("issue", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("spec", Text, nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("created_at", Double, nullable=False),
    Column("run_at", Double, nullable=False),
    Column("owner", String),
    Column("fence", BigInteger, nullable=False, default=0),
    Column("lease_until", Double, nullable=False, default=0.0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("deaths", Integer, nullable=False, default=0),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("cancel_by", String),
    Column("next_event", BigInteger, nullable=False),
    Column("next_entry", BigInteger, nullable=False, default=1),
    Column("finished_at", Double, index=True),
    Column("conclusion", String),
    # Whether GitHub shows the end, and how often that was tried after it.
    Column("reported", Integer, nullable=False, server_default="0"),
    Column("tellings", Integer, nullable=False, server_default="0"),
    Index("jobs_of_a_thread", "repo_id", "issue", "position"),
)
# What a claim looks for, and all that the census counts. Not of unfinished jobs alone: SQLite uses no such index where
# the states are parameters, and would read every job whole.
JOBS_BY_STATE = Index(
    "jobs_by_state", *(JOBS.c[name] for name in ("state", "tenant", "conclusion", "reported", "finished_at"))
)

JOURNAL = Table(
    "journal",
    METADATA,
    Column("job_id", String, ForeignKey("jobs.id"), primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("kind", String, nullable=False),
    Column("key", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("job_id", String, ForeignKey("jobs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", Double, nullable=False),
    Column("kind", String, nullable=False),
    Column("data", Text, nullable=False),
)

# Files of a job's work tree as its journal names them, so that a new sandbox can be given the same tree.
CONTENTS = Table(
    "contents",
    METADATA,
    Column("job_id", String, ForeignKey("jobs.id"), primary_key=True),
    Column("sha256", String, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# What a job's model calls cost on one day (UTC, days since 1970): billionths of a dollar, so that sums are exact.
SPENDING = Table(
    "spending",
    METADATA,
    Column("job_id", String, primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("repo_id", BigInteger, nullable=False),
    Column("tenant", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Index("spending_of_a_day", "day", "tenant", "repo_id"),
)

# Instants by name: how far the sweep has come, and which requests were taken back and must start nothing any more.
MARKS = Table(
    "marks",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Double, nullable=False),
    Column("at", Double, nullable=False, index=True),
)

# The keys of jobs that retention has deleted: a delivery replayed later, under any id, makes none of them again.
PAST_REQUESTS = Table("past_requests", METADATA, Column("key", String, primary_key=True))

# Where the App may work, as GitHub said; the repository 0 stands for a whole installation.
ACCESS = Table(
    "access",
    METADATA,
    Column("installation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("repo_id", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),
    Column("at", Double, nullable=False),
)


def _first_tables(connection: Connection) -> None:
    METADATA.create_all(connection)


def _contents(connection: Connection) -> None:
    CONTENTS.create(connection, checkfirst=True)


def _spending_and_reports(connection: Connection) -> None:
    """Jobs that had ended before count as reported: their threads are old news."""
    SPENDING.create(connection, checkfirst=True)
    known = {column["name"] for column in inspect(connection).get_columns(JOBS.name)}
    if "conclusion" in known:
        return
    for column in ("conclusion VARCHAR", "reported INTEGER DEFAULT 0 NOT NULL", "tellings INTEGER DEFAULT 0 NOT NULL"):
        connection.execute(text(f"ALTER TABLE jobs ADD COLUMN {column}"))
    connection.execute(update(JOBS).where(JOBS.c.finished_at.is_not(None)).values(reported=1))


def _marks_and_access(connection: Connection) -> None:
    for table in (MARKS, ACCESS):
        table.create(connection, checkfirst=True)


def _retries(connection: Connection) -> None:
    if "retries" not in {column["name"] for column in inspect(connection).get_columns(JOBS.name)}:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN retries INTEGER DEFAULT 0 NOT NULL"))


def _past_requests(connection: Connection) -> None:
    PAST_REQUESTS.create(connection, checkfirst=True)


def _jobs_by_state(connection: Connection) -> None:
    connection.execute(text("DROP INDEX IF EXISTS jobs_unfinished"))
    JOBS_BY_STATE.create(connection, checkfirst=True)


# Each step brings a database from version n to n + 1. Steps that were released are never edited.
STEPS: tuple[Callable[[Connection], None], ...] = (
    _first_tables,
    _contents,
    _spending_and_reports,
    _marks_and_access,
    _retries,
    _past_requests,
    _jobs_by_state,
)
VERSION = len(STEPS)


def migrate(connection: Connection) -> None:
    """Bring the database to this version of the schema, in the caller's transaction.

    Raises UserError when a newer version of the bot or another program has written it, or when it cannot hold every
    character.
    """
    if connection.dialect.name == "postgresql":
        if (encoding := connection.execute(text("SHOW server_encoding")).scalar_one()) != "UTF8":
            raise UserError(
                f"The database of DATABASE_URL keeps its text as {encoding}, which cannot hold every request: make one "
                "with CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8', and name that."
            )
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    _refuse_tables_of_others(connection)
    found = _version(connection)
    if found > VERSION:
        raise UserError(
            f"The database was written by a newer Tiny Backspace (schema {found}; this one knows {VERSION}): "
            "update the bot, or give it another DATABASE_URL."
        )
    if found == VERSION:
        return
    for step in STEPS[found:]:
        step(connection)
    if found == 0:
        connection.execute(insert(SCHEMA_VERSION).values(version=VERSION))
    else:
        connection.execute(update(SCHEMA_VERSION).values(version=VERSION))


def _refuse_tables_of_others(connection: Connection) -> None:
    found = inspect(connection)
    there = sorted(set(found.get_table_names()) & set(METADATA.tables))
    if not there:
        return
    columns = {column["name"] for column in found.get_columns(JOBS.name)} if JOBS.name in there else set[str]()
    if not {"spec", "tenant"} <= columns:
        raise UserError(
            f"DATABASE_URL names a database with tables of another program ({', '.join(there)}): make one for the bot."
        )


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(SCHEMA_VERSION.name):
        return 0
    return connection.execute(select(SCHEMA_VERSION.c.version)).scalar_one_or_none() or 0
