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
from contextlib import contextmanager, suppress
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
from bot.sandboxes.roots import edition, python_of, root_for
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
TOO_MUCH = {"/", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var"}


class Bubblewrap:
    """One bwrap a sandbox, with a helper inside as its first process.

    A bot that runs as root starts each sandbox as an unprivileged user of its own, so that process limits hold and
    two sandboxes cannot signal each other; otherwise the sandbox has the bot's user. `readonly_paths` are toolchains
    outside /usr, seen at the same place; their `bin` and `shims` come first in PATH. `rootfs`: unpacked images, used in
    place of this machine's /usr. `way_out`: the operator's rules
    for the setup phase's network, None for never any. `shelf`: where `keep` saves.
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
            if fault := _fault_of(path, setting):
                return fault
        return self._trial()

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> ServedSandbox:
        """Every sandbox is a new one; without unpacked images, all are made of this machine's /usr."""
        opened = await self._opened(job_id, root_for(image, self._rootfs))
        return opened if await opened.begun(warm) else await self._opened(job_id, root_for(image, self._rootfs))

    async def _opened(self, job_id: str, root: Path) -> ServedSandbox:
        python = python_of(root)
        if python is None or shutil.which("bwrap") is None:
            raise ProviderError(NAME, self.problem() or "bubblewrap or /usr/bin/python3 is gone")
        ours, theirs = socket.socketpair()
        channel, their_channel = socket.socketpair()
        try:
            with theirs, their_channel:
                running = self._start(python, theirs, their_channel, root)
        except OSError as error:
            ours.close()
            channel.close()
            raise ProviderError(NAME, f"a sandbox could not start: bwrap: {error.strerror}") from None
        reader, writer = await asyncio.open_connection(sock=ours, limit=STREAM_BUFFER_BYTES)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                header, _ = lengths(await reader.readexactly(LENGTHS.size))
                header_of(await reader.readexactly(min(header, 4096)))
            running.confine()
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            running.kill()
            said = running.complaint() or f"{type(error).__name__}: {error}"
            await running.gone()
            writer.close()
            channel.close()
            raise ProviderError(NAME, f"a sandbox could not start: {said}", retryable=True) from None
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
        group = limited_group(secrets.token_hex(4), memory_bytes=limits.together(), pids=limits.pids + 16)
        told, info = os.pipe()
        heard, said = os.pipe()
        os.set_blocking(heard, False)
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
                process = _spawn(argv, stream.fileno(), said, keep=keep)
        except OSError:
            if group:
                group.remove()
            raise
        finally:
            os.close(info)
            os.close(said)
        return _Running(process, info=os.fdopen(told, "rb"), stderr=os.fdopen(heard, "rb", buffering=0), group=group)

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
    """A started bwrap: `info` tells the first process's id, `stderr` what bwrap complains about."""

    process: subprocess.Popen[bytes]
    info: BinaryIO
    stderr: BinaryIO
    group: ControlGroup | None
    first_process: int | None = None
    first_process_end: int | None = None

    def confine(self) -> None:
        """Into the cgroup, if there is one, before anything but the helper runs. Raises OSError."""
        with self.info:
            self.first_process = int(json.loads(self.info.read())["child-pid"])
        self.first_process_end = os.pidfd_open(self.first_process)
        if self.group is not None:
            self.group.add(self.process.pid)
            self.group.add(self.first_process)

    def kill(self) -> None:
        if self.process.poll() is None:
            for pid in (self.first_process, self.process.pid):
                if pid is not None:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    async def gone(self) -> None:
        await asyncio.to_thread(self._wait)
        self.info.close()
        self.stderr.close()
        if self.group is not None:
            await asyncio.to_thread(self.group.remove)

    async def leave(self) -> None:
        self.kill()
        await self.gone()

    def _wait(self) -> None:
        """For bwrap, and for the first process inside: it ends after every other one of its namespace."""
        self.process.wait()
        if self.first_process_end is not None:
            ends, self.first_process_end = self.first_process_end, None
            select.select([ends], [], [])
            os.close(ends)

    def complaint(self) -> str:
        """The first words on bwrap's standard error, "" for none. To be asked once."""
        with self.stderr:
            return (self.stderr.read(4096) or b"").decode(errors="replace").strip()


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
            os.write(opened[path], content)
            os.lseek(opened[path], 0, os.SEEK_SET)
        yield opened
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def _filter() -> dict[str, bytes]:
    program = seccomp_filter(os.uname().machine)
    return {} if program is None else {"seccomp": program}


def _fault_of(path: Path, setting: str) -> str | None:
    where = f"{setting}: {path}"
    if not path.is_absolute() or ".." in path.parts:
        return f"{where} must be an absolute path without `..`."
    if str(path) in TOO_MUCH:
        return f"{where} would show the sandbox far more than a toolchain: name the toolchain's own directory."
    if not path.exists():
        return f"{where} does not exist: remove it from the setting or install what should be there."
    user = None if os.geteuid() else FIRST_SPARE_UID
    test = ["/usr/bin/test", "-r", str(path), "-a", "-x", str(path)]
    if subprocess.run(test, env={}, user=user, group=user, check=False).returncode:
        return (
            f"{where} cannot be read by the sandbox's unprivileged user: move the toolchain to a place "
            "everybody can enter, such as /opt, or run the bot as the user it belongs to."
        )
    return None
