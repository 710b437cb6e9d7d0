"""The Modal provider with the real SDK against the loopback Modal: the contract, and what is asked of Modal."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import modal
import pytest

from bot.domain.errors import ProviderError
from bot.ports import Sandbox, SandboxProvider
from bot.sandboxes.images import DEFAULT, published_name
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.modal import APP, Modal
from tests.polling import until
from tests.sandboxes.containment import TIGHT, Containment
from tests.sandboxes.contract import LeavingContract, SandboxContract, SetupContract, others, sh, short_lived
from tests.sandboxes.reaping import all_but
from tests.standins.modal.machine import AS_ROOT
from tests.standins.modal.published import Published
from tests.standins.modal.router import Router
from tests.standins.modal.sandboxes import Live, Sandboxes
from tests.standins.modal.server import ModalStandIn

pytestmark = pytest.mark.anyio
TOKEN = ("ak-test", "as-canary-4711")
ROOT = Path(__file__).parents[2]
MIB = 1 << 20
only_as_root = pytest.mark.skipif(
    not AS_ROOT, reason="a sandbox of the stand-in has root only where the tests are root"
)


@pytest.fixture
def standin(modal_server: ModalStandIn) -> ModalStandIn:
    modal_server.part(Published).publish(published_name(DEFAULT))
    return modal_server


@dataclass
class Bots:
    """Every sandbox that `open` answers is closed after the test, and every connection."""

    providers: list[Modal] = field(default_factory=list)
    sandboxes: list[Sandbox] = field(default_factory=list)

    def one(self, bot: str = "7", *, limits: SandboxLimits | None = None, token: tuple[str, str] = TOKEN) -> Modal:
        """A process of its own, as far as Modal can tell."""
        self.providers.append(Modal(bot=bot, token=token, limits=limits))
        return self.providers[-1]

    async def open(self, job_id: str, *, by: Modal | None = None, image: str = "", warm: str = "") -> Sandbox:
        """By another bot process each time when none is given."""
        self.sandboxes.append(await (by or self.one()).open(job_id, image=image, warm=warm))
        return self.sandboxes[-1]

    async def close(self) -> None:
        for sandbox in self.sandboxes:
            await sandbox.close()
        for provider in self.providers:
            await provider.aclose()


@pytest.fixture
async def bots(standin: ModalStandIn) -> AsyncIterator[Bots]:
    bots = Bots()
    yield bots
    await bots.close()
    assert living(standin) == []


@pytest.fixture
async def sandbox(bots: Bots) -> Sandbox:
    return await bots.open("job-1")


@pytest.mark.slow  # about 40 s: every test has a machine of its own
class TestModal(SandboxContract):
    @pytest.fixture
    async def provider(self, standin: ModalStandIn) -> AsyncIterator[SandboxProvider]:
        provider = Modal(bot="7", token=TOKEN)
        yield provider
        await provider.aclose()


class TestModalSetup(SetupContract):
    @pytest.fixture
    async def provider(self, standin: ModalStandIn) -> AsyncIterator[SandboxProvider]:
        provider = Modal(bot="7", token=TOKEN)
        yield provider
        await provider.aclose()


class TestModalLeft(LeavingContract):
    @pytest.fixture
    async def provider(self, standin: ModalStandIn) -> AsyncIterator[SandboxProvider]:
        provider = Modal(bot="7", token=TOKEN)
        yield provider
        await provider.aclose()


@only_as_root
@pytest.mark.slow  # about 30 s
class TestModalContainment(Containment):
    """The sizes of disks, their inodes and the user namespaces of its own kernel are Modal's business."""

    test_disk_is_full_at_its_size = None  # type: ignore[assignment]  # so pytest leaves it out
    test_disk_space_of_all_together_has_a_limit_too = None  # type: ignore[assignment]  # so pytest leaves it out
    test_disk_space_of_all_together_holds_for_short_commands_too = None  # type: ignore[assignment]  # so pytest leaves it out
    test_inodes_end_the_command_that_takes_them_all = None  # type: ignore[assignment]  # so pytest leaves it out

    @pytest.fixture(autouse=True)
    def _applies(self, request: pytest.FixtureRequest) -> None:
        if request.node.name.endswith("[user-namespace]"):
            pytest.skip("Modal's kernel is one of its own")

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, _modal_session: ModalStandIn) -> Iterator[SandboxProvider]:
        with pytest.MonkeyPatch.context() as patching:
            patching.setenv("MODAL_SERVER_URL", _modal_session.url)
            _modal_session.part(Published).publish(published_name(DEFAULT))
            yield Modal(bot="7", token=TOKEN, limits=TIGHT)


