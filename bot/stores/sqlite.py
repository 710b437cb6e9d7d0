"""SQLite: one writer thread that commits whatever has queued up, readers beside it, one runner a file."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bot.domain.errors import ProviderError, UserError
from bot.stores import failures
from bot.stores.claims import take_over

T = TypeVar("T")
A = TypeVar("A")
Asked = tuple[Callable[[Connection, Sequence[Any]], Sequence[Any]], Any]

READERS = 4
LARGEST_BATCH = 256  # writes in one commit: keeps a write lock short for the other processes
BUSY_TIMEOUT_MS = 5_000
SECONDS_BETWEEN_LOOKS = 0.025  # a look is PRAGMA data_version, about two microseconds


class SqliteDatabase:
    """One file. `synchronous=FULL`: what `write` has returned from survives a power cut."""

    def __init__(self, path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self._path = path
        self._writer = _engine(path, begin="BEGIN IMMEDIATE", connections=1, busy_timeout_ms=busy_timeout_ms)
        self._reader = _engine(path, begin="BEGIN", connections=READERS, busy_timeout_ms=busy_timeout_ms)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._waiting: list[tuple[Asked, asyncio.Future[Any]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._poked = asyncio.Event()
        self._looker: sqlite3.Connection | None = None
        self._version = 0
        self._runner_lock: int | None = None
        self._closed = False

    async def write(self, act: Callable[[Connection], T]) -> T:
        return await self.write_together(lambda connection, _: [act(connection)], None)

    async def write_together(self, act: Callable[[Connection, Sequence[A]], Sequence[T]], one: A) -> T:
        self._check_open()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(((act, one), done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_what_waits())
        try:
            return await done
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise failures.provider_error(error, writing=True) from error

    async def _commit_what_waits(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            batch = [(asked, done) for asked, done in taken if not done.cancelled()]
            for (_, done), outcome in zip(batch, await self._outcomes([asked for asked, _ in batch]), strict=True):
                if done.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)
            self.poke()

    async def _outcomes(self, asked: Sequence[Asked]) -> list[Any]:
        """What was answered or raised to each; one that raises takes no other with it."""
        loop = asyncio.get_running_loop()
        together = loop.run_in_executor(self._write_thread, self._transaction, asked)
        await asyncio.wait([together])
        failure = together.exception()
        if failure is None:
            return together.result()
        if len(asked) == 1 or isinstance(failure, OperationalError | sqlite3.OperationalError):
            return [failure] * len(asked)
        alone = (loop.run_in_executor(self._write_thread, self._transaction, [one]) for one in asked)
        outcomes = await asyncio.gather(*alone, return_exceptions=True)
        return [one if isinstance(one, BaseException) else one[0] for one in outcomes]

    def _transaction(self, asked: Sequence[Asked]) -> list[Any]:
        places: dict[Any, list[int]] = {}
        for place, (act, _) in enumerate(asked):
            places.setdefault(act, []).append(place)
        answers: list[Any] = [None] * len(asked)
        with self._writer.begin() as connection:
            for act, mine in places.items():
                for place, answer in zip(mine, act(connection, [asked[n][1] for n in mine]), strict=True):
                    answers[place] = answer
        return answers

    async def read(self, act: Callable[[Connection], T]) -> T:
        self._check_open()

        def reading() -> T:
            with self._reader.begin() as connection:
                return act(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._read_threads, reading)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise failures.provider_error(error, writing=False) from error

    async def become_runner(self) -> None:
        """The lock is the kernel's and dies with the process, so whoever gets it knows every earlier runner dead."""
        self._check_open()
        if self._runner_lock is not None:
            return
        try:
            lock = os.open(f"{self._path}.runner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ProviderError("store", failures.READ_ONLY) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise UserError(
                "Another process already runs the jobs of this database, and SQLite allows one: "
                "stop it, start this one with --web-only, or use Postgres."
            ) from error
        self._runner_lock = lock
        try:
            await self.write(take_over)
        except ProviderError:  # the next try takes them over: else they would wait until their leases end
            self._runner_lock = None
            os.close(lock)
            raise

    async def changed(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        while not self._poked.is_set() and (left := ends - loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, SECONDS_BETWEEN_LOOKS)):
                    await self._poked.wait()
            if self._look() != self._version:
                break
        self._poked.clear()
        self._version = self._look()

    def _look(self) -> int:
        """A number that moves when another connection has committed."""
        try:
            if self._looker is None:
                self._looker = sqlite3.connect(self._path, isolation_level=None, timeout=0)
            version: int = self._looker.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.OperationalError:  # busy for a moment: look again next time
            return self._version
        return version

    def announce(self, connection: Connection, job_id: str) -> None:
        """Nothing to do: the commit itself moves `data_version`."""

    def poke(self) -> None:
        self._poked.set()

    def _check_open(self) -> None:
        if self._closed:
            raise ProviderError("store", failures.CLOSED)

    async def close(self) -> None:
        self._closed = True
        if self._committing is not None:
            await self._committing
        await asyncio.to_thread(self._write_thread.shutdown)
        await asyncio.to_thread(self._read_threads.shutdown)
        self._writer.dispose()
        self._reader.dispose()
        if self._looker is not None:
            self._looker.close()
        if self._runner_lock is not None:
            os.close(self._runner_lock)
            self._runner_lock = None


def prepare_file(path: Path) -> None:
    """The folder and an empty file only the bot's user can read, if they are not there. Raises ProviderError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ProviderError("store", failures.UNOPENED) from error


def _engine(path: Path, *, begin: str, connections: int, busy_timeout_ms: int) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,  # an error's text must not carry a prompt
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # this module begins its transactions itself
        for pragma in (
            f"busy_timeout = {busy_timeout_ms}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begins(connection: Connection) -> None:
        cast(sqlite3.Connection, connection.connection.driver_connection).execute(begin)

    return engine
