"""`backspace images` with a real engine, the real Modal SDK on a loopback Modal, and real bubblewrap."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from modal._image import LATEST_IMAGE_BUILDER_VERSION

from bot.commands import images
from bot.domain.errors import UserError
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.sandboxes.docker import Docker
from bot.sandboxes.images import DEFAULT
from tests.sandboxes.contract import sh
from tests.sandboxes.engine import docker, small_image
from tests.standins.modal.images import Images
from tests.standins.modal.published import Published
from tests.standins.modal.server import ModalStandIn

CANARY = "backspace-canary-4711"
SECRETS = {
    "GITHUB_PRIVATE_KEY": f"-----BEGIN RSA PRIVATE KEY-----{CANARY}",
    "ANTHROPIC_API_KEY": f"sk-ant-{CANARY}",
    "GITHUB_WEBHOOK_SECRET": f"webhook-{CANARY}",
    "MODAL_TOKEN_SECRET": f"as-{CANARY}",
    "PATHOLOGICAL": f"path-{CANARY}",
}
SHELL = "coreutils dash libc-bin"
FROM = "ARG BASE=none\nFROM ${BASE}\n"
TOOLS = ("git", "rg", "gcc", "python3", "pip", "uv", "node", "npm", "pnpm", "yarn", "go version", "cargo", "rustfmt")


@pytest.fixture
def engine(docker_engine: str) -> str:
    return docker_engine


@pytest.fixture
def environment(engine: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of a bot with all its secrets."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DOCKER_HOST", engine)
    return {**SECRETS, "DOCKER_HOST": engine, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}


@pytest.fixture
def image(engine: str) -> Iterator[str]:
    name = f"tiny-backspace-test:built-{tempfile.mktemp(prefix='', dir='')}"
    yield name
    subprocess.run(["docker", "--host", engine, "rmi", "--force", name], capture_output=True)


def canaries_in(engine: str, image: str) -> list[str]:
    """Which layers hold a secret, or what the engine notes about how each was made; files that are packed are not
    looked into."""
    saving = subprocess.Popen(["docker", "--host", engine, "save", image], stdout=subprocess.PIPE)
    assert saving.stdout is not None
    found = []
    with saving.stdout, tarfile.open(fileobj=saving.stdout, mode="r|") as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            if content is not None and holds_a_canary(content):
                found.append(entry.name)
    assert saving.wait() == 0
    return found


def holds_a_canary(content: IO[bytes]) -> bool:
    before = b""
    while piece := content.read(1 << 20):
        if CANARY.encode() in before + piece:
            return True
        before = piece[-len(CANARY) :]
    return False


def test_no_secret_of_who_builds_is_in_a_layer(engine: str, image: str, environment: dict[str, str]) -> None:
    """Not even where the file asks for one. Red when it is handed on as a build argument: tried by hand."""
    steps = "RUN env > /environment\nARG ANTHROPIC_API_KEY\nRUN env > /more"
    images.build_image(image, FROM + steps, base=small_image(engine, SHELL), network="none", environment=environment)
    assert canaries_in(engine, image) == []


def test_the_search_finds_a_secret_that_is_there(engine: str, image: str, environment: dict[str, str]) -> None:
    """Removed in a later layer, it is still in an earlier one."""
    steps = f"RUN echo {CANARY} > /key\nRUN rm /key"
    images.build_image(image, FROM + steps, base=small_image(engine, SHELL), network="none", environment=environment)
    assert len(canaries_in(engine, image)) >= 2  # the layer, and the command in the image's history


@pytest.fixture
def unpacked(engine: str, image: str, environment: dict[str, str]) -> Iterator[Path]:
    """A folder with one image that holds a program of its own, unpacked in place of what was there."""
    program = "printf '#!/bin/sh\\necho ours\\n' > /usr/bin/only-here; chmod 755 /usr/bin/only-here"
    base = small_image(engine)
    images.build_image(image, f"{FROM}RUN {program}", base=base, network="none", environment=environment)
    with tempfile.TemporaryDirectory() as name:  # tmp_path lies below a folder that is closed to other users
        root = Path(name)
        root.chmod(0o755)
        (root / DEFAULT / "usr").mkdir(parents=True)
        (root / DEFAULT / "usr" / "old").touch()
        images.unpack_image(image, root / DEFAULT, environment=environment)
        assert not (root / DEFAULT / "usr" / "old").exists()
        yield root


def replaced_in(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.name != DEFAULT]


@pytest.mark.anyio
async def test_an_unpacked_image_is_the_root_of_a_sandbox_that_keeps_its_programs_when_it_is_unpacked_anew(
    unpacked: Path, image: str, environment: dict[str, str]
) -> None:
    """What was replaced goes when no sandbox can show it any more. Red when it goes at once: seen."""
    provider = Bubblewrap(rootfs=unpacked)
    assert provider.problem() is None
    sandbox = await provider.open("job", image="python")
    (long_replaced,) = replaced_in(unpacked)
    os.utime(long_replaced, (0, 0))
    images.unpack_image(image, unpacked / DEFAULT, environment=environment)
    assert await sh(sandbox, "only-here; ls /usr/local /opt 2>/dev/null; whoami") == "ours\nsandbox\n"
    await sandbox.close()
    assert len(replaced_in(unpacked)) == 1
    assert long_replaced not in replaced_in(unpacked)


def test_a_folder_without_images_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    assert Bubblewrap(rootfs=tmp_path).problem() == (
        f"SANDBOX_ROOTFS: {tmp_path} holds no image: `backspace images unpack {tmp_path}` makes them."
    )


def test_an_image_that_is_not_there_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`docker create` failed"):
        images.unpack_image("no-such-image:1", tmp_path / "x", environment=environment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("builder", ["2024.10", LATEST_IMAGE_BUILDER_VERSION])
def test_an_image_is_built_on_modal_and_published_under_its_name(
    modal_server: ModalStandIn, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, builder: str
) -> None:
    """The loopback Modal builds nothing: it keeps the steps, and the name. Red where the account's builder counts, for
    the old one: it puts Python packages into every image, and most have no Python (seen)."""
    monkeypatch.setattr(modal_server, "builder", builder)
    monkeypatch.setattr("modal._environments.ENVIRONMENT_CACHE", {})
    monkeypatch.setenv("MODAL_IMAGE_BUILDER_VERSION", "")
    settings = {**environment, "MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": f"as-{CANARY}"}
    images.publish_image("tiny-backspace:go", images.whole("go"), settings)
    steps = modal_server.part(Images).commands[modal_server.part(Published).names["tiny-backspace:go"]]
    assert any("golang-go" in step for step in steps)
    assert [step for step in steps if step.startswith("USER")][-1] == "USER root"
    assert CANARY not in str(steps)
    assert not [step for step in steps if "pip install" in step]


def test_without_a_token_publishing_says_how_to_get_one(
    modal_server: ModalStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODAL_TOKEN_ID", raising=False)
    monkeypatch.delenv("MODAL_TOKEN_SECRET", raising=False)
    monkeypatch.setattr("modal.client._Client._client_from_env", None)  # an earlier test's, kept for the whole process
    with pytest.raises(UserError, match="MODAL_TOKEN_ID and MODAL_TOKEN_SECRET are missing: `modal token new`"):
        images.publish_image("tiny-backspace:go", images.whole("go"), {})


def test_names_are_those_of_the_folder() -> None:
    assert list(images.wanted(None)) == ["base", "python", "node", "go", "rust", "default"]
    assert images.wanted(["go"]) == ["go"]
    with pytest.raises(UserError, match="There is no image `ruby`: choose from base, python, node, go, rust"):
        images.wanted(["ruby"])


def test_without_dockers_client_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"docker is not installed: apt-get install docker.io\."):
        images.build_image("x", "FROM x", base="", network="", environment={"PATH": str(tmp_path)})


def test_without_the_sources_a_checkout_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run this from a checkout"):
        images.whole("base", tmp_path)


@pytest.mark.slow  # about five minutes: a Debian from the mirror, and every toolchain
@pytest.mark.timeout(1_800)
@pytest.mark.anyio
async def test_the_real_dockerfiles_build_and_their_tools_run_in_a_sandbox(
    engine: str, image: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """From a base that debootstrap makes, since there is no registry here; with the authorities this machine trusts."""
    base = debian(engine, tmp_path)
    images.build_image(image, images.whole(DEFAULT), base=base, network="host", environment=environment)
    assert canaries_in(engine, image) == []
    settings = json.loads(docker(engine, "inspect", image))[0]["Config"]
    assert settings["User"] == "sandbox"
    sandbox = await Docker(address=engine, bot=f"images-{os.getpid()}", image=image).open("tools")
    for tool in TOOLS:
        words = tool.split() if " " in tool else [tool, "--version"]
        result = await sandbox.exec(words, timeout_s=60)
        assert result.exit_code == 0, (tool, result)
    assert await sh(sandbox, "whoami; id -u; python3 -m venv v && v/bin/python -c 'print(1)'") == "sandbox\n1000\n1\n"
    await sandbox.close()


def debian(engine: str, folder: Path) -> str:
    """A minimal Debian of the release the Dockerfile names, as an image."""
    text = images.whole("base")
    release = text.split("ARG BASE=debian:")[1].split("-")[0]
    root = folder / "root"
    made = subprocess.run(["debootstrap", "--variant=minbase", release, root], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no Debian mirror can be reached: {made.stdout[-300:]}")
    authorities = Path("/usr/local/share/ca-certificates")
    if authorities.is_dir():
        shutil.copytree(authorities, root / "usr/local/share/ca-certificates", dirs_exist_ok=True)
    name = f"tiny-backspace-test:{release}"
    archive = folder / "root.tar"
    subprocess.run(["tar", "-C", root, "--create", f"--file={archive}", "."], check=True)
    docker(engine, "import", str(archive), name)
    shutil.rmtree(root)
    return name
