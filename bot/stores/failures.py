"""What a database's own error means to the operator, as a ProviderError without paths, addresses or data."""

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.domain.errors import AmbiguousWrite, ProviderError

FULL = "the disk is full: make room, then it goes on by itself"
READ_ONLY = "the database is read-only: let the bot's user write to the file and its folder"
LOCKED = "another program keeps the database locked: end that program, then it goes on by itself"
UNOPENED = "the database file cannot be opened: its folder must exist and the bot's user must be able to write there"
DAMAGED = "the database file is damaged or is no database: restore it from a backup or move it away"
DISK = "the disk failed while the database was read or written"
SILENT = "the database server does not answer: is it running, and is DATABASE_URL right"
CLOSED = "the store is closed: this process is going down"
CROSSED = "two changes waited for each other and the database gave up this one: it can be tried again"
SLOW = "the database took too long to answer"

_SQLITE = {  # primary result codes: https://www.sqlite.org/rescode.html
    sqlite3.SQLITE_FULL: (FULL, True),
    sqlite3.SQLITE_READONLY: (READ_ONLY, False),
    sqlite3.SQLITE_BUSY: (LOCKED, True),
    sqlite3.SQLITE_LOCKED: (LOCKED, True),
    sqlite3.SQLITE_CANTOPEN: (UNOPENED, True),
    sqlite3.SQLITE_CORRUPT: (DAMAGED, False),
    sqlite3.SQLITE_NOTADB: (DAMAGED, False),
    sqlite3.SQLITE_IOERR: (DISK, True),
    sqlite3.SQLITE_PERM: (READ_ONLY, False),
    sqlite3.SQLITE_AUTH: (READ_ONLY, False),
}
_POSTGRES = {  # SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
    "53100": (FULL, True),
    "25006": (READ_ONLY, True),
    "55P03": (LOCKED, True),
    "40P01": (CROSSED, True),
    "40001": (CROSSED, True),
    "57014": (SLOW, True),
    "25P03": (SLOW, True),
    "42501": ("the database server forbids it: give the bot's user the right to create and write tables", False),
}
# What libpq says where no connection comes about, so that psycopg has no SQLSTATE. Servers also speak other languages.
_CONNECTING = {
    "password authentication failed": "the database server refuses the user name or password of DATABASE_URL",
    "no password supplied": "the database server wants a password: DATABASE_URL has none",
    "no pg_hba.conf entry": "the database server takes no such connection (pg_hba.conf): another host, user or sslmode",
    "too many c": "the database server takes no more connections: raise max_connections, or end others",
    'role "': "the user named in DATABASE_URL does not exist or may not log in",
    "permission denied for database": "the user named in DATABASE_URL may not use that database",
    "not currently accepting": "the database named in DATABASE_URL takes no connections at present",
    'database "': "the database named in DATABASE_URL does not exist: create it",
    "connection slots": "the database server takes no more connections: raise max_connections, or end others",
    "invalid connection option": "DATABASE_URL has an option (after the ?) that PostgreSQL does not know",
    "invalid URI query parameter": "DATABASE_URL has an option (after the ?) that PostgreSQL does not know",
    "could not translate host name": "the host named in DATABASE_URL is not known",
    "failed to resolve host": "the host named in DATABASE_URL is not known",
}


def provider_error(error: SQLAlchemyError | sqlite3.Error, *, writing: bool) -> ProviderError:
    """AmbiguousWrite when the connection broke while something was written: it may be stored or not."""
    if isinstance(error, sqlite3.Error):
        return _sqlite_error(error)
    if isinstance(error, PoolTimeout):
        return ProviderError("store", SLOW, retryable=True)
    if type(error) is InvalidRequestError:  # the pool's: each connection that it made had ended when it was to be used
        return ProviderError("store", SILENT, retryable=True)
    if not isinstance(error, DBAPIError):
        return ProviderError("store", f"the database refused ({type(error).__name__})")
    cause: Any = error.orig
    if isinstance(cause, sqlite3.Error):
        return _sqlite_error(cause)
    state = getattr(cause, "sqlstate", None)
    if state in _POSTGRES:
        words, retryable = _POSTGRES[state]
        return ProviderError("store", words, retryable=retryable)
    if state is None or state.startswith(("08", "57P", "53", "58")):  # no connection, none left, or it was ended
        lost = AmbiguousWrite if writing and error.connection_invalidated else ProviderError
        said = str(cause)
        return lost("store", next((words for key, words in _CONNECTING.items() if key in said), SILENT), retryable=True)
    return ProviderError("store", f"the database refused ({type(cause).__name__})")


def _sqlite_error(error: sqlite3.Error) -> ProviderError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    words, retryable = _SQLITE.get(code, (f"the database refused ({type(error).__name__})", False))
    return ProviderError("store", words, retryable=retryable)
