"""Which image a repository's sandbox starts from: what it asks for, else what its files say."""

from collections.abc import Collection

DEFAULT = "default"  # every toolchain
NAMES = ("base", "python", "node", "go", "rust", DEFAULT)
REPOSITORY = "tiny-backspace"
MARKS = {  # files at the root of a repository that tell its language
    "pyproject.toml": "python",
    "setup.py": "python",
    "setup.cfg": "python",
    "requirements.txt": "python",
    "Pipfile": "python",
    "package.json": "node",
    "go.mod": "go",
    "Cargo.toml": "rust",
}


def image_for(paths: Collection[str], *, wish: str = "") -> str:
    """One of NAMES. A repository of several languages, or of none that is known, gets every toolchain."""
    if wish:
        return wish
    languages = {language for mark, language in MARKS.items() if mark in paths}
    return languages.pop() if len(languages) == 1 else DEFAULT


def local_name(image: str) -> str:
    """What `backspace images build` calls it in the Docker engine."""
    return f"{REPOSITORY}:{image}"
