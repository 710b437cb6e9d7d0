"""Scratch files and folders that a killed bot left behind: they hold pieces of repositories, so they do not stay."""

import os
import shutil
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

SCRATCH = "backspace-scratch-"  # begins the name of all that the bot makes for a moment
OLDER_THAN_S = 86_400.0  # no job takes so long; what is younger may be in use


def sweep(folders: Iterable[Path], *, older_than_s: float = OLDER_THAN_S, now: float | None = None) -> int:
    """Remove our own old scratch right in these folders; answers how many went. `now` is Unix time in seconds.

    Blocking: run it in a thread. A link of such a name is somebody else's doing and stays.
    """
    latest = (time.time() if now is None else now) - older_than_s
    return sum(_removed(left, latest) for folder in folders for left in folder.glob(f"{SCRATCH}*"))


def _removed(left: Path, latest: float) -> bool:
    with suppress(OSError):
        facts = left.lstat()
        if facts.st_uid != os.getuid() or facts.st_mtime >= latest:
            return False
        if stat.S_ISDIR(facts.st_mode):
            shutil.rmtree(left)
            return True
        if stat.S_ISREG(facts.st_mode):
            left.unlink()
            return True
    return False
