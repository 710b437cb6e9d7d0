"""The bubblewrap provider: the contract, and probes that try to get out or to take too much."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.errors import ProviderError
from bot.ports import Sandbox, SandboxProvider
from bot.sandboxes.bubblewrap import FIRST_SPARE_UID, SPARE_UIDS, Bubblewrap
from bot.sandboxes.limits import SandboxLimits
from tests.polling import until
from tests.sandboxes.containment import TIGHT, Containment, python
from tests.sandboxes.contract import SandboxContract, sh

pytestmark = pytest.mark.anyio


class TestBubblewrap(SandboxContract):
    @pytest.fixture
    def provider(self) -> SandboxProvider:
        return Bubblewrap()


class TestBubblewrapContainment(Containment):
    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> SandboxProvider:
        return Bubblewrap(limits=TIGHT)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    opened = await Bubblewrap(limits=TIGHT).open("probe")
    yield opened
    await opened.close()


def sandbox_processes() -> list[int]:
    """Host ids of bwrap and the helper of every sandbox that this process has open."""
    return sorted(int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _is_ours(pid))


def _is_ours(pid: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
    except OSError:
        return False
    return b"bot.sandboxes.inside.server" in command and (parent == str(os.getpid()) or _is_ours(parent))


def environments_on_the_host() -> list[bytes]:
    """As far as this user may read them."""
    paths = [Path(f"/proc/{pid}/environ") for pid in sandbox_processes()]
    return [path.read_bytes() if os.access(path, os.R_OK) else b"" for path in paths]


def users_on_the_host() -> set[int]:
    return {int(Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0]) for pid in sandbox_processes()}


# ------------------------------------------------------------------ what can be seen


async def test_no_process_inside_carries_the_bots_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when bwrap is started with the bot's environment, with or without --clearenv: tried by hand."""
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "canary-4711")
    opened = await Bubblewrap(limits=TIGHT).open("environment")
    seen = await sh(opened, "env; cat /proc/*/environ /proc/*/cmdline 2>&1 || true")
    environments = environments_on_the_host()
    await opened.close()
    assert "canary" not in seen
    assert "GITHUB" not in seen
    assert len(environments) == 2
    assert all(b"canary" not in environment for environment in environments)


async def test_no_host_file_but_usr_is_there(sandbox: Sandbox, tmp_path: Path) -> None:
    """Red when /var is bound too: tried by hand."""
    canary = tmp_path / "canary"
    canary.write_text("host")
    here = Path(__file__)
    hidden = (canary, here, "/root", "/etc/shadow", "/etc/gitconfig", "/var", "/sys", "/run/docker.sock")
    script = f"for path in {' '.join(map(str, hidden))}; do [ -e $path ] && echo $path; done; true"
    assert await sh(sandbox, script) == ""
    assert await sh(sandbox, "ls /home /run /etc/passwd; whoami; hostname") == (
        "/etc/passwd\n\n/home:\nsandbox\n\n/run:\nbackspace\nsandbox\nsandbox\n"
    )


ADD_KEY, KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
KEYS = f"""
import ctypes, sys
libc = ctypes.CDLL(None)
print(libc.syscall({KEYCTL}, 10, ctypes.c_int(-3), b"user", b"backspace-canary", 0))  # search the session keyring
print(libc.syscall({KEYCTL}, 11, int(sys.argv[1]), ctypes.create_string_buffer(20), 20))  # read
"""


async def test_the_bots_keyring_is_not_inherited() -> None:
    """Kernel keys are in no namespace but come with the session. Red without the filter: tried by hand."""
    key = ctypes.CDLL(None).syscall(ADD_KEY, b"user", b"backspace-canary", b"secret", 6, ctypes.c_int(-3))
    opened = await Bubblewrap(limits=TIGHT).open("keys")
    assert await python(opened, KEYS, str(key)) == "-1\n-1"
    await opened.close()


