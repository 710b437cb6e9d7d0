"""The workspace: a commit into a real sandbox and a patch out, with host git never under what the sandbox wrote."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.errors import UserError
from bot.domain.job import Change, FileStat
from bot.ports import ExecResult, ExportedFile, Remote, Sandbox, Workspace
from bot.publish.mirror import Mirror
from bot.sandboxes.bubblewrap import Bubblewrap
from tests.publish.repositories import commit, commit_many, commit_tree, git, repository
from tests.publish.test_mirror import AWKWARD, ODD

pytestmark = pytest.mark.anyio
PLAIN = "100644"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return repository(tmp_path / "source")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    opened = await Bubblewrap().open("job")
    yield opened
    await opened.close()


async def pinned(source: Path, sha: str, *, branch: str = "main") -> Workspace:
    return await Mirror(source.parent / "mirror").pin(Remote(str(source), ""), repo_id=1, sha=sha, branch=branch)


async def run(sandbox: Sandbox, script: str) -> str:
    result: ExecResult = await sandbox.exec(["sh", "-c", script], timeout_s=30)
    assert result.exit_code == 0, result
    return result.stdout.decode()


def expected_tree(source: Path, changes: dict[str, bytes | None]) -> str:
    """What plain git makes of the same changes in a clone of its own."""
    for path, content in changes.items():
        target = source / path
        if content is None:
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    git(source, "add", "--all")
    return git(source, "write-tree")


async def test_a_filled_sandbox_holds_the_commit_and_git_sees_no_change(source: Path, sandbox: Sandbox) -> None:
    workspace = await pinned(source, commit(source, {"a": b"1\n", "d/b": b"2\n"}, "First words"), branch="trunk")
    await workspace.fill(sandbox)
    assert await sandbox.list_files() == ("a", "d/b")
    assert await run(sandbox, "git status --short --branch; git log --format=%s; git fsck") == "## trunk\nFirst words\n"
    assert (await workspace.take_patch(sandbox)).changes == ()


async def test_the_model_may_commit_and_the_patch_is_the_same(source: Path, sandbox: Sandbox) -> None:
    workspace = await pinned(source, commit(source, {"a": b"1\n"}))
    await workspace.fill(sandbox)
    await sandbox.write_file("a", b"2\n")
    before = await workspace.take_patch(sandbox)
    await run(sandbox, "git commit -qam mine; git gc -q; git checkout -q --orphan other; rm -rf .git")
    assert await workspace.take_patch(sandbox) == before


@pytest.mark.parametrize("branch", ["../../evil", "a\nb", "x.lock", "", "-x", "a..b", "/a"])
async def test_a_branch_name_that_git_refuses_does_no_harm(source: Path, sandbox: Sandbox, branch: str) -> None:
    workspace = await pinned(source, commit(source, {"a": b"1\n"}), branch=branch)
    await workspace.fill(sandbox)
    assert await run(sandbox, "git symbolic-ref HEAD; git status --short") == "refs/heads/main\n"


async def test_awkward_content_makes_the_round_trip_unchanged(source: Path, sandbox: Sandbox) -> None:
    """CRLF, executable bit, link, attributes, LFS pointer, submodule, a name that is not UTF-8."""
    workspace = await pinned(source, commit_tree(source, AWKWARD))
    await workspace.fill(sandbox)
    patch = await workspace.take_patch(sandbox)
    assert (patch.changes, patch.diff, patch.stats) == ((), "", ())
    assert patch.tree_sha == git(source, "rev-parse", "HEAD^{tree}")
    assert await sandbox.read_file("crlf.txt", max_bytes=100) == b"a\r\nb\r\n"
    assert await sandbox.read_file(ODD, max_bytes=100) == b"odd\n"
    assert await run(sandbox, "ls -A module; stat -c %a run.sh; readlink link") == "755\ncrlf.txt\n"


async def test_a_patch_is_the_tree_git_itself_would_make(source: Path, sandbox: Sandbox) -> None:
    sha = commit(source, {"a": b"1\n2\n", "gone": b"x\n", "moved/from": b"same\n" * 9, "bin": b"\0\1", "kept": b"k"})
    workspace = await pinned(source, sha)
    await workspace.fill(sandbox)
    await run(sandbox, "printf '1\\n3\\n' > a; rm gone; git mv moved/from to; printf '\\0\\2' > bin; echo n > new")
    patch = await workspace.take_patch(sandbox)
    wanted: dict[str, bytes | None] = {
        "a": b"1\n3\n", "gone": None, "moved/from": None, "to": b"same\n" * 9, "bin": b"\0\2", "new": b"n\n",
    }  # fmt: skip
    assert patch.tree_sha == expected_tree(source, wanted)
    assert patch.base_sha == sha
    assert {change.path: change.content for change in patch.changes} == wanted
    assert patch.changes[0] == Change("a", "100644", b"1\n3\n", "100644")
    assert patch.stats == (
        FileStat("a", 1, 1), FileStat("bin", None, None), FileStat("gone", 0, 1), FileStat("new", 1, 0),
        FileStat("to", 0, 0),
    )  # fmt: skip
    assert "-2\n+3\n" in patch.diff
    assert "rename from moved/from\nrename to to\n" in patch.diff
    assert "Binary files a/bin and b/bin differ\n" in patch.diff
    assert patch.diff_id == hashlib.sha256((sha + patch.tree_sha).encode()).hexdigest()[:12]


async def test_what_takes_the_place_of_a_git_lfs_pointer_is_told_apart(source: Path, sandbox: Sandbox) -> None:
    """By what the base holds: no attribute has to name it, and a command may have changed it."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
    names = ("a.psd", "b.psd", "gone.psd", "moved.psd", "run.psd")
    files = {name: pointer + name.encode() for name in names} | {"text.md": b"\n" + pointer, "large": pointer * 20}
    workspace = await pinned(source, commit(source, files))
    await workspace.fill(sandbox)
    await run(sandbox, "sed -i s/12345/1/ a.psd text.md large; ln -sf text.md b.psd; chmod +x run.psd")
    await run(sandbox, "rm gone.psd; mv moved.psd away.psd")
    patch = await workspace.take_patch(sandbox)
    assert len(patch.changes) == 8
    assert [change.path for change in patch.changes if change.was_pointer] == ["a.psd", "b.psd"]


