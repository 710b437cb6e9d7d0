"""The checkout `backspace run` was given: what it is at, and a new branch in it. The work tree is never touched."""

import asyncio
import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bot.domain.errors import UserError
from bot.domain.job import Patch
from bot.publish.leftovers import SCRATCH

NOTHING: Mapping[str, str] = MappingProxyType({})
AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Tiny Backspace"), ("EMAIL", "backspace@localhost"))
}


async def toplevel(folder: Path) -> Path:
    """The root of the checkout that `folder` is in. Raises UserError when it is in none."""
    code, out, said = await _told(folder, "rev-parse", "--show-toplevel")
    if code == 0:
        return Path(os.fsdecode(out.removesuffix(b"\n")))
    if b"dubious ownership" in said:
        raise UserError(
            f"git refuses {folder}, which belongs to another user: if you trust it, "
            f"`git config --global --add safe.directory {shlex.quote(str(folder))}` allows it."
        )
    if b"must be run in a work tree" in said:
        raise UserError(f"{folder} is a bare repository, without files: name a checkout of it with --repo.")
    if b"cannot change to" in said:
        raise UserError(f"{folder} is not a folder that can be entered: name a git checkout with --repo.")
    if b"not a git repository" in said:
        raise UserError(f"{folder} is not a git checkout: name one with --repo, or make one with `git init`.")
    words = said.decode(errors="replace").strip().split("\n")[0][:300]
    raise UserError(f"git cannot read {folder}: {words}")


async def head_of(repo: Path) -> str:
    """The commit HEAD is on. Raises UserError when there is none."""
    code, out = await _git(repo, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if code != 0:
        raise UserError(f"{repo} has no commit yet, and the agent works on a commit: make one first.")
    sha = out.decode().strip()
    if len(sha) != 40:
        raise UserError(f"{repo} names its commits by SHA-256, which is not supported: use a SHA-1 repository.")
    return sha


async def last_subjects(repo: Path, sha: str) -> tuple[str, ...]:
    """First lines of the last 8 commit messages up to `sha`, the newest first."""
    _, out = await _git(repo, "log", "-8", "--format=%s", sha)
    return tuple(out.decode(errors="replace").splitlines())


async def has_uncommitted(repo: Path) -> bool:
    """Whether there are changes, or new files that are not ignored, beside the commit HEAD is on."""
    _, out = await _git(repo, "--no-optional-locks", "status", "--porcelain")
    return bool(out)


async def check_branch(repo: Path, name: str) -> None:
    """Raises UserError when no new branch can have that name."""
    _, out = await _git(repo, "check-ref-format", "--branch", name)
    if os.fsdecode(out) != f"{name}\n" or name in ("HEAD", "@"):  # git answers `@{-1}` with the name it stands for
        raise UserError(f"{name!a} cannot be the name of a branch: give --branch another.")
    _, out = await _git(repo, "for-each-ref", "--format=%(refname:lstrip=2)", f"refs/heads/{name.split('/')[0]}")
    for other in os.fsdecode(out).split("\n")[:-1]:
        if other == name:
            raise UserError(f"{repo} has a branch {name} already: give --branch another name.")
        if f"{name}/".startswith(f"{other}/") or other.startswith(f"{name}/"):
            raise UserError(f"{repo} has a branch {other}, so git can make no {name}: give --branch another name.")


async def make_branch(repo: Path, name: str, patch: Patch, *, message: str) -> str:
    """A branch with one commit on the patch's base; answers the commit. Neither index nor work tree change.

    Raises UserError when git refuses, such as for a branch that was made meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        await _must(repo, "read-tree", patch.base_sha, environment=index)
        wanted = bytearray()
        for change in patch.changes:
            mode, blob = "0", "0" * len(patch.base_sha)
            if change.content is not None and change.mode is not None:
                made = await _must(repo, "hash-object", "-w", "--stdin", stdin=change.content)
                mode, blob = change.mode, made
            wanted += f"{mode} {blob}\t".encode() + os.fsencode(change.path) + b"\0"
        await _must(repo, "update-index", "-z", "--index-info", stdin=bytes(wanted), environment=index)
        tree = await _must(repo, "write-tree", environment=index)
    if tree != patch.tree_sha:
        raise UserError(f"git made another tree of the change than the one that was checked: {name} was not made.")
    text = message.encode("utf-8", "replace")
    commit = await _must(repo, "commit-tree", tree, "-p", patch.base_sha, "-F", "-", stdin=text, environment=AUTHOR)
    await _must(repo, "update-ref", f"refs/heads/{name}", commit, "0" * len(commit))
    return commit


async def _must(repo: Path, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] = NOTHING) -> str:
    code, out = await _git(repo, *arguments, stdin=stdin, environment=environment)
    if code != 0:
        raise UserError(f"`git {arguments[0]}` failed in {repo}, so there is no branch: is the repository writable?")
    return out.decode().strip()


async def _git(
    repo: Path, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] = NOTHING
) -> tuple[int, bytes]:
    code, out, _ = await _told(repo, *arguments, stdin=stdin, environment=environment)
    return code, out


async def _told(
    repo: Path, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] = NOTHING
) -> tuple[int, bytes, bytes]:
    """Exit code, output, and what it says, in English."""
    process = await asyncio.create_subprocess_exec(
        *("git", "-C", str(repo), *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment, "LC_ALL": "C"},
    )
    out, said = await process.communicate(stdin)
    return process.returncode or 0, out, said
