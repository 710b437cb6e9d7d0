"""What the model is told about a repository, from its base commit alone."""

from pathlib import Path

import pytest

from bot.agent.context import INSTRUCTION_FILES, gather, overview, tree_map
from tests.fakes import GitWorkspace


async def test_instructions_readme_files_and_check_come_from_the_base(tmp_path: Path) -> None:
    files = {
        "AGENTS.md": b"Use tabs.\n",
        "CLAUDE.md": b"AGENTS.md",
        "CONTRIBUTING.md": b"c" * 5000,
        "web/AGENTS.md": b"nested\n",
        "README.md": b"# Hello\n",
        "tests/test_a.py": b"",
    }
    context = await gather(GitWorkspace(tmp_path / "store", files), check_command=None)
    assert context.files == ("AGENTS.md", "CONTRIBUTING.md")
    assert context.instructions[0][1] == "Use tabs.\n"
    assert context.instructions[1][1] == "c" * 4000 + "\n[... cut; read the file for the rest]"
    assert context.more_instructions == ("web/AGENTS.md",)
    assert context.readme == "# Hello\n"
    assert context.check == "python3 -m pytest -q"


@pytest.mark.parametrize("link", [pytest.param(b"docs/AGENT.md", id="link"), pytest.param(b"The rules.\n", id="copy")])
async def test_the_file_a_repository_names_is_read_before_all_others(tmp_path: Path, link: bytes) -> None:
    files = {"docs/AGENT.md": b"The rules.\n", "AGENTS.md": link, "CONTRIBUTING.md": b"Be kind.\n"}
    context = await gather(GitWorkspace(tmp_path / "store", files), check_command=None, first="docs/AGENT.md")
    assert context.instructions == (("docs/AGENT.md", "The rules.\n"), ("CONTRIBUTING.md", "Be kind.\n"))


async def test_configuration_wins_over_what_is_found(tmp_path: Path) -> None:
    workspace = GitWorkspace(tmp_path / "store", {"Makefile": b"test:\n\ttrue\n"})
    assert (await gather(workspace, check_command=None)).check == "make test"
    assert (await gather(workspace, check_command="make quick")).check == "make quick"
    assert (await gather(workspace, check_command="")).check == ""


async def test_an_empty_repository_has_little_to_tell(tmp_path: Path) -> None:
    context = await gather(GitWorkspace(tmp_path / "store", {}), check_command=None)
    assert (context.overview, context.tree, context.check) == ("0 files", "", "")


async def test_everything_together_stays_small(tmp_path: Path) -> None:
    big = {path: path.encode() * 5000 for path in ("docs/AGENT.md", *INSTRUCTION_FILES, "README.md")}
    many = {f"src/{n % 90}/deep/er/f{n}.py": b"" for n in range(3000)}
    workspace = GitWorkspace(tmp_path / "store", {**big, **many})
    context = await gather(workspace, check_command=None, first="docs/AGENT.md")
    told = [context.overview, context.readme, context.tree, *(text for _, text in context.instructions)]
    assert sum(len(text.encode()) for text in told) <= 24_000
    assert "src/ (3000)" in context.tree


async def test_everything_together_stays_small_also_where_it_cannot_be_seen(tmp_path: Path) -> None:
    """Eight bytes are shown of each invisible character. Red when they are counted before: seen, 132 kB."""
    hidden = "\u200b"
    files = {path: path.encode() + hidden.encode() * 13_000 for path in (*INSTRUCTION_FILES, "README.md")}
    files |= {f"{hidden * 80}{n}/AGENTS.md": b"" for n in range(30)}
    files |= {f"a.{hidden * 60}{n}": b"" for n in range(9)}
    context = await gather(GitWorkspace(tmp_path / "store", files), check_command=None)
    told = [context.overview, context.readme, context.tree, *context.more_instructions]
    assert sum(len(text.encode()) for text in (*told, *(text for _, text in context.instructions))) <= 24_000
    assert all(told)


def test_the_map_counts_files_and_names_few() -> None:
    paths = ["README.md", "src/a.py", "src/web/b.ts", *(f"data/{n}.csv" for n in range(30))]
    assert tree_map(paths, 8000) == "./ (1): README.md\ndata/ (30)\nsrc/ (2): a.py\nsrc/web/ (1): b.ts"
    assert overview(paths, {}) == "33 files: .csv 30, .md 1, .py 1, .ts 1"


def test_a_map_that_is_too_long_goes_less_deep() -> None:
    paths = [f"a{n}/b/c/d/e/f.py" for n in range(200)]
    shown = tree_map(paths, 3000)
    assert len(shown) <= 3000
    assert "a7/ (1)" in shown


async def test_what_is_not_really_here_is_said(tmp_path: Path) -> None:
    files = {
        ".gitattributes": b"# lfs\n*.psd filter=lfs diff=lfs merge=lfs -text\nvendor/** linguist-vendored\n"
        b"api/*.gen.go linguist-generated=true\nsrc/** -linguist-generated\n[ filter=lfs\n",
        ".gitmodules": b'[submodule "dep"]\n\tpath = third/dep\n\turl = https://github.com/o/dep\n',
        "art/logo.psd": b"version https://git-lfs.github.com/spec/v1\n",
        "third/dep": b"stands for a submodule",
        "vendor/a/x.go": b"",
        "api/user.gen.go": b"",
        "api/user.go": b"",
        "src/main.go": b"",
    }
    context = await gather(GitWorkspace(tmp_path / "store", files), check_command=None)
    assert context.overview.split("\n")[1:] == [
        "Submodules, empty here and not to be changed: third/dep",
        "Git LFS pointers, whose content is not here and not to be changed: 1 of the files",
    ]
    assert "api/ (2) [1 generated or vendored]: user.go" in context.tree.split("\n")
    assert "vendor/a/ (1) [1 generated or vendored]" in context.tree.split("\n")
    assert "src/ (1): main.go" in context.tree.split("\n")
