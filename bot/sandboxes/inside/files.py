"""Files of one directory tree, reached component by component and never through a link."""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_LISTED = 500_000  # paths in one listing
MAX_LISTED_BYTES = 64 << 20
MAX_DEPTH = 256  # folders above a listed path: each is opened anew for each folder below it
SETTLED_NS = 2_000_000_000  # a file changed so lately may change again within one tick of its file system's clock
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Refused(Exception):
    """`kind` is missing, directory, refused or limit: the other side turns it into the port's exception."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Tree:
    """A work tree below one directory. Paths are bytes, relative to it."""

    def __init__(self, root: str, *, settled_ns: int = SETTLED_NS) -> None:
        self._root = os.fsencode(root)
        self._settled_ns = settled_ns
        self._known: dict[bytes, tuple[tuple[int, ...], bytes]] = {}
        self.reopen()
        self._top = os.open(root, DIRECTORY)

    def close(self) -> None:
        os.close(self._top)

    def reopen(self) -> None:
        """Of the root, which a command may have closed; none can put another directory in its place."""
        mode = stat.S_IMODE(os.stat(self._root).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            with suppress(PermissionError):
                os.chmod(self._root, mode | stat.S_IRWXU)

    def read(self, path: bytes, max_bytes: int) -> bytes:
        with self._parent(path) as (parent, name), _saying(path):
            _, content = _regular(parent, name, path, max_bytes)
        return content

    def write(self, path: bytes, content: bytes) -> None:
        """Replace as a whole: a reader sees the old file or the new one, a full disk leaves the old one."""
        with self._parent(path, create=True) as (parent, name), _saying(path):
            mode = _mode_to_keep(parent, name, path)
            beside = b".backspace-%d" % os.getpid()
            descriptor = os.open(beside, CREATE, 0o600, dir_fd=parent)
            try:
                _write_all(descriptor, content)
                os.fchmod(descriptor, mode)
                os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
            except OSError:
                os.unlink(beside, dir_fd=parent)
                raise
            finally:
                os.close(descriptor)

    def listing(self) -> bytes:
        """All files and links but what is below a `.git`, each followed by a NUL.

        What may not be opened is passed over, as is what lies too deep. Raises Refused where that is the root itself.
        """
        found: list[bytes] = []
        waiting, size = [b""], 0
        while waiting:
            here = waiting.pop()
            try:
                for name, is_directory in self._entries(here):
                    path = here + name + (b"/" if is_directory else b"")
                    if name != b".git" and path.count(b"/") <= MAX_DEPTH:
                        (waiting if is_directory else found).append(path)
                        size += len(path) + 1
            except Refused:
                if not here:
                    raise
            if len(found) > MAX_LISTED or size > MAX_LISTED_BYTES:
                raise Refused("limit", "There are too many files in the work tree to list them.")
        return b"".join(path + b"\0" for path in sorted(found))

    def states(self, paths: list[bytes]) -> bytes:
        """A record a path, each followed by a NUL: kind, git mode, links, git blob SHA-1.

        The kind is `file`, `link`, `directory`, `empty` (a directory), `other`, `missing` or `unreadable`. A file that
        is the same as at an earlier call by all the kernel says of it is not read again.
        """
        records: list[bytes] = []
        for _, group in groupby(paths, key=posixpath.dirname):
            records += self._states_of_neighbours(list(group))
        return b"".join(record + b"\0" for record in records)

    def exported(self, path: bytes, max_bytes: int) -> tuple[str, bytes]:
        """Git mode and content of a file or link."""
        with self._parent(path) as (parent, name), _saying(path):
            if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                return "120000", os.readlink(name, dir_fd=parent)
            return _regular(parent, name, path, max_bytes)

    def _states_of_neighbours(self, paths: list[bytes]) -> list[bytes]:
        """Of paths in one directory, which is opened once."""
        settled_ns = time.time_ns() - self._settled_ns
        try:
            with self._parent(paths[0]) as (parent, _):
                return [self._state_now(parent, path, settled_ns) for path in paths]
        except Refused:
            return [self._state(path) for path in paths]

    def _state_now(self, parent: int, path: bytes, settled_ns: int) -> bytes:
        name = posixpath.basename(path)
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (OSError, ValueError):
            return self._state(path)
        if not stat.S_ISREG(found.st_mode) or name in (b"", b".", b".."):
            return self._state(path)
        kind = (found.st_dev, found.st_ino, found.st_mode, found.st_nlink)
        looks = (*kind, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._known.get(path)
        if known is not None and known[0] == looks:
            return known[1]
        record = self._state(path)
        if max(found.st_mtime_ns, found.st_ctime_ns) < settled_ns:
            self._known[path] = (looks, record)
        else:
            self._known.pop(path, None)
        return record

    def _state(self, path: bytes) -> bytes:
        try:
            with self._parent(path) as (parent, name), _saying(path):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if stat.S_ISLNK(found.st_mode):
                    return b"link 120000 1 " + _blob_sha(os.readlink(name, dir_fd=parent))
                if stat.S_ISDIR(found.st_mode):
                    return (b"directory" if any(self._entries(path + b"/")) else b"empty") + b" - 1 -"
                if not stat.S_ISREG(found.st_mode):
                    return b"other - 1 -"
                if found.st_nlink != 1:
                    return b"file - %d -" % found.st_nlink
                return b"file %s 1 %s" % (_git_mode(found).encode(), _file_sha(parent, name))
        except Refused as refusal:
            return b"missing - 0 -" if refusal.kind in ("missing", "refused-link") else b"unreadable - 0 -"

    def _entries(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
        with self._parent(directory + b".") as (parent, _), _saying(directory), os.scandir(parent) as entries:
            for entry in entries:
                yield os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)

    @contextmanager
    def _parent(self, path: bytes, *, create: bool = False) -> Iterator[tuple[int, bytes]]:
        """The open directory that holds `path`, and the last component."""
        *above, name = self._components(path)
        with _saying(path):
            current = os.open(b".", DIRECTORY, dir_fd=self._top)
        try:
            for part in above:
                with _saying(path):
                    below = _step(current, part, path, create=create)
                os.close(current)
                current = below
            yield current, name
        finally:
            os.close(current)

    def _components(self, path: bytes) -> list[bytes]:
        shown = os.fsdecode(path)
        if b"\0" in path:
            raise Refused("refused", "A path cannot hold a NUL byte.")
        listing = path.endswith(b"/.") or path == b"."
        plain = posixpath.normpath(path.rstrip(b"/")) if path else b"."
        if plain.startswith(b"/"):
            plain = posixpath.relpath(plain, self._root)
        if plain.split(b"/")[0] == b"..":
            raise Refused("refused", f"{shown} leaves the work tree.")
        if listing:
            return [part for part in plain.split(b"/") if part != b"."] + [b"."]
        if plain == b".":
            raise Refused("directory", f"{shown or '.'} is a directory.")
        return plain.split(b"/")


def _step(parent: int, part: bytes, path: bytes, *, create: bool) -> int:
    try:
        return os.open(part, DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
        os.mkdir(part, 0o755, dir_fd=parent)
        return os.open(part, DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        if stat.S_ISLNK(os.stat(part, dir_fd=parent, follow_symlinks=False).st_mode):
            words = f"{os.fsdecode(path)} goes through a symbolic link, {os.fsdecode(part)}: use the path it points to."
            raise Refused("refused-link", words) from None
        kind = "refused" if create else "missing"
        raise Refused(kind, f"{os.fsdecode(path)}: {os.fsdecode(part)} is a file, not a directory.") from None


def _regular(parent: int, name: bytes, path: bytes, max_bytes: int) -> tuple[str, bytes]:
    """Git mode and content of a regular file with one link."""
    _must_be_plain(os.stat(name, dir_fd=parent, follow_symlinks=False), path)
    descriptor = os.open(name, READ, dir_fd=parent)
    try:
        found = os.fstat(descriptor)
        _must_be_plain(found, path)
        content = _read_all(descriptor, max_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise Refused("limit", f"{os.fsdecode(path)} is larger than {max_bytes} bytes.")
    return _git_mode(found), content


def _must_be_plain(found: os.stat_result, path: bytes) -> None:
    shown = os.fsdecode(path)
    if stat.S_ISLNK(found.st_mode):
        raise Refused("refused-link", f"{shown} is a symbolic link: use the path it points to.")
    if stat.S_ISDIR(found.st_mode):
        raise Refused("directory", f"{shown} is a directory.")
    if not stat.S_ISREG(found.st_mode):
        raise Refused("refused", f"{shown} is not a regular file.")
    if found.st_nlink != 1:
        raise Refused("refused", f"{shown} is hard-linked with another file: replace it with a copy.")


def _mode_to_keep(parent: int, name: bytes, path: bytes) -> int:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return 0o644
    _must_be_plain(found, path)
    return stat.S_IMODE(found.st_mode) & 0o777


def _read_all(descriptor: int, max_bytes: int) -> bytes:
    content = bytearray()
    while len(content) < max_bytes:
        chunk = os.read(descriptor, min(1 << 20, max_bytes - len(content)))
        if not chunk:
            break
        content += chunk
    return bytes(content)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _git_mode(found: os.stat_result) -> str:
    return "100755" if found.st_mode & 0o100 else "100644"


def _blob_sha(content: bytes) -> bytes:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest().encode()


def _file_sha(parent: int, name: bytes) -> bytes:
    """The blob SHA-1 of a file of any size, a piece at a time."""
    descriptor = os.open(name, READ, dir_fd=parent)
    try:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(descriptor).st_size)
        while chunk := os.read(descriptor, 1 << 20):
            digest.update(chunk)
    finally:
        os.close(descriptor)
    return digest.hexdigest().encode()


@contextmanager
def _saying(path: bytes) -> Iterator[None]:
    """Turns the kernel's refusal into words."""
    shown = os.fsdecode(path)
    try:
        yield
    except FileNotFoundError:
        raise Refused("missing", f"{shown} does not exist.") from None
    except OSError as error:
        if error.errno in FULL:
            raise Refused("limit", f"{shown} cannot be written: the sandbox's disk is full.") from None
        raise Refused("refused", f"{shown}: {os.strerror(error.errno or 0)}.") from None
