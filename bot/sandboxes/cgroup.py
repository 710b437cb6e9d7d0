"""A memory and process limit for a group of processes, where the kernel lets the bot make one."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PREFIX = "backspace-"  # then the process id of the bot that made it


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """A directory of the cgroup file system that this process made."""

    directory: Path

    def add(self, pid: int) -> None:
        """Raises OSError when the kernel refuses."""
        (self.directory / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Once its processes are dead; the kernel takes a moment to notice."""
        for _ in range(50):
            try:
                self.directory.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)


def limited_group(
    name: str, *, memory_bytes: int, pids: int, cgroups: str | None = None, mounts: str | None = None
) -> ControlGroup | None:
    """A new group below or beside the bot's own; None where there is no such right (then other limits must do).

    Groups that a bot left behind when it was killed are removed on the way.

    `cgroups` and `mounts` are the texts of /proc/self/cgroup and /proc/self/mountinfo (see cgroups(7)).
    """
    for parent, settings in _candidates(
        cgroups if cgroups is not None else Path("/proc/self/cgroup").read_text(),
        mounts if mounts is not None else Path("/proc/self/mountinfo").read_text(),
        memory_bytes=memory_bytes,
        pids=pids,
    ):
        with suppress(OSError):
            _sweep(parent)
            directory = parent / f"{PREFIX}{os.getpid()}-{name}"
            directory.mkdir()
            try:
                for setting, value in settings.items():
                    if (directory / setting).exists():
                        (directory / setting).write_text(str(value))
            except OSError:
                directory.rmdir()
                raise
            return ControlGroup(directory)
    return None


def _sweep(parent: Path) -> None:
    """Empty groups of processes that are no more; one with processes in it cannot be removed."""
    for left in parent.glob(f"{PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(PREFIX).partition("-")[0]).exists():
            with suppress(OSError):
                left.rmdir()


def _candidates(cgroups: str, mounts: str, *, memory_bytes: int, pids: int) -> list[tuple[Path, dict[str, int]]]:
    """Where a group with a memory limit can be made: version 1 below our own, version 2 where it is switched on."""
    found: list[tuple[Path, dict[str, int]]] = []
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        is_unified = not controllers
        if not is_unified and "memory" not in controllers.split(","):
            continue
        mount = _mounted(mounts, path, "cgroup2" if is_unified else "cgroup", "" if is_unified else "memory")
        if mount is None:
            continue
        if is_unified:
            limits = {"memory.max": memory_bytes, "memory.swap.max": 0, "pids.max": pids}
            found += [(parent, limits) for parent in (mount, mount.parent) if _gives_memory(parent)]
        else:
            found.append((mount, {"memory.limit_in_bytes": memory_bytes, "memory.memsw.limit_in_bytes": memory_bytes}))
    return found


def _mounted(mounts: str, path: str, kind: str, option: str) -> Path | None:
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        file_system, _, options = after.split(" ", 2)
        if file_system == kind and (not option or option in options.split(",")):
            below = path.removeprefix(root.rstrip("/")) if path.startswith(root) else path
            return Path(point) / below.lstrip("/")
    return None


def _gives_memory(directory: Path) -> bool:
    try:
        gives = "memory" in (directory / "cgroup.subtree_control").read_text().split()
        return gives and os.access(directory / "cgroup.procs", os.W_OK)  # or no process can be moved below it
    except OSError:
        return False
