"""A helper that outlives its bot: it serves whoever comes from outside, one after the other, until its time is over."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import time
from contextlib import closing, suppress

from bot.sandboxes.inside.server import Server

LOOK_EVERY_S = 0.2
MOST_AT_ONCE = 64
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
CREDENTIALS = struct.Struct("iII")  # process, user and group of who connected


class Waiting:
    """At an abstract socket, which only this network namespace has. Commands run as the helper's own user and are
    turned away there; who comes from outside comes as another one.

    A newcomer takes the place of the one before, as does a bot that starts again of the one that was killed.
    """

    def __init__(self, root: str, name: str, *, ends: float, channel: str) -> None:
        self._root, self._ends, self._channel = root, ends, channel
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind("\0" + name)
        self._listener.listen(8)
        self._now: socket.socket | None = None
        self._next: socket.socket | None = None

    def serve(self) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: self._look())
        signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY_S, LOOK_EVERY_S)
        while True:
            self._listener.setblocking(True)
            while self._next is None:
                self._admit()
            self._listener.setblocking(False)
            self._now, self._next = self._next, None
            with self._now, suppress(OSError, ValueError):
                incoming, outgoing = os.dup(self._now.fileno()), self._now.fileno()
                with closing(Server(self._root, incoming=incoming, outgoing=outgoing, channel=self._channel)) as server:
                    server.serve()
            self._now = None

    def _look(self) -> None:
        """From a timer, since the helper waits for one thing at a time. A bot that is gone leaves nothing running."""
        if time.monotonic() >= self._ends:
            os._exit(0)
        if self._now is None:
            return
        with suppress(BlockingIOError):
            for _ in range(MOST_AT_ONCE):  # a command may knock as often as it likes
                self._admit()
        if self._next is not None:
            with suppress(OSError):
                self._now.shutdown(socket.SHUT_RDWR)
        if self._next is not None or _is_gone(self._now):
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)

    def _admit(self) -> None:
        connection, _ = self._listener.accept()
        _, user, _ = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
        if user == os.getuid():
            connection.close()
            return
        connection.setblocking(True)
        if self._next is not None:
            self._next.close()
        self._next = connection


def _is_gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def refuse_calls(program: bytes) -> None:
    """The filter is added to the engine's own: the kernel takes the stricter answer. Raises OSError."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter of system calls could not be set")


def main() -> None:
    """Arguments: the work tree, the socket's name, seconds to live, filters by machine, the Server's channel."""
    root, name, life_s, filters, channel = sys.argv[1:6]
    program = json.loads(filters).get(os.uname().machine)
    if program is not None:
        refuse_calls(base64.b64decode(program))
    Waiting(root, name, ends=time.monotonic() + float(life_s), channel=channel).serve()
