"""One sandbox of the Modal stand-in: a directory as its root, bubblewrap around it, any number of commands inside."""

import asyncio
import json
import os
import shutil
import socket
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.standins.modal import shim

AS_ROOT = os.geteuid() == 0
# What root may do in a container whose image says nothing else; as somebody else there is one user inside, not root.
POWERS = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root" if AS_ROOT else "/home/sandbox",
}
SHIM = Path(shim.__file__).read_text(encoding="utf-8")
CHUNK = 1 << 16
GRACE_S = 30.0  # a command is killed after the client has given up waiting for it, as on Modal
LAST_WORDS_S = 10.0  # what commands had written is in the pipes when the machine is gone


def make_root(root: Path) -> None:
    """What a published image holds besides /usr."""
    for name in ("dev", "etc", "home", "proc", "root", "run", "tmp", "usr", "var"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    (root / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nsandbox:x:1000:1000::/home/sandbox:/bin/sh\n", encoding="ascii"
    )
    (root / "etc/group").write_text("root:x:0:\nsandbox:x:1000:\n", encoding="ascii")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="ascii")


@dataclass
class Pipe:
    """Everything that came out so far, kept so that a reader may come back for it."""

    content: bytearray = field(default_factory=bytearray)
    ended: bool = False
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def fill(self, descriptor: int) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
        )
        try:
            while chunk := await reader.read(CHUNK):
                async with self.more:
                    self.content += chunk
                    self.more.notify_all()
        finally:
            transport.close()
            async with self.more:
                self.ended = True
                self.more.notify_all()

    async def beyond(self, offset: int) -> bytes:
        """What comes after so many bytes; b"" when that was all."""
        async with self.more:
            await self.more.wait_for(lambda: len(self.content) > offset or self.ended)
            return bytes(self.content[offset : offset + (CHUNK << 4)])


@dataclass
class Command:
    """`code` is the exit code, or minus a signal's number."""

    argv: tuple[str, ...]
    env: dict[str, str]
    out: Pipe
    err: Pipe
    stdin: asyncio.StreamWriter
    ended: asyncio.Future[int]
    taken: int = 0  # bytes of standard input

    async def feed(self, offset: int, data: bytes, *, eof: bool) -> None:
        fresh = data[max(0, self.taken - offset) :]
        self.taken += len(fresh)
        try:
            self.stdin.write(fresh)
            await self.stdin.drain()
            if eof:
                self.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            pass


class Machine:
    """`network`: whether it shares the network of this machine; otherwise it has none."""

    def __init__(self, root: Path, *, network: bool) -> None:
        self.root, self.network = root, network
        self.commands: dict[str, Command] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: socket.socket
        self._process: asyncio.subprocess.Process
        self._listening: asyncio.Future[None]

    async def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._calls = ours
        user = [f"--cap-add=CAP_{power}" for power in POWERS] if AS_ROOT else ["--unshare-user"]
        argv = [
            *("bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--as-pid-1"),
            *("--cap-drop", "ALL", *(word for item in user for word in item.split("="))),
            *(() if AS_ROOT else ("--uid", "1000", "--gid", "1000")),
            *(() if self.network else ("--unshare-net",)),
            *("--bind", str(self.root), "/", "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"),
            *("--perms", "1777", "--tmpfs", "/dev/shm"),
            *("--chdir", "/", "--clearenv", "--", "/usr/bin/python3", "-I", "-S", "-c", SHIM, str(theirs.fileno())),
        ]
        self._process = await asyncio.create_subprocess_exec(*argv, env={}, pass_fds=[theirs.fileno()], cwd="/")
        theirs.close()
        self._listening = asyncio.ensure_future(self._listen())

    async def run(self, name: str, argv: Sequence[str], *, cwd: str, env: Mapping[str, str], timeout_s: int) -> Command:
        """Raises ConnectionError when the machine is gone."""
        (their_in, our_in), (our_out, their_out), (our_err, their_err) = os.pipe(), os.pipe(), os.pipe()
        loop = asyncio.get_running_loop()
        environment = ENVIRONMENT | dict(env)
        request = json.dumps({"id": name, "argv": list(argv), "cwd": cwd or "/", "env": environment}).encode()
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), os.fdopen(our_in, "wb", 0)
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        command = Command(tuple(argv), environment, Pipe(), Pipe(), writer, loop.create_future())
        theirs = (their_in, their_out, their_err)
        try:
            socket.send_fds(self._calls, [request], theirs)
        except OSError as error:
            writer.close()
            for descriptor in (our_out, our_err):
                os.close(descriptor)
            raise ConnectionError from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self.commands[name] = command  # in the same step: its end may be told in the next
        self._keep(command.out.fill(our_out))
        self._keep(command.err.fill(our_err))
        if timeout_s:
            loop.call_later(timeout_s + GRACE_S, self.kill, name)
        return command

    def kill(self, name: str) -> None:
        try:
            self._calls.send(json.dumps({"kill": name}).encode())
        except OSError:
            return

    async def end(self) -> None:
        """Everything inside is gone, its files stay."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])
        self._calls.close()
        if self._tasks:  # a bwrap killed while it began may leave a child behind that holds the pipes open
            for unread in (await asyncio.wait(self._tasks, timeout=LAST_WORDS_S))[1]:
                unread.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for command in self.commands.values():
            command.stdin.close()
            if not command.ended.done():
                command.ended.set_result(-9)

    def copy(self, to: Path) -> None:
        copy_root(self.root, to)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while message := await loop.sock_recv(self._calls, 4096):
            end = json.loads(message)
            self.commands[end["id"]].ended.set_result(end["code"])

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def copy_root(root: Path, to: Path) -> None:
    """Owners, modes and links as they are."""
    shutil.rmtree(to, ignore_errors=True)
    status = os.spawnvp(os.P_WAIT, "cp", ["cp", "-a", str(root), str(to)])
    assert status == 0, f"{root} could not be copied"
