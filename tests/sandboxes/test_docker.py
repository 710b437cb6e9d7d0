"""The Docker provider with a real engine: the contract, what a second bot finds, and the walls as the engine sees
them."""

import asyncio
import gc
import json
import os
import socket
import sys
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bot.domain.errors import ProviderError
from bot.ports import Sandbox, SandboxProvider
from bot.sandboxes.container import forwarder
from bot.sandboxes.docker import BOT, JOB, Docker
from bot.sandboxes.egress import WayOut
from bot.sandboxes.engine import Engine
from bot.sandboxes.inside.wire import packed
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.mounted import SetupPhase
from bot.sandboxes.shelf import Shelf
from bot.standins.serving import serve
from tests.polling import until
from tests.sandboxes.containment import TIGHT, Containment
from tests.sandboxes.contract import (
    LeavingContract,
    SandboxContract,
    SetupContract,
    on_this_machine,
    others,
    sh,
    short_lived,
)
from tests.sandboxes.engine import docker, small_image
from tests.sandboxes.reaping import all_but

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def engine(docker_engine: str) -> str:
    return docker_engine


@pytest.fixture(scope="session")
def image(engine: str) -> str:
    return small_image(engine)


@pytest.mark.slow  # about 50 s: every test has a container of its own
class TestDocker(SandboxContract):
    @pytest.fixture
    def provider(self, engine: str, image: str) -> SandboxProvider:
        return Docker(address=engine, bot=f"contract-{os.getpid()}", image=image)


class TestDockerSetup(SetupContract):
    @pytest.fixture
    def provider(self, engine: str, image: str, tmp_path: Path) -> SandboxProvider:
        setup = SetupPhase(way_out=WayOut(), folder=tmp_path / "network")
        return Docker(
            address=engine, bot=f"setup-{os.getpid()}", image=image, setup=setup, shelf=Shelf(tmp_path / "warm")
        )


class TestDockerLeft(LeavingContract):
    @pytest.fixture
    def provider(self, engine: str, image: str) -> SandboxProvider:
        return Docker(address=engine, bot=f"left-{os.getpid()}", image=image)


@pytest.mark.slow  # about 50 s: every probe has a container of its own
class TestDockerContainment(Containment):
    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, engine: str, image: str) -> SandboxProvider:
        return Docker(address=engine, bot=f"containment-{os.getpid()}", image=image, limits=TIGHT)


@pytest.fixture
def bot() -> str:
    """Its own for each test, so that no two disturb each other."""
    return f"test-{os.getpid()}-{time.monotonic_ns()}"


@pytest.fixture
def provider(engine: str, image: str, bot: str) -> Iterator[Docker]:
    yield Docker(address=engine, bot=bot, image=image)
    for container in containers(engine, bot):
        docker(engine, "rm", "-f", container)


@pytest.fixture
async def sandbox(provider: Docker) -> AsyncIterator[Sandbox]:
    opened = await provider.open("job-1")
    yield opened
    await opened.close()


def containers(engine: str, bot: str) -> list[str]:
    return docker(engine, "ps", "-aq", "--no-trunc", "--filter", f"label={BOT}={bot}").split()


def seen_by_the_engine(engine: str, bot: str) -> dict[str, Any]:
    (container,) = containers(engine, bot)
    found: dict[str, Any] = json.loads(docker(engine, "inspect", container))[0]
    return found


# ------------------------------------------------------------------ the walls


async def test_the_engine_was_told_of_every_wall(sandbox: Sandbox, engine: str, bot: str, image: str) -> None:
    found = seen_by_the_engine(engine, bot)
    host = found["HostConfig"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["Privileged"]) == ("none", True, False)
    assert (host["CapDrop"], host["CapAdd"], host["SecurityOpt"]) == (["ALL"], None, ["no-new-privileges"])
    assert (host["Binds"], found["Mounts"], host["Devices"] or []) == (None, [], [])
    assert (host["PidMode"], host["IpcMode"], host["CgroupnsMode"]) == ("", "private", "private")
    limits = SandboxLimits()
    assert host["PidsLimit"] == limits.pids + 16
    assert host["Memory"] == host["MemorySwap"] == limits.memory_bytes + limits.files_bytes
    assert host["CpuQuota"] / host["CpuPeriod"] == 2
    assert found["Config"]["User"] == "1000:1000"
    assert found["Config"]["Labels"] == {BOT: bot, JOB: "job-1"}
    assert found["Config"]["Image"] == image


