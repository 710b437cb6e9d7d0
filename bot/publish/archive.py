"""A commit as a tar stream made straight from git objects, and the small `.git` that goes with it.

No checkout runs on the host: no filter, attribute or link of the repository is ever acted upon, and every file arrives
with exactly the bytes the commit holds (GitHub's own tarballs drop `export-ignore` paths and rewrite `export-subst`).
"""

import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from bot.domain.errors import LimitReached, ProviderError
from bot.ports import BaseFile, ExportedFile, Sandbox
from bot.publish.git import Git, GitFailed
from bot.publish.leftovers import SCRATCH

BLOCK = tarfile.BLOCKSIZE
SUBMODULE, LINK = "160000", "120000"
END = b"\0" * (2 * BLOCK)
CONFIG = b"""[core]
\trepositoryformatversion = 0
\tbare = false
\tautocrlf = false
[user]
\tname = Sandbox
\temail = sandbox@localhost
"""


async def base_files(git: Git, sha: str, *, max_bytes: int) -> dict[str, BaseFile]:
    """Every path of the commit with mode and blob. Raises LimitReached when they are more than `max_bytes` in all."""
    files: dict[str, BaseFile] = {}
    total = 0
    for record in (await git.run("ls-tree", "-r", "-l", "-z", "--full-tree", sha)).split(b"\0")[:-1]:
        facts, _, path = record.partition(b"\t")
        mode, _, blob, size = facts.decode().split()
        files[path.decode("utf-8", "surrogateescape")] = BaseFile(mode, blob)
        total += 0 if size == "-" else int(size)
    if total > max_bytes:
        raise LimitReached(f"The repository's files are larger than the {max_bytes >> 20} MiB allowed here.")
    return files


def write_archive(git: Git, sha: str, files: Mapping[str, BaseFile], target: Path) -> None:
    """All files, and a pack of the one commit, as a complete tar file. Blocking: run it in a thread."""
    unfinished = target.with_name(f"{SCRATCH}{target.name}")
    with open(unfinished, "wb") as out, tempfile.TemporaryDirectory(prefix=SCRATCH, dir=target.parent) as scratch:
        for name, content in _pack(git, sha, Path(scratch)):
            _add_file(out, name, content, 0o444)
        _add_file(out, ".git/shallow", sha.encode() + b"\n", 0o644)
        blobs = [(path, file) for path, file in files.items() if file.mode != SUBMODULE]
        for (path, file), content in zip(blobs, _contents(git, [file.sha for _, file in blobs]), strict=True):
            if file.mode == LINK:
                _add_link(out, path, content)
            else:
                _add_file(out, path, content, 0o755 if file.mode == "100755" else 0o644)
        for path in (path for path, file in files.items() if file.mode == SUBMODULE):
            _add_directory(out, path)
        out.write(END)
    unfinished.replace(target)


def git_directory(sha: str, branch: str) -> bytes:
    """The part of `.git` that differs from job to job, as the beginning of a tar stream."""
    out = _Bytes()
    _add_directory(out, ".git/refs/heads")
    _add_file(out, ".git/HEAD", f"ref: refs/heads/{branch}\n".encode(), 0o644)
    _add_file(out, ".git/packed-refs", f"{sha} refs/heads/{branch}\n".encode(), 0o644)
    _add_file(out, ".git/config", CONFIG, 0o644)
    return bytes(out.content)


async def put_changes(sandbox: Sandbox, files: Sequence[ExportedFile]) -> None:
    """Remove each path, whatever is there, and unpack those that shall be. Raises ProviderError."""
    paths = b"".join(file.path.encode("utf-8", "surrogateescape") + b"\0" for file in files)
    removed = await sandbox.exec(["xargs", "-0", "-r", "rm", "-rf", "--"], stdin=paths, timeout_s=120)
    if removed.exit_code != 0:
        words = removed.stderr.decode(errors="replace").strip()[:300]
        raise ProviderError(sandbox.provider, f"files in the sandbox could not be removed: {words}")
    await sandbox.put_archive(_changed_files(files))


async def _changed_files(files: Sequence[ExportedFile]) -> AsyncIterator[bytes]:
    for file in files:
        out = _Bytes()
        if file.content is not None and file.mode == LINK:
            _add_link(out, file.path, file.content)
        elif file.content is not None:
            _add_file(out, file.path, file.content, 0o755 if file.mode == "100755" else 0o644)
        yield bytes(out.content)
    yield END


class _Bytes:
    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, piece: bytes) -> None:
        self.content += piece


def _pack(git: Git, sha: str, scratch: Path) -> Iterator[tuple[str, bytes]]:
    made = _git(git, "pack-objects", "--quiet", "--revs", "--delta-base-offset", str(scratch / "pack"), stdin=sha)
    name = f"pack-{made.decode().strip()}"
    for suffix in ("pack", "idx"):
        yield f".git/objects/pack/{name}.{suffix}", (scratch / f"{name}.{suffix}").read_bytes()


def _contents(git: Git, blobs: list[str]) -> Iterator[bytes]:
    """The bytes of each blob, in order, one in memory at a time."""
    with tempfile.TemporaryFile() as wanted:
        wanted.write("".join(f"{blob}\n" for blob in blobs).encode())
        wanted.seek(0)
        command = ["git", "cat-file", "--batch", "--buffer"]
        with subprocess.Popen(command, stdin=wanted, stdout=subprocess.PIPE, env=git.environment(), cwd="/") as batch:
            assert batch.stdout is not None
            for blob in blobs:
                said = batch.stdout.readline().split()
                if len(said) != 3 or said[1] != b"blob":
                    raise GitFailed(f"fatal: object {blob} is not in the mirror")
                yield batch.stdout.read(int(said[2]))
                batch.stdout.read(1)


def _git(git: Git, *arguments: str, stdin: str) -> bytes:
    done = subprocess.run(
        ["git", *arguments],
        input=f"{stdin}\n".encode(),
        capture_output=True,
        env=git.environment(),
        cwd="/",
        check=False,
    )
    if done.returncode:
        raise GitFailed(done.stderr.decode(errors="replace"))
    return done.stdout


def _add_file(out: "BinaryIO | _Bytes", path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    out.write(_header(entry))
    out.write(content)
    out.write(b"\0" * (-len(content) % BLOCK))


def _add_link(out: "BinaryIO | _Bytes", path: str, target: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.linkname = tarfile.SYMTYPE, target.decode("utf-8", "surrogateescape")
    out.write(_header(entry))


def _add_directory(out: "BinaryIO | _Bytes", path: str) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    out.write(_header(entry))


def _header(entry: tarfile.TarInfo) -> bytes:
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
