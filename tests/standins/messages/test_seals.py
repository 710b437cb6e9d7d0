"""Thinking blocks come back as they were and after the same history, or the request is refused."""

import copy
from typing import Any

import pytest

from bot.standins.messages import LoopbackMessages, answer, by_turn, say, think, use
from tests.standins.messages.asking import a_body, assistant, post, result, text, user

pytestmark = pytest.mark.anyio


def a_server() -> LoopbackMessages:
    step = answer(think(""), use("read"))
    return LoopbackMessages(by_turn(step, step, step, say("done")))


async def a_long_body(server: LoopbackMessages) -> dict[str, Any]:
    """A conversation of two thinking answers, as the server gave them."""
    body = a_body(messages=[user(text("fix it"))])
    for turn in range(2):
        content = (await post(server, body)).json()["content"]
        body["messages"] += [assistant(*content), user(result(content[-1]["id"], f"result {turn}"))]
    return body


async def asked_again(server: LoopbackMessages, body: dict[str, Any]) -> tuple[int, str]:
    response = await post(server, body)
    return response.status_code, response.json().get("error", {}).get("message", "")


async def test_unchanged_history_is_accepted() -> None:
    server = a_server()
    assert await asked_again(server, await a_long_body(server)) == (200, "")


async def test_cache_marks_and_a_string_for_one_text_block_are_no_change() -> None:
    server = a_server()
    body = await a_long_body(server)
    body["messages"][0] = {"role": "user", "content": "fix it"}
    body["messages"][2]["content"][0]["cache_control"] = {"type": "ephemeral"}
    body["messages"][2]["content"][0]["content"] = [text("result 0")]
    body["system"] = [text("Work well.", cache_control={"type": "ephemeral"})]
    assert await asked_again(server, body) == (200, "")


def _edit_task(body: dict[str, Any]) -> None:
    body["messages"][0]["content"][0]["text"] = "fix something else"


def _edit_result(body: dict[str, Any]) -> None:
    body["messages"][2]["content"][0]["content"] = "[old result left out]"


def _edit_system(body: dict[str, Any]) -> None:
    body["system"] = "Work well. Turn 3 of 60."


def _edit_tools(body: dict[str, Any]) -> None:
    body["tools"][0]["description"] = "Show a file, at most 2000 lines."


def _drop_earlier_thinking(body: dict[str, Any]) -> None:
    del body["messages"][1]["content"][0]


def _edit_earlier_use(body: dict[str, Any]) -> None:
    body["messages"][1]["content"][1]["input"] = {"path": "b"}


@pytest.mark.parametrize(
    "edit", [_edit_task, _edit_result, _edit_system, _edit_tools, _drop_earlier_thinking, _edit_earlier_use]
)
async def test_edited_history_is_refused(edit: Any) -> None:
    server = a_server()
    body = copy.deepcopy(await a_long_body(server))
    edit(body)
    status, message = await asked_again(server, body)
    assert status == 400
    assert "bound to a different conversation" in message


async def test_edited_thinking_is_refused() -> None:
    server = a_server()
    body = await a_long_body(server)
    body["messages"][1]["content"][0]["thinking"] = "something else"
    status, message = await asked_again(server, body)
    assert status == 400
    assert "cannot be modified" in message


@pytest.mark.parametrize("signature", ["", "bm90IG91cnM=", "not base64 !", "é"])
async def test_a_signature_that_is_not_ours_is_refused(signature: str) -> None:
    server = a_server()
    body = await a_long_body(server)
    body["messages"][1]["content"][0]["signature"] = signature
    status, message = await asked_again(server, body)
    assert status == 400
    assert "Invalid `signature`" in message


async def test_another_model_passes_over_thinking_it_cannot_read() -> None:
    server = a_server()
    body = await a_long_body(server)
    assert await asked_again(server, {**body, "model": "claude-sonnet-5-5"}) == (200, "")


async def test_a_cache_mark_on_thinking_is_refused() -> None:
    server = a_server()
    body = await a_long_body(server)
    body["messages"][1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    status, message = await asked_again(server, body)
    assert status == 400
    assert "not permitted on thinking" in message
