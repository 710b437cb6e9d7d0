"""`backspace images`: what a sandbox holds is built for Docker, published to Modal, or unpacked for bubblewrap."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bot.domain.errors import ProviderError, UserError
from bot.sandboxes.images import PARTS, dockerfile, published_name
from bot.sandboxes.limits import SandboxLimits

SOURCES = Path(__file__).parent.parent.parent / "sandbox_images"
HANDED_ON = re.compile(r"PATH|HOME|TERM|SSH_AUTH_SOCK|(DOCKER|BUILDKIT|BUILDX|XDG)_.*")  # what `docker` itself reads
MODALS_BUILDER = "2025.06"  # of Modal's image builders the first that puts no Python packages into what has no Python
REPLACED = ".replaced"  # begins the name of what an unpacked image was before
NOT_FILES = ("dev", "proc", "sys", "run", "tmp")  # of no use to a root that bubblewrap builds on

app = typer.Typer(help="Build, publish or unpack what a sandbox holds.", no_args_is_help=True)
Names = Annotated[list[str] | None, typer.Argument(help="base, python, node, go, rust or default; all without one")]


@app.command()
def build(
    names: Names = None,
    base: Annotated[str, typer.Option(help="Build on another image than the one in base/Dockerfile")] = "",
    network: Annotated[str, typer.Option(help="The network of build steps, as `docker build --network` has it")] = "",
) -> None:
    """Build the images in the Docker engine."""
    from bot.cli import worded

    with worded():
        for name in wanted(names):
            build_image(published_name(name), whole(name), base=base, network=network, environment=os.environ)
            typer.echo(f"Built {published_name(name)}.")


@app.command()
def publish(names: Names = None) -> None:
    """Build the images on Modal and publish them under their names."""
    from bot.cli import environment, worded

    with worded():
        settings = environment()
        for name in wanted(names):
            publish_image(published_name(name), whole(name), settings)
            typer.echo(f"Published {published_name(name)}.")


@app.command()
def unpack(directory: Path, names: Names = None) -> None:
    """Unpack built images into folders of DIRECTORY, for SANDBOX_ROOTFS."""
    from bot.cli import worded

    with worded():
        for name in wanted(names):
            unpack_image(published_name(name), directory / name, environment=os.environ)
            typer.echo(f"Unpacked {published_name(name)} into {directory / name}.")


def wanted(names: Sequence[str] | None) -> Sequence[str]:
    """Raises UserError for a name there is no image of."""
    for name in names or ():
        if name not in PARTS:
            raise UserError(f"There is no image `{name}`: choose from {', '.join(PARTS)}.")
    return names or list(PARTS)


def whole(image: str, sources: Path = SOURCES) -> str:
    """Its Dockerfile. Raises UserError where the sources are not installed."""
    try:
        files = {part: (sources / part / "Dockerfile").read_text(encoding="utf-8") for part in PARTS[image]}
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: run this from a checkout of Tiny Backspace.") from None
    return dockerfile(image, files)


def build_image(name: str, text: str, *, base: str, network: str, environment: Mapping[str, str]) -> None:
    """With no context, and nothing of the environment but what `docker` itself needs."""
    options = [*(("--build-arg", f"BASE={base}") if base else ()), *(("--network", network) if network else ())]
    _docker(["build", "--tag", name, *options, "-"], environment, stdin=text.encode())


def publish_image(name: str, text: str, settings: Mapping[str, str]) -> None:
    """With root as its user, since Modal adds to it; the sandbox's helper gives root up. Raises UserError,
    ProviderError."""
    import modal

    from bot.sandboxes.modal import APP, NO_TOKEN

    token = (settings.get("MODAL_TOKEN_ID", ""), settings.get("MODAL_TOKEN_SECRET", ""))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "Dockerfile")
        file.write_text(f"{text}\nUSER root\n", encoding="utf-8")
        try:
            client = modal.Client.from_credentials(*token) if all(token) else modal.Client.from_env()
            os.environ["MODAL_IMAGE_BUILDER_VERSION"] = MODALS_BUILDER  # whatever the account chose
            image = modal.Image.from_dockerfile(file, context_dir=folder)
            with modal.enable_output():
                image.build(modal.App.lookup(APP, client=client, create_if_missing=True))
            image.publish(name, client=client)
        except modal.exception.AuthError as error:
            raise UserError(f"Modal refuses the token: {error}" if all(token) else NO_TOKEN) from None
        except modal.exception.Error as error:
            raise ProviderError("modal", f"{name} could not be published: {error}") from None


def unpack_image(name: str, directory: Path, *, environment: Mapping[str, str]) -> None:
    """In place of what is there, at once. What was there stays beside for as long as a sandbox that shows it may live,
    and goes when an image is unpacked after that. Raises UserError."""
    container = _docker(["create", name, "true"], environment).decode().strip()
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        archive = beside / "archive.tar"
        _docker(["export", "--output", str(archive), container], environment)
        root = beside / "root"
        root.mkdir()
        skipped = [f"--exclude={folder}/*" for folder in NOT_FILES]
        argv = ["tar", "--extract", f"--file={archive}", f"--directory={root}", "--no-same-owner", *skipped]
        subprocess.run(argv, check=True, capture_output=True)
        _remove_replaced(directory)
        root.chmod(0o755)
        if directory.exists():
            os.utime(directory)
            directory.rename(f"{directory.parent}/{REPLACED}{beside.name}")
        root.rename(directory)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (
            error.stderr.decode(errors="replace")[:300] if isinstance(error, subprocess.CalledProcessError) else error
        )
        raise UserError(f"{name} could not be unpacked into {directory}: {said}") from None
    finally:
        _docker(["rm", "--force", container], environment)
        shutil.rmtree(beside, ignore_errors=True)


def _remove_replaced(directory: Path) -> None:
    """The trees that a directory was before, but those that a sandbox may still show."""
    for replaced in directory.parent.glob(f"{REPLACED}.{directory.name}-*"):
        if time.time() - replaced.stat().st_mtime > SandboxLimits().wall_clock_s:
            shutil.rmtree(replaced, ignore_errors=True)


def _docker(argv: Sequence[str], environment: Mapping[str, str], *, stdin: bytes | None = None) -> bytes:
    """What it printed; a build's progress goes to the terminal. Raises UserError."""
    handed_on = {name: value for name, value in environment.items() if HANDED_ON.fullmatch(name)}
    printed = None if argv[0] == "build" else subprocess.PIPE
    try:
        done = subprocess.run(["docker", *argv], input=stdin, stdout=printed, env=handed_on, check=True)
    except FileNotFoundError:
        raise UserError("docker is not installed: apt-get install docker.io.") from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"`docker {argv[0]}` failed with {error.returncode}; its words are above.") from None
    return done.stdout or b""
