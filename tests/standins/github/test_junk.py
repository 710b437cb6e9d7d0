"""Requests that no client should send: each gets an answer in GitHub's form, none a 500."""

from typing import Any

import pytest

from tests.standins.github.scene import Scene

JUNK: tuple[Any, ...] = (None, 7, -1, True, "", "x", [], [[]], [None], [7], {}, {"": {}}, 1e308, "\0")
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "issues/1/comments"): {"body": "b"},
    ("POST", "issues/1/reactions"): {"content": "eyes"},
    ("POST", "git/blobs"): {"content": "c", "encoding": "base64"},
    ("POST", "git/trees"): {"base_tree": "HEAD", "tree": []},
    ("POST", "git/commits"): {"message": "m", "tree": "t", "parents": []},
    ("POST", "git/refs"): {"ref": "refs/heads/x", "sha": "s"},
    ("PATCH", "git/refs/heads/main"): {"sha": "s", "force": False},
    ("POST", "pulls"): {"title": "t", "head": "h", "base": "main", "body": "b", "draft": False},
    ("PATCH", "pulls/2"): {"title": "t", "body": "b"},
    ("POST", "pulls/2/requested_reviewers"): {"reviewers": []},
    ("POST", "check-runs"): {
        "name": "n",
        "head_sha": "HEAD",
        "status": "queued",
        "conclusion": None,
        "external_id": "x",
        "details_url": "http://x",
        "output": {},
    },
}


async def test_wrong_types_are_refused_in_words(it: Scene) -> None:
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
        pytest.param({"output": {"title": "t", "summary": "s", "text": 7}}, id="text"),
        pytest.param({"output": {"title": 7, "summary": "s"}}, id="title"),
    ],
)
async def test_a_check_run_of_wrong_types_is_refused(it: Scene, rows: dict[str, Any]) -> None:
    said = await it.ask("POST", "check-runs", {"name": "n", "head_sha": it.head} | rows)
    assert said.status_code == 422


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({field: junk}, id=f"{field}-{junk!r}"[:40])
        for field in ("repository_ids", "permissions")
        for junk in JUNK
        if junk is not None
    ],
)
async def test_a_token_asked_for_in_wrong_types_is_refused(it: Scene, asked: dict[str, Any]) -> None:
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
async def test_a_body_that_is_no_json_object_is_400(it: Scene, raw: bytes) -> None:
    it.github.open_issue(it.repo, "mona", "Say hello")
    token = await it.token()
    said = await it.http.post(
        "/repos/octo/tool/issues/1/comments", content=raw, headers={"Authorization": f"Bearer {token}"}
    )
    assert said.status_code == 400
