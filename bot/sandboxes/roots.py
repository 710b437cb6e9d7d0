"""The directories of the host that bubblewrap shows: /usr, its own or an unpacked image's, toolchains."""

import os
import subprocess
from pathlib import Path

from bot.sandboxes.images import DEFAULT

HOST = Path("/")
PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")
TOO_MUCH = {"/", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var"}


def root_for(image: str, rootfs: Path | None) -> Path:
    """`rootfs`: a folder of unpacked images by name, or one unpacked image. The one with every toolchain stands in."""
    if rootfs is None:
        return HOST
    for root in (rootfs / (image or DEFAULT), rootfs / DEFAULT):
        if (root / "usr").is_dir():
            return root
    return rootfs


def edition(root: Path) -> str:
    """Another text once an image is unpacked anew. This machine's own programs are told apart by the setup's rules."""
    return "" if root == HOST else f"{root}@{root.stat().st_ctime_ns}"


def python_of(root: Path) -> str | None:
    """Its path inside; None when there is none."""
    return next((path for path in PYTHONS if os.access(f"{root}{path}", os.X_OK)), None)


def fault_of(path: Path, setting: str, user: int | None) -> str | None:
    """Why a sandbox of this user's (None: the bot's own) may not or cannot see it; None when it can."""
    where = f"{setting}: {path}"
    if not path.is_absolute() or ".." in path.parts:
        return f"{where} must be an absolute path without `..`."
    if str(path) in TOO_MUCH:
        return f"{where} would show the sandbox far more than a toolchain: name the toolchain's own directory."
    if not path.exists():
        return f"{where} does not exist: remove it from the setting or install what should be there."
    test = ["/usr/bin/test", "-r", str(path), "-a", "-x", str(path)]
    if subprocess.run(test, env={}, user=user, group=user, check=False).returncode:
        return (
            f"{where} cannot be read by the sandbox's unprivileged user: move the toolchain to a place "
            "everybody can enter, such as /opt, or run the bot as the user it belongs to."
        )
    return None
