"""A real `backspace serve` on a machine that breaks under it: what it says, what it keeps, and that it comes back."""

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from bot.standins.github.faults import Delay
from bot.standins.github.state import Delivery
from tests.faults.bot_process import WITHIN_S, BotProcess, commented, github, published, pulls_of, serving
from tests.polling import until
from tests.stores.postgres import Postgres

pytestmark = pytest.mark.anyio

SMALL = 768 * 4096  # bytes

Break = Callable[[BotProcess, Path], AbstractContextManager[None]]


@contextmanager
def no_disk(bot: BotProcess, database: Path) -> Iterator[None]:
    """No file of the process may hold another byte: neither the database nor its log."""
    with _limited(bot, resource.RLIMIT_FSIZE, 0):
        yield


@contextmanager
def locked(bot: BotProcess, database: Path) -> Iterator[None]:
    with closing(sqlite3.connect(database, isolation_level=None)) as thief:
        thief.execute("BEGIN IMMEDIATE").close()
        yield
        thief.execute("ROLLBACK").close()


@contextmanager
def read_only(bot: BotProcess, database: Path) -> Iterator[None]:
    """Nobody may write the file or its log any more, whoever holds them open: needs root, and ext4 or the like."""
    files = [str(database), f"{database}-wal"]
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", *files], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no file can be made immutable here")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


@contextmanager
def no_descriptors(bot: BotProcess, database: Path) -> Iterator[None]:
    with _limited(bot, resource.RLIMIT_NOFILE, 3):
        yield


