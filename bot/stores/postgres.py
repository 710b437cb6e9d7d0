"""Postgres: a few threads with a connection each, and LISTEN for what other processes have committed."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, bindparam, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from bot.domain.errors import ProviderError
from bot.stores import failures
from bot.stores.patience import Line

T = TypeVar("T")
A = TypeVar("A")

CONNECTIONS = 8
CHANNEL = "backspace"
CONNECT_TIMEOUT_S = 5
CALL_S = 30.0  # longer than any call that the server itself bounds; past it the connection is given up
# A server whose machine is gone answers nothing: Linux by itself waits two hours for it. libpq, "Parameter Key Words".
_NOTICES_DEATH: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
SECONDS_BETWEEN_ATTEMPTS = 1.0

# For each transaction, not for the session: behind a pooler the session is somebody else's next.
# A frozen worker must not keep the queue's lock, and "durable" must not depend on the server's settings.
_SETTINGS = {
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "synchronous_commit": "on",
}
_APPLY_SETTINGS = select(*(func.set_config(name, value, True) for name, value in _SETTINGS.items()))
_NOTIFY = select(func.pg_notify(CHANNEL, bindparam("job_id")))


class PostgresDatabase:
    """One server, shared with other processes; every one of them may run jobs."""

    def __init__(self, url: URL, *, call_s: float = CALL_S) -> None:
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=CONNECTIONS,
            max_overflow=0,
            hide_parameters=True,  # an error's text must not carry a prompt
            # Prepared statements do not survive a pooler. Without a word the text would travel as the server keeps it.
            connect_args={**_NOTICES_DEATH, "prepare_threshold": None, "client_encoding": "utf8"},
        )
        event.listen(self._engine, "begin", _begins)
        event.listen(self._engine, "checkout", self._taken)
        self._call_s = call_s
        self._line = threading.local()
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="store")
        self._poked = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, act: Callable[[Connection], T]) -> T:
        return await self._transaction(act, writing=True)

    async def write_together(self, act: Callable[[Connection, Sequence[A]], Sequence[T]], one: A) -> T:
        """Each alone: the connections work side by side."""
        return await self.write(lambda connection: act(connection, [one])[0])

    async def read(self, act: Callable[[Connection], T]) -> T:
        return await self._transaction(act, writing=False)

    async def _transaction(self, act: Callable[[Connection], T], *, writing: bool) -> T:
        if self._closed:
            raise ProviderError("store", failures.CLOSED)

        line = Line()

        def transaction() -> T:
            self._line.now = line
            try:
                with self._engine.begin() as connection:
                    return act(connection)
            finally:
                line.left()

        calling = asyncio.get_running_loop().run_in_executor(self._threads, transaction)
        late = asyncio.get_running_loop().call_later(self._call_s, line.cut)
        try:
            return await calling
        except SQLAlchemyError as error:
            raise failures.provider_error(error, writing=writing) from error
        finally:
            late.cancel()

    def _taken(self, connection: psycopg.Connection[Any], *_: object) -> None:
        self._line.now.taken(connection)

    async def become_runner(self) -> None:
        """Any number of processes may run jobs: leases keep them apart."""

    async def changed(self, timeout_s: float) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._poked.wait()
        self._poked.clear()

    async def _listen(self) -> None:
        """Behind a pooler nothing may arrive here: then `changed` returns by its time-out."""
        while True:
            with suppress(psycopg.Error):
                connecting = psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, **_NOTICES_DEATH)
                async with await connecting as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self.poke()  # what happened before counts as news
                    async for _ in connection.notifies():
                        self.poke()
            await asyncio.sleep(SECONDS_BETWEEN_ATTEMPTS)

    def announce(self, connection: Connection, job_id: str) -> None:
        connection.execute(_NOTIFY, {"job_id": job_id})

    def poke(self) -> None:
        self._poked.set()

    async def close(self) -> None:
        self._closed = True
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


def _begins(connection: Connection) -> None:
    connection.execute(_APPLY_SETTINGS)
