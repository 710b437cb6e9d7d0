"""Which image a repository's sandbox starts from, and what each image is built of."""

from collections.abc import Collection, Mapping

BASE = "base"
DEFAULT = "default"  # every toolchain
PARTS = {  # each image's Dockerfiles, in the order in which they go on top of each other
    BASE: (BASE,),
    "python": (BASE, "python"),
    "node": (BASE, "node"),
    "go": (BASE, "go"),
    "rust": (BASE, "rust"),
    DEFAULT: (BASE, "python", "node", "go", "rust"),
}
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


def image_for(paths: Collection[str]) -> str:
    """For a repository with these files. Several languages, or none that is known, get every toolchain."""
    languages = {language for mark, language in MARKS.items() if mark in paths}
    return languages.pop() if len(languages) == 1 else DEFAULT


def published_name(image: str) -> str:
    """What it is called where it was built: in a Docker engine, or on Modal."""
    return f"{REPOSITORY}:{image}"


def dockerfile(image: str, files: Mapping[str, str]) -> str:
    """One Dockerfile for the whole image. `files`: the text of each part's own."""
    first, *others = PARTS[image]
    return "\n".join([files[first], *(_steps(files[part]) for part in others)])


def _steps(text: str) -> str:
    """What comes after FROM."""
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("FROM "))
    return "\n".join(lines[start + 1 :])
