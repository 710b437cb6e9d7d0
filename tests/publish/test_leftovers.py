"""What a killed bot leaves on the disk goes; what is in use, linked or somebody else's stays."""

import os
from pathlib import Path

from bot.publish.leftovers import SCRATCH, sweep

NOW = 1_800_000_000.0
OLD = NOW - 2 * 86_400


def made(path: Path, at: float, *, folder: bool = True) -> Path:
    if folder:
        path.mkdir()
        (path / "blob").write_bytes(b"a piece of a repository")
    else:
        path.write_bytes(b"half an archive")
    os.utime(path, (at, at))
    return path


def test_only_our_own_old_scratch_goes(tmp_path: Path) -> None:
    gone = [made(tmp_path / f"{SCRATCH}dead", OLD), made(tmp_path / f"{SCRATCH}dead.tar", OLD, folder=False)]
    stays = [made(tmp_path / f"{SCRATCH}young", NOW - 60), made(tmp_path / "backspace-demo-1", OLD)]
    target = made(tmp_path / "precious", OLD)
    link = tmp_path / f"{SCRATCH}link"
    link.symlink_to(target)
    os.utime(link, (OLD, OLD), follow_symlinks=False)
    assert sweep([tmp_path, tmp_path / "missing"], now=NOW) == 2
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in (*stays, target / "blob", link))
