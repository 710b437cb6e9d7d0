"""Sandboxes on this machine by bubblewrap: no network, no host files but /usr, nothing left on the disk."""

import asyncio
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bot.domain.errors import ProviderError
from bot.sandboxes.cage import DISKS, command, environment, files_made_for_it
from bot.sandboxes.cgroup import ControlGroup, limited_group
from bot.sandboxes.egress import WayOut
from bot.sandboxes.handed import HandedNetwork
from bot.sandboxes.inside.wire import LENGTHS, header_of, lengths
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.proxy import DIALER, Dialer
from bot.sandboxes.roots import edition, fault_of, python_of, root_for
from bot.sandboxes.seccomp import seccomp_filter
from bot.sandboxes.served import ServedSandbox
from bot.sandboxes.shelf import Shelf

START_TIMEOUT_S = 30.0
STREAM_BUFFER_BYTES = 1 << 20
FIRST_SPARE_UID = 1_900_000_000  # far above what distributions and directories hand out
SPARE_UIDS = 1_000_000
NAME = "bubblewrap"
NO_NAMESPACES = {  # the switches that forbid user namespaces: file below /proc/sys, the value that does, the remedy
    "user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=10000"),
    "kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
}


class Bubblewrap:
    """One bwrap a sandbox, with a helper inside as its first process.

    A bot that runs as root starts each sandbox as an unprivileged user of its own, so that process limits hold and
    two sandboxes cannot signal each other; otherwise the sandbox has the bot's user. `readonly_paths` are toolchains
    outside /usr, seen at the same place; their `bin` and `shims` come first in PATH. `rootfs`: unpacked images, used in
    place of this machine's /usr. `way_out`: the operator's rules for the setup phase's network, None for never any.
    `shelf`: where `keep` saves.
    """

    def __init__(
        self,
        *,
        readonly_paths: Sequence[Path] = (),
        rootfs: Path | None = None,
        limits: SandboxLimits | None = None,
        way_out: WayOut | None = None,
        shelf: Shelf | None = None,
        dialer: Dialer = DIALER,
    ) -> None:
        self._readonly, self._rootfs = tuple(readonly_paths), rootfs
        self._limits = limits or SandboxLimits()
        self._way_out, self._shelf, self._dialer = way_out, shelf, dialer

    @property
    def name(self) -> str:
        return NAME

    def problem(self) -> str | None:
        if shutil.which("bwrap") is None:
            return "bubblewrap is not installed: apt-get install bubblewrap (or choose another SANDBOX)."
        if self._rootfs and python_of(root_for("", self._rootfs)) is None:
            return (
                f"SANDBOX_ROOTFS: {self._rootfs} holds no image: `backspace images unpack {self._rootfs}` makes them."
            )
        if python_of(root_for("", self._rootfs)) is None:
            return "There is no /usr/bin/python3 for the sandbox: apt-get install python3."
        rootfs = {"SANDBOX_ROOTFS": self._rootfs} if self._rootfs else {}
        for setting, path in [*rootfs.items(), *(("SANDBOX_READONLY_PATHS", path) for path in self._readonly)]:
            if fault := fault_of(path, setting, None if os.geteuid() else FIRST_SPARE_UID):
                return fault
        return self._trial()

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> ServedSandbox:
        """Every sandbox is a new one; without unpacked images, all are made of this machine's /usr."""
        root = root_for(image, self._rootfs)
        opened = await self._opened(job_id, root)
        return opened if await opened.begun(warm) else await self._opened(job_id, root)

    async def _opened(self, job_id: str, root: Path) -> ServedSandbox:
        python = python_of(root)
        if python is None or shutil.which("bwrap") is None:
            raise ProviderError(NAME, self.problem() or "bubblewrap or /usr/bin/python3 is gone")
        async with AsyncExitStack() as undone:  # whatever fails, also a call that nobody waits for any more
            ours, theirs = socket.socketpair()
            channel, their_channel = socket.socketpair()
            undone.enter_context(channel)
            with theirs, their_channel:
                reader, writer = await asyncio.open_connection(sock=ours, limit=STREAM_BUFFER_BYTES)
                undone.callback(writer.close)
                try:
                    running = self._start(python, theirs, their_channel, root)
                except OSError as error:
                    raise ProviderError(NAME, f"a sandbox could not start: bwrap: {error.strerror}") from None
            undone.push_async_callback(running.leave)
            await running.ready(reader)
            undone.pop_all()
        return ServedSandbox(
            id=job_id,
            provider=NAME,
            streams=(reader, writer),
            lifeline=running,
            environment=environment(self._readonly),
            limits=self._limits.inside(),
            disks=DISKS,
            wall_clock_s=self._limits.wall_clock_s,
            network=self._network(channel),
            shelf=self._shelf and self._shelf.of(edition(root)),
        )

    def _network(self, channel: socket.socket) -> HandedNetwork | None:
        if self._way_out is None:
            channel.close()
            return None
        return HandedNetwork(channel, provider=NAME, way_out=self._way_out, dialer=self._dialer)

    def _start(self, python: str, stream: socket.socket, channel: socket.socket, root: Path) -> "_Running":
        limits = self._limits
        heard, said = os.pipe()
        os.set_blocking(heard, False)
        stderr = os.fdopen(heard, "rb", buffering=0)
        info = os.memfd_create("info")
        group = limited_group(secrets.token_hex(4), memory_bytes=limits.together(), pids=limits.pids + 16)
        try:
            with _as_descriptors(files_made_for_it()) as made, _as_descriptors(_filter()) as filters:
                argv = command(
                    limits=limits if group else limits.apart(),
                    readonly_paths=self._readonly,
                    python=python,
                    made=made,
                    info=info,
                    seccomp=filters.get("seccomp"),
                    channel=channel.fileno(),
                    root=root,
                )
                keep = [*made.values(), *filters.values(), info, channel.fileno()]
                return _Running(_spawn(argv, stream.fileno(), said, keep=keep), info=info, stderr=stderr, group=group)
        except OSError:
            os.close(info)
            stderr.close()
            if group:
                group.remove()
            raise
        finally:
            os.close(said)

    def _trial(self) -> str | None:
        """Starts bwrap for real, with an empty command instead of the helper."""
        root = root_for("", self._rootfs)
        argv = command(limits=self._limits, readonly_paths=self._readonly, made={}, python="/usr/bin/true", root=root)
        read, write = os.pipe()
        with os.fdopen(read, "rb") as stderr:
            try:
                with socket.socket() as unused:
                    process = _spawn(argv, unused.fileno(), write, keep=[])
            except OSError as error:
                return f"bubblewrap cannot be started by the sandbox's user: {error.strerror}: see who may run bwrap."
            finally:
                os.close(write)
            words = stderr.read(4096).decode(errors="replace").strip()
        if process.wait() == 0:
            return None
        for switch, (bad, remedy) in NO_NAMESPACES.items():
            with suppress(OSError):
                if Path("/proc/sys", switch).read_text().strip() == bad:
                    return f"bubblewrap may not make user namespaces here ({words}): as root, {remedy}."
        return (
            f"bubblewrap cannot start a sandbox here: {words}. In a container, allow user namespaces and mounts "
            "(docker: --security-opt seccomp=unconfined --security-opt systempaths=unconfined)."
        )


