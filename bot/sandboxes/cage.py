"""What a bubblewrap sandbox sees of the host: the command line that builds it, and the files made for it."""

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from bot.sandboxes.limits import SandboxLimits

WORK_TREE = "/workspace"
HOME = "/home/sandbox"
DISKS = (WORK_TREE, "/tmp", HOME, "/dev/shm")  # every writable place in a sandbox
HELPER = "/run/backspace"
EMPTY_GIT_DIR = f"{HELPER}/git"
UID = 1000  # as seen inside
MADE_PATH = f"{WORK_TREE}/.venv/bin:{HOME}/.local/bin"  # where a setup phase installs commands
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USR_LINKS = ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")
ETC = (  # what compilers, linkers, TLS libraries and Debian's alternatives need; none of it is about this machine
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "java-11-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "maven",
    "mime.types",
    "os-release",
    "perl",
    "ssl/certs",
    "ssl/openssl.cnf",
)
START = (
    "import ctypes, sys; ctypes.CDLL(None).prctl(1, 9, 0, 0, 0); "  # prctl(2): SIGKILL when bwrap ends
    f"sys.path[:0] = ['{HELPER}']; from bot.sandboxes.inside.server import main; main()"
)


def files_made_for_it() -> dict[str, bytes]:
    """Path inside to content: the helper's source and the few files of /etc that name users and hosts."""
    inside = resources.files("bot.sandboxes.inside")
    helper = {
        f"{HELPER}/bot/sandboxes/inside/{name}.py": (inside / f"{name}.py").read_bytes()
        for name in ("wire", "files", "watching", "running", "server")
    }
    return helper | {
        f"{EMPTY_GIT_DIR}/HEAD": b"ref: refs/heads/none\n",
        "/etc/passwd": f"root:x:0:0::/:/bin/sh\nsandbox:x:{UID}:{UID}::{HOME}:/bin/sh\n".encode(),
        "/etc/group": f"root:x:0:\nsandbox:x:{UID}:\n".encode(),
        "/etc/hosts": b"127.0.0.1 localhost sandbox\n::1 localhost\n",
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
    }


def environment(readonly_paths: Sequence[Path]) -> dict[str, str]:
    """What a command sees unless it is told otherwise: nothing of the host's environment."""
    extra = [str(path / name) for path in readonly_paths for name in ("shims", "bin") if (path / name).is_dir()]
    named = [str(path) for path in readonly_paths if path.name == "bin"]
    return {
        "PATH": ":".join([MADE_PATH, *extra, *named, SYSTEM_PATH]),
        "HOME": HOME,
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "SHELL": "/bin/sh",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
    }


def command(
    *,
    limits: SandboxLimits,
    readonly_paths: Sequence[Path],
    python: str,
    made: Mapping[str, int],
    info: int | None = None,
    seccomp: int | None = None,
    channel: int | None = None,
    root: Path = Path("/"),
) -> list[str]:
    """The whole bwrap command, the helper included. `made` maps paths inside to descriptors with their content.

    `info` is where bwrap tells the helper's process id, `seccomp` where it reads the filter, `channel` the socket the
    helper hands its listener over on. /usr and what belongs to it are those of `root`.
    """
    return [
        *("bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--uid", str(UID), "--gid", str(UID)),
        *("--new-session", "--as-pid-1", "--cap-drop", "ALL", "--hostname", "sandbox"),
        *(() if info is None else ("--info-fd", str(info))),
        *(() if seccomp is None else ("--seccomp", str(seccomp))),
        *("--proc", "/proc", "--dev", "/dev", "--ro-bind", str(root / "usr"), "/usr"),
        *("--perms", "0755", "--dir", "/etc"),
        *(word for link in USR_LINKS for word in _like(root, link)),
        *(word for name in ETC for word in ("--ro-bind-try", str(root / "etc" / name), f"/etc/{name}")),
        *(word for disk in DISKS for word in _disk(disk, limits)),
        *(word for path in readonly_paths for word in ("--ro-bind", str(path), str(path))),
        *("--dir", f"{EMPTY_GIT_DIR}/objects", "--dir", f"{EMPTY_GIT_DIR}/refs"),
        *(word for path, fd in made.items() for word in ("--perms", "0444", "--ro-bind-data", str(fd), path)),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"),
        *("--", python, "-I", "-S", "-c", START, WORK_TREE, "" if channel is None else str(channel)),
    ]


def _like(root: Path, link: str) -> tuple[str, ...]:
    there = root / link[1:]
    if there.is_symlink():
        return ("--symlink", os.readlink(there), link)
    return ("--ro-bind-try", str(there), link)


def _disk(path: str, limits: SandboxLimits) -> tuple[str, ...]:
    size = limits.disk_bytes if path == WORK_TREE else limits.tmp_bytes
    permissions = "0755" if path in (WORK_TREE, HOME) else "1777"
    return ("--perms", permissions, "--size", str(size), "--tmpfs", path)
