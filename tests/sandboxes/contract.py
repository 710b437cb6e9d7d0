"""What every sandbox provider promises; a provider's own test module inherits this class and gives the provider."""

import asyncio
import hashlib
import io
import secrets
import tarfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bot.domain.errors import LimitReached, ProviderError, UserError
from bot.ports import BaseFile, ExportedFile, Sandbox, SandboxProvider
from tests.polling import until

TREE_IS_GONE_WITHIN_S = 30.0  # 2 s where nothing stands still
ODD_NAME = b"n\xff".decode("utf-8", "surrogateescape")


def blob(content: bytes, mode: str = "100644") -> BaseFile:
    return BaseFile(mode, hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())


async def sh(sandbox: Sandbox, script: str, *, timeout_s: float = 60) -> str:
    result = await sandbox.exec(["sh", "-c", script], timeout_s=timeout_s)
    assert result.exit_code == 0, result
    return result.stdout.decode()


async def others(sandbox: Sandbox) -> int:
    """Processes of the commands' user that are left over from earlier commands; the helper is known by its words."""
    ours = "grep -qs 'bot[.]sandboxes' $one/cmdline"
    listing = f"cd /proc; for one in [0-9]*; do [ $one != 1 ] && [ -O $one ] && ! {ours} && echo $one; done; true"
    here = await sandbox.exec(["sh", "-c", listing], timeout_s=20)
    return len(here.stdout.split()) - len(["this shell"])


def on_this_machine(word: str) -> bool:
    """Whether a process has it in its arguments; none is seen at a provider that is elsewhere."""
    found = False
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found = found or word.encode() in one.read_bytes()
    return found


