"""Clone, fetch and push with the real git, and archives."""

import io
import os
import subprocess
import tarfile
from asyncio import to_thread
from pathlib import Path

import pytest

from tests.standins.github.scene import Scene, served

pytestmark = pytest.mark.anyio


async def run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """The real git, asking nobody for a password."""
    env = {"PATH": os.environ["PATH"], "GIT_TERMINAL_PROMPT": "0", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    return await to_thread(
        subprocess.run, ["git", *argv], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def address(it: Scene, token: str) -> str:
    return f"{it.url}/octo/tool.git".replace("http://", f"http://x-access-token:{token}@")


async def test_a_shallow_fetch_of_one_sha_with_a_token(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        token = await it.token()
        await it.branch("old", {"a": "1"}, token=token)
        sha = it.github.refs(it.repo)["refs/heads/old"]
        await it.ask("DELETE", "git/refs/heads/old", token=token)
        mirror = tmp_path / "mirror"
        mirror.mkdir()
        await run(mirror, "init", "-q", "--bare")
        header = f"http.extraHeader=Authorization: Bearer {token}"
        done = await run(
            mirror, "-c", header, "fetch", "-q", "--depth=1", f"{it.url}/octo/tool.git", f"{sha}:refs/heads/base"
        )
        assert done.returncode == 0, done.stderr
        listed = await run(mirror, "ls-tree", "--name-only", "base")
        assert "docs" in listed.stdout.split()
        assert (await run(mirror, "rev-list", "--count", "base")).stdout.strip() == "1"


@pytest.mark.parametrize(
    ("private", "credential", "says"),
    [
        pytest.param(True, "", "could not read Username", id="private-without-credentials"),
        pytest.param(True, "nonsense", "Authentication failed", id="private-with-a-bad-token"),
        pytest.param(False, "", None, id="public-without-credentials"),
    ],
)
async def test_who_may_clone(tmp_path: Path, private: bool, credential: str, says: str | None) -> None:
    async with served(tmp_path, private=private) as it:
        url = address(it, credential) if credential else f"{it.url}/octo/tool.git"
        done = await run(tmp_path, "clone", "-q", url, "copy")
        assert done.returncode == (0 if says is None else 128)
        assert says is None or says in done.stderr


async def test_a_push_needs_contents_write_and_moves_the_pull_request(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        first = await it.branch("feature", {"tool.py": "x\n"})
        await it.ask("POST", "pulls", {"title": "Feature", "head": "feature", "base": "main"})
        copy = tmp_path / "copy"
        await run(tmp_path, "clone", "-q", "-b", "feature", address(it, await it.token()), "copy")
        (copy / "more.txt").write_text("more\n")
        who = ("-c", "user.name=Mona", "-c", "user.email=mona@example.com")
        await run(copy, "add", "-A")
        await run(copy, *who, "commit", "-qm", "More")
        reading = await it.token(permissions={"contents": "read"})
        refused = await run(copy, "push", address(it, reading), "feature")
        assert refused.returncode != 0
        assert "403" in refused.stderr
        assert it.github.refs(it.repo)["refs/heads/feature"] == first
        pushed = await run(copy, "push", address(it, await it.token()), "feature")
        assert pushed.returncode == 0, pushed.stderr
        shown = (await it.ask("GET", "pulls/1")).json()
        assert (shown["head"]["sha"], shown["commits"]) == (it.github.refs(it.repo)["refs/heads/feature"], 2)


async def test_an_archive_is_a_redirect_and_leaves_out_what_is_export_ignored(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        said = await it.ask("GET", "tarball/main")
        assert said.status_code == 302
        archive = await it.http.get(said.headers["location"])
        with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
            names = {name.partition("/")[2] for name in tar.getnames()}
        assert "tool.py" in names
        assert "docs/secret.md" not in names
        assert (await it.http.get(said.headers["location"])).status_code == 404
