"""Which database a URL names: it is opened, and its tables made or brought up to date."""

import asyncio
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bot.domain.errors import UserError
from bot.stores.claims import QueueLimits
from bot.stores.database import Database
from bot.stores.schema import migrate
from bot.stores.store import Store


async def open_store(database_url: str, *, limits: QueueLimits | None = None) -> Store:
    """`sqlite:///file` (four slashes: an absolute path) or `postgresql://user:password@host/name`.

    Makes or migrates the tables. Raises UserError for another URL or a newer schema, ProviderError when the database
    cannot be used. Belongs to the running event loop; `close` it there.
    """
    database = await _database(database_url)
    try:
        await database.write(migrate)
    except BaseException:  # cancelled too: nobody else could close it
        await database.close()
        raise
    return Store(database, limits or QueueLimits())


async def _database(database_url: str) -> Database:
    """Each database's module is imported only where it is used: psycopg is not for everybody."""
    url = _url(database_url)
    match url.get_backend_name():
        case "sqlite":
            from bot.stores.sqlite import SqliteDatabase, prepare_file

            if not url.database or url.database == ":memory:":
                raise UserError("DATABASE_URL must name a file, such as sqlite:///backspace.db: jobs have to survive.")
            try:
                path = await asyncio.to_thread(Path(url.database).expanduser)
            except RuntimeError:
                raise UserError("DATABASE_URL names the home of a user who has none.") from None
            await asyncio.to_thread(prepare_file, path)
            return SqliteDatabase(path)
        case "postgresql" | "postgres":
            from bot.stores.postgres import PostgresDatabase

            return PostgresDatabase(url)
    raise UserError("DATABASE_URL must begin with sqlite:/// or postgresql://.")


def _url(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise UserError("DATABASE_URL must look like sqlite:///file or postgresql://user:password@host/name.") from None
