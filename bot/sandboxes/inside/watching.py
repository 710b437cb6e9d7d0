"""Whether a directory tree may have changed, as the kernel tells it: a number that moves with every change."""

from __future__ import annotations

import ctypes
import os
import struct

MOST_DIRECTORIES = 8_192  # watched at most; each takes a kilobyte of the kernel's memory
EVENT = struct.Struct("iIII")  # inotify(7): watch, mask, cookie, bytes of the name behind it
MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
CHANGES = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
UNSETTLED = MOVED_FROM | MOVED_TO | DELETE  # a directory's: the names of others may mean something else now
OVERFLOW, OF_A_DIRECTORY = 0x4000, 0x40000000


class Watch:
    """Of everything below `root` but its `.git`.

    The number is compared only where no command runs, so nothing is open for writing and no memory is shared with a
    file. What it cannot tell: that a file changed by a second name it was given outside the tree or in that `.git`.
    """

    def __init__(self, root: str) -> None:
        self._root = os.fsencode(root)
        self._git = os.path.join(self._root, b".git")
        self._number = int.from_bytes(os.urandom(6), "big")  # no other helper's
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._events = -1
        self._watched: dict[int, bytes] = {}
        self._gave_up = False

    def number(self) -> int:
        """The same as last time: nothing changed meanwhile. 0: nobody knows, and never will."""
        if self._gave_up:
            return 0
        try:
            changed, new = self._seen()
            if self._root in new:
                self._begin()
            for directory in {self._root} & new or new:
                self._watch(directory)
        except (OSError, RecursionError, MemoryError):  # too many of something, too deep, or a closed directory
            self._gave_up = True
            self.close()
            return 0
        self._number += changed
        return self._number

    def _begin(self) -> None:
        """The kernel forgets with us: what was moved out of the tree would stay watched."""
        self.close()
        self._events = self._done(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def close(self) -> None:
        """The number moves once more when it is asked for again."""
        self._watched = {}
        if self._events != -1:
            os.close(self._events)
            self._events = -1

    def _seen(self) -> tuple[bool, set[bytes]]:
        """Whether there were events since the last call, and which directories are to be watched because of them."""
        if self._events == -1:
            return True, {self._root}
        changed, new = False, set[bytes]()
        while True:
            try:
                events = os.read(self._events, 1 << 16)
            except BlockingIOError:
                return changed, new
            changed, place = True, 0
            while place < len(events):
                watch, mask, _, size = EVENT.unpack_from(events, place)
                name = events[place + EVENT.size : place + EVENT.size + size].rstrip(b"\0")
                place += EVENT.size + size
                parent = self._watched.get(watch)
                if mask & OVERFLOW or (mask & OF_A_DIRECTORY and (mask & UNSETTLED or parent is None)):
                    new.add(self._root)
                elif parent is not None and mask & OF_A_DIRECTORY and mask & CREATE:
                    new.add(os.path.join(parent, name))

    def _watch(self, top: bytes) -> None:
        """A directory that is watched already stays so."""
        for directory, below, _ in os.walk(top, onerror=_raised):
            if directory == self._git:
                below.clear()
                continue
            if len(self._watched) >= MOST_DIRECTORIES:
                raise OSError("too many directories")
            self._watched[self._done(self._libc.inotify_add_watch(self._events, directory, CHANGES))] = directory

    def _done(self, answer: int) -> int:
        if answer < 0:
            raise OSError(ctypes.get_errno(), "the kernel does not watch this")
        return answer


def _raised(error: OSError) -> None:
    raise error