async def test_the_kernel_holds_every_wall(sandbox: Sandbox) -> None:
    """Two filters of system calls: the engine's, and ours with what the engine lets through. Red without either."""
    status = await sh(sandbox, "grep -E '^(Cap(Eff|Prm|Bnd|Amb)|NoNewPrivs|Seccomp_filters)' /proc/self/status; id -u")
    none = f"{0:016x}"
    assert status == (
        f"CapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\n"
        "NoNewPrivs:\t1\nSeccomp_filters:\t2\n1000\n"
    )


async def test_a_process_listing_is_short_and_tells_nothing(sandbox: Sandbox) -> None:
    listing = await sh(sandbox, "ps -eo args")
    assert len(listing) < 3_000
    assert "def main" not in listing


async def test_commands_cannot_speak_to_the_helper_nor_end_its_stream(sandbox: Sandbox) -> None:
    """Red when the helper takes in its own user, and when what carries the stream is of that user: tried by hand."""
    knock = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0tiny-backspace');"
        "s.settimeout(3); print(s.recv(100))"
    )
    result = await sandbox.exec(["python3", "-c", knock], timeout_s=10)
    assert result.stdout in (b"b''\n", b"")  # turned away: closed, or reset
    kill = "for one in /proc/[0-9]*; do kill -KILL ${one#/proc/} 2>/dev/null && echo killed $one; done; echo all"
    await sandbox.exec(["bash", "-c", f"trap '' EXIT; {kill}"], timeout_s=10)
    assert await sh(sandbox, "echo still here") == "still here\n"


async def test_the_git_directory_of_the_export_is_closed_to_commands(sandbox: Sandbox) -> None:
    written = await sandbox.exec(
        ["sh", "-c", "echo x > /run/backspace/git/config; touch /run/backspace/x"], timeout_s=9
    )
    assert written.exit_code != 0
    assert await sh(sandbox, "ls /run/backspace/git") == "HEAD\nobjects\nrefs\n"


async def test_a_volume_of_the_image_is_no_disk_without_limit(engine: str, image: str, bot: str) -> None:
    """Red when the image's volumes are made: tried by hand."""
    name = f"tiny-backspace-test:volume-{bot}"
    docker(engine, "build", "--tag", name, "-", stdin=f"FROM {image}\nVOLUME /data\n".encode())
    sandbox = await Docker(address=engine, bot=bot, image=name).open("job-1")
    assert (await sandbox.exec(["touch", "/data/x"], timeout_s=20)).exit_code == 1
    assert [mount["Type"] for mount in seen_by_the_engine(engine, bot)["Mounts"]] == []
    await sandbox.close()
    docker(engine, "rmi", name)


# ------------------------------------------------------------------ found again

OTHER_BOT = """
import asyncio, sys
from bot.sandboxes.docker import Docker

async def main():
    address, bot, image, sleep = sys.argv[1:]
    sandbox = await Docker(address=address, bot=bot, image=image).open("job-1")
    await sandbox.write_file("kept.txt", b"by the first bot")
    await sandbox.exec(["sh", "-c", f"echo began > began.txt; {sleep}; echo ended > ended.txt"], timeout_s=600)

asyncio.run(main())
"""