async def test_modes_and_links_are_part_of_a_patch(source: Path, sandbox: Sandbox) -> None:
    workspace = await pinned(source, commit(source, {"run": b"#!\n", "dir/a": b"1", "file": b"2"}))
    await workspace.fill(sandbox)
    await run(sandbox, "chmod +x run; rm -r dir; ln -s file dir; rm file; mkdir file; echo 3 > file/inner")
    patch = await workspace.take_patch(sandbox)
    assert patch.changes == (
        Change("dir", "120000", b"file", None),
        Change("dir/a", None, None, "100644"),
        Change("file", None, None, "100644"),
        Change("file/inner", "100644", b"3\n", None),
        Change("run", "100755", b"#!\n", "100644"),
    )


async def test_line_ends_and_attributes_change_nothing_on_the_way_out(source: Path, sandbox: Sandbox) -> None:
    """The tree's attributes would normalise CRLF, expand $Id$ and hide the diff. Red with a checkout or `git add`."""
    attributes = b"* text=auto eol=crlf ident -diff filter=evil working-tree-encoding=UTF-16\n"
    workspace = await pinned(
        source, commit_tree(source, [(PLAIN, ".gitattributes", attributes), (PLAIN, "a", b"one\r\n")])
    )
    await workspace.fill(sandbox)
    await sandbox.write_file("a", b"one\r\ntwo\n$Id$\n")
    patch = await workspace.take_patch(sandbox)
    assert [change.content for change in patch.changes] == [b"one\r\ntwo\n$Id$\n"]
    assert "+two\n+$Id$\n" in patch.diff


