"""Which tree bubblewrap shows as /usr: this machine's own, or that of an unpacked image."""

import os
from pathlib import Path

from bot.sandboxes.images import DEFAULT

HOST = Path("/")
PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")


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
