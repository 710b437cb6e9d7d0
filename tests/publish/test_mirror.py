"""The mirror: pinned commits fetched once, by real git, with nothing of the machine's or the repository's settings."""

import asyncio
import fcntl
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.domain.errors import LimitReached, ProviderError
from bot.ports import Remote, Workspace
from bot.publish.git import without_credentials
from bot.publish.mirror import ARCHIVE_UNUSED_S, REPOSITORY_UNUSED_S, Mirror, clear
from bot.standins.serving import serve
from tests.publish.repositories import commit, commit_many, commit_tree, git, repository

pytestmark = pytest.mark.anyio
ODD = b"odd-\xff.txt".decode("utf-8", "surrogateescape")
ATTRIBUTES = b"secret.txt export-ignore\nversion.txt export-subst\n*.txt text eol=crlf\n*.bin filter=lfs\n"
AWKWARD = [
    ("100644", "crlf.txt", b"a\r\nb\r\n"),
    ("100755", "run.sh", b"#!/bin/sh\n"),
    ("120000", "link", b"crlf.txt"),
    ("100644", ".gitattributes", ATTRIBUTES),
    ("100644", "secret.txt", b"kept\n"),
    ("100644", "version.txt", b"$Format:%H$\n"),
    ("100644", "big.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
    ("100644", ODD, b"odd\n"),
    ("100644", "sub dir/with 'quotes' \"and\" $(id)\n.txt", b"x"),
    ("160000", "module", b"1" * 40),
]  # fmt: skip


def local(path: Path) -> Remote:
    return Remote(str(path), "")


def unpacked(archive: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Path to mode and content of everything but `.git`; a link's target is text, a directory has None."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    with tarfile.open(archive, errors="surrogateescape") as tar:
        for entry in tar:
            content: bytes | str | None = entry.linkname if entry.issym() else None
            if entry.isfile():
                opened = tar.extractfile(entry)
                assert opened is not None
                content = opened.read()
            if not entry.name.startswith(".git/"):
                found[entry.name] = (entry.mode, content)
    return found


async def test_every_file_arrives_with_exactly_the_bytes_of_the_commit(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    sha = commit_tree(source, AWKWARD)
    pinned = await Mirror(tmp_path / "mirror").pin(local(source), repo_id=1, sha=sha)
    files = unpacked(pinned.archive)
    for mode, path, content in AWKWARD:
        expected: dict[str, tuple[int, bytes | str | None]] = {
            "100644": (0o644, content),
            "100755": (0o755, content),
            "120000": (0o644, content.decode(errors="replace")),
            "160000": (0o755, None),
        }
        assert files.pop(path) == expected[mode], path
    assert files == {}


async def test_the_base_can_be_asked_for(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    sha = commit_tree(source, AWKWARD)
    pinned: Workspace = await Mirror(tmp_path / "mirror").pin(local(source), repo_id=1, sha=sha)
    assert pinned.base_sha == sha
    assert await pinned.base_paths() == tuple(sorted(path for _, path, _ in AWKWARD))
    assert await pinned.base_file("crlf.txt") == b"a\r\nb\r\n"
    assert await pinned.base_file(ODD) == b"odd\n"
    assert await pinned.base_file("module") is None
    assert await pinned.base_file("nothing") is None


async def test_an_older_commit_can_be_pinned_and_brings_no_history(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    old = commit(source, {"a": b"old"})
    commit(source, {"a": b"new"})
    mirror = Mirror(tmp_path / "mirror")
    pinned = await mirror.pin(local(source), repo_id=1, sha=old)
    assert await pinned.base_file("a") == b"old"
    assert git(tmp_path / "mirror" / "1" / "repo.git", "rev-list", "--all", "--count") == "1"


async def test_a_known_commit_needs_no_remote(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    sha = commit(source, {"a": b"1"})
    mirror = Mirror(tmp_path / "mirror")
    first = await mirror.pin(local(source), repo_id=1, sha=sha)
    again = await mirror.pin(Remote("https://127.0.0.1:1/gone", ""), repo_id=1, sha=sha)
    assert again == first


async def test_pins_of_one_repository_at_the_same_time_all_succeed(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    shas = [commit(source, {"a": str(number).encode()}) for number in range(3)]
    pins = [Mirror(tmp_path / "mirror").pin(local(source), repo_id=1, sha=sha) for sha in shas * 3]
    pinned = await asyncio.gather(*pins)
    assert [await each.base_file("a") for each in pinned] == [b"0", b"1", b"2"] * 3


async def test_five_thousand_files_are_prepared_once(tmp_path: Path) -> None:
    """Red when `_prepared` does not look for an archive first: seen."""
    source = repository(tmp_path / "source")
    sha = commit_many(source, {f"d{number % 100}/f{number}": b"%d\n" % number for number in range(5_000)})
    mirror = Mirror(tmp_path / "mirror")
    first = await mirror.pin(local(source), repo_id=1, sha=sha)
    assert len(first.base) == 5_000
    first.archive.write_bytes(b"as it was left")
    again = await mirror.pin(local(source), repo_id=1, sha=sha)
    assert again.archive.read_bytes() == b"as it was left"


async def test_only_some_prepared_commits_are_kept(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    mirror = Mirror(tmp_path / "mirror")
    archives = []
    for number in range(7):
        sha = commit(source, {"a": str(number).encode()})
        archives.append((await mirror.pin(local(source), repo_id=1, sha=sha)).archive)
        os.utime(archives[-1], (number, number))
    assert [archive.exists() for archive in archives] == [False, False, False, True, True, True, True]


async def test_what_no_job_uses_any_more_leaves_the_disk(tmp_path: Path) -> None:
    """Archives after a day, repositories after 30; what comes back is fetched anew."""
    source, root = repository(tmp_path / "source"), tmp_path / "mirror"
    shas = [commit(source, {"a": str(number).encode()}) for number in range(2)]
    old, new = [await Mirror(root).pin(local(source), repo_id=1, sha=sha) for sha in shas]
    now = new.archive.stat().st_mtime
    os.utime(old.archive, (0, now - ARCHIVE_UNUSED_S - 60))
    assert await asyncio.to_thread(clear, root, now=now) == 1
    assert (old.archive.exists(), new.archive.exists(), await old.base_file("a")) == (False, True, b"0")
    month_ago = (0, now - REPOSITORY_UNUSED_S - 60)
    for name in ("lock", "repo.git"):
        os.utime(root / "1" / name, month_ago)
    assert await asyncio.to_thread(clear, root, now=now) == 0
    for name in ("lock", f"ready/{new.archive.name}"):
        os.utime(root / "1" / name, month_ago)
    assert await asyncio.to_thread(clear, root, now=now) == 2
    assert [path.name for path in (root / "1").iterdir()] == ["lock"]
    again = await Mirror(root).pin(local(source), repo_id=1, sha=shas[0])
    assert await again.base_file("a") == b"0"
    assert await asyncio.to_thread(clear, root, now=now) == 0


async def test_a_repository_that_a_version_before_used_stays_when_its_archives_have_gone(tmp_path: Path) -> None:
    """It touched no lock. Red when only that is looked at (seen)."""
    home, now = tmp_path / "7", 100 * 86_400.0
    await asyncio.to_thread((home / "repo.git").mkdir, parents=True)
    await asyncio.to_thread((home / "ready").mkdir)
    for name, days in (("ready/a.tar", 5), ("lock", 40), ("repo.git", 40)):
        await asyncio.to_thread((home / name).touch)
        os.utime(home / name, (0, now - days * 86_400.0))
    assert [await asyncio.to_thread(clear, tmp_path, now=now) for _ in range(2)] == [1, 0]
    assert await asyncio.to_thread(clear, tmp_path, now=now + 26 * 86_400.0) == 2


async def test_a_repository_is_not_cleared_while_it_is_pinned(tmp_path: Path) -> None:
    """Red when the lock is not asked for: seen."""
    source, root = repository(tmp_path / "source"), tmp_path / "mirror"
    await Mirror(root).pin(local(source), repo_id=1, sha=commit(source, {"a": b"1"}))
    in_a_year = (root / "1" / "lock").stat().st_mtime + 365 * 86_400
    with (root / "1" / "lock").open() as pinning:
        fcntl.flock(pinning, fcntl.LOCK_EX)
        assert await asyncio.to_thread(clear, root, now=in_a_year) == 0
    assert await asyncio.to_thread(clear, root, now=in_a_year) == 2


# ------------------------------------------------------------------ nothing runs, nothing leaks


async def test_the_machines_git_settings_do_not_reach_the_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when HOME and GIT_CONFIG_GLOBAL are passed on and core.hooksPath is not ours: tried by hand."""
    canary = tmp_path / "ran"
    home = tmp_path / "home"
    hooks = home / "hooks"
    await asyncio.to_thread(hooks.mkdir, parents=True)
    for name in ("reference-transaction", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(f"[core]\nhooksPath = {hooks}\n[user]\nname = Canary\n")
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    source = repository(tmp_path / "source")
    sha = commit(source, {"a": b"1"})
    await Mirror(tmp_path / "mirror", environment=os.environ).pin(local(source), repo_id=1, sha=sha)
    assert not await asyncio.to_thread(canary.exists)


async def test_no_filter_or_attribute_of_the_repository_runs(tmp_path: Path) -> None:
    """What a checkout would run; there is none."""
    source = repository(tmp_path / "source")
    canary = tmp_path / "ran"
    sha = commit_tree(source, [("100644", ".gitattributes", b"* filter=evil ident\n"), ("100644", "a", b"$Id$\n")])
    git(source, "config", "filter.evil.smudge", f"touch {canary}")
    pinned = await Mirror(tmp_path / "mirror").pin(local(source), repo_id=1, sha=sha)
    assert unpacked(pinned.archive)["a"] == (0o644, b"$Id$\n")
    assert not await asyncio.to_thread(canary.exists)


async def test_a_tree_with_a_git_directory_in_it_is_refused(tmp_path: Path) -> None:
    """Red without fetch.fsckObjects: tried by hand."""
    source = repository(tmp_path / "source")
    blob = git(source, "hash-object", "-w", "--stdin", stdin=b"[core]")
    inner = git(source, "mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    tree = git(source, "mktree", stdin=f"040000 tree {inner}\t.git\n".encode())
    sha = git(source, "commit-tree", "-m", "bad", tree)
    git(source, "update-ref", "refs/heads/main", sha)
    with pytest.raises(ProviderError, match="git") as raised:
        await Mirror(tmp_path / "mirror").pin(local(source), repo_id=1, sha=sha)
    assert not raised.value.retryable


@asynccontextmanager
async def remote_that_answers(response: Response) -> AsyncIterator[tuple[str, list[Request]]]:
    seen: list[Request] = []

    async def answer(request: Request) -> Response:
        seen.append(request)
        return response

    async with serve(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])) as url:
        yield f"{url}/owner/name.git", seen


async def test_the_credential_travels_in_the_header_and_in_no_argv(tmp_path: Path) -> None:
    """A git of the test's own notes the argv of every git that is started."""
    log = tmp_path / "argv"
    real = await asyncio.to_thread(_noting_git, tmp_path / "bin", log)
    async with remote_that_answers(PlainTextResponse("no", 401)) as (url, seen):
        mirror = Mirror(tmp_path / "mirror", environment={"PATH": f"{tmp_path}/bin:{real}:/usr/bin:/bin"})
        with pytest.raises(ProviderError) as raised:
            await mirror.pin(Remote(url, "Authorization: Basic c2VjcmV0LTQ3MTE="), repo_id=1, sha="1" * 40)
    assert seen[0].headers["authorization"] == "Basic c2VjcmV0LTQ3MTE="
    argv = await asyncio.to_thread(log.read_text)
    assert "fetch" in argv
    assert "c2VjcmV0" not in argv
    assert "c2VjcmV0" not in str(raised.value)
    assert raised.value.retryable is False


def _noting_git(folder: Path, log: Path) -> str:
    folder.mkdir()
    found = shutil.which("git")
    assert found is not None
    real = Path(found).parent
    (folder / "git").write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real}/git "$@"\n')
    (folder / "git").chmod(0o755)
    return str(real)


async def test_a_redirect_gets_no_credential(tmp_path: Path) -> None:
    """Red with http.followRedirects at git's default: tried by hand."""
    async with remote_that_answers(PlainTextResponse("no", 404)) as (other, seen):
        moved = Response(status_code=301, headers={"location": f"{other}/info/refs?service=git-upload-pack"})
        async with remote_that_answers(moved) as (url, _):
            with pytest.raises(ProviderError):
                await Mirror(tmp_path / "m").pin(Remote(url, "Authorization: Basic c2Vj"), repo_id=1, sha="1" * 40)
    assert seen == []


# ------------------------------------------------------------------ what can go wrong


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        pytest.param(401, False, id="bad-credential"),
        pytest.param(404, False, id="gone"),
        pytest.param(500, True, id="server-error"),
        pytest.param(503, True, id="unavailable"),
        pytest.param(429, True, id="rate-limit"),
    ],
)
async def test_a_failed_fetch_says_whether_to_try_again(tmp_path: Path, status: int, retryable: bool) -> None:
    async with remote_that_answers(PlainTextResponse("no", status)) as (url, _):
        with pytest.raises(ProviderError, match="commit 111111111111 could not be fetched: ") as raised:
            await Mirror(tmp_path / "m").pin(Remote(url, ""), repo_id=1, sha="1" * 40)
    assert raised.value.retryable is retryable


async def test_a_refused_connection_can_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ProviderError) as raised:
        await Mirror(tmp_path / "m").pin(Remote("http://127.0.0.1:1/a.git", ""), repo_id=1, sha="1" * 40)
    assert raised.value.retryable


async def test_a_commit_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    source = repository(tmp_path / "source")
    commit(source, {"a": b"1"})
    with pytest.raises(ProviderError, match="not our ref") as raised:
        await Mirror(tmp_path / "mirror").pin(local(source), repo_id=1, sha="1" * 40)
    assert not raised.value.retryable


@pytest.mark.parametrize("url", ["ext::sh -c id", "ssh://127.0.0.1/x", "git://127.0.0.1/x", "-upload-pack=x"])
async def test_only_three_protocols_exist(tmp_path: Path, url: str) -> None:
    """Red without GIT_ALLOW_PROTOCOL: tried by hand."""
    with pytest.raises(ProviderError, match=r"not allowed|blocked"):
        await Mirror(tmp_path / "m").pin(Remote(url, ""), repo_id=1, sha="1" * 40)


@pytest.mark.parametrize("sha", ["", "main", "1" * 39, "1" * 40 + "\n", "--help", "A" * 40])
async def test_only_a_commit_id_is_a_commit_id(tmp_path: Path, sha: str) -> None:
    with pytest.raises(ValueError, match="not a commit id"):
        await Mirror(tmp_path / "m").pin(Remote("http://127.0.0.1:1/a.git", ""), repo_id=1, sha=sha)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(os.urandom(300_000), "repository is larger", id="packed"),
        pytest.param(b"\0" * 3_000_000, "repository's files are larger", id="unpacked"),
    ],
)
async def test_a_repository_that_is_too_large_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    source = repository(tmp_path / "source")
    sha = commit(source, {"a": content})
    with pytest.raises(LimitReached, match=words):
        await Mirror(tmp_path / "mirror").pin(local(source), repo_id=1, sha=sha, max_bytes=200_000)


def test_what_git_says_is_shown_without_credentials() -> None:
    words = "fatal: https://x:token@host/a.git: c2VjcmV0 basic"
    assert without_credentials(words, "Authorization: basic c2VjcmV0") == "fatal: https://host/a.git: *** basic"
