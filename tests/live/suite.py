"""A provider as it really is: the contract, one journey, and how long things take. Only `make test-live` runs it."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bot.domain.events import SandboxReady
from bot.ports import SandboxProvider
from bot.stage import staged
from tests.live.conftest import TIME
from tests.repositories import commit, write
from tests.sandboxes.contract import LeavingContract, SandboxContract, SetupContract
from tests.test_journey import asked

pytestmark = pytest.mark.anyio
COMMANDS = 20
MIB = 1 << 20
Told = Callable[[str, object], None]


class TestLive(SandboxContract):
    provider = None  # type: ignore[assignment]  # the one of conftest.py


class TestLiveSetup(SetupContract):
    provider = None  # type: ignore[assignment]  # as above


class TestLiveLeft(LeavingContract):
    provider = None  # type: ignore[assignment]  # as above


async def test_how_long_things_take(provider: SandboxProvider, record_property: Told) -> None:
    began = time.perf_counter()

    def tell(what: str) -> None:
        nonlocal began
        record_property(TIME, (what, (time.perf_counter() - began) * 1000))
        began = time.perf_counter()

    sandbox = await provider.open("times")
    tell("open, nothing there")
    each = []
    for _ in range(COMMANDS):
        started = time.perf_counter()
        assert (await sandbox.exec(["true"], timeout_s=30)).exit_code == 0
        each.append((time.perf_counter() - started) * 1000)
    record_property(TIME, (f"a command, median of {COMMANDS}", statistics.median(each)))
    record_property(TIME, (f"a command, slowest of {COMMANDS}", max(each)))
    began = time.perf_counter()
    await sandbox.write_file("large", b"x" * MIB)
    tell("write 1 MiB")
    assert len(await sandbox.read_file("large", max_bytes=MIB)) == MIB
    tell("read 1 MiB")
    found = await provider.open("times")
    tell("open, found again")
    assert await found.list_files() == ("large",)
    began = time.perf_counter()
    await found.close()
    tell("close")
    await sandbox.close()


async def test_a_request_becomes_a_pull_request(
    settings: Mapping[str, str], provider: SandboxProvider, tmp_path: Path, record_property: Told
) -> None:
    """GitHub is the loopback one, the model the rule agent; the sandbox is the provider's."""
    source = tmp_path / "source"
    source.mkdir()
    write(source, {"hello.txt": b"hullo\n", ".github/backspace.yml": b"test: grep -q hello hello.txt\n"})
    began = time.perf_counter()
    async with staged(tmp_path / "stage", source=commit(source), settings=settings) as stage:
        issue = await asked(stage, "/backspace replace `hullo` with `hello` in `hello.txt`")
        (row,) = await stage.jobs(issue)
        events = [recorded.event for recorded in await stage.store.events(row.job.id)]
        opened = stage.github.pull_requests(stage.repository)
    record_property(TIME, ("from the request to the pull request", (time.perf_counter() - began) * 1000))
    assert [event.provider for event in events if isinstance(event, SandboxReady)] == [provider.name]
    assert len(opened) == 1