@dataclass
class _Running:
    """A started bwrap: `info` is the file where it tells the first process's id, `stderr` what it complains about.

    Killed at its very start, bwrap would leave a first process that waits for it and for nothing else. So the bot's end
    does not end bwrap, nor does it write into a pipe of the bot's: the first process hears of that end as soon as it
    runs, by the end of its stream, and takes all with it.
    """

    process: subprocess.Popen[bytes]
    info: int
    stderr: BinaryIO
    group: ControlGroup | None
    first_process_end: int | None = None

    async def ready(self, reader: asyncio.StreamReader) -> None:
        """Into the cgroup, if there is one, before anything but the helper runs. Raises ProviderError."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                header, _ = lengths(await reader.readexactly(LENGTHS.size))
                header_of(await reader.readexactly(min(header, 4096)))
            self.first_process_end = os.pidfd_open(self._first_process())
            if self.group is not None:
                self.group.add(self.process.pid)
                self.group.add(self._first_process())
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            said = (self.stderr.read(4096) or b"").decode(errors="replace").strip()
            said = said or f"{type(error).__name__}: {error}"
            raise ProviderError(NAME, f"a sandbox could not start: {said}", retryable=True) from None

    def kill(self) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError, ValueError):
                os.kill(self._first_process(), signal.SIGKILL)
            self.process.kill()

    async def gone(self) -> None:
        await asyncio.to_thread(self._wait)
        if not self.stderr.closed:
            self.stderr.close()
            os.close(self.info)
        if self.group is not None:
            await asyncio.to_thread(self.group.remove)

    async def leave(self) -> None:
        self.kill()
        await self.gone()

    def _first_process(self) -> int:
        """Its id. Raises ValueError where bwrap has not told it."""
        return int(json.loads(os.pread(self.info, 4096, 0))["child-pid"])

    def _wait(self) -> None:
        """For bwrap, and for the first process inside: it ends after every other one of its namespace."""
        self.process.wait()
        if self.first_process_end is not None:
            ends, self.first_process_end = self.first_process_end, None
            select.select([ends], [], [])
            os.close(ends)


def _spawn(argv: list[str], stream: int, stderr: int, *, keep: list[int]) -> subprocess.Popen[bytes]:
    """From an empty environment: the first process's is readable inside, whatever bwrap clears afterwards.

    In a session of its own: Ctrl-C at a terminal is for the bot, which still needs its sandboxes then.
    """
    user = None if os.geteuid() else FIRST_SPARE_UID + secrets.randbelow(SPARE_UIDS)
    return subprocess.Popen(
        argv,
        executable=shutil.which(argv[0]),
        stdin=stream,
        stdout=stream,
        stderr=stderr,
        pass_fds=keep,
        env={},
        cwd="/",
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        start_new_session=True,
    )


@contextmanager
def _as_descriptors(files: dict[str, bytes]) -> Iterator[dict[str, int]]:
    opened: dict[str, int] = {}
    try:
        for path, content in files.items():
            opened[path] = os.memfd_create("backspace")
            os.pwrite(opened[path], content, 0)
        yield opened
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def _filter() -> dict[str, bytes]:
    program = seccomp_filter(os.uname().machine)
    return {} if program is None else {"seccomp": program}
