"""What an image's `pip install -r` brings: the packages of this machine that the requirements name, and no other."""

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PINNED = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?==", re.MULTILINE)


def installed(requirements: str, folder: Path) -> Path:
    """A folder to import from. One that a marker leaves out on this machine is not there; folders that several
    packages share, as `google`, come whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PINNED.findall(requirements):
        with suppress(PackageNotFoundError):
            package = distribution(name)
            for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
                with suppress(FileExistsError):
                    (folder / top).symlink_to(Path(str(package.locate_file(top))))
    return folder
