"""The Daytona provider with the real SDK against the loopback Daytona: the contract, and what is asked of Daytona."""

import asyncio
import importlib.util
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import ProviderError
from bot.ports import SandboxProvider
from bot.sandboxes.daytona import Daytona
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.shelf import Shelf
from tests.sandboxes.contract import LeavingContract, SandboxContract, SetupContract, others, sh
from tests.sandboxes.reaping import all_but
from tests.standins.daytona.server import KEY, DaytonaStandIn, Live, daytona_standin
from tests.standins.modal.machine import AS_ROOT

only_as_root = pytest.mark.skipif(
    not AS_ROOT, reason="the stand-in's sandboxes have root only where the tests are root"
)
Making = Callable[..., Daytona]
pytestmark = [pytest.mark.anyio, only_as_root]


@pytest.fixture(scope="module")
def _daytona(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaytonaStandIn]:
    with daytona_standin(tmp_path_factory.mktemp("daytona")) as standin:
        yield standin


@pytest.fixture
def standin(_daytona: DaytonaStandIn) -> Iterator[DaytonaStandIn]:
    """A request that it does not know fails the test, and so does a sandbox that is left."""
    yield _daytona
    unanswered, left = [*_daytona.unanswered], _daytona.living()
    _daytona.unanswered.clear()
    for one in left:
        _daytona.lose(one)
    assert not unanswered, f"the stand-in does not know {unanswered}"
    assert not left


@pytest.fixture
def daytona(standin: DaytonaStandIn) -> Making:
    """Makes a provider; each is a bot process of its own, as far as Daytona can tell."""

    def make(**asked: Any) -> Daytona:
        return Daytona(**({"bot": "7", "key": KEY, "api_url": standin.url} | asked))

    return make


@pytest.mark.slow  # about 60 s: every test has a machine of its own
class TestDaytona(SandboxContract):
    @pytest.fixture
    def provider(self, standin: DaytonaStandIn) -> SandboxProvider:
        return Daytona(bot="7", key=KEY, api_url=standin.url)


class TestDaytonaSetup(SetupContract):
    @pytest.fixture
    def provider(self, standin: DaytonaStandIn, tmp_path: Path) -> SandboxProvider:
        return Daytona(bot="7", key=KEY, api_url=standin.url, shelf=Shelf(tmp_path / "warm"))


@pytest.mark.slow  # about 5 s
class TestDaytonaLeft(LeavingContract):
    @pytest.fixture
    def provider(self, standin: DaytonaStandIn) -> SandboxProvider:
        return Daytona(bot="7", key=KEY, api_url=standin.url)


def only(standin: DaytonaStandIn) -> Live:
    (one,) = standin.living()
    return one


async def test_a_machine_whose_network_cannot_be_closed_ends(standin: DaytonaStandIn, daytona: Making) -> None:
    """Red when it is left alive then: seen."""
    sandbox = await daytona().open("job-1")
    await sandbox.allow_network(["pypi.example"])
    standin.failing.add("/network-settings")
    try:
        with pytest.raises(ProviderError, match="no room"):
            await sandbox.end_network()
    finally:
        standin.failing.clear()
    assert standin.living() == []
    await sandbox.close()


async def test_who_finds_a_sandbox_of_a_setup_phase_closes_its_network_first(
    standin: DaytonaStandIn, daytona: Making
) -> None:
    """Red when it is found only: seen."""
    killed = await daytona().open("job-1")
    await killed.allow_network(["pypi.example"])
    finder = await daytona().open("job-1")
    assert only(standin).networks[-1] == {"networkBlockAll": True}
    await killed.close()
    await finder.close()


async def test_who_was_taken_over_from_is_told_and_ends_nothing(standin: DaytonaStandIn, daytona: Making) -> None:
    """A worker that was paused past its lease wakes up. Red when the end does not look who has it: seen."""
    paused = await daytona().open("job-1")
    await paused.write_file("left", b"by the paused")
    running = asyncio.create_task(paused.exec(["sh", "-c", "setsid sleep 1000 & sleep 1000"], timeout_s=1000))
    await asyncio.sleep(0.3)
    taker = await daytona().open("job-1")
    with pytest.raises(ProviderError, match="lost"):
        await running
    await paused.close()
    assert await taker.read_file("left", max_bytes=100) == b"by the paused"
    assert await others(taker) == 0
    await taker.close()
    assert standin.living() == []


async def test_a_job_that_is_opened_twice_at_once_has_one_sandbox(standin: DaytonaStandIn, daytona: Making) -> None:
    one, other = daytona(), daytona()
    opened = await asyncio.gather(one.open("job-1"), other.open("job-1"), return_exceptions=True)
    assert len(standin.living()) <= 1
    for sandbox in opened:
        if not isinstance(sandbox, BaseException):
            await sandbox.close()
    assert await one.reap(all_but()) <= 1


async def test_sandboxes_of_jobs_that_are_over_are_reaped_on_every_page(
    standin: DaytonaStandIn, daytona: Making
) -> None:
    provider = daytona()
    opened = [await provider.open(job) for job in ("alive", "alive-base", "over", "over-base")]
    theirs = await daytona(bot="8").open("over")
    standin.failing.add(standin.living()[2].id)
    with pytest.raises(ProviderError, match="there is no room"):
        await provider.reap(all_but("alive", "queued"))
    assert len(standin.living()) == 4, "one that cannot be ended keeps no other alive"
    standin.failing.clear()
    assert await provider.reap(all_but("alive", "queued")) == 1
    assert sorted(one.labels["tiny-backspace-job"] for one in standin.living()) == ["alive", "alive-base", "over"]
    await theirs.close()
    assert await provider.reap(all_but()) == 2
    for sandbox in opened:
        await sandbox.close()