SERVED_AGAIN = """
import os, socket, sys
sys.path[:0] = ["/run/backspace"]
from contextlib import closing
from bot.sandboxes.inside.server import Server
from bot.sandboxes.inside.wire import packed
asked = {"op": "exec", "argv": ["true"], "env": {}, "timeout_s": 9, "max_output": 9, "disks": ["/"], "limits":
    dict.fromkeys(("memory", "inodes", "files", "FSIZE", "NPROC", "AS", "CPU", "NOFILE"), 0)}
for bot in range(4):
    ours, theirs = socket.socketpair()
    ours.sendall(packed(asked, 0))
    ours.shutdown(socket.SHUT_WR)
    with theirs, closing(Server("/workspace", incoming=os.dup(theirs.fileno()), outgoing=theirs.fileno())) as server:
        server.serve()
    print(b'"tree": ' in ours.recv(9999), len(os.listdir("/proc/self/fd")), flush=True)
    ours.close()
"""


async def test_a_helper_keeps_nothing_open_of_a_bot_that_went(sandbox: Sandbox) -> None:
    """Of Docker's, which serves the bots that come one after another: with 128 trees watched the kernel gives no more.
    Red without `close`, or with a new pipe for each: seen."""
    first, *others = (await python(sandbox, SERVED_AGAIN)).splitlines()
    assert first.startswith("True ")
    assert others == [first] * 3


# ------------------------------------------------------------------ its end


async def test_a_command_has_a_limit_on_processor_time() -> None:
    """Red without RLIMIT_CPU: tried by hand."""
    opened = await Bubblewrap(limits=SandboxLimits(cpu_s=1)).open("processor")
    result = await opened.exec(["sh", "-c", "while :; do :; done"], timeout_s=90)
    await opened.close()
    assert result.exit_code == 128 + 9


async def test_the_whole_sandbox_has_a_life_span() -> None:
    opened = await Bubblewrap(limits=SandboxLimits(wall_clock_s=0.3)).open("old")
    with pytest.raises(ProviderError, match="lost"):
        await opened.exec(["sleep", "100"], timeout_s=200)
    await opened.close()


async def test_a_killed_sandbox_is_lost_with_everything_in_it() -> None:
    opened = await Bubblewrap().open("killed")
    running = sandbox_processes()
    call = asyncio.create_task(opened.exec(["sleep", "100"], timeout_s=200))
    await asyncio.sleep(0.2)
    os.kill(min(running), 9)  # bwrap itself
    with pytest.raises(ProviderError, match="lost"):
        await asyncio.wait_for(call, 30)
    await opened.close()
    assert len(running) == 2
    assert sandbox_processes() == []


BOTS = """
import asyncio, os, sys
from pathlib import Path
from bot.sandboxes.bubblewrap import Bubblewrap
async def work():
    sandbox = await Bubblewrap(readonly_paths=[Path(sys.argv[1])]).open("killed")
    await sandbox.exec(["sh", "-c", "trap '' TERM HUP; while :; do sleep 0.01; done"], timeout_s=600)
while sys.stdin.buffer.read(1):
    bot = os.fork()
    if bot == 0:
        asyncio.run(work())
    print(bot, flush=True)
    os.waitpid(bot, 0)
"""


