"""Which image a repository gets, and what the Dockerfiles say."""

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from bot.domain.errors import UserError
from bot.repo_config import repo_config
from bot.sandboxes.images import PARTS, dockerfile, image_for, published_name

SOURCES = Path(__file__).parents[2] / "sandbox_images"
FILES = {folder.name: (folder / "Dockerfile").read_text() for folder in SOURCES.iterdir() if folder.is_dir()}


@pytest.mark.parametrize(
    ("paths", "image"),
    [
        pytest.param(["pyproject.toml", "src/a.py"], "python", id="pyproject"),
        pytest.param(["setup.py"], "python", id="setup"),
        pytest.param(["requirements.txt", "setup.cfg"], "python", id="requirements"),
        pytest.param(["package.json", "package-lock.json"], "node", id="node"),
        pytest.param(["go.mod", "main.go"], "go", id="go"),
        pytest.param(["Cargo.toml"], "rust", id="rust"),
        pytest.param(["pyproject.toml", "package.json"], "default", id="two-languages"),
        pytest.param(["README.md", "Makefile"], "default", id="none-known"),
        pytest.param([], "default", id="empty"),
        pytest.param(["tools/package.json", "docs/requirements.txt"], "default", id="only-below"),
        pytest.param(["go.mod", "docs/package.json"], "go", id="another-below"),
    ],
)
def test_the_files_at_the_root_tell_the_image(paths: Collection[str], image: str) -> None:
    assert image_for(paths) == image


def test_the_same_names_are_used_in_docker_and_on_modal() -> None:
    assert published_name("python") == "tiny-backspace:python"


def test_a_repository_can_wish_for_each_of_them() -> None:
    assert {repo_config(f"image: {image}".encode()).image for image in PARTS} == set(PARTS)
    with pytest.raises(
        UserError, match="is wrong: input should be 'base', 'python', 'node', 'go', 'rust' or 'default'"
    ):
        repo_config(b"image: ruby")


def test_every_image_is_made_of_dockerfiles_that_are_there() -> None:
    assert set(FILES) == {part for parts in PARTS.values() for part in parts}
    readme = (SOURCES / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE) == list(PARTS)


@pytest.mark.parametrize("image", PARTS)
def test_an_image_is_one_dockerfile_from_one_base(image: str) -> None:
    text = dockerfile(image, FILES)
    assert text.count("\nFROM ") == 1
    assert re.search(r"^ARG BASE=debian:\w+-\d{8}-slim$", text, re.MULTILINE), "the base is not pinned by its date"
    assert "tiny-backspace:" not in text
    steps = [line for line in text.split("\n") if line]
    assert [line for line in steps if line.startswith("USER")][-1] == "USER sandbox"


@pytest.mark.parametrize("part", FILES)
def test_what_is_installed_from_an_index_is_pinned_and_nothing_of_the_builder_goes_in(part: str) -> None:
    for line in FILES[part].split("\n"):
        if "pip install" in line or "npm install" in line:
            wanted = [word for word in line.rstrip("\\ ").split("install")[1].split() if not word.startswith("-")]
            assert wanted
            assert all(re.fullmatch(r"[a-z]+(==|@)[0-9.]+", word) for word in wanted), line
    assert not re.search(r"^(COPY|ADD|ENV) |--mount|curl .*://|wget ", FILES[part], re.MULTILINE)