async def test_a_bot_that_was_killed_finds_its_jobs_sandbox_again(
    provider: Docker, engine: str, bot: str, image: str
) -> None:
    """The command that ran is gone, the files are there. Red when the helper does not look whether its bot is gone."""
    known = f"300.{time.monotonic_ns()}"
    program = (sys.executable, "-c", OTHER_BOT, engine, bot, image, f"sleep {known}")
    first = await asyncio.create_subprocess_exec(*program, cwd=ROOT)
    await until(lambda: on_this_machine(f"sleep\0{known}\0"))
    first.kill()
    await first.wait()
    before = containers(engine, bot)
    sandbox = await provider.open("job-1")
    assert await sandbox.list_files() == ("began.txt", "kept.txt")
    assert await sandbox.read_file("kept.txt", max_bytes=100) == b"by the first bot"
    assert await others(sandbox) == 0
    assert containers(engine, bot) == before
    await sandbox.close()
    assert containers(engine, bot) == []


async def test_the_newcomer_takes_over_from_a_bot_that_only_slept(provider: Docker) -> None:
    """As a worker does whose lease ran out. Red when the helper serves the first one to its end: tried by hand."""
    slow = await provider.open("job-1")
    call = asyncio.create_task(slow.exec(["sleep", "100"], timeout_s=200))
    await asyncio.sleep(0.3)
    quick = await asyncio.wait_for(provider.open("job-1"), 60)
    assert await sh(quick, "echo mine > file; cat file") == "mine\n"
    assert await others(quick) == 0
    with pytest.raises(ProviderError, match="lost"):
        await call
    await slow.close()
    await quick.close()


async def test_a_command_that_keeps_knocking_does_not_keep_the_newcomer_out(provider: Docker) -> None:
    knock = (
        "import socket\nkept = []\nwhile True:\n  s = socket.socket(socket.AF_UNIX); s.setblocking(False)\n"
        "  try: s.connect('\\0tiny-backspace')\n  except OSError: pass\n  kept = [*kept[-50:], s]"
    )
    slow = await provider.open("job-1")
    call = asyncio.create_task(slow.exec(["python3", "-c", knock], timeout_s=200))
    await asyncio.sleep(0.5)
    quick = await asyncio.wait_for(provider.open("job-1"), 60)
    assert await others(quick) == 0
    with pytest.raises(ProviderError, match="lost"):
        await call
    await slow.close()
    await quick.close()


async def test_who_was_replaced_does_not_end_the_sandbox(provider: Docker, engine: str, bot: str) -> None:
    """Red when the end of a stream removes the container, whoever else has one: tried by hand."""
    first = await provider.open("job-1")
    await first.write_file("kept", b"x")
    second = await provider.open("job-1")
    with pytest.raises(ProviderError, match="lost"):
        await first.list_files()
    await first.close()
    assert await second.list_files() == ("kept",)
    await second.close()
    assert containers(engine, bot) == []


async def test_half_a_file_of_a_killed_bot_is_not_written(provider: Docker, engine: str, bot: str) -> None:
    """Red when the helper takes a frame that ends too early for a whole one: tried by hand."""
    first = await provider.open("job-1")
    await first.write_file("old", b"as it was")
    argv, user, variables = forwarder()
    (container,) = containers(engine, bot)
    cut_off = await Engine(engine).run(container, argv, user=user, env=variables)
    header, content = {"op": "write", "path": 3}, b"old" + b"x" * 1000
    cut_off.stdin.write(packed(header, len(content)) + content[:500])
    await cut_off.stdin.drain()
    await asyncio.sleep(0.5)
    cut_off.stdin.close()
    second = await provider.open("job-1")
    assert await second.read_file("old", max_bytes=100) == b"as it was"
    await first.close()
    await second.close()


async def test_a_container_that_died_is_replaced(provider: Docker, engine: str, bot: str) -> None:
    first = await provider.open("job-1")
    call = asyncio.create_task(first.exec(["sleep", "100"], timeout_s=200))
    await asyncio.sleep(0.3)
    docker(engine, "kill", *containers(engine, bot))
    with pytest.raises(ProviderError, match="docker: the sandbox is lost"):
        await asyncio.wait_for(call, 60)
    second = await provider.open("job-1")
    assert await second.list_files() == ()
    await first.close()
    assert await sh(second, "echo still here") == "still here\n"
    await second.close()


