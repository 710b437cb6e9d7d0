"""The bot's own shallow bare repositories, one a GitHub repository: a pinned commit is fetched once and kept."""

import asyncio
import fcntl
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from bot.domain.errors import ProviderError
from bot.ports import BaseFile, Remote
from bot.publish.archive import base_files, write_archive
from bot.publish.git import PASSED_ON, PROVIDER, Git, GitFailed
from bot.publish.workspace import PinnedWorkspace

MAX_REPOSITORY_BYTES = 1 << 30
FETCH_TIMEOUT_S = 900.0
READY_COMMITS = 4  # prepared archives kept for each repository, however old
READY_S = 3_600.0  # any that was used in the last hour is kept too: its job may be about to read it
ARCHIVE_UNUSED_S = 86_400.0  # no job takes so long
REPOSITORY_UNUSED_S = 30 * 86_400.0
GONE = "gone"  # what is being removed of a repository
SHA = re.compile(r"[0-9a-f]{40}\Z")
PLAIN_BRANCH = re.compile(r"(?!/)(?!.*(\.\.|//|/\.|\.lock(/|\Z)|[/.]\Z))[A-Za-z0-9_][A-Za-z0-9._/+@=,-]*\Z")


class Mirror:
    """Below `root` lie, for each repository id: `repo.git`, prepared commits in `ready/`, and a lock file.

    `environment` is the bot's: of it only proxies and certificates are passed on to git.
    """

    def __init__(self, root: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._passed_on = {name: value for name, value in (environment or {}).items() if name in PASSED_ON}

    async def pin(
        self, remote: Remote, *, repo_id: int, sha: str, branch: str = "main", max_bytes: int = MAX_REPOSITORY_BYTES
    ) -> PinnedWorkspace:
        """The commit `sha`, here and ready for a sandbox, where HEAD is on `branch`.

        A path of this machine is allowed as `remote.url`. Raises ProviderError when it cannot be had and LimitReached
        when it, packed or unpacked, is larger than `max_bytes`.
        """
        if not SHA.match(sha):
            raise ValueError(f"not a commit id: {sha!r}")
        home = self._root / str(int(repo_id))
        git = Git(home / "repo.git", self._passed_on)
        try:
            async with _locked(home):
                await self._fetch(git, remote, sha, max_bytes)
                base = await base_files(git, sha, max_bytes=max_bytes)
                base_tree = (await git.run("rev-parse", f"{sha}^{{tree}}")).decode().strip()
                archive = await asyncio.to_thread(_prepared, git, home / "ready", sha, base)
        except GitFailed as failure:
            raise failure.as_provider_error(f"commit {sha[:12]} could not be fetched") from None
        except OSError as error:
            raise ProviderError(PROVIDER, f"the mirror's disk failed: {error.strerror}") from None
        return PinnedWorkspace(
            git=git,
            base_sha=sha,
            base_tree=base_tree,
            base=base,
            archive=archive,
            branch=branch if PLAIN_BRANCH.match(branch) else "main",
        )

    async def _fetch(self, git: Git, remote: Remote, sha: str, max_bytes: int) -> None:
        if not (git.directory / "HEAD").exists():
            await git.run("init", "--quiet", "--bare", "--template=", str(git.directory))
        ref = f"refs/backspace/{sha}"
        known = await git.run("for-each-ref", "--format=%(refname)", ref)
        if known.strip():
            return
        url = f"file://{quote(remote.url)}" if remote.url.startswith("/") else remote.url
        await git.run(
            *("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--depth=1"),
            *("--", url, f"+{sha}:{ref}"),
            header=remote.header,
            timeout_s=FETCH_TIMEOUT_S,
            max_file_bytes=max_bytes,
        )


def clear(root: Path, *, now: float | None = None) -> int:
    """Removes archives no job has used for a day, and repositories for 30; answers how much went. `now` is Unix time.

    Blocking: run it in a thread. What is being pinned is left alone.
    """
    at = time.time() if now is None else now
    return sum(_cleared(home, at) for home in root.glob("[0-9]*"))


def _cleared(home: Path, now: float) -> int:
    with suppress(OSError):
        descriptor = _lock_file(home)
        try:
            return _removed(home, now, used_at=_used_at(home, descriptor)) if _taken(descriptor) else 0
        finally:
            os.close(descriptor)
    return 0


def _used_at(home: Path, lock: int) -> float:
    """Kept at the lock, since the archives go first; earlier versions of the bot touched only those."""
    traces = [path.stat() for path in (home / "repo.git", *(home / "ready").glob("*.tar")) if path.exists()]
    used_at = max(trace.st_mtime for trace in (os.fstat(lock), *traces))
    os.utime(lock, (used_at, used_at))
    return used_at


def _removed(home: Path, now: float, *, used_at: float) -> int:
    """The lock file stays, for whoever waits for it."""
    unused = [path for path in (home / "ready").glob("*.tar") if now - path.stat().st_mtime > ARCHIVE_UNUSED_S]
    if now - used_at > REPOSITORY_UNUSED_S:
        unused = [home / "repo.git", home / "ready"]
    old = [path for path in (home / GONE, *unused) if path.exists()]
    for path in old:
        if path.is_dir():  # in one step, so that a bot that is killed here leaves no half of it
            shutil.rmtree(path.rename(home / GONE))
        else:
            path.unlink()
    return len(old)


def _prepared(git: Git, ready: Path, sha: str, base: Mapping[str, BaseFile]) -> Path:
    archive = ready / f"{sha}.tar"
    ready.mkdir(exist_ok=True)
    if archive.exists():
        os.utime(archive)
        return archive
    write_archive(git, sha, base, archive)
    by_age = sorted((path.stat().st_mtime, path) for path in ready.glob("*.tar"))
    for used_at, stale in by_age[:-READY_COMMITS]:
        if time.time() - used_at > READY_S:
            stale.unlink()
    return archive


@asynccontextmanager
async def _locked(home: Path) -> AsyncIterator[None]:
    """One pin of a repository at a time, in this process and in any other."""
    descriptor = await asyncio.to_thread(_lock_file, home)
    try:
        while True:
            if _taken(descriptor):
                break
            await asyncio.sleep(0.02)
        os.utime(descriptor)  # when it was last used, for `clear`
        yield
    finally:
        os.close(descriptor)


def _lock_file(home: Path) -> int:
    home.mkdir(parents=True, exist_ok=True)
    return os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