@contextmanager
def _limited(bot: BotProcess, what: int, soft: int) -> Iterator[None]:
    before = resource.prlimit(bot.process.pid, what)
    resource.prlimit(bot.process.pid, what, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(bot.process.pid, what, before)


def fill(disk: Path) -> Path:
    """The file that takes what room there was."""
    room = os.statvfs(disk)
    assert room.f_blocks * room.f_frsize == SMALL, "only ever the small disk"
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as full, suppress(OSError):
        for _ in range(SMALL // 4096 + 1):
            full.write(bytes(4096))
    return filler


def stored(database: Path, delivery: Delivery) -> bool:
    with (
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader,
        closing(reader.execute("SELECT count(*) FROM deliveries WHERE guid = ?", (delivery.guid,))) as found,
    ):
        return bool(found.fetchone()[0])


BREAKS = [
    pytest.param(no_disk, id="no-disk"),
    pytest.param(locked, id="locked", marks=pytest.mark.slow),
    pytest.param(read_only, id="read-only", marks=pytest.mark.slow),
    pytest.param(no_descriptors, id="no-descriptors", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("broken", BREAKS)
async def test_nothing_is_acknowledged_that_is_not_stored_and_the_bot_comes_back_by_itself(
    tmp_path: Path, broken: Break
) -> None:
    """R18; red when readiness only reads, when a line of the log that cannot be written raises, and without descriptors
    when asyncio's own words for it go to the log (all tried)."""
    database = tmp_path / "home" / "backspace.db"
    async with github(tmp_path) as host, serving(host, tmp_path) as bot:
        with broken(bot, database):
            host.github.world.hook_timeout_s = 10  # as GitHub's: a door that answers nothing is not waited for
            issue, delivery = await commented(host)
            host.github.world.hook_timeout_s = WITHIN_S
            await bot.unwell()
            assert bot.process.poll() is None, "it stays up"
        acknowledged = 200 <= delivery.status_code < 300
        assert stored(database, delivery) or not acknowledged
        await bot.healthy()
        if not acknowledged:
            again = host.github.redeliver(delivery)
            await host.github.deliver()
            assert 200 <= again.status_code < 300, again.response_body
            assert stored(database, delivery)
        assert len(bot.log.read_text().splitlines()) < 1_000, "it keeps its log short"
        await published(host, issue)
        assert len(pulls_of(host, issue)) == 1


@pytest.mark.slow
async def test_a_disk_that_fills_up_in_the_middle_of_a_job_publishes_nothing_half(tmp_path: Path) -> None:
    """The job stops at its first record that finds no room, and goes on where it was when there is room again."""
    database = tmp_path / "home" / "backspace.db"
    async with github(tmp_path) as host, serving(host, tmp_path) as bot:
        fault = host.github.faults.add(Delay(8), method="POST", path="/git/trees")
        issue, _ = await commented(host)
        await until(lambda: fault.left == 0)
        with no_disk(bot, database):
            await asyncio.sleep(12)
            assert pulls_of(host, issue) == []
            await bot.unwell()
        await published(host, issue)
        assert len(pulls_of(host, issue)) == 1
        assert len({check.head_sha for check in host.github.check_runs(host.repository)}) == len(
            host.github.check_runs(host.repository)
        )


@pytest.mark.slow
async def test_a_door_on_a_full_disk_says_so_and_opens_when_there_is_room(tmp_path: Path) -> None:
    """A real disk of 3 MiB, for the door alone."""
    async with github(tmp_path) as host:
        mounting = f'mount -t tmpfs -o size={SMALL} none /mnt && exec "$@"'
        box = ["unshare", "--map-root-user", "--mount", "sh", "-c", mounting, "sh"]
        home = {"BACKSPACE_HOME": "/mnt/home"}
        async with serving(host, tmp_path, settings=home, box=box, flags=["--web-only"]) as bot:
            filler = fill(Path(f"/proc/{bot.process.pid}/root/mnt"))
            statuses = set()
            for _ in range(200):
                _, delivery = await commented(host)
                statuses.add(delivery.status_code)
                if delivery.status_code == 503:
                    break
            assert statuses <= {202, 503}
            assert 503 in statuses
            await bot.unwell()
            filler.unlink()
            await bot.healthy()
            again = host.github.redeliver(delivery)
            await host.github.deliver()
            assert again.status_code == 202


@pytest.mark.slow
@pytest.mark.parametrize("how", ["read-only", "down"])
async def test_a_postgres_that_goes_away_or_takes_nothing_is_survived(
    tmp_path: Path, postgres: Postgres, how: str
) -> None:
    async with github(tmp_path) as host:
        settings = {"DATABASE_URL": postgres.new_schema()}
        async with serving(host, tmp_path, settings=settings) as bot:
            if how == "down":
                postgres.stop()
            else:
                postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
                postgres.execute("SELECT pg_reload_conf()")
                in_force = "SELECT 1 WHERE current_setting('default_transaction_read_only') = 'on'"
                await until(lambda: postgres.execute(in_force) > 0)
            try:
                issue, delivery = await commented(host)
                assert delivery.status_code == 503
                await bot.unwell()
            finally:
                if how == "down":
                    postgres.start()
                else:
                    postgres.execute("ALTER SYSTEM RESET default_transaction_read_only")
                    postgres.execute("SELECT pg_reload_conf()")
            await bot.healthy()
            host.github.redeliver(delivery)
            await published(host, issue)
            assert len(pulls_of(host, issue)) == 1


@pytest.mark.slow
async def test_a_read_only_database_keeps_the_bot_from_starting(tmp_path: Path) -> None:
    async with github(tmp_path) as host:
        async with serving(host, tmp_path, flags=["--web-only"]):
            pass
        home = host.settings["BACKSPACE_HOME"]
        box = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", home, home]
        env = {**os.environ, **host.settings, "BACKSPACE_MODEL": "rules"}
        argv = [*box, sys.executable, "-m", "bot", "serve"]
        started = await asyncio.create_subprocess_exec(*argv, env=env, stderr=asyncio.subprocess.PIPE)
        _, said = await asyncio.wait_for(started.communicate(), 60)
        assert started.returncode in (1, 2)
        assert b"write" in said, said
        assert b"Traceback" not in said