async def test_a_container_that_cannot_be_entered_is_replaced(provider: Docker, engine: str, bot: str) -> None:
    first = await provider.open("job-1")
    docker(engine, "pause", *containers(engine, bot))
    second = await provider.open("job-1")
    assert await sh(second, "echo here") == "here\n"
    await first.close()
    await second.close()
    assert containers(engine, bot) == []


async def test_orphans_are_reaped_by_their_label(provider: Docker, engine: str, image: str, bot: str) -> None:
    another = Docker(address=engine, bot=f"{bot}-other", image=image)
    names = ((provider, "dead"), (provider, "dead-base"), (provider, "alive"), (provider, "alive-base"))
    opened = await asyncio.gather(*(opener.open(name) for opener, name in (*names, (another, "dead"))))
    assert await provider.reap(all_but("alive")) == 2
    assert len(containers(engine, bot)) == 2
    assert len(containers(engine, f"{bot}-other")) == 1
    await asyncio.gather(*(sandbox.close() for sandbox in opened))
    assert containers(engine, bot) == []


async def test_a_container_that_cannot_be_removed_keeps_no_other_alive() -> None:
    """Red when the first failure ends the look, and when one that is being removed, and so has no name any more, does:
    seen."""
    there = {"a", "b", "c"}

    async def listed(request: Request) -> JSONResponse:
        names = {"a": ["/a"], "b": [], "c": ["/c"]}
        return JSONResponse([{"Id": id, "Names": names[id], "Labels": {JOB: f"job-{id}"}} for id in sorted(there)])

    async def remove(request: Request) -> JSONResponse:
        if (id := request.path_params["id"]) == "a":
            return JSONResponse({"message": "tried to kill container, but did not receive an exit event"}, 500)
        there.remove(id)
        return JSONResponse({})

    routes = [Route("/containers/json", listed), Route("/containers/{id}", remove, methods=["DELETE"])]
    async with serve(Starlette(routes=routes)) as address:
        with pytest.raises(ProviderError, match="did not receive an exit event"):
            await Docker(address=address.replace("http:", "tcp:"), bot="7").reap(all_but())
    assert there == {"a"}


async def test_a_sandbox_ends_at_its_time_when_nobody_is_left_to_end_it(engine: str, image: str, bot: str) -> None:
    """Red when only the bot's clock counts: tried by hand."""

    def made(life_s: float) -> Docker:
        return Docker(address=engine, bot=bot, image=image, limits=SandboxLimits(wall_clock_s=life_s))

    sandbox, life_s = await short_lived(made)
    await sandbox.leave()
    await until(lambda: containers(engine, bot) == [], within_s=life_s + 30)


# ------------------------------------------------------------------ setup phase


async def test_the_setup_phase_reaches_the_proxy_and_the_agent_phase_nothing(
    engine: str, image: str, bot: str, tmp_path: Path
) -> None:
    """Red when the socket of the hand-over stays: tried by hand."""
    folder = tmp_path / "network"
    provider = Docker(address=engine, bot=bot, image=image, setup=SetupPhase(way_out=WayOut(), folder=folder))
    sandbox = await provider.open("job-1")
    ask = (
        "import urllib.request\n"
        "try: urllib.request.urlopen('https://not-listed.example.org', timeout=30)\nexcept OSError as e: print(e)"
    )
    before = await sandbox.exec(["python3", "-c", ask], timeout_s=20)
    await sandbox.allow_network(["listed.example.org"])
    during = await sandbox.exec(["python3", "-c", ask], timeout_s=60)
    assert await sh(sandbox, "ls -A /run/backspace-network") == ""
    assert await sandbox.end_network() == ("not-listed.example.org",)
    after = await sandbox.exec(["python3", "-c", ask], timeout_s=20)
    assert b"403" in during.stdout
    assert all(b"403" not in result.stdout for result in (before, after))
    assert (await sandbox.exec(["touch", "/run/backspace-network/x"], timeout_s=20)).exit_code == 1
    await sandbox.close()
    assert list(folder.iterdir()) == []


