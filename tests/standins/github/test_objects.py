"""Blobs, trees, commits and refs: real SHAs, and GitHub's refusals."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.standins.github.scene import git, scene

pytestmark = pytest.mark.anyio

NOWHERE = "d" * 40


async def test_objects_have_the_shas_that_git_gives_them(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        content = bytes(range(256))
        asked = {"content": base64.encodebytes(content).decode(), "encoding": "base64"}
        blob = (await it.ask("POST", "git/blobs", asked, token=token)).json()["sha"]
        work = tmp_path / "work"
        (work / "all.bin").write_bytes(content)
        (work / "README.md").unlink()
        git(work, "add", "-A")
        expected = git(work, "write-tree")
        rows = [
            {"path": "all.bin", "mode": "100644", "type": "blob", "sha": blob},
            {"path": "README.md", "mode": "100644", "type": "blob", "sha": None},
        ]
        made = await it.ask("POST", "git/trees", {"base_tree": it.head, "tree": rows}, token=token)
        assert (made.status_code, made.json()["sha"]) == (201, expected)
        raw = await it.ask("GET", f"git/blobs/{blob}", token=token, Accept="application/vnd.github.raw+json")
        assert raw.content == content


async def test_modes_links_and_folders_survive(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        before = it.github.tree(it.repo, "main")
        await it.branch("next", {"docs/new/deep.md": "x\n"})
        after = it.github.tree(it.repo, "next")
        assert after.items() > before.items()
        assert (after["run.sh"][0], after["latest"][0]) == ("100755", "120000")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param({"path": "gone", "mode": "100644", "sha": None}, "GitRPC::BadObjectState", id="deletes-absent"),
        pytest.param({"path": "a", "mode": "100644", "sha": NOWHERE}, f"tree.sha {NOWHERE} is not", id="absent-blob"),
        pytest.param({"path": "a", "mode": "100600", "content": ""}, "Must supply a valid tree.mode", id="mode"),
        pytest.param({"path": "/a", "mode": "100644", "content": ""}, "tree.path cannot start", id="leading-slash"),
        pytest.param({"path": "a/../b", "mode": "100644", "content": ""}, "tree.path contains", id="climbs"),
        pytest.param({"path": ".GIT/hooks/x", "mode": "100644", "content": ""}, "tree.path contains", id="dot-git"),
        pytest.param({"path": "a", "mode": "100644"}, "Must supply either tree.sha", id="neither-sha-nor-content"),
        pytest.param({"mode": "100644", "content": ""}, "Must supply a valid tree.path", id="no-path"),
    ],
)
async def test_a_tree_that_github_refuses(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    async with scene(tmp_path) as it:
        said = await it.ask("POST", "git/trees", {"base_tree": it.head, "tree": [row]})
        assert (said.status_code, said.json()["message"][: len(message)]) == (422, message)


async def test_inline_content_is_for_small_files(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        row = {"path": "big", "mode": "100644", "content": "x" * 2_600_000}
        assert (await it.ask("POST", "git/trees", {"tree": [row]})).status_code == 502


async def test_a_commit_without_an_author_is_verified_and_with_one_is_not(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        tree = it.repo.git.commit(it.head).tree
        asked = {"message": "Start\n\nCo-authored-by: Mona <m@x>", "tree": tree, "parents": [it.head]}
        own = (await it.ask("POST", "git/commits", asked, token=token)).json()
        assert own["verification"] | {"verified": True, "reason": "valid"} == own["verification"]
        bot = it.app.app.bot
        assert own["author"]["email"] == f"{bot.id}+{bot.login}@users.noreply.github.com"
        assert own["committer"]["name"] == "GitHub"
        who = {"name": "Mona", "email": "mona@example.com", "date": "2026-01-02T03:04:05+02:00"}
        given = (await it.ask("POST", "git/commits", asked | {"author": who}, token=token)).json()
        assert (given["verification"]["verified"], given["verification"]["reason"]) == (False, "unsigned")
        assert given["author"]["date"] == "2026-01-02T01:04:05Z"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"tree": NOWHERE}, "Tree SHA does not exist", id="tree"),
        pytest.param({"parents": [NOWHERE]}, "Parent SHA does not exist or is not a commit object", id="parent"),
        pytest.param({"message": " "}, 'Invalid request.\n\n"message" wasn\'t supplied.', id="message"),
    ],
)
async def test_a_commit_that_github_refuses(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    async with scene(tmp_path) as it:
        tree = it.repo.git.commit(it.head).tree
        said = await it.ask("POST", "git/commits", {"message": "x", "tree": tree, "parents": [it.head]} | change)
        assert (said.status_code, said.json()["message"]) == (422, message)


async def test_a_ref_is_made_once_moves_forward_only_and_goes(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        first = await it.branch("one", {"a": "1"}, token=token)
        other = await it.branch("two", {"a": "2"}, token=token)

        async def said(method: str, path: str, body: Any = None) -> tuple[int, str]:
            answer = await it.ask(method, path, body, token=token)
            return answer.status_code, answer.json()["message"] if answer.is_error else ""

        again = {"ref": "refs/heads/one", "sha": first}
        assert await said("POST", "git/refs", again) == (422, "Reference already exists")
        absent = {"ref": "refs/heads/x", "sha": NOWHERE}
        assert await said("POST", "git/refs", absent) == (422, "Object does not exist")
        bad = {"ref": "refs/heads/a..b", "sha": first}
        assert await said("POST", "git/refs", bad) == (422, "refs/heads/a..b is not a valid ref name.")
        assert await said("PATCH", "git/refs/heads/one", {"sha": other}) == (422, "Update is not a fast forward")
        assert await said("PATCH", "git/refs/heads/nope", {"sha": other}) == (422, "Reference does not exist")
        assert (await said("PATCH", "git/refs/heads/one", {"sha": other, "force": True}))[0] == 200
        assert it.github.refs(it.repo)["refs/heads/one"] == other
        assert await said("GET", "git/ref/heads/on") == (404, "Not Found")
        assert (await said("DELETE", "git/refs/heads/one"))[0] == 204
        assert await said("DELETE", "git/refs/heads/one") == (422, "Reference does not exist")
        assert (await said("GET", "git/ref/heads/one"))[0] == 404


async def test_a_folder_without_history_is_imported_as_one_commit(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "run").write_bytes(b"\xff\x00")
    (folder / "sub" / "run").chmod(0o755)
    (folder / "link").symlink_to("sub")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x").write_text("left out")
    async with scene(tmp_path) as it:
        repo = it.github.add_repository("octo", "plain", source=folder)
        tree = it.github.tree(repo, "main")
        assert {path: mode for path, (mode, _) in tree.items()} == {"sub/run": "100755", "link": "120000"}
        assert it.github.file(repo, "main", "sub/run") == b"\xff\x00"


async def test_workflow_files_need_a_permission_of_their_own(tmp_path: Path) -> None:
    """Red without `_check_workflows`: tried."""
    async with scene(tmp_path) as it:
        token = await it.token()
        row = {"path": ".github/workflows/ci.yml", "mode": "100644", "content": "on: push"}
        tree = (await it.ask("POST", "git/trees", {"base_tree": it.head, "tree": [row]}, token=token)).json()["sha"]
        asked = {"message": "CI", "tree": tree, "parents": [it.head]}
        commit = (await it.ask("POST", "git/commits", asked, token=token)).json()["sha"]
        made = await it.ask("POST", "git/refs", {"ref": "refs/heads/ci", "sha": commit}, token=token)
        moved = await it.ask("PATCH", "git/refs/heads/main", {"sha": commit}, token=token)
        assert (made.status_code, moved.status_code) == (403, 403)
        assert made.headers["x-accepted-github-permissions"] == "workflows=write"
        it.installation.permissions["workflows"] = "write"
        again = await it.ask("POST", "git/refs", {"ref": "refs/heads/ci", "sha": commit})
        assert again.status_code == 201


async def test_commits_are_listed_from_any_of_them_back_a_page_at_a_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        head = await it.branch("next", {"a": "1"}, token=token)
        first = await it.ask("GET", f"commits?sha={head}&per_page=1", token=token)
        assert [one["commit"]["message"] for one in first.json()] == ["Change next"]
        second = await it.ask("GET", first.links["next"]["url"].removeprefix(it.url), token=token)
        assert [one["sha"] for one in second.json()] == [it.head]
        assert second.links.keys() == {"prev", "first"}
        for query in ("", "?sha=main", f"?sha={it.head}"):
            said = await it.ask("GET", f"commits{query}", token=token)
            assert [one["sha"] for one in said.json()] == [it.head]
            assert not said.links
        assert (await it.ask("GET", f"commits?sha={NOWHERE}", token=token)).status_code == 404


async def test_a_repository_without_a_commit_lists_none(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.repo.git.delete_ref("refs/heads/main")
        said = await it.ask("GET", "commits")
        assert (said.status_code, said.json()["message"]) == (409, "Git Repository is empty.")
