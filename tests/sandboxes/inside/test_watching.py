"""The number of a work tree moves with whatever can change in it, and with nothing else."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bot.sandboxes.inside import watching
from bot.sandboxes.inside.watching import Watch

Change = Callable[[Path], object]
Watching = Callable[[Path], Watch]


@pytest.fixture
def begin_watch() -> Iterator[Watching]:
    """Watches that are closed with the test; then the kernel watches nothing more for it."""
    before = _watching()
    with ExitStack() as opened:

        def begun(at: Path) -> Watch:
            watch = Watch(str(at))
            opened.callback(watch.close)
            return watch

        yield begun
    assert _watching() == before


def tree(at: Path) -> Path:
    for name in ("file", "below/file", "below/deep/file", ".git/index"):
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text("as it was")
    return at


def by_shell(command: str) -> Change:
    return lambda at: subprocess.run(["sh", "-c", command], cwd=at, check=True, stdout=subprocess.DEVNULL)


CHANGES = {
    "written": by_shell("echo x >> below/deep/file"),
    "the same bytes written": by_shell("printf 'as it was' > file"),
    "cut": lambda at: os.truncate(at / "below/file", 1),
    "mode": by_shell("chmod +x file"),
    "time": by_shell("touch -d yesterday file"),
    "new": by_shell(": > below/deep/new"),
    "gone": by_shell("rm below/deep/file"),
    "renamed": by_shell("mv file below/elsewhere"),
    "moved away": by_shell("mv file .git/file"),
    "replaced": by_shell("cp file .git/other && mv .git/other file"),
    "a directory": by_shell("mkdir new"),
    "a directory gone": by_shell("rm -r below/deep"),
    "a directory renamed": by_shell("mv below above"),
    "a link": by_shell("ln -s file link"),
    "a second name": by_shell("ln file second"),
    "mapped": by_shell(
        """python3 -c "import mmap; f = open('file', 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close(); m[0:1] = b'X'" """
    ),
}
LOOKS = {
    "nothing": by_shell(":"),
    "read": by_shell("cat file below/deep/file; ls -lR; find . -type f | xargs grep was"),
    "in git's own directory": by_shell("echo x >> .git/index; mkdir -p .git/backspace/out"),
    "outside": by_shell(f"rm -f /tmp/{os.getpid()}.watching; : > /tmp/{os.getpid()}.watching"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_moves_the_number(tmp_path: Path, change: Change, begin_watch: Watching) -> None:
    """Red where any one kind of event is not watched: seen."""
    watch = begin_watch(tree(tmp_path))
    before = watch.number()
    change(tmp_path)
    after = watch.number()
    assert after not in (0, before)
    assert watch.number() == after, "told once"


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_changes_nothing_leaves_the_number(tmp_path: Path, look: Change, begin_watch: Watching) -> None:
    watch = begin_watch(tree(tmp_path))
    before = watch.number()
    look(tmp_path)
    assert watch.number() == before != 0


FLOOD = "seq 20000 | while read n; do : > below/$((n % 7)); done"  # more events than the kernel keeps


@pytest.mark.parametrize(
    "made",
    [
        "mkdir -p new/new",
        "mkdir one one/two; mv one new; mkdir new/new",
        "mkdir new; rmdir new; mkdir -p new/new",
        "mkdir new; rmdir new; ln -s below new; rm new; mkdir -p new/new",
        "mv below other; mkdir -p other/more; mv other new; mkdir new/new",
        "mv below .git/below; mkdir .git/below/new; mv .git/below new",
        "mv .git/waiting new",
        f"{FLOOD}; mkdir -p new/new",
    ],
)
def test_directories_that_come_later_are_watched_too(tmp_path: Path, made: str, begin_watch: Watching) -> None:
    """Red where only what is there at first is watched, and the flood where `OVERFLOW` counts for nothing: seen."""
    (tree(tmp_path) / ".git/waiting/new").mkdir(parents=True)
    watch = begin_watch(tmp_path)
    watch.number()
    by_shell(made)(tmp_path)
    before = watch.number()
    by_shell("mkdir -p new/new; echo x > new/new/file")(tmp_path)
    deep = watch.number()
    assert deep != before
    by_shell("echo y >> new/new/file")(tmp_path)
    assert watch.number() != deep


def test_another_helper_tells_other_numbers(tmp_path: Path, begin_watch: Watching) -> None:
    """A bot that comes back to a sandbox must not take the tree for the one it knew."""
    assert begin_watch(tree(tmp_path)).number() != begin_watch(tmp_path).number()


def test_a_tree_that_cannot_be_watched_has_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin_watch: Watching
) -> None:
    monkeypatch.setattr(watching, "MOST_DIRECTORIES", 3)
    watch = begin_watch(tree(tmp_path))
    assert watch.number() != 0
    (tmp_path / "one more").mkdir()
    assert (watch.number(), watch.number()) == (0, 0)


def test_the_kernel_watches_no_more_than_the_tree_has(tmp_path: Path, begin_watch: Watching) -> None:
    """Red when the same descriptor goes on after a directory was moved away, with all that was below: seen."""
    others = _watching()
    watch = begin_watch(tree(tmp_path))
    for number in range(3):
        by_shell("mkdir -p big/1 big/2 big/3")(tmp_path)
        watch.number()
        by_shell(f"mv big .git/{number}")(tmp_path)
        assert watch.number() != 0
    (events,) = _watching() - others
    assert Path(f"/proc/self/fdinfo/{events}").read_text().count("inotify wd") == 3, "the root and two below"


def _watching() -> set[str]:
    opened = Path("/proc/self/fd")
    return {entry.name for entry in opened.iterdir() if os.path.realpath(entry).endswith("anon_inode:inotify")}


def test_a_tree_too_large_for_the_helpers_memory_has_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin_watch: Watching
) -> None:
    """Red when it is not caught: the result of the command itself is lost then."""

    def exhausted(*_: object, **__: object) -> object:
        raise MemoryError

    watch = begin_watch(tree(tmp_path))
    monkeypatch.setattr(os, "walk", exhausted)
    assert (watch.number(), watch.number()) == (0, 0)


def test_a_tree_that_cannot_be_read_has_no_number(begin_watch: Watching) -> None:
    """As nobody where the tests are root, who reads every directory."""
    with tempfile.TemporaryDirectory() as name:
        place = tree(Path(name))
        place.chmod(0o755)
        (place / "below").chmod(0)
        me = os.geteuid()
        os.seteuid(me or 65_534)
        try:
            number = begin_watch(place).number()
        finally:
            os.seteuid(me)
        (place / "below").chmod(stat.S_IRWXU)
    assert number == 0


def test_a_tree_deeper_than_pythons_stack_has_no_number(tmp_path: Path, begin_watch: Watching) -> None:
    """Red when only the kernel's refusals are heard: seen, the helper died and the sandbox with it."""
    by_shell(f"mkdir -p {'n/' * 1_200}")(tmp_path)
    try:
        assert begin_watch(tmp_path).number() == 0
    finally:  # what pytest removes it with has the same stack
        by_shell("rm -r n")(tmp_path)


def test_gits_own_directory_is_not_watched_when_it_comes_later_either(tmp_path: Path, begin_watch: Watching) -> None:
    (tmp_path / "file").write_text("x")
    watch = begin_watch(tmp_path)
    watch.number()
    (tmp_path / ".git").mkdir()
    before = watch.number()
    (tmp_path / ".git/index").write_text("x")
    assert watch.number() == before
