"""A Docker engine to test with: the one that runs here, else our own; and an image of this machine's packages."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.sandboxes.engine import Engine

USUAL = "unix:///var/run/docker.sock"
STARTED_WITHIN_S = 60.0
WANTED = (
    "bash bsdutils coreutils dash diffutils findutils git grep gzip hostname libc-bin mount procps python3 ripgrep "
    "sed tar util-linux"
)
UNWANTED = {"perl", "liberror-perl", "git-man", "media-types", "debconf"}  # git's rarer commands, and what no test runs
PAPERS = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/")
MADE = ("etc/alternatives", "etc/ld.so.cache", "usr/lib/python3*/__pycache__", "usr/lib/python3*/*/__pycache__")
IMAGE = "tiny-backspace-test"
ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nsandbox:x:1000:1000::/home/sandbox:/bin/sh\n",
    "etc/group": "root:x:0:\nsandbox:x:1000:\n",
}


@contextmanager
def running_engine() -> Iterator[str]:
    """Its address. One that is started here is stopped, and everything of it removed."""
    if Engine(USUAL).problem() is None:
        yield USUAL
        return
    assert shutil.which("dockerd"), "These tests start a Docker engine of their own: apt-get install docker.io."
    assert os.geteuid() == 0, "No Docker engine runs here, and only root can start one: start it (dockerd)."
    folder = Path(tempfile.mkdtemp(prefix="backspace-docker-"))
    address = f"unix://{folder}/socket"
    places = [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
    with (folder / "log").open("wb") as log:
        dockerd = subprocess.Popen(
            ["dockerd", f"--host={address}", *places, "--iptables=false", "--bridge=none"], stdout=log, stderr=log
        )
    try:
        ends = time.monotonic() + STARTED_WITHIN_S
        while (problem := Engine(address).problem()) is not None:
            said = (folder / "log").read_text(errors="replace")[-2000:]
            assert dockerd.poll() is None, f"dockerd ended: {said}"
            assert time.monotonic() < ends, f"{problem}\n{said}"
            time.sleep(0.1)
        yield address
    finally:
        dockerd.terminate()
        dockerd.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def docker(address: str, *argv: str, stdin: bytes | None = None) -> str:
    """By the engine's own client, which knows nothing of the bot's code."""
    done = subprocess.run(["docker", "--host", address, *argv], input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def small_image(address: str, wanted: str = WANTED) -> str:
    """Made of packages that are installed here, so that no registry is asked; made once for these versions."""
    packages = _closure(wanted)
    versions = _query("-W", "-f", "${Package}=${Version}\n", *packages)
    name = f"{IMAGE}:{hashlib.sha256(versions.encode()).hexdigest()[:16]}"
    if not docker(address, "images", "-q", name):
        docker(address, "import", "-", name, stdin=_tree(packages))
    return name


def _query(*argv: str) -> str:
    return subprocess.run(["dpkg-query", *argv], capture_output=True, text=True, check=True).stdout


def _closure(wanted: str) -> list[str]:
    """The wanted packages and all they depend on."""
    needs: dict[str, set[str]] = {}
    for line in _query("-W", "-f", "${Package}\t${Pre-Depends}, ${Depends}\t${Provides}\n").splitlines():
        package, depends, provides = line.split("\t")
        names = {re.split(r"[ :(]", choice.strip())[0] for one in depends.split(",") for choice in one.split("|")}
        needs[package] = names - {""}
        for virtual in filter(None, (re.split(r"[ :(]", one.strip())[0] for one in provides.split(","))):
            needs.setdefault(virtual, {package})
    found: set[str] = set()
    waiting = wanted.split()
    while waiting:
        package = waiting.pop()
        if package not in found and package in needs and package not in UNWANTED:
            found.add(package)
            waiting += needs[package]
    installed = set(_query("-W", "-f", "${db:Status-Abbrev} ${Package}\n").split("\n"))
    return sorted(package for package in found if f"ii  {package}" in installed)


def _tree(packages: list[str]) -> bytes:
    """A tar stream."""
    listed = {_real(path) for path in _query("-L", *packages).splitlines() if path.startswith("/")}
    paths = {path for path in listed if path.startswith("/usr/") and not path.startswith(PAPERS)}
    paths = {path for path in paths if os.path.islink(path) or not os.path.isdir(path)}
    paths |= {str(path) for pattern in MADE for path in Path("/").glob(pattern)}
    paths |= {path for path in ("/bin", "/sbin", "/lib", "/lib64") if os.path.islink(path)}
    with tempfile.TemporaryDirectory() as name:
        root, archive = Path(name, "root"), Path(name, "tree.tar")
        for path, content in ACCOUNTS.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)
        argv = ["tar", "--owner=0", "--group=0", f"--file={archive}", "--null", "--files-from=-"]
        subprocess.run([*argv, "--create"], cwd="/", input=_names(paths), check=True)
        subprocess.run([*argv, "--append"], cwd=root, input=_names({f"/{path}" for path in ACCOUNTS}), check=True)
        return archive.read_bytes()


def _names(paths: set[str]) -> bytes:
    return b"\0".join(path[1:].encode() for path in sorted(paths))


def _real(path: str) -> str:
    """Below /usr where /bin and /lib are links."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)
