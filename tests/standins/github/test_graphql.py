"""The one mutation: who may send it, what it does, and how GitHub words a refusal."""

from pathlib import Path
from typing import Any

import pytest

from bot.github.calls import DOCUMENTS, READY_FOR_REVIEW
from tests.standins.github.scene import Scene, scene
from tests.standins.github.test_pulls import ASKED

pytestmark = pytest.mark.anyio

DOCUMENT = DOCUMENTS[READY_FOR_REVIEW]
FIELD = "markPullRequestReadyForReview"


async def draft(it: Scene) -> str:
    """The node id of a new draft."""
    token = await it.token()
    await it.branch("backspace/1", {"tool.py": "x\n"}, token=token)
    return str((await it.ask("POST", "pulls", ASKED | {"draft": True}, token=token)).json()["node_id"])


async def send(it: Scene, id: object, *, query: object = DOCUMENT, **token: Any) -> Any:
    said = await it.ask("POST", "/graphql", {"query": query, "variables": {"id": id}}, token=await it.token(**token))
    assert said.status_code == 200, said.text
    return said.json()


async def test_a_draft_becomes_ready_once(tmp_path: Path) -> None:
    async with scene(tmp_path, events=("pull_request",)) as it:
        id = await draft(it)
        assert await send(it, id) == {"data": {FIELD: {"pullRequest": {"isDraft": False}}}}
        (shown,) = (await it.ask("GET", "pulls")).json()
        assert shown["draft"] is False
        again = await send(it, id)
        assert again["data"] == {FIELD: None}
        (error,) = again["errors"]
        assert (error["type"], error["message"]) == ("UNPROCESSABLE", "Pull request is not a draft")
        await it.github.deliver()
        assert [one.action for one in it.github.deliveries].count("ready_for_review") == 1


@pytest.mark.parametrize(
    ("permissions", "type"),
    [
        pytest.param({"pull_requests": "write", "contents": "read"}, "FORBIDDEN", id="contents-to-read"),
        pytest.param({"pull_requests": "read", "contents": "write"}, "FORBIDDEN", id="pulls-to-read"),
        pytest.param({"contents": "write"}, "NOT_FOUND", id="no-pulls"),
    ],
)
async def test_it_takes_both_permissions(tmp_path: Path, permissions: dict[str, str], type: str) -> None:
    async with scene(tmp_path) as it:
        said = await send(it, await draft(it), permissions=permissions)
        assert [(error["type"], error["path"]) for error in said["errors"]] == [(type, [FIELD])]


async def test_what_it_does_not_know_is_an_error_beside_no_data(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        id = await draft(it)
        assert "data" not in await send(it, id, query="{ viewer { login } }")
        assert "data" not in await send(it, 7)
        (error,) = (await send(it, "PR_none"))["errors"]
        assert error["message"] == "Could not resolve to a node with the global id of 'PR_none'"
        assert (await it.ask("POST", "/graphql", {})).status_code == 400
        assert (await it.http.post("/graphql", json={"query": DOCUMENT})).status_code == 401
        assert (await it.ask("POST", "/api/v3/graphql", {"query": DOCUMENT})).status_code == 404