def living(standin: ModalStandIn) -> list[Live]:
    return list(standin.part(Sandboxes).living())


def only(standin: ModalStandIn) -> Live:
    (one,) = living(standin)
    return one


# ------------------------------------------------------------------ what is asked of Modal


async def test_a_sandbox_is_named_and_tagged_by_its_job(standin: ModalStandIn, sandbox: Sandbox) -> None:
    one = only(standin)
    assert one.definition.name.startswith("job-")
    assert {name: one.tags[name] for name in ("bot", "job", "purpose")} == {
        "bot": "7",
        "job": "job-1",
        "purpose": "agent",
    }


async def test_every_sandbox_and_every_command_has_a_time_out(standin: ModalStandIn, bots: Bots) -> None:
    """Modal's own default would end a job after five minutes; a command without one would outlive the bot."""
    before = len(standin.part(Sandboxes).all), len(standin.part(Router).started)
    sandbox = await bots.open("job-1")
    await sandbox.allow_network(["example.org"])
    await sandbox.end_network()
    await sandbox.close()
    created = list(standin.part(Sandboxes).all.values())[before[0] :]
    started = standin.part(Router).started[before[1] :]
    assert [(one.definition.timeout_secs, one.definition.idle_timeout_secs) for one in created] == [(7200, 600)] * 3
    assert [one.timeout_secs for one in started] == [7200] * 3


async def test_cpu_and_memory_are_limited(standin: ModalStandIn, sandbox: Sandbox) -> None:
    resources = only(standin).definition.resources
    assert (resources.milli_cpu, resources.milli_cpu_max) == (1000, 4000)
    assert (resources.memory_mb, resources.memory_mb_max) == (1024, 4096)


async def test_the_agents_sandbox_has_no_network(
    standin: ModalStandIn, sandbox: Sandbox, listener: socket.socket
) -> None:
    """Red without block_network: seen."""
    assert network(only(standin)) == ("BLOCKED", [])
    assert await reaches(sandbox, listener) == "1"