async def short_lived(made: Callable[[float], SandboxProvider]) -> tuple[Sandbox, float]:
    """A sandbox whose time is over soon after it is open, and that time in seconds: longer where opening takes longer.

    `made` answers a provider whose sandboxes live so many seconds.
    """
    for life_s in (2.0, 8.0):
        with suppress(ProviderError):
            return await made(life_s).open(f"short-{life_s:.0f}"), life_s
    return await made(40.0).open("short-40"), 40.0


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def archive(*entries: tuple[str, bytes | str, int]) -> bytes:
    """A tar stream; a `str` is the target of a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for path, content, mode in entries:
            entry = tarfile.TarInfo(path)
            entry.mode = mode
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class SandboxContract:
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def provider(self) -> SandboxProvider:
        raise NotImplementedError

    @pytest.fixture
    async def sandbox(self, provider: SandboxProvider) -> AsyncIterator[Sandbox]:
        opened = await provider.open("job-1")
        yield opened
        await opened.close()

    # -------------------------------------------------------------- commands

    async def test_a_sandbox_says_whose_it_is(self, sandbox: Sandbox, provider: SandboxProvider) -> None:
        assert (sandbox.id, sandbox.provider) == ("job-1", provider.name)
        assert provider.problem() is None

    async def test_output_comes_back_as_bytes(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["printf", r"a\377"], timeout_s=20)
        assert (result.exit_code, result.stdout, result.stderr) == (0, b"a\xff", b"")
        assert (result.truncated, result.timed_out) == (False, False)

    @pytest.mark.parametrize(
        ("argv", "exit_code"),
        [
            pytest.param(["sh", "-c", "exit 3"], 3, id="its-own"),
            pytest.param(["sh", "-c", "kill -SEGV $$"], 128 + 11, id="a-signal"),
            pytest.param(["no-such-program"], 127, id="no-such-program"),
            pytest.param(["/etc/hosts"], 126, id="not-a-program"),
        ],
    )
    async def test_the_exit_code_is_a_shells(self, sandbox: Sandbox, argv: list[str], exit_code: int) -> None:
        assert (await sandbox.exec(argv, timeout_s=20)).exit_code == exit_code

    async def test_words_are_never_shell(self, sandbox: Sandbox) -> None:
        words = ["$(id)", "; id", "a b", "", "*", "caf\u00e9", b"\xff".decode("utf-8", "surrogateescape")]
        result = await sandbox.exec(["printf", r"%s\n", *words], timeout_s=20)
        assert result.stdout == b"$(id)\n; id\na b\n\n*\ncaf\xc3\xa9\n\xff\n"

    @pytest.mark.parametrize("argv", [pytest.param([], id="none"), pytest.param(["echo", "a\0b"], id="nul")])
    async def test_impossible_words_are_refused(self, sandbox: Sandbox, argv: list[str]) -> None:
        with pytest.raises(ValueError, match="argv"):
            await sandbox.exec(argv, timeout_s=20)

    async def test_a_command_sees_its_environment_and_the_work_tree(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["sh", "-c", "pwd; echo $WORD; touch here"], env={"WORD": "a b"}, timeout_s=20)
        assert result.stdout.split(b"\n")[1] == b"a b"
        assert await sandbox.list_files() == ("here",)

    @pytest.mark.parametrize("size", [0, 20_000_000], ids=["none", "20-MB"])
    async def test_stdin_arrives_whole_and_ends(self, sandbox: Sandbox, size: int) -> None:
        result = await sandbox.exec(["wc", "-c"], stdin=b"x" * size, timeout_s=20)
        assert int(result.stdout) == size

    async def test_a_command_need_not_read_its_stdin(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["true"], stdin=b"x" * 5_000_000, timeout_s=20)).exit_code == 0

    async def test_much_output_keeps_head_and_tail_at_flat_memory(self, sandbox: Sandbox) -> None:
        tracemalloc.start()
        script = "echo first; head -c 300000000 /dev/zero | tr '\\0' x; echo last"
        result = await sandbox.exec(["sh", "-c", script], timeout_s=60, max_output_bytes=1000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert result.truncated
        assert len(result.stdout) == 1000
        assert result.stdout.startswith(b"first\nxx")
        assert result.stdout.endswith(b"xx" + b"last\n")
        assert b"\n[... 299999047 bytes left out ...]\n" in result.stdout
        assert peak < 20_000_000
        used = await sh(sandbox, "grep VmHWM /proc/1/status")
        assert int(used.split()[1]) < 100_000  # KB

    async def test_output_at_the_limit_is_whole(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(["printf", "%0100d", "0"], timeout_s=20, max_output_bytes=100)
        assert (result.stdout, result.truncated) == (b"0" * 100, False)

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("sleep 100", id="sleeps"),
            pytest.param("trap '' TERM INT HUP; while :; do sleep 1; done", id="ignores-signals"),
            pytest.param("setsid sh -c 'setsid sleep 100 & sleep 100' & sleep 100", id="own-sessions"),
            pytest.param("(sleep 100 &) ; (sleep 100 &) ; sleep 100", id="double-fork"),
            pytest.param("yes", id="never-stops-talking"),
        ],
    )
    async def test_the_whole_tree_is_gone_at_the_time_out(self, sandbox: Sandbox, script: str) -> None:
        """Red when only the command itself is killed instead of every process: tried by hand."""
        started = time.monotonic()
        result = await sandbox.exec(["sh", "-c", script], timeout_s=0.4, max_output_bytes=100)
        assert time.monotonic() - started < 0.4 + TREE_IS_GONE_WITHIN_S
        assert (result.exit_code, result.timed_out) == (None, True)
        assert await others(sandbox) == 0

    async def test_what_a_command_said_before_the_time_out_is_kept(self, sandbox: Sandbox) -> None:
        """Where the machine stalls before the command has said it, the command gets more time."""
        for timeout_s in (0.3, 5, 30):
            result = await sandbox.exec(["sh", "-c", "echo out; echo err >&2; sleep 100"], timeout_s=timeout_s)
            assert result.timed_out
            if (result.stdout, result.stderr) == (b"out\n", b"err\n"):
                return
        pytest.fail(f"in 30 s it said {result}")

    async def test_nothing_runs_on_after_a_normal_end(self, sandbox: Sandbox) -> None:
        """Its output stays open as long as the other runs: who waits for that to end runs into the time-out."""
        result = await sandbox.exec(["sh", "-c", "setsid sleep 100 & echo done"], timeout_s=60)
        assert (result.exit_code, result.stdout) == (0, b"done\n")
        assert await others(sandbox) == 0

    async def test_a_result_tells_whether_the_work_tree_is_still_the_same(self, sandbox: Sandbox) -> None:
        async def tree(script: str) -> int:
            return (await sandbox.exec(["sh", "-c", script], timeout_s=60)).tree

        first = await tree("mkdir -p sub && echo one > sub/file")
        assert first != 0
        assert await tree("cat sub/file; ls") == first
        second = await tree("echo two >> sub/file")
        assert second not in (0, first)
        await sandbox.write_file("sub/file", b"three")
        assert await tree("true") not in (0, second)

    async def test_a_cancelled_call_leaves_nothing_running(self, provider: SandboxProvider) -> None:
        sandbox = await provider.open("job-2")
        call = asyncio.create_task(sandbox.exec(["sleep", "100"], timeout_s=200))
        await asyncio.sleep(0.2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(ProviderError, match="lost"):
            await sandbox.exec(["true"], timeout_s=20)
        await sandbox.close()

    async def test_closing_twice_is_allowed_and_final(self, provider: SandboxProvider) -> None:
        sandbox = await provider.open("job-3")
        await sandbox.close()
        await sandbox.close()
        with pytest.raises(ProviderError, match="lost"):
            await sandbox.read_file("a", max_bytes=10)

    async def test_two_sandboxes_share_nothing(self, sandbox: Sandbox, provider: SandboxProvider) -> None:
        other = await provider.open("job-4")
        await sh(sandbox, "echo secret > mine; echo secret > /tmp/mine; echo secret > ~/mine")
        assert await other.list_files() == ()
        assert await sh(other, "ls /tmp ~") == "/home/sandbox:\n\n/tmp:\n"
        await other.close()

    # -------------------------------------------------------------- files

    async def test_a_file_is_read_as_it_was_written(self, sandbox: Sandbox) -> None:
        content = bytes(range(256)) * 10 + b"\r\n no newline"
        await sandbox.write_file("new/folder/caf\u00e9 $(id)", content)
        assert await sandbox.read_file("new/folder/caf\u00e9 $(id)", max_bytes=10_000) == content
        assert await sandbox.list_files() == ("new/folder/caf\u00e9 $(id)",)

    async def test_writing_keeps_the_mode(self, sandbox: Sandbox) -> None:
        await sh(sandbox, "echo old > run.sh; chmod 755 run.sh; umask")
        await sandbox.write_file("run.sh", b"new")
        await sandbox.write_file("plain", b"new")
        assert await sh(sandbox, "stat -c '%a %s' run.sh plain; ls -A") == "755 3\n644 3\nplain\nrun.sh\n"

    async def test_a_file_may_be_as_large_as_asked_and_no_larger(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("a", b"12345")
        assert await sandbox.read_file("a", max_bytes=5) == b"12345"
        with pytest.raises(LimitReached, match="larger than 4 bytes"):
            await sandbox.read_file("a", max_bytes=4)

    @pytest.mark.parametrize(
        ("path", "error"),
        [
            pytest.param("missing", FileNotFoundError, id="missing"),
            pytest.param("missing/too", FileNotFoundError, id="missing-directory"),
            pytest.param("file/below", FileNotFoundError, id="below-a-file"),
            pytest.param("dir", IsADirectoryError, id="directory"),
            pytest.param(".", IsADirectoryError, id="dot"),
            pytest.param("", IsADirectoryError, id="empty"),
            pytest.param("dir/", IsADirectoryError, id="directory-slash"),
            pytest.param("../etc/passwd", PermissionError, id="dot-dot"),
            pytest.param("dir/../../etc/passwd", PermissionError, id="dot-dot-inside"),
            pytest.param("/etc/passwd", PermissionError, id="absolute"),
            pytest.param("//etc/passwd", PermissionError, id="two-slashes"),
            pytest.param("link", PermissionError, id="link-out"),
            pytest.param("link-in", PermissionError, id="link-in"),
            pytest.param("link-dir/passwd", PermissionError, id="linked-directory"),
            pytest.param("a\0b", PermissionError, id="nul"),
            pytest.param("fifo", PermissionError, id="fifo"),
            pytest.param("hard", PermissionError, id="hard-link"),
            pytest.param("x" * 300, PermissionError, id="name-too-long"),
        ],
    )
    async def test_reading_stays_in_the_tree_and_never_blocks(
        self, sandbox: Sandbox, path: str, error: type[Exception]
    ) -> None:
        """Red without O_NOFOLLOW (linked-directory), the look at the kind or the count of links: tried by hand."""
        await sh(sandbox, TRICKS)
        with pytest.raises(error):
            await asyncio.wait_for(sandbox.read_file(path, max_bytes=1000), 30)

    @pytest.mark.parametrize(
        "path", ["../x", "/etc/x", "link", "link-in", "link-dir/x", "fifo", "hard", "file/below", "dir", "a\0b"]
    )
    async def test_writing_stays_in_the_tree_and_never_blocks(self, sandbox: Sandbox, path: str) -> None:
        await sh(sandbox, TRICKS)
        before = await sh(sandbox, "find . -type f | sort | xargs md5sum; ls -lR . /tmp")
        with pytest.raises((PermissionError, IsADirectoryError)):
            await asyncio.wait_for(sandbox.write_file(path, b"hello"), 30)
        assert await sh(sandbox, "find . -type f | sort | xargs md5sum; ls -lR . /tmp") == before

    async def test_the_listing_is_whole_follows_no_link_and_passes_over_what_it_may_not_open(
        self, sandbox: Sandbox
    ) -> None:
        await sh(sandbox, "mkdir -p a/.git b; touch a/.git/x a/b.txt z; ln -s /usr b/usr; ln -s . b/loop")
        await sh(sandbox, "mkdir closed; touch closed/x; chmod 0 closed")
        await sh(sandbox, r"touch $(printf 'b/\377')")
        odd = b"b/\xff".decode("utf-8", "surrogateescape")
        assert await sandbox.list_files() == ("a/b.txt", "b/loop", "b/usr", odd, "z")

    @pytest.mark.parametrize("closing", ["chmod 0 .", "chmod -R 644 ."])
    async def test_a_work_tree_that_its_own_command_closed_is_open_to_the_next_call(
        self, sandbox: Sandbox, closing: str
    ) -> None:
        """Red when the root keeps its mode: seen, no command could begin there any more, `chmod` included."""
        await sh(sandbox, "touch a")
        for _ in range(3):
            await sandbox.exec(["sh", "-c", closing], timeout_s=20)
            assert await sandbox.list_files() == ("a",)
        await sandbox.exec(["sh", "-c", closing], timeout_s=20)
        assert await sh(sandbox, "ls") == "a\n"

    # -------------------------------------------------------------- repository in

    async def test_an_archive_arrives_byte_for_byte(self, sandbox: Sandbox) -> None:
        odd = b"odd-\xff".decode("utf-8", "surrogateescape")
        long = "d/" * 90 + "f"
        big = bytes(range(256)) * 20_000
        content = archive(
            ("crlf.txt", b"a\r\n", 0o644), ("run.sh", b"#!", 0o755), ("link", "a/b", 0o777), (odd, b"1", 0o644),
            (long, b"deep", 0o644), ("big", big, 0o644),
        )  # fmt: skip
        await sandbox.put_archive(pieces(content, 100_000))
        assert await sandbox.read_file("crlf.txt", max_bytes=10) == b"a\r\n"
        assert await sandbox.read_file(long, max_bytes=10) == b"deep"
        assert await sandbox.read_file(odd, max_bytes=10) == b"1"
        assert await sandbox.read_file("big", max_bytes=len(big)) == big
        assert await sh(sandbox, "stat -c '%a' run.sh crlf.txt; readlink link") == "755\n644\na/b\n"

    async def test_a_broken_archive_is_an_error_and_the_sandbox_goes_on(self, sandbox: Sandbox) -> None:
        with pytest.raises(ProviderError, match="unpacked"):
            await sandbox.put_archive(pieces(b"no tar at all" * 1000))
        assert (await sandbox.exec(["true"], timeout_s=20)).exit_code == 0

    # -------------------------------------------------------------- changes out

    @pytest.mark.parametrize(
        ("script", "expected"),
        [
            pytest.param("true", [], id="nothing"),
            pytest.param("touch kept", [], id="only-its-time"),
            pytest.param("printf new > kept", [("kept", "100644", b"new")], id="content"),
            pytest.param("chmod +x kept", [("kept", "100755", b"kept")], id="mode"),
            pytest.param("rm kept", [("kept", None, None)], id="deleted"),
            pytest.param("rm -r src", [("src/a", None, None)], id="directory-deleted"),
            pytest.param("mv kept moved", [("kept", None, None), ("moved", "100644", b"kept")], id="renamed"),
            pytest.param("printf x > 'new file'", [("new file", "100644", b"x")], id="new"),
            pytest.param("ln -s /etc/passwd l", [("l", "120000", b"/etc/passwd")], id="link-not-followed"),
            pytest.param("rm kept; ln -s x kept", [("kept", "120000", b"x")], id="file-becomes-link"),
            pytest.param(
                "rm kept; mkdir kept; printf x > kept/a",
                [("kept", None, None), ("kept/a", "100644", b"x")],
                id="file-becomes-directory",
            ),
            pytest.param(
                "rm -r src; ln -s /etc src", [("src", "120000", b"/etc"), ("src/a", None, None)], id="dir-becomes-link"
            ),
            pytest.param("printf x > a.log; mkdir -p build/x; touch build/x/y", [], id="ignored"),
            pytest.param("printf x > src/a.log; printf '!*.log' > src/.gitignore",
                [("src/.gitignore", "100644", b"!*.log"), ("src/a.log", "100644", b"x")], id="ignored-no-more"),
            pytest.param("printf x > tracked.log", [("tracked.log", "100644", b"x")], id="ignored-but-in-the-base"),
            pytest.param("mkdir -p .git src/.git; touch .git/x src/.git/config", [], id="git-directories-never"),
            pytest.param("mkfifo f", [], id="a-fifo-is-nothing-to-git"),
            pytest.param("rmdir sub", [("sub", None, None)], id="submodule-removed"),
            pytest.param(r"printf x > $(printf 'n\377')", [(ODD_NAME, "100644", b"x")], id="name-that-is-not-utf-8"),
        ],
    )  # fmt: skip
    async def test_what_differs_from_the_base_comes_out(
        self, sandbox: Sandbox, script: str, expected: list[tuple[str, str | None, bytes | None]]
    ) -> None:
        await sh(sandbox, BASE_TREE)
        await sh(sandbox, script)
        assert await sandbox.export_changes(BASE, max_bytes=1000) == tuple(ExportedFile(*file) for file in expected)

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            pytest.param("rm kept; mkfifo kept", "kept is not a regular file", id="fifo"),
            pytest.param("ln kept other", "hard-linked", id="hard-link"),
            pytest.param("touch x; ln x y", "hard-linked", id="new-hard-link"),
            pytest.param("touch sub/x", "sub/x lies inside a submodule", id="in-a-submodule"),
            pytest.param("chmod 0 kept", "kept cannot be read", id="unreadable"),
            pytest.param("git init -q new; touch new/x", "new/ is a git repository of its own", id="nested-repository"),
        ],
    )
    async def test_what_git_cannot_hold_is_named(self, sandbox: Sandbox, script: str, words: str) -> None:
        await sh(sandbox, BASE_TREE)
        await sh(sandbox, script)
        with pytest.raises(UserError, match=words):
            await sandbox.export_changes(BASE, max_bytes=1000)

    async def test_too_much_is_a_limit(self, sandbox: Sandbox) -> None:
        await sh(sandbox, "head -c 600 /dev/zero > a; head -c 600 /dev/zero > b")
        with pytest.raises(LimitReached, match="larger than 1000 bytes in all"):
            await sandbox.export_changes({}, max_bytes=1000)

    async def test_a_repository_in_the_tree_decides_nothing(self, sandbox: Sandbox) -> None:
        """Its exclude file would hide the change, its configuration run a program. Red with the tree's own GIT_DIR."""
        await sh(sandbox, "git init -q; echo '*' > .git/info/exclude; git config core.fsmonitor 'touch /tmp/ran #'")
        await sandbox.write_file("new", b"x")
        assert await sandbox.export_changes({}, max_bytes=1000) == (ExportedFile("new", "100644", b"x"),)
        assert await sh(sandbox, "ls /tmp") == ""

    async def test_fifty_thousand_ignored_files_cost_little(self, sandbox: Sandbox) -> None:
        await sandbox.write_file(".gitignore", b"node_modules/\n")
        await sh(sandbox, "mkdir -p node_modules/p && cd node_modules/p && seq 50000 | xargs touch", timeout_s=60)
        started = time.monotonic()
        assert len(await sandbox.export_changes({}, max_bytes=1000)) == 1
        assert time.monotonic() - started < 50