async def test_a_lost_sandbox_is_a_providers_error(standin: DaytonaStandIn, daytona: Making) -> None:
    sandbox = await daytona().open("job-1")
    call = asyncio.create_task(sandbox.exec(["sleep", "100"], timeout_s=100))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(standin.lose, only(standin))
    with pytest.raises(ProviderError, match="lost") as lost:
        await call
    assert lost.value.retryable
    await sandbox.close()


async def test_a_sandbox_ends_when_its_time_is_over(standin: DaytonaStandIn, daytona: Making) -> None:
    sandbox = await daytona(limits=SandboxLimits(wall_clock_s=0.3)).open("short")
    await asyncio.sleep(0.3)
    with pytest.raises(ProviderError, match="lost"):
        await sandbox.exec(["true"], timeout_s=20)
    await sandbox.close()


async def test_commands_are_no_root_and_reach_neither_helper_nor_relay(
    standin: DaytonaStandIn, daytona: Making
) -> None:
    sandbox = await daytona().open("job-1")
    assert (await sh(sandbox, "id -u; id -g; grep CapEff /proc/self/status")) == f"1000\n1000\nCapEff:\t{0:016x}\n"
    assert await sh(sandbox, "kill -KILL -1; true") == ""
    tried = "for one in /proc/[0-9]*; do [ $one != /proc/$$ ] && cat $one/environ $one/mem 2> /dev/null; done; true"
    assert "tiny" not in await sh(sandbox, tried)
    assert await sh(sandbox, "for place in / /etc /run /root; do touch $place/x && echo $place; done; :") == ""
    await sandbox.close()


async def test_a_sandbox_is_known_by_its_job_and_has_a_time_out(standin: DaytonaStandIn, daytona: Making) -> None:
    """No other interval than its life ends it: a command that runs for an hour is no call from outside."""
    sandbox = await daytona(snapshot="our-snapshot").open("job-1", image="python")
    asked, labels = only(standin).asked, only(standin).labels
    await sandbox.close()
    assert asked["name"].startswith("tiny-backspace-")
    assert (labels["tiny-backspace-bot"], labels["tiny-backspace-job"]) == ("7", "job-1")
    assert (asked["snapshot"], asked["ttlMinutes"], asked["autoStopInterval"]) == ("our-snapshot", 120, 0)
    assert (asked["autoDeleteInterval"], asked["public"]) == (0, False)


async def test_nothing_of_the_bots_goes_in(
    standin: DaytonaStandIn, daytona: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "canary-4711")
    sandbox = await daytona().open("job-1")
    seen = await sh(sandbox, "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null || true")
    asked, terminals = only(standin).asked, only(standin).terminals.values()
    await sandbox.close()
    for text in (seen, str(asked), *(str(one.env) for one in terminals)):
        assert "canary" not in text
        assert KEY not in text
    assert (asked["env"], asked.get("secrets"), asked["volumes"]) == ({}, None, [])


async def test_the_agents_sandbox_has_no_network(standin: DaytonaStandIn, daytona: Making) -> None:
    """Red without network_block_all: seen."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sandbox = await daytona().open("job-1")
        connecting = f"import socket; socket.create_connection(('127.0.0.1', {listening.getsockname()[1]}), 2)"
        reached = await sandbox.exec(["python3", "-c", connecting], timeout_s=20)
    assert only(standin).asked["networkBlockAll"] is True
    await sandbox.close()
    assert reached.exit_code == 1


async def test_the_setup_phase_has_the_network_of_its_list_and_then_none(
    standin: DaytonaStandIn, daytona: Making
) -> None:
    """That Daytona keeps to the list cannot be seen on loopback: that it is asked to can."""
    sandbox = await daytona().open("job-1")
    await sandbox.allow_network(["pypi.example", "*.npm.example"])
    assert await sandbox.end_network() == ()
    networks = only(standin).networks
    await sandbox.close()
    assert networks == [{"domainAllowList": "pypi.example,*.npm.example"}, {"networkBlockAll": True}]


async def test_what_was_kept_of_one_snapshot_is_not_found_with_another(
    standin: DaytonaStandIn, daytona: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Daytona's default changes without a word. Red when the shelf is not told the snapshot: seen."""
    provider = daytona(shelf=Shelf(tmp_path / "warm"))
    first = await provider.open("job-1")
    await sh(first, "git init -q; echo made > made")
    await first.keep("key")
    await first.close()
    monkeypatch.setattr(standin, "usual_snapshot", "daytonaio/sandbox:0.6")
    second = await provider.open("job-2", warm="key")
    assert (second.warm, await second.list_files()) == (False, ())
    await second.close()


async def test_what_daytona_refuses_is_told_in_its_words(standin: DaytonaStandIn, daytona: Making) -> None:
    with pytest.raises(ProviderError, match="Invalid API key"):
        await daytona(key="dtn_wrong").open("job-1")
    with pytest.raises(ProviderError, match="Snapshot nowhere not found"):
        await daytona(snapshot="nowhere").open("job-1")


async def test_a_problem_says_what_to_do(
    standin: DaytonaStandIn, daytona: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert daytona().problem() is None
    assert (daytona(key="").problem() or "").startswith("DAYTONA_API_KEY is missing: ")
    assert (daytona(key="dtn_wrong").problem() or "").startswith("Daytona refuses DAYTONA_API_KEY: ")
    assert (daytona(api_url="http://127.0.0.1:9").problem() or "").startswith("Daytona cannot be reached: ")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install -e '.[daytona]'" in (daytona().problem() or "")
