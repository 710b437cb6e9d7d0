"""A real repository, or a plain folder, becomes a bare repository."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bot.standins.github.git import BareRepository, GitFailed, Signature

CACHES = {".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
LEFT_OUT = frozenset({".git", ".env"} | CACHES)  # .env holds the keys of whoever runs this


def import_source(git: BareRepository, source: Path, branch: str, *, now: float) -> None:
    """The history of HEAD where `source` is a git work tree or bare repository; else one commit of its files.

    Raises NotADirectoryError for no folder, GitFailed for a repository without a commit.
    """
    if not source.is_dir():
        raise NotADirectoryError(f"{source} is no folder to import a repository from")
    if is_repository(source):
        try:
            fetch(git, source, "HEAD", branch)
        except GitFailed as error:
            raise GitFailed(f"the repository {source} could not be imported: {error}; has it a commit?") from error
    else:
        commit_files(git, source, branch, now=now)


def is_repository(source: Path) -> bool:
    return (source / ".git").exists() or (source / "HEAD").is_file()


def fetch(git: BareRepository, source: Path, commit: str, branch: str, *flags: str) -> None:
    """Also of another user's work tree, such as a mounted checkout. Raises GitFailed."""
    trust = git.path / "import.gitconfig"
    trust.write_text("[safe]\n\tdirectory = *\n")
    argv = ("fetch", "-q", "--no-tags", "--update-shallow", *flags, "--", source.resolve().as_uri())
    git.run(*argv, f"+{commit}:refs/heads/{branch}", env={"GIT_CONFIG_GLOBAL": str(trust)})


def commit_files(git: BareRepository, folder: Path, branch: str, *, now: float) -> None:
    entries = [
        (path.relative_to(folder).as_posix(), mode, git.write_blob(content)) for path, mode, content in _files(folder)
    ]
    who = Signature("Tiny Backspace", "demo@localhost", datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"))
    tree = git.write_tree(None, entries)
    sha = git.write_commit(message="Import the files\n", tree=tree, parents=(), author=who, committer=who)
    git.move_ref(f"refs/heads/{branch}", sha)


def _files(folder: Path) -> Iterator[tuple[Path, str, bytes]]:
    """(path, git mode, content) of each file and symbolic link, in order; what nobody commits is left out."""
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and name not in links)
        for name in sorted([*(name for name in names if name not in LEFT_OUT), *links]):
            path = Path(place) / name
            facts = path.lstat()
            if stat.S_ISLNK(facts.st_mode):
                yield path, "120000", os.fsencode(path.readlink())
            elif stat.S_ISREG(facts.st_mode):
                yield path, "100755" if facts.st_mode & stat.S_IXUSR else "100644", path.read_bytes()
