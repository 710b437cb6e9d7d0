"""One command and its whole process tree: started, fed, read, limited, and gone afterwards."""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import selectors
import signal
import time
from collections import deque
from contextlib import suppress
from typing import Any

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
TICK_S = 0.2  # how often memory and disks are looked at while a command runs
CHUNK = 1 << 20
FREE_INODES_MARGIN = 1_000  # a command that starts above the limit may still clean up
BOUNDS = ("NPROC", "DATA", "FSIZE", "NOFILE", "CPU")  # the limits that the kernel holds for each process


class Kept:
    """The first and the last bytes of a stream of any length, in memory that does not grow with it."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._head_max = max_bytes // 4
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._in_tail = 0
        self.total = 0

    def add(self, chunk: bytes) -> None:
        self.total += len(chunk)
        room = self._head_max - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._tail.append(chunk)
            self._in_tail += len(chunk)
        while self._tail and self._in_tail - len(self._tail[0]) >= self._max - self._head_max:
            self._in_tail -= len(self._tail.popleft())

    @property
    def cut(self) -> bool:
        return self.total > self._max

    def value(self) -> bytes:
        tail = b"".join(self._tail)
        if not self.cut:
            return bytes(self._head) + tail
        line = b""
        for _ in range(3):  # the line itself takes room, and its number another digit at times
            line = b"\n[... %d bytes left out ...]\n" % (self.total - self._max + len(line))
        room = self._max - len(self._head) - len(line)
        if room <= 0:
            return bytes(self._head) + tail[len(tail) - (self._max - len(self._head)) :]
        return bytes(self._head) + line + tail[-room:]


@functools.cache
def _libc() -> ctypes.CDLL:
    """Loaded before the first command: in a child just forked, every page that it touches is copied."""
    return ctypes.CDLL(None)


@functools.cache
def guard_first_process() -> int:
    """Make this process, number 1 of its namespace, deaf and opaque to the rest; answers a descriptor that wakes.

    A first process gets no signal it has no handler for, so Python's own for SIGINT goes. Not dumpable: no process
    of the same user can trace it or read its memory, descriptors and environment. Where the first process is another
    one, orphans come to this one nevertheless.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, woken = os.pipe()
    for descriptor in (wake, woken):
        os.set_blocking(descriptor, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    return wake


class Command:
    """A running command. `limits` is what the provider sent: numbers by name, 0 for none.

    `asker`: from where it was asked for. Nothing comes from there before the answer, but the news that nobody waits.
    """

    def __init__(self, request: dict[str, Any], stdin: bytes, *, wake: int, asker: int) -> None:
        self._limits: dict[str, int] = request["limits"]
        self._disks: list[str] = request["disks"]
        self._stdin = memoryview(stdin)
        self._wake, self._asker, self._is_alone = wake, asker, False
        self._status: int | None = None
        self.out, self.err = Kept(request["max_output"]), Kept(request["max_output"])
        self._selector = selectors.DefaultSelector()
        for descriptor in (wake, asker):
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._inodes_at_start, self._bytes_at_start = _taken(self._disks)
        self._pid = self._start(request)

    def wait(self, deadline: float) -> dict[str, Any]:
        """Runs until the command ends, `deadline` (monotonic seconds), a limit, or nobody waits for it any more; then
        nothing of it is left."""
        timed_out, excess = False, ""
        look_at = time.monotonic() + TICK_S
        while self._status is None and not timed_out and not excess and not self._is_alone:
            now = time.monotonic()
            self._move(max(0.0, min(TICK_S, deadline - now)))
            self._reap()
            timed_out = self._status is None and time.monotonic() >= deadline
            if now >= look_at:
                excess, look_at = self._excess(), now + TICK_S
        self._end_everything()
        if words := f"the sandbox stopped the command: {excess}" if excess else self._fullness():
            self.err.add(f"\n[{words}]\n".encode())
        return {"exit": None if timed_out else self._exit_code(), "timed_out": timed_out}

    def _start(self, request: dict[str, Any]) -> int:
        (their_in, our_in), (our_out, their_out), (our_err, their_err) = os.pipe(), os.pipe(), os.pipe()
        report, reported = os.pipe()
        pid = os.fork()
        if pid == 0:
            _replace_child((their_in, their_out, their_err), request, self._bounds(), reported)
        for descriptor in (their_in, their_out, their_err, reported):
            os.close(descriptor)
        failure = os.read(report, 500)
        os.close(report)
        if failure:
            self.err.add(os.fsencode(request["argv"][0]) + b": " + failure + b"\n")
        self._watch((our_in, our_out, our_err))
        return pid

    def _watch(self, ours: tuple[int, ...]) -> None:
        for descriptor in ours:
            os.set_blocking(descriptor, False)
        if self._stdin:
            self._selector.register(ours[0], selectors.EVENT_WRITE)
        else:
            os.close(ours[0])
        self._selector.register(ours[1], selectors.EVENT_READ, self.out)
        self._selector.register(ours[2], selectors.EVENT_READ, self.err)

    def _move(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            if key.fd == self._wake:
                os.read(self._wake, 4096)
            elif key.fd == self._asker:
                self._is_alone = True
            elif key.data is None:
                self._feed(key.fd)
            else:
                self._take(key.fd, key.data)

    def _feed(self, descriptor: int) -> None:
        try:
            self._stdin = self._stdin[os.write(descriptor, self._stdin[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._stdin = self._stdin[:0]
        if not self._stdin:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _take(self, descriptor: int, kept: Kept) -> None:
        try:
            chunk = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return
        if chunk:
            kept.add(chunk)
        else:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _reap(self) -> bool:
        """Collects the dead, orphans too; False when no process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._pid:
                self._status = status

    def _end_everything(self) -> None:
        """SIGKILL to every process but this one until none is left, then the rest of the output."""
        self._kill_all()
        while self._reap():
            self._kill_all()
            time.sleep(0.001)
        for descriptor, key in [(key.fd, key) for key in self._selector.get_map().values()]:
            while key.data is not None and descriptor in self._selector.get_map():
                self._take(descriptor, key.data)
            if descriptor in self._selector.get_map() and descriptor not in (self._wake, self._asker):
                os.close(descriptor)
        self._selector.close()

    def _kill_all(self) -> None:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _exit_code(self) -> int:
        status = self._status or 0
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _excess(self) -> str:
        memory, inodes, files = (self._limits[name] for name in ("memory", "inodes", "files"))
        if memory and _private_bytes() > memory:
            return f"its processes took more than {memory >> 20} MiB of memory"
        inodes_now, bytes_now = _taken(self._disks)
        if inodes and inodes_now > max(inodes, self._inodes_at_start + FREE_INODES_MARGIN):
            return f"there are more than {inodes} files in the sandbox"
        if files and bytes_now > max(files, self._bytes_at_start):
            return f"the files in the sandbox take more than {files >> 20} MiB"
        return ""

    def _bounds(self) -> dict[str, int]:
        """Where the files take too much already, none may grow: or each command begins with the last one's excess."""
        bounds = {name: self._limits[name] for name in BOUNDS if self._limits[name]}
        return bounds | {"FSIZE": 0} if 0 < self._limits["files"] < self._bytes_at_start else bounds

    def _fullness(self) -> str:
        """What one who ended by itself must hear of the files: it may have been done before any look at them."""
        files = self._limits["files"]
        if files and _taken(self._disks)[1] > files:
            return (
                f"the files in the sandbox take more than {files >> 20} MiB: until some are removed, no other can grow"
            )
        if 0 < files < self._bytes_at_start:
            return f"the files took more than {files >> 20} MiB when the command began: it could only remove some"
        return ""


def _replace_child(streams: tuple[int, ...], request: dict[str, Any], bounds: dict[str, int], reported: int) -> None:
    """In the child: become the command or end as a shell does, 127 when there is no such program."""
    exit_code = 126
    try:
        _become(streams, request, bounds)
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except OSError as error:
        exit_code = 127 if isinstance(error, FileNotFoundError) else 126
        os.write(reported, os.strerror(error.errno or 0).encode())
    finally:
        os._exit(exit_code)


def _become(streams: tuple[int, ...], request: dict[str, Any], bounds: dict[str, int]) -> None:
    """In the child: own session, own streams, the limits, and first in line when memory runs out."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if bounds.get("FSIZE") == 0:  # a program then hears that the file is too large, and may go on
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _libc().prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with suppress(OSError):  # not every provider's kernel has it
        os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC), b"1000")
    os.umask(0o022)
    os.chdir(request["cwd"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, most in bounds.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    os.setresuid(os.geteuid(), os.geteuid(), os.geteuid())  # the helper's own real user may be another: see landing.py


def _private_bytes() -> int:
    """Memory of all processes that is not shared with another or with a file."""
    pages = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and name not in ("1", str(os.getpid())):
            try:
                with open(f"/proc/{name}/statm", "rb") as statm:
                    _, resident, shared, *_ = statm.read().split()
            except (OSError, ValueError):
                continue
            pages += int(resident) - int(shared)
    return pages * resource.getpagesize()


def _taken(disks: list[str]) -> tuple[int, int]:
    """Inodes and bytes, of all together."""
    counts = [os.statvfs(disk) for disk in disks]
    taken = sum((count.f_blocks - count.f_bfree) * count.f_frsize for count in counts)
    return sum(count.f_files - count.f_ffree for count in counts), taken
