"""Pull requests: what can be opened, what follows a push, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from tests.standins.github.scene import scene

pytestmark = pytest.mark.anyio

ASKED = {"title": "Say hello", "body": "Fixes #1", "head": "backspace/1", "base": "main"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"head": "nowhere"}, {"field": "head", "code": "invalid"}, id="absent-head"),
        pytest.param({"head": "stranger:backspace/1"}, {"field": "head", "code": "invalid"}, id="another-owner"),
        pytest.param({"base": "nowhere"}, {"field": "base", "code": "invalid"}, id="absent-base"),
        pytest.param({"title": ""}, {"field": "title", "code": "missing_field"}, id="no-title"),
        pytest.param({"title": "t" * 257}, {"field": "title", "code": "custom"}, id="title-too-long"),
        pytest.param({"body": "b" * 65_537}, {"field": "body", "code": "custom"}, id="body-too-long"),
        pytest.param({"head": "same"}, {"message": "No commits between main and same"}, id="nothing-to-merge"),
        pytest.param({}, {"message": "A pull request already exists for octo:backspace/1."}, id="a-second-one"),
    ],
)
async def test_a_pull_request_that_github_refuses(tmp_path: Path, change: dict[str, Any], error: Any) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        await it.branch("backspace/1", {"tool.py": "x\n"}, token=token)
        await it.ask("POST", "git/refs", {"ref": "refs/heads/same", "sha": it.head}, token=token)
        assert (await it.ask("POST", "pulls", ASKED, token=token)).status_code == 201
        said = await it.ask("POST", "pulls", ASKED | change, token=token)
        assert (said.status_code, said.json()["message"]) == (422, "Validation Failed")
        found = said.json()["errors"][0]
        assert found["resource"] == "PullRequest"
        assert found.items() >= error.items()


async def test_a_pull_request_is_found_by_its_branch_and_counts_as_an_issue(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.branch("backspace/1", {"tool.py": "x\n", "new.md": "a\nb\n"}, token=token)
        made = (await it.ask("POST", "pulls", ASKED | {"draft": True}, token=token)).json()
        assert (made["number"], made["draft"], made["additions"], made["changed_files"]) == (2, True, 3, 2)
        found = await it.ask("GET", "pulls?state=all&head=octo:backspace/1", token=token)
        assert [one["number"] for one in found.json()] == [2]
        assert (await it.ask("GET", "pulls?head=octo:other", token=token)).json() == []
        assert "pull_request" in (await it.ask("GET", "issues/2", token=token)).json()
        assert (await it.ask("GET", "pulls/1", token=token)).status_code == 404
        files = (await it.ask("GET", "pulls/2/files", token=token)).json()
        assert [(one["filename"], one["status"]) for one in files] == [("new.md", "added"), ("tool.py", "modified")]
        assert files[0]["patch"] == "@@ -0,0 +1,2 @@\n+a\n+b"
        diff = await it.ask("GET", "pulls/2", token=token, Accept="application/vnd.github.diff")
        assert diff.text.startswith("diff --git a/new.md b/new.md")


async def test_a_push_moves_the_pull_request_and_a_deleted_branch_closes_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        first = await it.branch("backspace/1", {"tool.py": "x\n"}, token=token)
        await it.ask("POST", "pulls", ASKED, token=token)
        tree = it.repo.git.commit(first).tree
        again = {"message": "Again", "tree": tree, "parents": [first]}
        second = (await it.ask("POST", "git/commits", again, token=token)).json()["sha"]
        await it.ask("PATCH", "git/refs/heads/backspace/1", {"sha": second}, token=token)
        shown = (await it.ask("GET", "pulls/1", token=token)).json()
        assert (shown["head"]["sha"], shown["commits"]) == (second, 2)
        assert it.github.refs(it.repo)["refs/pull/1/head"] == second
        await it.ask("DELETE", "git/refs/heads/backspace/1", token=token)
        shown = (await it.ask("GET", "pulls/1", token=token)).json()
        assert (shown["state"], shown["head"]["sha"]) == ("closed", second)


@pytest.mark.parametrize(
    ("login", "status"),
    [
        pytest.param("mona", 201, id="a-collaborator"),
        pytest.param("stranger", 422, id="a-stranger"),
        pytest.param("nobody", 422, id="nobody"),
        pytest.param("tiny-backspace[bot]", 422, id="the-author"),
    ],
)
async def test_whose_review_can_be_requested(tmp_path: Path, login: str, status: int) -> None:
    async with scene(tmp_path) as it:
        it.github.add_user("stranger")
        token = await it.token()
        await it.branch("backspace/1", {"tool.py": "x\n"}, token=token)
        await it.ask("POST", "pulls", ASKED, token=token)
        said = await it.ask("POST", "pulls/1/requested_reviewers", {"reviewers": [login]}, token=token)
        assert said.status_code == status


async def test_a_pull_request_merges_and_closes_the_issue_it_fixes(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.branch("backspace/1", {"tool.py": "hello\n"}, token=token)
        await it.ask("POST", "pulls", ASKED, token=token)
        await it.github.merge(it.repo, 2, "mona")
        shown = (await it.ask("GET", "pulls/2", token=token)).json()
        assert (shown["merged"], shown["state"], shown["merged_by"]["login"]) == (True, "closed", "mona")
        assert it.github.file(it.repo, "main", "tool.py") == b"hello\n"
        assert (await it.ask("GET", "issues/1", token=token)).json()["state"] == "closed"


async def test_branches_are_compared(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        await it.branch("one", {"a": "1\n"}, token=token)
        await it.branch("two", {"b": "2\n"}, token=token)
        words = {}
        for pair in ("main...one", "one...main", "one...two", "one...one"):
            said = (await it.ask("GET", f"compare/{pair}", token=token)).json()
            words[pair] = (said["status"], said["ahead_by"], said["behind_by"], [f["filename"] for f in said["files"]])
        assert words == {
            "main...one": ("ahead", 1, 0, ["a"]),
            "one...main": ("behind", 0, 1, []),
            "one...two": ("diverged", 1, 1, ["b"]),
            "one...one": ("identical", 0, 0, []),
        }
