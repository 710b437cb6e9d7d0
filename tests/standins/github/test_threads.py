"""Issues, comments, reactions, labels and who may do what."""

from pathlib import Path
from typing import Any

import pytest

from bot.standins.github.problems import Problem
from tests.standins.github.scene import scene

pytestmark = pytest.mark.anyio

LONG = "x" * 65_537


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("issues/1/comments", {"body": "x" * 65_536}, 201, id="the-longest-comment"),
        pytest.param("issues/1/comments", {"body": LONG}, 422, id="a-comment-too-long"),
        pytest.param("issues/1/comments", {"body": " \n"}, 422, id="an-empty-comment"),
        pytest.param("issues/1/comments", {}, 422, id="no-comment"),
        pytest.param("issues/9/comments", {"body": "hi"}, 404, id="no-such-issue"),
        pytest.param("issues/x/comments", {"body": "hi"}, 404, id="no-number"),
        pytest.param("issues", {"title": "t", "body": LONG}, 422, id="an-issue-too-long"),
        pytest.param("issues", {"title": "t" * 257}, 422, id="a-title-too-long"),
        pytest.param("issues", {"title": ""}, 422, id="no-title"),
        pytest.param("issues", {"title": "t" * 256, "labels": ["bug"]}, 201, id="an-issue"),
        pytest.param("issues/1/reactions", {"content": "tada"}, 422, id="a-reaction-nobody-knows"),
    ],
)
async def test_what_can_be_written(tmp_path: Path, path: str, body: dict[str, Any], status: int) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        said = await it.ask("POST", path, body)
        assert said.status_code == status, said.text
        assert status != 422 or said.json()["message"] == "Validation Failed"


async def test_broken_json_is_400_and_a_list_is_taken_where_github_takes_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token()
        where = "/repos/octo/tool/issues/1/labels"
        credential = {"Authorization": f"Bearer {token}"}
        broken = await it.http.post(where, content=b'{"labels": ', headers=credential)
        assert (broken.status_code, broken.json()["message"]) == (400, "Problems parsing JSON")
        assert [one["name"] for one in (await it.ask("POST", where, ["bug"], token=token)).json()] == ["bug"]


async def test_comments_come_in_pages(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        for number in range(5):
            it.github.comment(it.repo, 1, "mona", f"comment {number}")
        token = await it.token()
        seen, where = [], "issues/1/comments?per_page=2"
        while where:
            said = await it.ask("GET", where, token=token)
            seen += [one["body"] for one in said.json()]
            where = said.links["next"]["url"].removeprefix(it.url) if "next" in said.links else ""
        assert seen == [f"comment {number}" for number in range(5)]


async def test_a_reaction_is_made_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token()
        twice = [await it.ask("POST", "issues/1/reactions", {"content": "eyes"}, token=token) for _ in range(2)]
        assert [one.status_code for one in twice] == [201, 200]
        assert twice[0].json()["id"] == twice[1].json()["id"]


async def test_the_bots_comment_can_be_edited_in_place(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token()
        made = (await it.ask("POST", "issues/1/comments", {"body": "Working"}, token=token)).json()
        assert (made["user"]["login"], made["user"]["type"]) == ("tiny-backspace[bot]", "Bot")
        it.clock.at += 5
        await it.ask("PATCH", f"issues/comments/{made['id']}", {"body": "Opened #2"}, token=token)
        assert [one.body for one in it.github.comments(it.repo, 1)] == ["Opened #2"]
        assert (await it.ask("DELETE", f"issues/comments/{made['id']}", token=token)).status_code == 204
        assert (await it.ask("GET", f"issues/comments/{made['id']}", token=token)).status_code == 404


@pytest.mark.parametrize(
    ("role", "permission"),
    [
        pytest.param("admin", "admin", id="admin"),
        pytest.param("maintain", "write", id="maintain-is-an-old-write"),
        pytest.param("write", "write", id="write"),
        pytest.param("triage", "read", id="triage-is-an-old-read"),
        pytest.param("read", "read", id="read"),
        pytest.param("none", "none", id="none"),
    ],
)
async def test_a_persons_role(tmp_path: Path, role: str, permission: str) -> None:
    async with scene(tmp_path) as it:
        it.github.set_role(it.repo, "alice", role)
        said = (await it.ask("GET", "collaborators/alice/permission")).json()
        assert (said["role_name"], said["permission"]) == (role, permission)
        assert said["user"]["id"] == it.github.user("alice").id
        assert (await it.ask("GET", "collaborators/nobody/permission")).status_code == 404


async def test_an_old_api_version_still_has_its_old_fields(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token()
        now = (await it.ask("GET", "issues/1", token=token)).json()
        old = (await it.ask("GET", "issues/1", token=token, **{"X-GitHub-Api-Version": "2022-11-28"})).json()
        assert old.keys() - now.keys() == {"assignee"}
        unknown = await it.ask("GET", "issues/1", token=token, **{"X-GitHub-Api-Version": "1999-01-01"})
        assert unknown.status_code == 400


async def test_an_archived_repository_is_read_only_and_a_renamed_one_redirects(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        it.github.open_issue(it.repo, "mona", "Say hello")
        it.github.rename(it.repo, "instrument")
        said = await it.ask("GET", "issues/1", token=token)
        assert (said.status_code, said.headers["location"]) == (301, f"{it.url}/repositories/{it.repo.id}/issues/1")
        followed = await it.ask("GET", f"/repositories/{it.repo.id}/issues/1", token=token)
        assert followed.json()["repository_url"].endswith("/repos/octo/instrument")
        posted = await it.ask("POST", "issues/1/comments", {"body": "hi"}, token=token)
        assert posted.status_code == 307
        it.repo.archived = True
        refused = await it.ask("POST", "/repos/octo/instrument/issues/1/comments", {"body": "hi"}, token=token)
        assert (refused.status_code, refused.json()["message"]) == (403, "Repository was archived so is read-only.")


async def test_people_without_write_access_cannot_comment_on_a_locked_issue(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.add_user("stranger")
        it.github.open_issue(it.repo, "mona", "Say hello")
        it.github.lock_issue(it.repo, 1, "mona")
        it.github.comment(it.repo, 1, "mona", "I may")
        with pytest.raises(Problem, match="issue is locked"):
            it.github.comment(it.repo, 1, "stranger", "I may not")


async def test_what_was_deleted_is_gone_and_a_deleted_repository_is_not_there(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        it.github.open_issue(it.repo, "mona", "Say hello")
        comment = it.github.comment(it.repo, 1, "mona", "/backspace say hello")
        it.github.delete_comment(it.repo, comment.id, "mona")
        assert (await it.ask("GET", f"issues/comments/{comment.id}", token=token)).status_code == 404
        it.github.delete_issue(it.repo, 1, "mona")
        gone = await it.ask("GET", "issues/1", token=token)
        assert (gone.status_code, gone.json()["message"]) == (410, "This issue was deleted")
        assert it.github.open_issue(it.repo, "mona", "Again").number == 2
        it.github.delete_repository(it.repo)
        assert (await it.ask("GET", "", token=token)).status_code == 404