class SetupContract:
    """What providers promise of the setup phase; `provider` allows network and keeps."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def provider(self) -> SandboxProvider:
        raise NotImplementedError

    async def test_what_the_setup_made_comes_back_under_its_key_and_no_other(self, provider: SandboxProvider) -> None:
        first = await provider.open("keep-1")
        await sh(
            first, "git init -q; echo a > tracked; git add tracked; mkdir -p deps/x; echo b > deps/x/b; ln -s x deps/l"
        )
        await sh(first, "echo '#!/bin/sh' > deps/run; chmod 755 deps/run; mkdir -p ~/.local; echo c > ~/.local/c")
        await first.keep("the key")
        await sh(first, "echo later > deps/x/b; echo later > ~/.local/later")
        await first.close()
        opening = provider.open("keep-2", warm="the key"), provider.open("keep-3", warm="another key")
        warm, cold = await asyncio.gather(*opening)
        assert (first.warm, warm.warm, cold.warm) == (False, True, False)
        assert (
            await sh(warm, "cat deps/x/b deps/l/b ~/.local/c; stat -c %a deps/run; ls -A ~/.local")
            == "b\nb\nc\n755\nc\n"
        )
        assert not [path for path in await warm.list_files() if not path.startswith("deps/") and path != "tracked"]
        assert await sh(warm, "ls -d .git 2>/dev/null || true") == ""
        assert await cold.list_files() == ()
        await asyncio.gather(warm.close(), cold.close())

    async def test_the_network_ends_for_good(self, provider: SandboxProvider) -> None:
        sandbox = await provider.open("network-1")
        await sandbox.allow_network(["index.example"])
        await sh(sandbox, "true")
        assert await sandbox.end_network() == ()
        with pytest.raises(ProviderError):
            await sandbox.allow_network(["index.example"])
        assert await sandbox.end_network() == ()
        await sandbox.close()

    async def test_hosts_that_were_asked_for_in_vain_are_told(self, provider: SandboxProvider) -> None:
        """Where the provider itself tells nothing this is red when commands are not observed: seen."""
        sandbox = await provider.open("network-2")
        await sandbox.allow_network(["index.example"])
        asking = ["python3", "-c", ASKING, "blocked.example:443", "Blocked.example:443", "index.example:22"]
        told = await sandbox.exec(asking, timeout_s=90)
        forged = "printf '@everyone\\nx y\\n' >> /tmp/.backspace-refused"
        await sh(sandbox, forged)
        assert (told.stdout, await sandbox.end_network()) == (b"403\n" * 3, ("blocked.example", "index.example:22"))
        alone = await sandbox.exec(["sh", "-c", "echo $HTTPS_PROXY; no-such-program"], timeout_s=20)
        assert (alone.exit_code, alone.stdout) == (127, b"\n")
        await sandbox.close()

    async def test_a_setup_that_is_broken_off_ends_without_an_error_of_its_own(self, provider: SandboxProvider) -> None:
        """Its caller has one to tell already. Red when a lost sandbox is moved to another machine: seen."""
        sandbox = await provider.open("network-3")
        await sandbox.allow_network(["index.example"])
        running = asyncio.create_task(sandbox.exec(["sleep", "100"], timeout_s=100))
        await asyncio.sleep(0.3)
        running.cancel()
        await asyncio.wait([running])
        assert await sandbox.end_network() == ()
        await sandbox.close()


ASKING = """
import os, socket, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
for place in sys.argv[1:]:
    with socket.create_connection((proxy.hostname, proxy.port), 30) as one:
        one.sendall(f"CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\n\\r\\n".encode())
        print(one.makefile("rb").readline().split()[1].decode())
