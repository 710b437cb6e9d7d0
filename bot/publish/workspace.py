"""The pinned base of a job: into a sandbox as bytes, out of it as a patch made in the bot's own objects."""

import asyncio
import hashlib
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bot.domain.errors import ProviderError, UserError
from bot.domain.job import Change, FileStat, Mode, Patch
from bot.ports import BaseFile, ExportedFile, Sandbox
from bot.publish.archive import git_directory, put_changes
from bot.publish.git import Git, GitFailed
from bot.publish.leftovers import SCRATCH

MAX_PATCH_BYTES = 50_000_000  # of changed files; GitHub takes blobs up to 40 MB
CHUNK = 1 << 20
NOTHING = "0" * 40
POINTER = re.compile(rb"^([0-9a-f]{40})\nversion https://git-lfs\.github\.com/spec/v1$", re.M)  # below a blob's name
POINTER_BYTES = 1024  # one is shorter, by Git LFS's specification
DIFF = ("diff-tree", "-r", "-M", "--no-commit-id", "--no-color", "--no-ext-diff", "--no-textconv")


@dataclass(frozen=True, slots=True)
class PinnedWorkspace:
    """One commit of the mirror; jobs share it for reading and write nothing there."""

    git: Git
    base_sha: str
    base_tree: str
    base: Mapping[str, BaseFile] = field(repr=False)
    archive: Path
    branch: str

    async def fill(self, sandbox: Sandbox) -> None:
        await sandbox.put_archive(self._stream())
        indexed = await sandbox.exec(["git", "read-tree", "HEAD"], timeout_s=60)
        if indexed.exit_code != 0:
            words = indexed.stderr.decode(errors="replace").strip()[:300]
            raise ProviderError(sandbox.provider, f"git does not work in the sandbox: {words}")

    async def base_file(self, path: str) -> bytes | None:
        file = self.base.get(path)
        if file is None or file.mode == "160000":
            return None
        return await self.git.run("cat-file", "blob", file.sha)

    async def base_paths(self) -> tuple[str, ...]:
        return tuple(sorted(self.base))

    async def changes(self, sandbox: Sandbox, *, max_bytes: int) -> tuple[ExportedFile, ...]:
        return await sandbox.export_changes(self.base, max_bytes=max_bytes)

    async def put_changes(self, sandbox: Sandbox, files: Sequence[ExportedFile]) -> None:
        await put_changes(sandbox, files)

    async def take_patch(self, sandbox: Sandbox) -> Patch:
        exported = await sandbox.export_changes(self.base, max_bytes=MAX_PATCH_BYTES)
        for file in exported:
            _check_name(file.path)
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as scratch:
            store = _Scratch(self.git, Path(scratch))
            store.objects.mkdir()
            try:
                tree = await store.tree(self.base_tree, self.base, exported)
                diff = await store.run(*DIFF, "-p", self.base_tree, tree)
                stats = _stats(await store.run(*DIFF, "--numstat", "-z", self.base_tree, tree))
                pointers = await self._lost_pointers(exported)
            except GitFailed as failure:
                raise failure.as_provider_error("the patch could not be made") from None
        return Patch(
            base_sha=self.base_sha,
            tree_sha=tree,
            changes=tuple(self._change(file, was_pointer=file.path in pointers) for file in exported),
            stats=stats,
            diff=diff.decode("utf-8", "replace"),
            diff_id=hashlib.sha256((self.base_sha + tree).encode()).hexdigest()[:12],
        )

    async def _lost_pointers(self, files: Sequence[ExportedFile]) -> frozenset[str]:
        """The paths whose content was a Git LFS pointer, and is another now."""
        there = ((file, self.base[file.path].sha) for file in files if file.path in self.base)
        was = {file.path: sha for file, sha in there if file.content is not None and _blob(file.content)[0] != sha}
        sizes = await self.git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=_lines(was.values()))
        names = (line.split() for line in sizes.decode().split("\n")[:-1])
        small = [name for name, size in names if size.isdigit() and int(size) < POINTER_BYTES]
        pointers = set(POINTER.findall(await self.git.run("cat-file", "--batch=%(objectname)", stdin=_lines(small))))
        return frozenset(path for path, sha in was.items() if sha.encode() in pointers)

    def _change(self, file: ExportedFile, *, was_pointer: bool) -> Change:
        was = self.base.get(file.path)
        was_mode, mode = was.mode if was else None, cast(Mode | None, file.mode)
        return Change(file.path, mode, file.content, was_mode, was_pointer)

    async def _stream(self) -> AsyncIterator[bytes]:
        yield git_directory(self.base_sha, self.branch)
        with await asyncio.to_thread(self.archive.open, "rb") as archive:
            while chunk := await asyncio.to_thread(archive.read, CHUNK):
                yield chunk


@dataclass(frozen=True, slots=True)
class _Scratch:
    """Objects and index of one patch, beside the mirror's objects; gone when the patch is made."""

    git: Git
    directory: Path

    @property
    def objects(self) -> Path:
        return self.directory / "objects"

    async def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        extra = {
            "GIT_OBJECT_DIRECTORY": str(self.objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.git.directory / "objects"),
            "GIT_INDEX_FILE": str(self.directory / "index"),
        }
        return await self.git.run(*arguments, stdin=stdin, extra=extra)

    async def tree(self, base_tree: str, base: Mapping[str, BaseFile], files: Sequence[ExportedFile]) -> str:
        """The tree of the base with `files` put in. Raises UserError for a path that git leaves out: it only warns."""
        blobs = await asyncio.to_thread(self._store, files)
        gone = [f"0 {NOTHING}\t{file.path}\0" for file in files if file.mode is None]
        here = [f"{file.mode} {blobs[file.path]}\t{file.path}\0" for file in files if file.mode is not None]
        await self.run("read-tree", base_tree)
        await self.run("update-index", "-z", "--replace", "--add", "--index-info", stdin="".join(gone + here).encode())
        tree = (await self.run("write-tree")).decode().strip()
        changed = await self.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", base_tree, tree)
        for path in sorted({file.path for file in files} ^ set(changed.decode().split("\0")[:-1])):
            raise UserError(f"Git refuses the path `{path}`: rename it or remove it.")
        return tree

    def _store(self, files: Sequence[ExportedFile]) -> dict[str, str]:
        return {file.path: self._loose_object(file.content) for file in files if file.content is not None}

    def _loose_object(self, content: bytes) -> str:
        """Writes a blob as git keeps it (gitformat-loose): zlib over a header and the bytes. Answers its name."""
        name, whole = _blob(content)
        path = self.objects / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(whole, 1))
        return name


def _blob(content: bytes) -> tuple[str, bytes]:
    """Git's name of it, and what that is the hash of."""
    whole = b"blob %d\0" % len(content) + content
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest(), whole


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _stats(numstat: bytes) -> tuple[FileStat, ...]:
    """From `--numstat -z`: a renamed file has an empty path, then the old and the new one."""
    fields = iter(numstat.decode("utf-8", "replace").split("\0")[:-1])
    stats: list[FileStat] = []
    for line in fields:
        added, removed, path = line.split("\t", 2)
        if not path:
            _, path = next(fields), next(fields)
        binary = added == "-"
        stats.append(FileStat(path, None if binary else int(added), None if binary else int(removed)))
    return tuple(stats)


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise UserError(
            f"The file name `{shown}` is not UTF-8 and cannot be published: rename the file, or leave it as it was."
        ) from None
