"""Requests that no client should send: each gets an answer in GitHub's form, none a 500."""

from pathlib import Path
from typing import Any

import pytest

from tests.standins.github.scene import scene

pytestmark = pytest.mark.anyio

JUNK: tuple[Any, ...] = (None, 7, -1, True, "", "x", [], [[]], [None], [7], {}, {"": {}}, 1e308, "\0")
NOTE = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
WHO = {"name": "n", "email": "e"}
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "issues"): {"title": "t", "body": "b", "labels": []},
    ("PATCH", "issues/1"): {"title": "t", "body": "b", "labels": [], "state": "open", "state_reason": "completed"},
    ("POST", "issues/1/comments"): {"body": "b"},
    ("POST", "issues/1/labels"): {"labels": []},
    ("POST", "issues/1/reactions"): {"content": "eyes"},
    ("PUT", "issues/1/lock"): {"lock_reason": "spam"},
    ("POST", "git/blobs"): {"content": "c", "encoding": "base64"},
    ("POST", "git/trees"): {"base_tree": "HEAD", "tree": []},
    ("POST", "git/commits"): {"message": "m", "tree": "t", "parents": [], "author": WHO, "committer": WHO},
    ("POST", "git/refs"): {"ref": "refs/heads/x", "sha": "s"},
    ("PATCH", "git/refs/heads/main"): {"sha": "s", "force": False},
    ("POST", "pulls"): {"title": "t", "head": "h", "base": "main", "body": "b", "draft": False},
    ("PATCH", "pulls/2"): {"title": "t", "body": "b", "base": "main", "state": "open"},
    ("POST", "pulls/2/requested_reviewers"): {"reviewers": []},
    ("POST", "check-runs"): {
        "name": "n",
        "head_sha": "HEAD",
        "status": "queued",
        "conclusion": None,
        "external_id": "x",
        "details_url": "http://x",
        "started_at": None,
        "output": {},
        "actions": [],
    },
}


async def test_wrong_types_are_refused_in_words(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.branch("feature", {"a": "1"}, token=token)
        await it.ask("POST", "pulls", {"title": "t", "head": "feature", "base": "main"}, token=token)
        for (method, path), good in REQUESTS.items():
            good = {name: it.head if value == "HEAD" else value for name, value in good.items()}
            for field in good:
                for junk in JUNK:
                    said = await it.ask(method, path, good | {field: junk}, token=token)
                    assert said.status_code < 500, (method, path, field, junk, said.text)
                    assert said.is_success or said.json()["message"], (method, path, field, junk)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param({"output": {"title": "t", "summary": "s", "annotations": [7]}}, id="annotation"),
        pytest.param({"output": {"title": "t", "summary": "s", "annotations": 7}}, id="annotations"),
        pytest.param({"output": {"title": "t", "summary": "s", "images": 7, "text": 7}}, id="text"),
        pytest.param({"actions": [[]]}, id="action"),
        pytest.param({"output": {"title": 7, "summary": "s"}}, id="title"),
    ],
)
async def test_a_check_run_of_wrong_types_is_refused(tmp_path: Path, rows: dict[str, Any]) -> None:
    async with scene(tmp_path) as it:
        said = await it.ask("POST", "check-runs", {"name": "n", "head_sha": it.head} | rows)
        assert said.status_code == 422


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({field: junk}, id=f"{field}-{junk!r}"[:40])
        for field in ("repositories", "repository_ids", "permissions")
        for junk in JUNK
        if junk is not None
    ],
)
async def test_a_token_asked_for_in_wrong_types_is_refused(tmp_path: Path, asked: dict[str, Any]) -> None:
    async with scene(tmp_path) as it:
        said = await it.as_app("POST", f"/app/installations/{it.installation.id}/access_tokens", asked)
        assert said.status_code == 422, said.text


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\xff\xfe", id="not-utf-8"),
        pytest.param(b'{"body": "\\ud800"}', id="lone-surrogate"),
        pytest.param(b"[" * 100_000, id="depth"),
        pytest.param(b'"text"', id="a-string"),
        pytest.param(b"{", id="cut"),
        pytest.param(b'{"body": ' + b"9" * 5_000 + b"}", id="an-endless-number"),
    ],
)
async def test_a_body_that_is_no_json_object_is_400(tmp_path: Path, raw: bytes) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token()
        said = await it.http.post(
            "/repos/octo/tool/issues/1/comments", content=raw, headers={"Authorization": f"Bearer {token}"}
        )
        assert said.status_code == 400