def test_a_bot_killed_at_any_moment_leaves_nothing_of_its_sandbox() -> None:
    """Red when bwrap tells its first process's id into a pipe of the bot's: seen, two or three of 13 first processes
    wait for ever then for a bwrap that is gone. Not red when bwrap dies with its parent: the moment is too short.
    """
    with tempfile.TemporaryDirectory() as marked:
        Path(marked).chmod(0o755)
        with subprocess.Popen(
            [sys.executable, "-c", BOTS, marked], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as bots:
            assert bots.stdin
            assert bots.stdout
            for milliseconds in (*range(12), 500):
                print("x", end="", file=bots.stdin, flush=True)
                bot = int(bots.stdout.readline())
                _wait_for_child(bot)
                time.sleep(milliseconds / 1000)
                os.kill(bot, signal.SIGKILL)
            bots.stdin.close()
        asyncio.run(until(lambda: not _started_with(marked)))


async def test_a_start_that_nobody_waits_for_any_more_is_undone() -> None:
    """Red when only failures undo it: seen, bwrap is still there."""
    starting = asyncio.create_task(Bubblewrap().open("starting"))
    await until(lambda: sandbox_processes() != [])
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert sandbox_processes() == []


def _wait_for_child(pid: int) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    asyncio.run(until(lambda: children.read_text() != ""))


def _started_with(word: str) -> list[str]:
    """Ids of processes that have it on their command line."""
    commands = Path("/proc").glob("[0-9]*/cmdline")
    return [command.parent.name for command in commands if word.encode() in _content(command)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# ------------------------------------------------------------------ the host


async def test_a_sandbox_never_runs_as_root() -> None:
    """Process limits do not hold for root. Red when the user is not changed: tried by hand."""
    opened = await Bubblewrap().open("user")
    users = users_on_the_host()
    await opened.close()
    expected = range(FIRST_SPARE_UID, FIRST_SPARE_UID + SPARE_UIDS) if os.geteuid() == 0 else (os.geteuid(),)
    assert users
    assert all(user in expected for user in users)


async def test_toolchains_are_seen_where_they_are_and_come_first() -> None:
    with tempfile.TemporaryDirectory() as name:  # tmp_path lies below a folder that is closed to other users
        tools = Path(name)
        await asyncio.to_thread(_put_program, tools / "bin" / "git")
        opened = await Bubblewrap(readonly_paths=[tools]).open("tools")
        assert await sh(opened, "git") == "ours\n"
        assert (await opened.exec(["touch", str(tools / "x")], timeout_s=20)).exit_code == 1
        await opened.close()


def _put_program(program: Path, words: str = "echo ours") -> None:
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{words}\n")
    for path in (program.parent.parent, program.parent, program):
        path.chmod(0o755)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("relative", "must be an absolute path", id="relative"),
        pytest.param("/root", "far more than a toolchain", id="whole-home"),
        pytest.param("/no/such/place", "does not exist", id="missing"),
    ],
)
def test_a_read_only_path_that_cannot_be_is_a_problem_in_plain_words(path: str, words: str) -> None:
    problem = Bubblewrap(readonly_paths=[Path(path)]).problem()
    assert problem is not None
    assert problem.startswith(f"SANDBOX_READONLY_PATHS: {path} ")
    assert words in problem


def test_a_read_only_path_the_sandbox_cannot_enter_is_a_problem(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    problem = Bubblewrap(readonly_paths=[closed]).problem()
    assert problem is not None
    assert "cannot be read by the sandbox's unprivileged user" in problem


def test_without_bubblewrap_the_problem_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Bubblewrap().problem() == (
        "bubblewrap is not installed: apt-get install bubblewrap (or choose another SANDBOX)."
    )


async def test_without_bubblewrap_opening_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProviderError, match="apt-get install bubblewrap"):
        await Bubblewrap().open("nothing")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param("echo 'bwrap: No permissions, sorry' >&2; exit 1", "bwrap: No permissions, sorry", id="says-why"),
        pytest.param("exit 1", "", id="says-nothing"),
    ],
)
async def test_a_bwrap_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, words: str, said: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        fake = Path(name, "bin", "bwrap")
        await asyncio.to_thread(_put_program, fake, words)
        monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
        problem = Bubblewrap().problem()
        with pytest.raises(ProviderError, match=f"a sandbox could not start: {said}"):
            await Bubblewrap().open("nothing")
    assert problem is not None
    assert problem.startswith(f"bubblewrap cannot start a sandbox here: {said}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts bwrap as somebody else")
async def test_a_bwrap_the_sandboxs_user_may_not_run_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:
        fake = Path(name, "bin", "bwrap")
        await asyncio.to_thread(_put_program, fake)
        fake.parent.chmod(0o700)
        monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
        problem = Bubblewrap().problem()
        with pytest.raises(ProviderError, match="could not start: bwrap: Permission denied"):
            await Bubblewrap().open("nothing")
    assert problem is not None
    assert "Permission denied" in problem
