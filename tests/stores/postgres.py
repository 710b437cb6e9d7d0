"""A throw-away Postgres of Debian's, on a socket in a folder of its own, never run by root."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

BINARIES = Path("/usr/lib/postgresql")
ACCOUNT = "postgres"
SHARED = "test"


@dataclass(slots=True)
class Postgres:
    folder: Path
    binaries: Path
    server: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=count)

    def start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "60",
            "shared_buffers": "16MB",
            "autovacuum": "off",
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        self.server = self._run(str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *flags)
        ends = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=10).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > ends or self.server.poll() is not None:
                    raise
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """At once: connections are cut, nothing committed is lost. By SIGQUIT not even written to the disk."""
        if self.server is not None:
            self.server.send_signal(how)
            self.server.wait(timeout=60)
            self.server = None

    def url(self, database: str) -> str:
        return f"postgresql://{ACCOUNT}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        name = f"{SHARED}_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def new_schema(self) -> str:
        """As empty as a new database, without the 11 MB that making one writes to the disk."""
        name = f"schema_{next(self.numbers)}"
        self.execute(f"CREATE SCHEMA {name}", database=SHARED)
        return f"{self.url(SHARED)}&options=-csearch_path%3D{name}"

    def execute(self, statement: str, *, database: str = "postgres") -> int:
        """How many rows it found or changed."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            return connection.execute(statement.encode()).rowcount

    def initialise(self) -> None:
        argv = (
            "-D",
            str(self.folder / "data"),
            "-U",
            ACCOUNT,
            "--auth=trust",
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
        )
        assert self._run(str(self.binaries / "initdb"), *argv).wait(timeout=60) == 0

    def _run(self, *argv: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("ab")
        with log:
            if os.geteuid() != 0:
                return subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder)
            account = pwd.getpwnam(ACCOUNT)
            return subprocess.Popen(
                argv,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
            )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    found = sorted(BINARIES.glob("*/bin"))
    assert found, "These tests start a Postgres of their own: install it with `apt-get install postgresql`."
    folder = Path(tempfile.mkdtemp(prefix="backspace-postgres-"))  # pytest's own folders are closed to other accounts
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT)
    postgres = Postgres(folder, found[-1])
    try:
        postgres.initialise()
        postgres.start()
        postgres.execute(f"CREATE DATABASE {SHARED}")
        yield postgres
    finally:
        postgres.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)
