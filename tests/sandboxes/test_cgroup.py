"""Where a memory limit for a sandbox's processes can be made, from the two texts the kernel gives."""

import os
from pathlib import Path

import pytest

from bot.sandboxes.cgroup import limited_group

OURS = f"backspace-{os.getpid()}-new"
HYBRID = "9:name=systemd:/\n4:memory:/box/job\n1:cpu:/\n0::/\n"
UNIFIED = "0::/system.slice/backspace.service\n"


def mounts(root: Path, kind: str, options: str, *, below: str = "/") -> str:
    other = "24 1 254:0 / / rw - ext4 /dev/vda rw\n"
    return f"{other}30 24 0:27 {below} {root} rw,nosuid shared:9 - {kind} cgroup {options}\n"


def test_version_1_has_a_group_below_our_own(tmp_path: Path) -> None:
    (tmp_path / "box" / "job").mkdir(parents=True)
    group = limited_group(
        "new", memory_bytes=1000, pids=9, cgroups=HYBRID, mounts=mounts(tmp_path, "cgroup", "rw,memory")
    )
    assert group is not None
    assert group.directory == tmp_path / "box" / "job" / OURS


def test_a_mount_that_begins_at_our_own_group_is_understood(tmp_path: Path) -> None:
    text = mounts(tmp_path, "cgroup", "rw,memory", below="/box")
    (tmp_path / "job").mkdir()
    group = limited_group("new", memory_bytes=1000, pids=9, cgroups=HYBRID, mounts=text)
    assert group is not None
    assert group.directory == tmp_path / "job" / OURS


@pytest.mark.parametrize(
    ("enabled", "expected"),
    [
        pytest.param("system.slice/backspace.service", f"system.slice/backspace.service/{OURS}", id="below-our-own"),
        pytest.param("system.slice", f"system.slice/{OURS}", id="beside-our-own"),
        pytest.param("", None, id="nowhere"),
    ],
)
def test_version_2_has_a_group_where_memory_is_switched_on(tmp_path: Path, enabled: str, expected: str | None) -> None:
    own = tmp_path / "system.slice" / "backspace.service"
    own.mkdir(parents=True)
    (tmp_path / enabled / "cgroup.subtree_control").write_text("memory pids\n")
    (tmp_path / enabled / "cgroup.procs").touch()
    group = limited_group("new", memory_bytes=1000, pids=9, cgroups=UNIFIED, mounts=mounts(tmp_path, "cgroup2", "rw"))
    assert (group and group.directory) == (expected and tmp_path / expected)


def test_without_any_cgroup_there_is_no_group(tmp_path: Path) -> None:
    assert limited_group("new", memory_bytes=1, pids=1, cgroups=HYBRID, mounts="") is None
    nowhere = mounts(tmp_path / "missing", "cgroup", "rw,memory")
    assert limited_group("new", memory_bytes=1, pids=1, cgroups=HYBRID, mounts=nowhere) is None


def test_what_a_killed_bot_left_behind_is_removed(tmp_path: Path) -> None:
    own = tmp_path / "box" / "job"
    dead, alive, other = own / "backspace-999999999-a", own / f"backspace-{os.getpid()}-b", own / "other"
    for directory in (dead, alive, other):
        directory.mkdir(parents=True)
    limited_group("new", memory_bytes=1000, pids=9, cgroups=HYBRID, mounts=mounts(tmp_path, "cgroup", "rw,memory"))
    assert [directory.exists() for directory in (dead, alive, other)] == [False, True, True]


def test_a_group_that_is_gone_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "box" / "job").mkdir(parents=True)
    text = mounts(tmp_path, "cgroup", "rw,memory")
    group = limited_group("new", memory_bytes=1000, pids=9, cgroups=HYBRID, mounts=text)
    assert group is not None
    group.remove()
    group.remove()
    assert not group.directory.exists()