"""
TRICKS = """
mkdir /tmp/outside; echo z > /tmp/outside/passwd; ln -s /tmp/outside/passwd link; ln -s /tmp/outside link-dir
echo x > file; mkdir dir; ln -s file link-in
mkfifo fifo; echo y > one; ln one hard
"""
BASE_TREE = """
printf kept > kept; mkdir src sub; printf a > src/a; printf '*.log\\nbuild/\\n' > .gitignore; printf old > tracked.log
"""
BASE = {
    ".gitignore": blob(b"*.log\nbuild/\n"),
    "kept": blob(b"kept"),
    "src/a": blob(b"a"),
    "sub": BaseFile("160000", "1" * 40),
    "tracked.log": blob(b"old"),
}


class LeavingContract:
    """What providers promise of a sandbox that was left, whose sandboxes outlive the process that opened them."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def provider(self) -> SandboxProvider:
        raise NotImplementedError

    async def test_what_was_left_in_the_middle_of_a_command_is_found_as_it_was_and_nothing_runs_in_it(
        self, provider: SandboxProvider
    ) -> None:
        """Red when a call that is broken off ends the sandbox, when leaving it is closing it, and (but for Docker) when
        a command does not look whether anybody waits for it: seen."""
        first = await provider.open("left-1")
        await sh(first, "echo installed > ~/program; echo made > /tmp/made")
        await first.write_file("folder/changed", b"by the first")
        known = f"4711.{secrets.randbelow(10**9)}"
        command = f"setsid sleep {known} & sleep {known}"
        running = asyncio.create_task(first.exec(["sh", "-c", command], timeout_s=1000))
        with suppress(TimeoutError):  # never seen where the provider is elsewhere
            await until(lambda: on_this_machine(known), within_s=2)
        running.cancel()
        await asyncio.wait([running])
        await first.leave()
        await until(lambda: not on_this_machine(known))  # nobody waits for what it began
        with pytest.raises(ProviderError, match="lost"):
            await first.list_files()
        second = await provider.open("left-1")
        assert await sh(second, "cat ~/program /tmp/made folder/changed") == "installed\nmade\nby the first"
        assert await others(second) == 0
        await second.close()
        third = await provider.open("left-1")
        assert await third.list_files() == (), "what was closed is gone"
        await third.close()