async def test_host_git_never_runs_what_the_sandbox_wrote(source: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    """Every setting, hook and attribute that makes git run a program, put where git would look. Nothing of it runs."""
    workspace = await pinned(source, commit(source, {"a": b"1\n"}))
    await workspace.fill(sandbox)
    canary = tmp_path / "ran"
    evil = f"touch {canary} /workspace/ran"
    settings = ("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "diff.external", "diff.evil.textconv",
        "diff.evil.command", "filter.evil.clean", "filter.evil.process", "merge.evil.driver", "gpg.program",
        "credential.helper", "core.gitProxy", "alias.diff-tree", "uploadpack.packObjectsHook")  # fmt: skip
    await run(sandbox, "; ".join(f"git config {name} '{evil}'" for name in settings))
    hooks = ("pre-commit", "post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman")
    await run(sandbox, "mkdir -p .git/hooks")
    await run(sandbox, "; ".join(f"echo '#!/bin/sh\n{evil}' > .git/hooks/{h}; chmod +x .git/hooks/{h}" for h in hooks))
    await sandbox.write_file(".gitattributes", b"* diff=evil filter=evil merge=evil\n")
    await sandbox.write_file("a", b"2\n")
    patch = await workspace.take_patch(sandbox)
    assert [change.path for change in patch.changes] == [".gitattributes", "a"]
    assert "-1\n+2\n" in patch.diff
    assert not await asyncio.to_thread(canary.exists)
    assert "ran" not in await sandbox.list_files()


async def test_taking_a_patch_writes_nothing_into_the_mirror(source: Path, sandbox: Sandbox) -> None:
    """Jobs share nothing writable. Red without an object directory of the patch's own: tried by hand."""
    workspace = await pinned(source, commit(source, {"a": b"1\n"}))
    mirror = source.parent / "mirror"
    await workspace.fill(sandbox)
    before = await asyncio.to_thread(_everything_below, mirror)
    await sandbox.write_file("a", b"2\n")
    await workspace.take_patch(sandbox)
    assert await asyncio.to_thread(_everything_below, mirror) == before


def _everything_below(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(r"touch $(printf 'n\377')", r"`n\\xff` is not UTF-8 .* rename", id="new-name-not-utf-8"),
        pytest.param("mkdir .GIT; touch .GIT/config", "Git refuses the path `.GIT/config`", id="git-upper-case"),
        pytest.param("mkdir git~1; touch git~1/config", "Git refuses the path `git~1/config`", id="git-short-name"),
        pytest.param(
            r"d=$(printf '.g\342\200\214it'); mkdir $d; touch $d/x",
            "Git refuses the path `.g\u200cit/x`",
            id="git-hidden",
        ),
        pytest.param("ln -s a .gitmodules", "Git refuses the path `.gitmodules`", id="linked-gitmodules"),
        pytest.param("mkfifo pipe; rm a; ln pipe a", "a is not a regular file", id="fifo"),
    ],
)
async def test_what_can_never_be_published_is_named(source: Path, sandbox: Sandbox, script: str, words: str) -> None:
    workspace = await pinned(source, commit(source, {"a": b"1\n"}))
    await workspace.fill(sandbox)
    await run(sandbox, script)
    with pytest.raises(UserError, match=words):
        await workspace.take_patch(sandbox)


async def test_an_old_name_that_is_not_utf_8_only_matters_when_it_changes(source: Path, sandbox: Sandbox) -> None:
    workspace = await pinned(source, commit_tree(source, [("100644", ODD, b"odd\n"), ("100644", "a", b"1\n")]))
    await workspace.fill(sandbox)
    await sandbox.write_file("a", b"2\n")
    assert [change.path for change in (await workspace.take_patch(sandbox)).changes] == ["a"]
    await sandbox.write_file(ODD, b"changed\n")
    with pytest.raises(UserError, match=r"`odd-\\xff.txt` is not UTF-8"):
        await workspace.take_patch(sandbox)


async def test_five_thousand_files_make_the_round_trip(source: Path, sandbox: Sandbox) -> None:
    workspace = await pinned(source, commit_many(source, {f"d{n % 100}/f{n}": b"%d\n" % n for n in range(5_000)}))
    await workspace.fill(sandbox)
    assert len(await sandbox.list_files()) == 5_000
    await run(sandbox, "find d1 -type f | xargs sed -i s/^/x/")
    patch = await workspace.take_patch(sandbox)
    assert (len(patch.changes), patch.additions, patch.deletions) == (50, 50, 50)


async def test_changes_written_into_another_sandbox_are_the_same_changes(source: Path, sandbox: Sandbox) -> None:
    """Links, modes, deletions, a folder where a file was and the other way round, and names that are not UTF-8."""
    files = {
        "a": b"1\n",
        "d/x": b"2\n",
        "d/y": b"3\n",
        "gone/z": b"4\n",
        "run": b"5\n",
        "same": b"6\n",
        ".gitignore": b"*.o\n",
    }
    workspace = await pinned(source, commit(source, files))
    await workspace.fill(sandbox)
    await run(
        sandbox,
        "rm -r gone d a; printf new > d; mkdir -p a/b; printf in > a/b/c; chmod +x run; ln -s /etc/passwd away; "
        "ln -s a/b inside; printf x > \"$(printf 'caf\\351')\"; printf o > built.o; mkdir -p deep/er; "
        f"printf l > deep/er/{'n' * 120}; : > empty",
    )
    wanted = await workspace.changes(sandbox, max_bytes=1_000)
    other = await Bubblewrap().open("other")
    try:
        await workspace.fill(other)
        await workspace.put_changes(other, wanted)
        assert await workspace.changes(other, max_bytes=1_000) == wanted
        undone = [ExportedFile(file.path, None, None) for file in wanted]
        await workspace.put_changes(other, undone)
        await workspace.fill(other)
        assert await workspace.changes(other, max_bytes=1_000) == ()
    finally:
        await other.close()
    assert {file.path for file in wanted} >= {"a", "a/b/c", "d", "d/x", "gone/z", "run", "away", "inside", "caf\udce9"}
    assert "built.o" not in {file.path for file in wanted}
