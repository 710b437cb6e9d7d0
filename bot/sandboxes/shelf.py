"""What setup phases made, kept on this machine for a while: archives by key, the least used ones going first."""

import asyncio
import copy
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bot.domain.errors import LimitReached

DAY_S = 86_400.0
UNFINISHED = "unfinished-"
FACTS = "facts.json"
USED = "used"  # an empty file whose time is the last use
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """Archives by the name of the place they belong to, and what they are squeezed with ("" for not)."""

    directory: Path
    squeezed: Mapping[str, str]

    async def chunks(self, place: str) -> AsyncIterator[bytes]:
        """Raises OSError when it is gone meanwhile."""
        with await asyncio.to_thread((self.directory / place).open, "rb") as archive:
            while chunk := await asyncio.to_thread(archive.read, CHUNK):
                yield chunk


class Shelf:
    """A folder of its own. Sizes in bytes; `clock` gives Unix time in seconds, `free` what the folder's disk has left,
    and of that `reserve_bytes` stay for others, such as the database.

    An entry is there as a whole or not at all, whoever is killed meanwhile; several processes may share the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 20 << 30,
        max_entry_bytes: int = 2 << 30,
        lifetime_s: float = 7 * DAY_S,
        reserve_bytes: int = 2 << 30,
        clock: Callable[[], float] = time.time,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._folder = folder
        self._max, self._max_entry, self._lifetime_s, self._clock = max_bytes, max_entry_bytes, lifetime_s, clock
        self._reserve, self._free = reserve_bytes, free
        self._image = ""

    def of(self, image: str) -> "Shelf":
        """The same folder for sandboxes of one image: what was made in those of another is not found."""
        shelf = copy.copy(self)
        shelf._image = image
        return shelf

    def find(self, key: str) -> Kept | None:
        """What was kept under this key and is not too old; None otherwise."""
        key = self._named(key)
        entry = self._place(key)
        try:
            facts = json.loads((entry / FACTS).read_text())
        except (OSError, ValueError):
            return None
        if facts["key"] != key or not 0 <= self._clock() - facts["at"] < self._lifetime_s:
            return None
        with suppress(OSError):
            self._use(entry)
        return Kept(entry, facts["squeezed"])

    def forget(self, key: str) -> None:
        shutil.rmtree(self._place(self._named(key)), ignore_errors=True)

    def begin(self, key: str) -> "Unfinished":
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self._folder))
        return Unfinished(directory, self._named(key), self._max_entry, self._has_room)

    def put(self, made: "Unfinished") -> None:
        """It takes the place of what was there, and the oldest others make room. Raises OSError."""
        facts = {"key": made.key, "at": self._clock(), "squeezed": made.squeezed}
        (made.directory / FACTS).write_text(json.dumps(facts))
        self._use(made.directory)
        shutil.rmtree(self._place(made.key), ignore_errors=True)
        with suppress(OSError):  # somebody else was faster with the same
            made.directory.rename(self._place(made.key))
        made.drop()
        self._make_room()

    def _use(self, entry: Path) -> None:
        (entry / USED).touch()
        os.utime(entry / USED, (self._clock(),) * 2)

    def _has_room(self, size: int) -> bool:
        """If need be in place of what was kept before."""
        if self._free(self._folder) < self._reserve + size:
            self._make_room(size)
        return self._free(self._folder) >= self._reserve + size

    def _make_room(self, more: int = 0) -> None:
        """Least lately used first, none where all together would not be enough; what an earlier process left unfinished
        goes after a day."""
        entries = []
        for entry in self._folder.iterdir():
            with suppress(OSError):
                used = (entry if entry.name.startswith(UNFINISHED) else entry / USED).stat().st_mtime
                entries.append((used, sum(file.stat().st_size for file in entry.iterdir()), entry))
        total, now = sum(size for _, size, _ in entries), self._clock()
        whole = sum(size for _, size, entry in entries if not entry.name.startswith(UNFINISHED))
        for used, size, entry in sorted(entries):
            age, is_whole = now - used, not entry.name.startswith(UNFINISHED)
            lacks = self._reserve + more - self._free(self._folder)
            is_too_much = total > self._max or 0 < lacks <= whole
            if age > (self._lifetime_s if is_whole else DAY_S) or (is_too_much and is_whole):
                shutil.rmtree(entry, ignore_errors=True)
                total -= size
                whole -= size * is_whole

    def _named(self, key: str) -> str:
        return f"{key} {self._image}".rstrip()

    def _place(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()


class Unfinished:
    """An entry that is being written; `drop` is due at the end, whether it was put on the shelf or not."""

    def __init__(self, directory: Path, key: str, max_bytes: int, has_room: Callable[[int], bool]) -> None:
        self.directory, self.key = directory, key
        self.squeezed: dict[str, str] = {}
        self._left, self._has_room = max_bytes, has_room

    def open(self, place: str) -> IO[bytes]:
        """Raises OSError."""
        return (self.directory / place).open("wb")

    def count(self, size: int) -> None:
        """Before as many bytes more are written. Raises LimitReached past what an entry or the disk may have."""
        self._left -= size
        if self._left < 0:
            raise LimitReached("what the setup phase made is too large to be kept")
        if not self._has_room(size):
            raise LimitReached("the disk has no room to keep what the setup phase made")

    def drop(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
