"""What the helper inside says of the work tree's files: read again when they may have changed, and only then."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandboxes.inside.files import Refused, Tree


class Counting(Tree):
    """Counts the files it reads."""

    def __init__(self, root: Path, *, settled_ns: int) -> None:
        super().__init__(str(root), settled_ns=settled_ns)
        self.reads = 0

    def _state(self, path: bytes) -> bytes:
        self.reads += 1
        return super()._state(path)


def settle() -> None:
    """Past the tick of the file system's clock, which is some milliseconds wide."""
    time.sleep(0.03)


@pytest.fixture
def tree(tmp_path: Path) -> Counting:
    for name in ("a", "b", "folder/c"):
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"one")
    settle()
    return Counting(tmp_path, settled_ns=10_000_000)


def test_a_root_that_may_not_be_opened_has_no_listing(tmp_path: Path) -> None:
    """Red when it is passed over as any other directory: the tree then looked empty."""

    class Closed(Tree):
        def _entries(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
            raise Refused("refused", "Permission denied.")

    with pytest.raises(Refused):
        Closed(str(tmp_path)).listing()


NAMES = [b"a", b"b", b"folder/c", b"folder/gone", b"nowhere/d"]


def test_a_file_that_nobody_touched_is_read_once(tree: Counting) -> None:
    first = tree.states(NAMES)
    read = tree.reads
    assert tree.states(NAMES) == first
    assert (read, tree.reads - read) == (5, 2), "only what is missing is looked for again"


@pytest.mark.parametrize("change", ["content", "mode", "another file", "a link", "gone"])
def test_a_change_is_seen_though_size_and_time_say_nothing(tmp_path: Path, tree: Counting, change: str) -> None:
    """Red when the change time is not part of what is compared (content): seen."""
    place = tmp_path / "a"
    before, times = tree.states(NAMES), place.stat()
    match change:
        case "content":
            place.write_bytes(b"two")
        case "mode":
            place.chmod(0o755)
        case "another file":
            (tmp_path / "b").rename(place)
        case "a link":
            os.link(place, tmp_path / "folder" / "e")
        case _:
            place.unlink()
    if place.exists():
        os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = tree.states(NAMES)
    assert after != before
    assert after == Tree(str(tmp_path)).states(NAMES)


def test_two_changes_within_one_tick_of_the_clock_are_both_seen(tmp_path: Path) -> None:
    """Kernels since 6.13 tell such changes apart by themselves; on older ones what was just written is read again."""
    place, tree = tmp_path / "a", Counting(tmp_path, settled_ns=2_000_000_000)
    for number in range(200):
        place.write_bytes(b"%03d" % number)
        os.utime(place, ns=(0, 0))
        assert tree.states([b"a"]) == Tree(str(tmp_path)).states([b"a"])