async def test_nothing_of_the_bots_goes_in(standin: ModalStandIn, bots: Bots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when os.environ is given as `env`, or a secret as `secrets`: seen."""
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "canary-4711")
    before = len(standin.part(Router).started)
    sandbox = await bots.open("job-1")
    seen = await sh(sandbox, "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2> /dev/null || true")
    request, commands = only(standin).request, standin.part(Router).started[before:]
    await sandbox.close()
    asked = request.SerializeToString() + b"".join(command.SerializeToString() for command in commands)
    assert "canary" not in seen
    assert b"canary" not in asked
    assert str(ROOT).encode() not in asked
    assert (list(request.secret_sources), list(request.definition.secret_ids)) == ([], [])
    assert (list(request.definition.mount_ids), list(request.definition.volume_mounts)) == ([], [])
    assert [len(command.secret_sources) for command in commands] == [0]


async def test_content_never_is_an_argument(standin: ModalStandIn, sandbox: Sandbox) -> None:
    """Modal takes 64 KiB of arguments."""
    await sandbox.write_file("large", b"x" * MIB)
    argument = "y" * 100_000
    result = await sandbox.exec(["sh", "-c", 'printf %s "$1" | wc -c', "sh", argument], timeout_s=20)
    assert result.stdout == b"100000\n"
    (started,) = [one for one in standin.part(Router).started if one.task_id == only(standin).task_id]
    assert sum(map(len, started.command_args)) < 64 << 10


@pytest.mark.parametrize(("image", "taken"), [("", DEFAULT), ("python", "python"), ("go", DEFAULT)])
async def test_the_image_wished_for_is_taken_where_it_is_published(
    standin: ModalStandIn, bots: Bots, image: str, taken: str
) -> None:
    standin.part(Published).publish(published_name("python"))
    await bots.open("job-1", image=image)
    assert only(standin).definition.image_id == standin.part(Published).names[published_name(taken)]


# ------------------------------------------------------------------ who may do what inside


@only_as_root
async def test_commands_are_no_root_and_can_neither_signal_nor_trace_the_helper(sandbox: Sandbox) -> None:
    """Red when the helper's real or saved user is the commands', or root is not given up: seen."""
    status = await sh(sandbox, "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|NoNewPrivs)' /proc/self/status")
    assert status == (
        "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t \n"
        f"CapPrm:\t{0:016x}\nCapEff:\t{0:016x}\nNoNewPrivs:\t1\n"
    )
    helper = "$(grep -ls 'bot[.]sandboxes' /proc/[0-9]*/cmdline | cut -d/ -f3 | head -1)"
    tried = f"for signal in INT TERM HUP USR1 QUIT STOP KILL; do kill -$signal {helper} && echo $signal; done; true"
    assert await sh(sandbox, tried) == ""
    seen = f"for file in mem environ fd/0 maps; do cat /proc/{helper}/$file > /dev/null 2>&1 && echo $file; done; true"
    assert await sh(sandbox, seen) == ""
    assert await sh(sandbox, "kill -KILL -1; true") == ""
    assert (
        await sh(sandbox, "for place in / /etc /run/backspace /home /root; do touch $place/x && echo $place; done; :")
        == ""
    )


# ------------------------------------------------------------------ found again


TAKER = """
import asyncio, os, sys
from bot.sandboxes.modal import APP, Modal
async def main():
    sandbox = await Modal(bot="7", token=("ak-test", "as-canary-4711")).open("job-9")
    await sandbox.write_file("left", b"by the dead")
    print("ready", flush=True)
    await sandbox.exec(["sh", "-c", "setsid sleep 1000 & sleep 1000"], timeout_s=1000)
asyncio.run(main())
"""


async def test_another_process_finds_the_sandbox_of_a_job_whose_bot_was_killed(
    standin: ModalStandIn, bots: Bots
) -> None:
    environment = {**os.environ, "MODAL_SERVER_URL": standin.url, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", TAKER]
    dead = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=subprocess.PIPE)
    assert dead.stdout is not None
    assert await dead.stdout.readline() == b"ready\n"
    await asyncio.sleep(0.3)
    dead.send_signal(signal.SIGKILL)
    await dead.wait()
    before = only(standin).id
    sandbox = await bots.open("job-9")
    assert only(standin).id == before
    assert await sandbox.read_file("left", max_bytes=100) == b"by the dead"
    assert await others(sandbox) == 0


async def test_who_was_taken_over_from_is_told_and_ends_nothing(standin: ModalStandIn, bots: Bots) -> None:
    """A worker that was paused past its lease wakes up. Red when the end does not look who holds it: seen."""
    paused = await bots.open("job-1")
    taker = await bots.open("job-1")
    with pytest.raises(ProviderError, match="lost"):
        await paused.exec(["true"], timeout_s=20)
    await paused.close()
    assert await sh(taker, "echo here") == "here\n"
    await taker.close()
    assert living(standin) == []


async def test_two_bots_of_one_account_do_not_meet(standin: ModalStandIn, bots: Bots) -> None:
    one, other = bots.one(), bots.one("8")
    mine, theirs = await bots.open("job-1", by=one), await bots.open("job-1", by=other)
    await mine.write_file("mine", b"")
    assert await theirs.list_files() == ()
    assert await one.reap(all_but()) == 1
    assert await sh(theirs, "echo here") == "here\n"
    assert await other.reap(all_but()) == 1


async def test_sandboxes_of_jobs_that_are_over_are_reaped(standin: ModalStandIn, bots: Bots) -> None:
    for job in ("alive", "alive-base", "over", "over-base"):
        await bots.open(job)
    before = len(standin.calls)
    standin.failing.add("SandboxTerminateV2")
    try:
        with pytest.raises(ProviderError, match="There is no room"):
            await bots.one().reap(all_but("alive", "queued"))
    finally:
        standin.failing.clear()
    assert standin.calls[before:].count("SandboxTerminateV2") == 2, "one that cannot be ended keeps no other alive"
    assert await bots.one().reap(all_but("alive", "queued")) == 2
    assert sorted(one.tags["job"] for one in living(standin)) == ["alive", "alive-base"]


async def test_a_lost_sandbox_is_a_providers_error(standin: ModalStandIn, sandbox: Sandbox) -> None:
    call = asyncio.create_task(sandbox.exec(["sleep", "100"], timeout_s=100))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(standin.part(Sandboxes).lose, only(standin).id)
    with pytest.raises(ProviderError, match="lost") as lost:
        await call
    assert lost.value.retryable


async def test_a_sandbox_that_cannot_be_entered_is_not_left_behind(standin: ModalStandIn, bots: Bots) -> None:
    """Red when it is not ended then: seen."""
    standin.failing.add("TaskExecStart")
    try:
        with pytest.raises(ProviderError, match="no room"):
            await bots.open("job-1")
    finally:
        standin.failing.clear()
    await until(lambda: not living(standin))


async def test_an_opening_that_is_cancelled_leaves_no_sandbox_behind(standin: ModalStandIn, bots: Bots) -> None:
    """Red when a cancelled call does not end what it made: seen."""
    before = len(standin.calls)
    standin.held.add("TaskExecStdinWrite")
    opening = asyncio.create_task(bots.open("job-1"))
    try:
        await until(lambda: "TaskExecStdinWrite" in standin.calls[before:])
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    finally:
        standin.held.clear()
    await until(lambda: not living(standin))


async def test_the_containers_own_connection_to_modal_outlives_a_provider(
    standin: ModalStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job function gives its hints over it afterwards. Red when it is closed like one of a token: seen."""
    monkeypatch.setenv("MODAL_TOKEN_ID", TOKEN[0])
    monkeypatch.setenv("MODAL_TOKEN_SECRET", TOKEN[1])
    for job in ("job-1", "job-2"):
        provider = Modal(bot="7")
        sandbox = await provider.open(job)
        await sandbox.close()
        await provider.aclose()
    assert living(standin) == []


async def test_a_sandbox_ends_when_its_time_is_over(standin: ModalStandIn, bots: Bots) -> None:
    def made(life_s: float) -> Modal:
        return bots.one(limits=SandboxLimits(wall_clock_s=life_s))

    sandbox, life_s = await short_lived(made)
    await asyncio.sleep(life_s)
    with pytest.raises(ProviderError, match="its time is over"):
        await sandbox.exec(["true"], timeout_s=20)
    await sandbox.close()
    await until(lambda: not living(standin))


# ------------------------------------------------------------------ the setup phase


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


async def reaches(sandbox: Sandbox, listener: socket.socket) -> str:
    """ "0" when a command can connect to this machine."""
    port = listener.getsockname()[1]
    script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
    return str((await sandbox.exec(["python3", "-c", script], timeout_s=20)).exit_code)


def network(one: Live) -> tuple[str, list[str]]:
    access = one.definition.network_access
    return type(access).NetworkAccessType.Name(access.network_access_type), list(access.allowed_domains)


async def test_the_setup_phase_has_the_network_of_its_list_and_then_none(
    standin: ModalStandIn, sandbox: Sandbox, listener: socket.socket
) -> None:
    """That Modal keeps to the list cannot be seen on loopback: that it is asked to can."""
    await sh(sandbox, "mkdir -m 750 kept; echo before > kept/file; echo x > ~/file; ln -s file kept/link")
    await sandbox.allow_network(["pypi.example", "*.npm.example"])
    assert network(only(standin)) == ("ALLOWLIST", ["pypi.example", "*.npm.example"])
    assert only(standin).tags["purpose"] == "setup"
    assert await reaches(sandbox, listener) == "0"
    await sh(sandbox, "echo during >> kept/file; setsid sleep 1000 &")
    assert await sandbox.end_network() == ()
    assert network(only(standin)) == ("BLOCKED", [])
    assert await reaches(sandbox, listener) == "1"
    kept = "before\nduring\nx\n750 kept\nfile\n"
    assert await sh(sandbox, "cat kept/file ~/file; stat -c '%a %n' kept; readlink kept/link") == kept
    with pytest.raises(ProviderError, match="no network any more"):
        await sandbox.allow_network(["pypi.example"])


async def test_no_network_is_left_when_the_other_machine_cannot_be_had(standin: ModalStandIn, sandbox: Sandbox) -> None:
    """Red when the sandbox of the setup phase is not ended then: seen."""
    await sandbox.allow_network(["pypi.example"])
    standin.failing.add("SandboxCreateV2")
    try:
        with pytest.raises(ProviderError, match="no room"):
            await sandbox.end_network()
    finally:
        standin.failing.clear()
    assert living(standin) == []
    with pytest.raises(ProviderError, match="lost"):
        await sandbox.exec(["true"], timeout_s=20)


async def test_too_many_names_are_refused_in_words(sandbox: Sandbox) -> None:
    with pytest.raises(ProviderError, match="100 host names at most, not 101"):
        await sandbox.allow_network([f"host-{number}.example" for number in range(101)])
    assert await sh(sandbox, "echo here") == "here\n"


async def test_a_bot_killed_in_the_setup_phase_leaves_no_sandbox_with_network(
    standin: ModalStandIn, bots: Bots
) -> None:
    dead = await bots.open("job-1")
    await dead.allow_network(["pypi.example"])
    again = await bots.open("job-1")
    assert network(only(standin)) == ("BLOCKED", [])
    assert await again.list_files() == ()


async def test_a_bot_killed_as_the_setup_phase_ends_leaves_no_sandbox_with_network_either(
    standin: ModalStandIn, bots: Bots
) -> None:
    """It had the machine without network, and not yet ended the other. Red when only a new one looks for it: seen."""
    await bots.open("job-1")
    machine = only(standin)
    client = await modal.Client.from_credentials.aio(*TOKEN)
    left = await modal.Sandbox.create.aio(
        *("sleep", "infinity"),
        app=await modal.App.lookup.aio(APP, client=client),
        image=modal.Image.from_name(published_name(DEFAULT), client=client),
        name=f"{machine.definition.name}.setup",
        client=client,
    )
    await left.detach.aio()  # type: ignore[no-untyped-call]  # Modal's
    await client.close.aio()
    again = await bots.open("job-1")
    assert living(standin) == [machine]
    await again.allow_network(["pypi.example"])
    assert network(only(standin)) == ("ALLOWLIST", ["pypi.example"])
    await again.end_network()


SETUP = """
git init -q; echo tracked > tracked; mkdir src; echo tracked > src/also; printf 'made/\\n' > .gitignore
git add -A; git -c user.name=x -c user.email=x@example.org commit -qm base
mkdir -p made/deep src/new; echo made > made/deep/file; echo new > src/new/file; echo home > ~/.cache-of-it
"""


async def test_what_a_setup_made_is_kept_for_the_next_job(standin: ModalStandIn, bots: Bots) -> None:
    first = await bots.open("job-1")
    await sh(first, SETUP)
    await first.keep("key")
    assert await sh(first, "git status --short") == "?? src/new/\n"  # and it goes on as it was
    second = await bots.open("job-2", warm="key")
    assert (first.warm, second.warm) == (False, True)
    assert await second.list_files() == ("made/deep/file", "src/new/file")
    assert await sh(second, "cat made/deep/file src/new/file ~/.cache-of-it; ls -A") == "made\nnew\nhome\nmade\nsrc\n"
    again = await bots.open("job-2", warm="key")
    assert again.warm
    for other in (await bots.open("job-3", warm="another key"), await bots.open("job-3", by=bots.one("8"), warm="key")):
        assert (other.warm, await other.list_files()) == (False, ())


async def test_what_was_kept_of_an_image_is_not_found_once_it_is_published_anew(
    standin: ModalStandIn, bots: Bots
) -> None:
    """Red when the image's id is no part of a snapshot's name: seen."""
    await bots.open("job-1")
    again = await bots.open("job-1")
    await again.allow_network(["pypi.example"])
    await sh(again, SETUP)
    await again.end_network()
    await again.keep("key")
    assert (await bots.open("job-2", warm="key")).warm
    standin.part(Published).publish(published_name(DEFAULT))
    renewed = await bots.open("job-3", warm="key")
    assert (renewed.warm, await renewed.list_files()) == (False, ())


async def test_what_was_kept_is_there_for_a_week(standin: ModalStandIn, bots: Bots) -> None:
    first = await bots.open("job-1")
    await sh(first, SETUP)
    await first.keep("key")
    image = list(standin.part(Published).images.values())[-1]
    assert image.ttl_s == 7 * 24 * 3600
    image.made_at = time.time() - image.ttl_s - 1
    second = await bots.open("job-2", warm="key")
    assert (second.warm, await second.list_files()) == (False, ())


# ------------------------------------------------------------------ what is wrong


async def test_what_is_missing_is_said_in_one_sentence(
    standin: ModalStandIn, bots: Bots, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("modal.client._Client._client_from_env", None)  # an earlier test's, kept for the whole process
    assert bots.one().problem() is None
    assert Modal(bot="7").problem() == (
        "MODAL_TOKEN_ID and MODAL_TOKEN_SECRET are missing: `modal token new` makes them (or choose another SANDBOX)."
    )
    standin.refused.add("as-wrong")
    assert "refuses MODAL_TOKEN_ID and MODAL_TOKEN_SECRET" in str(bots.one(token=("ak", "as-wrong")).problem())
    standin.refused.clear()
    standin.part(Published).names.clear()
    assert bots.one().problem() == ("Modal has no image tiny-backspace:default: `backspace images publish` makes it.")
    with pytest.raises(ProviderError, match="has no image tiny-backspace:default"):
        await bots.open("job-1")
    monkeypatch.setitem(sys.modules, "modal", None)
    assert "not installed: pip install modal" in str(bots.one().problem())


OWNER = """
import asyncio, sys
from bot.sandbox_wiring import connected
from bot.sandboxes.modal import Modal
async def main():
    async with connected(Modal(bot="7", token=("ak-test", "as-canary-4711"))) as provider:
        assert provider.problem() is None
        sandbox = await provider.open("job-1")
        await sandbox.close()
        client, _ = await provider._connected()
    print(client.is_closed())
asyncio.run(main())
"""


async def test_a_process_that_used_modal_ends_without_an_unclosed_connection(standin: ModalStandIn) -> None:
    """And without a warning. Red when who made the provider does not close it: seen."""
    environment = {**os.environ, "MODAL_SERVER_URL": standin.url, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-W", "error", "-c", OWNER]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=pipe, stderr=pipe)
    assert await process.communicate() == (b"True\n", b"")