async def test_the_setup_phase_has_network_whatever_the_bots_umask_is(
    engine: str, image: str, bot: str, tmp_path: Path
) -> None:
    """Red when the folder is made with the umask's rights: seen."""
    setup = SetupPhase(way_out=WayOut(), folder=tmp_path / "network")
    before = os.umask(0o077)
    try:
        sandbox = await Docker(address=engine, bot=bot, image=image, setup=setup).open("job-1")
        await sandbox.allow_network(["listed.example.org"])
        await sandbox.close()
    finally:
        os.umask(before)


async def test_a_container_that_ended_by_itself_leaves_no_folder_and_takes_none_of_its_successor(
    engine: str, image: str, bot: str, tmp_path: Path
) -> None:
    """Red when nothing is done about a container that is gone, and when its name counts for nothing: seen."""
    setup = SetupPhase(way_out=WayOut(), folder=tmp_path / "network")
    provider = Docker(address=engine, bot=bot, image=image, setup=setup)
    first = await provider.open("job-1")
    docker(engine, "rm", "-f", *containers(engine, bot))
    second = await provider.open("job-1")
    await first.close()
    await second.allow_network(["listed.example.org"])
    docker(engine, "rm", "-f", *containers(engine, bot))
    await second.close()
    assert list(setup.folder.iterdir()) == []


# ------------------------------------------------------------------ problems


async def test_without_an_engine_the_problem_says_how_to_get_one(tmp_path: Path) -> None:
    provider = Docker(address=f"unix://{tmp_path}/none.sock", bot="x")
    assert provider.problem() == (
        f"There is no Docker engine at unix://{tmp_path}/none.sock: install it (apt-get install docker.io) and start "
        "it, or name its address as DOCKER_HOST."
    )
    with pytest.raises(ProviderError, match="does not answer"):
        await provider.open("job")


def test_a_dead_engines_socket_is_a_problem_and_leaves_nothing_open(tmp_path: Path) -> None:
    """Red when httpx alone finds it out, which leaves its socket to the collector: seen."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gc.collect()
        told.clear()  # of what other tests left to the collector
        problem = Docker(address=f"unix://{tmp_path}/dead.sock", bot="x").problem()
        gc.collect()
    assert problem is not None
    assert "does not answer" in problem
    assert [str(one.message) for one in told] == []


def test_an_engine_that_does_not_answer_is_a_problem() -> None:
    problem = Docker(address="tcp://127.0.0.1:9", bot="x").problem()
    assert problem is not None
    assert problem.startswith("The Docker engine at tcp://127.0.0.1:9 does not answer: install it ")


async def test_an_image_that_is_not_there_is_a_problem_with_a_remedy(engine: str) -> None:
    provider = Docker(address=engine, bot="x", image="no-such-image:1")
    assert provider.problem() == (
        "The Docker engine has no image no-such-image:1: `backspace images build` makes it, or DOCKER_IMAGE names "
        "another."
    )
    with pytest.raises(ProviderError, match="no image no-such-image:1"):
        await provider.open("job")


async def test_an_image_without_python_is_a_problem_with_a_remedy(engine: str, bot: str, tmp_path: Path) -> None:
    docker(engine, "import", "-", f"tiny-backspace-test:{bot}", stdin=b"\0" * 10_240)
    provider = Docker(address=engine, bot=bot, image=f"tiny-backspace-test:{bot}")
    with pytest.raises(
        ProviderError, match=r"could not start .*: its image needs python3 \(3.9 or newer\), git and tar"
    ):
        await provider.open("job")
    assert containers(engine, bot) == []
    docker(engine, "rmi", f"tiny-backspace-test:{bot}")
