"""A job in a Docker container, and in the image that its repository's files or its `backspace.yml` ask for."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.events import SandboxReady
from bot.stage import staged
from tests.repositories import commit, write
from tests.sandboxes.engine import docker, small_image
from tests.test_journey import asked

pytestmark = pytest.mark.anyio
REPLACE = "replace `hullo` with `hello` in `hello.txt`"
RULES = {"BACKSPACE_MODEL": "rules"}


def repository(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir()
    write(root, {"hello.txt": b"hullo\n", **files})
    return commit(root)


@pytest.fixture
def engine(docker_engine: str) -> str:
    return docker_engine


async def test_a_request_becomes_a_pull_request_through_a_container(engine: str, tmp_path: Path) -> None:
    source = repository(tmp_path / "source", {".github/backspace.yml": b"test: grep -q hello hello.txt\n"})
    settings = {**RULES, "SANDBOX": "docker", "DOCKER_HOST": engine, "DOCKER_IMAGE": small_image(engine)}
    async with staged(tmp_path / "stage", source=source, settings=settings) as stage:
        issue = await asked(stage, f"/backspace {REPLACE}")
        (row,) = await stage.jobs(issue)
        events = [recorded.event for recorded in await stage.store.events(row.job.id)]
        assert [event.provider for event in events if isinstance(event, SandboxReady)] == ["docker"]
        (opened,) = stage.github.pull_requests(stage.repository)
        assert opened.body is not None
        assert "`grep -q hello hello.txt`" in opened.body
    left = docker(engine, "ps", "-aq", "--filter", f"label=tiny-backspace.job={row.job.id}")
    assert left == ""


@pytest.fixture
def roots() -> Iterator[Path]:
    """Unpacked images that differ in what they say they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for image in ("default", "go", "rust"):
            (folder / image / "etc").mkdir(parents=True)
            (folder / image / "etc/os-release").write_text(f"NAME={image}\n")
            (folder / image / "usr").symlink_to("/usr")
            for link in ("bin", "lib", "lib64", "sbin"):
                (folder / image / link).symlink_to(f"usr/{link}")
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        yield folder


@pytest.mark.parametrize(
    ("files", "wish", "image"),
    [
        pytest.param({"go.mod": b"module x\n"}, "", "go", id="by-its-files"),
        pytest.param({"go.mod": b"module x\n"}, "image: rust\n", "rust", id="by-its-wish"),
        pytest.param({}, "", "default", id="by-default"),
    ],
)
async def test_a_job_has_the_image_its_repository_asks_for(
    tmp_path: Path, roots: Path, files: dict[str, bytes], wish: str, image: str
) -> None:
    """On head and on base. Red when the image is not handed on: tried by hand."""
    wishes = f"test: grep -qx NAME={image} /etc/os-release\nsetup: none\n{wish}".encode()
    source = repository(tmp_path / "source", {**files, ".github/backspace.yml": wishes})
    settings = {**RULES, "SANDBOX": "bubblewrap", "SANDBOX_ROOTFS": str(roots)}
    async with staged(tmp_path / "stage", source=source, settings=settings) as stage:
        await asked(stage, f"/backspace {REPLACE}")
        (opened,) = stage.github.pull_requests(stage.repository)
        assert opened.body is not None
        assert "| base | passed | 0 |" in opened.body
        assert "| head | passed | 0 |" in opened.body
