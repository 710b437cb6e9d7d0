"""The E2B provider with the real SDK against the loopback E2B: the contract, and what is asked of E2B."""

import asyncio
import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.errors import ProviderError
from bot.ports import SandboxProvider
from bot.sandboxes.e2b import E2B
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.shelf import Shelf
from tests.sandboxes.contract import LeavingContract, SandboxContract, SetupContract, others, sh, short_lived
from tests.sandboxes.reaping import all_but
from tests.standins.e2b.server import KEY, E2BStandIn, Live, e2b_standin
from tests.standins.modal.machine import AS_ROOT

only_as_root = pytest.mark.skipif(
    not AS_ROOT, reason="the stand-in's sandboxes have root only where the tests are root"
)
pytestmark = [pytest.mark.anyio, only_as_root]


@pytest.fixture(scope="module")
def _e2b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[E2BStandIn]:
    with e2b_standin(tmp_path_factory.mktemp("e2b")) as standin:
        yield standin


@pytest.fixture
def standin(_e2b: E2BStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[E2BStandIn]:
    """A request that it does not know fails the test, and so does a sandbox that is left."""
    monkeypatch.setenv("E2B_API_URL", _e2b.server.url)
    monkeypatch.setenv("E2B_SANDBOX_URL", _e2b.server.url)
    yield _e2b
    unanswered, left = [*_e2b.unanswered], _e2b.living()
    _e2b.unanswered.clear()
    for one in left:
        _e2b.lose(one)
    assert not unanswered, f"the stand-in does not know {unanswered}"
    assert not left


@pytest.mark.slow  # about 50 s: every test has a machine of its own
class TestE2B(SandboxContract):
    @pytest.fixture
    def provider(self, standin: E2BStandIn) -> SandboxProvider:
        return E2B(bot="7", key=KEY)


class TestE2BSetup(SetupContract):
    @pytest.fixture
    def provider(self, standin: E2BStandIn, tmp_path: Path) -> SandboxProvider:
        return E2B(bot="7", key=KEY, shelf=Shelf(tmp_path / "warm"))


class TestE2BLeft(LeavingContract):
    @pytest.fixture
    def provider(self, standin: E2BStandIn) -> SandboxProvider:
        return E2B(bot="7", key=KEY)


def only(standin: E2BStandIn) -> Live:
    (one,) = standin.living()
    return one


async def test_a_sandbox_is_known_by_its_job_and_has_a_time_out(standin: E2BStandIn) -> None:
    sandbox = await E2B(bot="7", key=KEY, template="our-template").open("job-1", image="python")
    asked = only(standin).asked
    await sandbox.close()
    assert asked["metadata"] == {"tiny-backspace-bot": "7", "tiny-backspace-job": "job-1"}
    assert (asked["templateID"], asked["timeout"], asked["autoPause"]) == ("our-template", 3600, False)


async def test_nothing_of_the_bots_goes_in(standin: E2BStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "canary-4711")
    sandbox = await E2B(bot="7", key=KEY).open("job-1")
    seen = await sh(sandbox, "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null || true")
    asked = only(standin).asked
    commands = [str(one.config) for one in only(standin).inside.commands.values()]
    await sandbox.close()
    for text in (seen, str(asked), *commands):
        assert "canary" not in text
        assert KEY not in text
    assert (asked.get("envVars") or {}, asked.get("volumeMounts")) == ({}, None)


async def test_the_agents_sandbox_has_no_network(standin: E2BStandIn) -> None:
    """Red without allow_internet_access=False: seen."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sandbox = await E2B(bot="7", key=KEY).open("job-1")
        connecting = f"import socket; socket.create_connection(('127.0.0.1', {listening.getsockname()[1]}), 2)"
        reached = await sandbox.exec(["python3", "-c", connecting], timeout_s=20)
    assert only(standin).asked["allow_internet_access"] is False
    await sandbox.close()
    assert reached.exit_code == 1


async def test_the_setup_phase_has_the_network_of_its_list_and_then_none(standin: E2BStandIn) -> None:
    """That E2B keeps to the list cannot be seen on loopback: that it is asked to can."""
    sandbox = await E2B(bot="7", key=KEY).open("job-1")
    await sandbox.allow_network(["pypi.example", "*.npm.example"])
    assert await sandbox.end_network() == ()
    networks = only(standin).networks
    await sandbox.close()
    assert networks == [
        {"allowOut": ["pypi.example", "*.npm.example"], "denyOut": ["0.0.0.0/0"]},
        {"denyOut": ["0.0.0.0/0"]},
    ]


async def test_a_machine_whose_network_cannot_be_closed_ends(standin: E2BStandIn) -> None:
    """Red when it is left alive then: seen."""
    sandbox = await E2B(bot="7", key=KEY).open("job-1")
    await sandbox.allow_network(["pypi.example"])
    standin.failing.add("/network")
    try:
        with pytest.raises(ProviderError, match="no room"):
            await sandbox.end_network()
    finally:
        standin.failing.clear()
    assert standin.living() == []
    await sandbox.close()


async def test_who_finds_a_sandbox_of_a_setup_phase_closes_its_network_first(standin: E2BStandIn) -> None:
    """Red when it is found only: seen."""
    killed = await E2B(bot="7", key=KEY).open("job-1")
    await killed.allow_network(["pypi.example"])
    finder = await E2B(bot="7", key=KEY).open("job-1")
    assert only(standin).networks[-1] == {"denyOut": ["0.0.0.0/0"]}
    await killed.close()
    await finder.close()


async def test_who_was_taken_over_from_is_told_and_ends_nothing(standin: E2BStandIn) -> None:
    """A worker that was paused past its lease wakes up. Red when the end does not look who has it: seen."""
    paused = await E2B(bot="7", key=KEY).open("job-1")
    await paused.write_file("left", b"by the paused")
    running = asyncio.create_task(paused.exec(["sh", "-c", "setsid sleep 1000 & sleep 1000"], timeout_s=1000))
    await asyncio.sleep(0.3)
    taker = await E2B(bot="7", key=KEY).open("job-1")
    with pytest.raises(ProviderError, match="lost"):
        await running
    await paused.close()
    assert await taker.read_file("left", max_bytes=100) == b"by the paused"
    assert await others(taker) == 0
    await taker.close()
    assert standin.living() == []


async def test_a_job_that_is_opened_twice_at_once_has_one_sandbox(standin: E2BStandIn) -> None:
    one, other = E2B(bot="7", key=KEY), E2B(bot="7", key=KEY)
    opened = await asyncio.gather(one.open("job-1"), other.open("job-1"), return_exceptions=True)
    assert len(standin.living()) <= 1
    for sandbox in opened:
        if not isinstance(sandbox, BaseException):
            await sandbox.close()
    assert await one.reap(all_but()) <= 1


async def test_sandboxes_of_jobs_that_are_over_are_reaped_on_every_page(standin: E2BStandIn) -> None:
    provider = E2B(bot="7", key=KEY)
    opened = [await provider.open(job) for job in ("alive", "alive-base", "over", "over-base")]
    theirs = await E2B(bot="8", key=KEY).open("over")
    standin.failing.add(standin.living()[2].id)
    with pytest.raises(ProviderError, match="there is no room"):
        await provider.reap(all_but("alive", "queued"))
    assert len(standin.living()) == 4, "one that cannot be ended keeps no other alive"
    standin.failing.clear()
    assert await provider.reap(all_but("alive", "queued")) == 1
    assert sorted(one.metadata["tiny-backspace-job"] for one in standin.living()) == ["alive", "alive-base", "over"]
    await theirs.close()
    assert await provider.reap(all_but()) == 2
    for sandbox in opened:
        await sandbox.close()


async def test_a_lost_sandbox_is_a_providers_error(standin: E2BStandIn) -> None:
    sandbox = await E2B(bot="7", key=KEY).open("job-1")
    call = asyncio.create_task(sandbox.exec(["sleep", "100"], timeout_s=100))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(standin.lose, only(standin))
    with pytest.raises(ProviderError, match="lost") as lost:
        await call
    assert lost.value.retryable
    await sandbox.close()


async def test_a_sandbox_ends_when_its_time_is_over(standin: E2BStandIn) -> None:
    def made(life_s: float) -> E2B:
        return E2B(bot="7", key=KEY, limits=SandboxLimits(wall_clock_s=life_s))

    sandbox, life_s = await short_lived(made)
    await asyncio.sleep(life_s)
    with pytest.raises(ProviderError, match="lost"):
        await sandbox.exec(["true"], timeout_s=20)
    await sandbox.close()


@pytest.mark.parametrize(
    ("key", "template", "words"),
    [
        pytest.param(KEY + "x", "base", "Invalid API key", id="key"),
        pytest.param(KEY, "nowhere", "template 'nowhere' not found", id="template"),
    ],
)
async def test_what_e2b_refuses_is_told_in_its_words(standin: E2BStandIn, key: str, template: str, words: str) -> None:
    with pytest.raises(ProviderError, match=words):
        await E2B(bot="7", key=key, template=template).open("job-1")


async def test_a_problem_says_what_to_do(standin: E2BStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert E2B(bot="7", key=KEY).problem() is None
    assert (E2B(bot="7", key="").problem() or "").startswith("E2B_API_KEY is missing: ")
    assert (E2B(bot="7", key="e2b_wrong").problem() or "").startswith("E2B refuses E2B_API_KEY: ")
    monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
    assert (E2B(bot="7", key=KEY).problem() or "").startswith("E2B cannot be reached: ")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install -e '.[e2b]'" in (E2B(bot="7", key=KEY).problem() or "")


async def test_commands_are_no_root_and_reach_neither_helper_nor_relay(standin: E2BStandIn) -> None:
    sandbox = await E2B(bot="7", key=KEY).open("job-1")
    assert (await sh(sandbox, "id -u; id -g; grep CapEff /proc/self/status")) == f"1000\n1000\nCapEff:\t{0:016x}\n"
    assert await sh(sandbox, "kill -KILL -1; true") == ""
    tried = "for one in /proc/[0-9]*; do [ $one != /proc/$$ ] && cat $one/environ $one/mem 2> /dev/null; done; true"
    assert "tiny" not in await sh(sandbox, tried)
    assert await sh(sandbox, "for place in / /etc /run /root; do touch $place/x && echo $place; done; :") == ""
    await sandbox.close()
