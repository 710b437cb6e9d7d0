"""What can be served: work trees, shallow clones, other people's checkouts, plain folders; and what cannot."""

import os
from pathlib import Path

import pytest

from bot.standins.github import LoopbackGitHub
from bot.standins.github.git import GitFailed
from tests.standins.github.scene import git, work_tree


def test_a_shallow_clone_keeps_the_history_it_has(tmp_path: Path) -> None:
    work = work_tree(tmp_path / "work")
    (work / "second").write_text("2")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "Second")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{work}", "shallow")
    github = LoopbackGitHub(tmp_path / "github")
    repo = github.add_repository("octo", "tool", source=tmp_path / "shallow", default_branch="trunk")
    assert github.refs(repo) == {"refs/heads/trunk": git(work, "rev-parse", "HEAD")}
    assert repo.git.text("rev-list", "--count", "trunk") == "1"


def test_head_is_imported_whatever_branch_it_is_on(tmp_path: Path) -> None:
    work = work_tree(tmp_path / "work")
    git(work, "checkout", "-q", "--detach")
    (work / "uncommitted").write_text("stays at home")
    github = LoopbackGitHub(tmp_path / "github")
    repo = github.add_repository("octo", "tool", source=work)
    assert "uncommitted" not in github.tree(repo, "main")
    assert github.tree(repo, "main")["run.sh"][0] == "100755"


def test_a_checkout_of_another_user_can_be_served(tmp_path: Path) -> None:
    work = work_tree(tmp_path / "work")
    stranger = 12_345 if os.geteuid() == 0 else os.geteuid()  # only root can give files away
    for path in [work, *work.rglob("*")]:
        os.chown(path, stranger, -1, follow_symlinks=False)
    github = LoopbackGitHub(tmp_path / "github")
    assert github.refs(github.add_repository("octo", "tool", source=work))


def test_a_plain_folder_leaves_its_secrets_and_caches_at_home(tmp_path: Path) -> None:
    """Red when `.env` is imported as other files are: tried."""
    folder = tmp_path / "plain"
    for path in (".env", "src/.env", "src/tool.py", ".env.example", ".venv/lib/x.py", "node_modules/x/index.js"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("ANTHROPIC_API_KEY=secret")
    github = LoopbackGitHub(tmp_path / "github")
    repo = github.add_repository("octo", "plain", source=folder)
    assert set(github.tree(repo, "main")) == {"src/tool.py", ".env.example"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("missing", NotADirectoryError, id="no-folder"),
        pytest.param("empty", GitFailed, id="no-commit"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, name: str, kind: type[Exception]) -> None:
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    with pytest.raises(kind, match=name):
        LoopbackGitHub(tmp_path / "github").add_repository("octo", "tool", source=tmp_path / name)


@pytest.mark.parametrize("name", ["../escape", "a/b", "tool.git", "", "."])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a repository"):
        LoopbackGitHub(tmp_path / "github").add_repository("octo", name)
