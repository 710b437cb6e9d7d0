"""Whether a directory tree may have changed, as the kernel tells it: a number that moves with every change."""

from __future__ import annotations

import ctypes
import os
import struct

MOST_DIRECTORIES = 8_192  # watched at most; each takes a kilobyte of the kernel's memory
EVENT = struct.Struct("iIII")  # inotify(7): watch, mask, cookie, bytes of the name behind it
MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
CHANGES = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
OVERFLOW, OF_A_DIRECTORY = 0x4000, 0x40000000


class Watch:
    """Of everything below `root` but its `.git`.

    The number is compared only where no command runs, so nothing is open for writing and no memory is shared with a
    file. What it cannot tell: that a file changed by a second name it was given outside the tree.
    """

    def __init__(self, root: str) -> None:
        self._root = os.fsencode(root)
        self._number = int.from_bytes(os.urandom(6), "big")  # no other helper's
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._events = -1
        self._gave_up = False

    def number(self) -> int:
        """The same as last time: nothing changed meanwhile. 0: nobody knows, and never will."""
        if self._gave_up:
            return 0
        try:
            seen = self._seen()
            if seen & (OF_A_DIRECTORY | OVERFLOW):
                self._watch_all()
        except OSError:  # too many of something, or a directory that cannot be read
            self._gave_up = True
            if self._events != -1:
                os.close(self._events)
            return 0
        self._number += bool(seen)
        return self._number

    def _seen(self) -> int:
        """Of what kinds the events since the last call were; the first call tells of one."""
        if self._events == -1:
            self._events = self._done(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            return OF_A_DIRECTORY
        seen = 0
        while True:
            try:
                events = os.read(self._events, 1 << 16)
            except BlockingIOError:
                return seen
            place = 0
            while place < len(events):
                _, mask, _, name = EVENT.unpack_from(events, place)
                seen, place = seen | mask, place + EVENT.size + name

    def _watch_all(self) -> None:
        """A directory that is watched already stays so."""
        for count, (directory, below, _) in enumerate(os.walk(self._root, onerror=_raised)):
            if directory == self._root:
                below[:] = [name for name in below if name != b".git"]
            if count >= MOST_DIRECTORIES:
                raise OSError("too many directories")
            self._done(self._libc.inotify_add_watch(self._events, directory, CHANGES))

    def _done(self, answer: int) -> int:
        if answer < 0:
            raise OSError(ctypes.get_errno(), "the kernel does not watch this")
        return answer


def _raised(error: OSError) -> None:
    raise error
