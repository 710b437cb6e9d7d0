"""The loopback Messages API refuses what the real one refuses, rule by rule."""

from collections.abc import Mapping
from typing import Any

import pytest

from bot.standins.messages import LoopbackMessages, answer, say
from tests.standins.messages.asking import (
    HEADERS,
    HOUR,
    MARK,
    TOOL,
    a_body,
    assistant,
    fetch,
    post,
    result,
    text,
    used,
    user,
)

pytestmark = pytest.mark.anyio


def a_server() -> LoopbackMessages:
    return LoopbackMessages(lambda observed: answer(say("fine")))


CLOSED: Mapping[str, Any] = {"type": "object", "additionalProperties": False}
STRICT: Mapping[str, Any] = {**TOOL, "strict": True, "input_schema": CLOSED}

ACCEPTED = [
    pytest.param(a_body(), id="a plain question"),
    pytest.param(a_body(system=None, tools=None), id="without system and tools"),
    pytest.param(a_body(system=[text("Work well.", cache_control=MARK)]), id="system as marked blocks"),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(used("t1")), user(result("t1"), text("go on"))]),
        id="results first, then text",
    ),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(text("b")), user(text("c")), user(text("d"))]),
        id="two user messages in a row are one turn",
    ),
    pytest.param(
        a_body(
            messages=[
                user(text("a")),
                assistant(used("t1"), used("t2")),
                user(result("t2", is_error=True)),
                user(result("t1")),
            ]
        ),
        id="results over two user messages, in any order",
    ),
    pytest.param(
        a_body(messages=[user(text("a")), {"role": "system", "content": "half the budget is used"}]),
        id="a system message after a user turn",
    ),
    pytest.param(a_body(max_tokens=0), id="warming the cache"),
    pytest.param(a_body(tool_choice={"type": "auto"}), id="tool choice auto"),
    pytest.param(a_body(thinking={"type": "adaptive"}), id="adaptive thinking"),
    pytest.param(a_body(output_config={"effort": "xhigh"}), id="effort"),
    pytest.param(a_body(diagnostics={"previous_message_id": None}), id="diagnostics of a first request"),
    pytest.param(a_body(tools=[STRICT]), id="a strict tool"),
    pytest.param(
        a_body(
            tools=[{**TOOL, "cache_control": HOUR}],
            system=[text("s", cache_control=HOUR)],
            messages=[user(text("a", cache_control=MARK), text("b", cache_control=MARK))],
        ),
        id="four marks, the long ones first",
    ),
    pytest.param(
        a_body(model="claude-opus-5", tool_choice={"type": "any"}, thinking={"type": "disabled"}),
        id="forced tools and no thinking on a model that allows it",
    ),
]

REFUSED = [
    pytest.param([], "not a JSON object", id="a list"),
    pytest.param(a_body(colour="red"), "colour: Extra inputs", id="unknown field"),
    pytest.param(a_body(output_config={"effort": "huge"}), "output_config.effort: Input should", id="unknown effort"),
    pytest.param(a_body(diagnostics={"previous_message_id": 7}), "previous_message_id: Input", id="no message's id"),
    pytest.param(
        a_body(tools=[{**STRICT, "input_schema": {**CLOSED, "properties": {"a": {"type": "string", "minLength": 1}}}}]),
        "strict knows no minLength",
        id="strict with a bound",
    ),
    pytest.param(
        a_body(tools=[{**STRICT, "input_schema": {**CLOSED, "properties": {"a": {"type": "object"}}}}]),
        "strict needs additionalProperties false",
        id="strict with an open object inside",
    ),
    pytest.param(a_body(model=None), "model: Field required", id="no model"),
    pytest.param(a_body(temperature=0), "temperature: sampling", id="temperature"),
    pytest.param(a_body(top_p=0.5), "top_p: sampling", id="top_p"),
    pytest.param(a_body(top_k=5), "top_k: sampling", id="top_k"),
    pytest.param(a_body(tool_choice={"type": "any"}), "forced tool use", id="forced: any tool"),
    pytest.param(a_body(tool_choice={"type": "tool", "name": "read"}), "forced tool use", id="forced: one tool"),
    pytest.param(a_body(thinking={"type": "disabled"}), "'disabled' is not supported", id="thinking off"),
    pytest.param(
        a_body(thinking={"type": "enabled", "budget_tokens": 2000}), "'enabled' is not supported", id="thinking on"
    ),
    pytest.param(a_body(max_tokens=None), "max_tokens: Field required", id="no max_tokens"),
    pytest.param(a_body(max_tokens=128_001), "128001 > 128000", id="more than the most output"),
    pytest.param(a_body(max_tokens=0, stream=True), "max_tokens: must be", id="warming the cache with a stream"),
    pytest.param(a_body(tools=[dict(TOOL), dict(TOOL)]), "names must be unique", id="two tools of one name"),
    pytest.param(a_body(tools=[{**TOOL, "name": "read file"}]), "should match pattern", id="space in a tool's name"),
    pytest.param(a_body(tools=[{"name": "read"}]), "input_schema", id="tool without a schema"),
    pytest.param(a_body(tools=[{**TOOL, "strict": True}]), "additionalProperties", id="strict but open schema"),
    pytest.param(a_body(system=[text("")]), "system: must be", id="empty system block"),
    pytest.param(a_body(messages=[]), "at least one message", id="no messages"),
    pytest.param(a_body(messages=[{"role": "user"}]), "role and content", id="message without content"),
    pytest.param(a_body(messages=[user()]), "must not be empty", id="message with no blocks"),
    pytest.param(a_body(messages=[user(text(""))]), "non-empty", id="empty text"),
    pytest.param(a_body(messages=[{"role": "tool", "content": "x"}]), "role: Input should be", id="unknown role"),
    pytest.param(a_body(messages=[user({"type": "hologram"})]), "'hologram'", id="unknown block"),
    pytest.param(a_body(messages=[user(text("a", citations=[{}]))]), "citations", id="citations from the user"),
    pytest.param(
        a_body(messages=[user(text("a")), assistant({"type": "document"}), user(text("b"))]),
        "'document'",
        id="document from the assistant",
    ),
    pytest.param(a_body(messages=[assistant(text("a"))]), "first message", id="assistant first"),
    pytest.param(a_body(messages=[user(text("a")), assistant(text("b"))]), "prefill", id="assistant last"),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(used("t1")), user(text("b"))]),
        "without `tool_result` blocks",
        id="tool use without a result",
    ),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(used("t1"), used("t2")), user(result("t1"))]),
        "without `tool_result` blocks immediately after: ['t2']",
        id="one of two results is missing",
    ),
    pytest.param(a_body(messages=[user(result("t1"))]), "unexpected `tool_use_id`", id="result without a tool use"),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(used("t1")), user(result("t1"), result("t1"))]),
        "multiple `tool_result` blocks",
        id="two results for one tool use",
    ),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(used("t1"), used("t1")), user(result("t1"))]),
        "ids must be unique",
        id="one id twice in an answer",
    ),
    pytest.param(
        a_body(
            messages=[
                user(text("a")),
                assistant(used("t1")),
                user(result("t1")),
                assistant(used("t1")),
                user(result("t1")),
            ]
        ),
        "ids must be unique",
        id="one id twice in a conversation",
    ),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(used("t1")), user(text("first"), result("t1"))]),
        "must come first",
        id="text before a result",
    ),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(used("t1", input="{}")), user(result("t1"))]),
        "valid dictionary",
        id="input of a tool use as text",
    ),
    pytest.param(
        a_body(messages=[{"role": "system", "content": "x"}, user(text("a"))]), "first message", id="system first"
    ),
    pytest.param(
        a_body(messages=[user(text("a")), assistant(text("b")), {"role": "system", "content": "x"}, user(text("c"))]),
        "must directly follow a user turn",
        id="system after the assistant",
    ),
    pytest.param(
        a_body(messages=[user(text("a")), {"role": "system", "content": "x"}, user(text("b"))]),
        "must directly follow a user turn",
        id="system between user messages",
    ),
    pytest.param(
        a_body(model="claude-sonnet-5-5", messages=[user(text("a")), {"role": "system", "content": "x"}]),
        "role 'system' is not supported",
        id="system on a model without it",
    ),
    pytest.param(
        a_body(messages=[user(*(text(str(n), cache_control=MARK) for n in range(5)))]),
        "A maximum of 4 blocks",
        id="five cache marks",
    ),
    pytest.param(
        a_body(cache_control=MARK, messages=[user(*(text(str(number), cache_control=MARK) for number in range(4)))]),
        "A maximum of 4 blocks",
        id="four cache marks and an automatic one",
    ),
    pytest.param(
        a_body(messages=[user(text("a", cache_control=MARK), text("b", cache_control=HOUR))]),
        "must not come after",
        id="5 minutes before an hour",
    ),
    pytest.param(
        a_body(messages=[user(text("a", cache_control={"type": "ephemeral", "ttl": "2h"}))]),
        "ttl of 5m or 1h",
        id="a mark for two hours",
    ),
]


@pytest.mark.parametrize("body", ACCEPTED)
async def test_a_correct_request_is_answered(body: dict[str, Any]) -> None:
    response = await post(a_server(), body)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(("body", "sentence"), REFUSED)
async def test_a_broken_rule_is_a_400_that_names_it(body: object, sentence: str) -> None:
    server = a_server()
    response = await post(server, body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert sentence in response.json()["error"]["message"]
    assert [number for number, _ in server.refused] == [1]


async def test_an_error_has_the_shape_of_the_real_api() -> None:
    response = await post(a_server(), a_body(top_k=1))
    request_id = response.headers["request-id"]
    assert response.json() == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "top_k: sampling parameters are not supported in this API version",
        },
        "request_id": request_id,
    }
    assert request_id.startswith("req_")


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        pytest.param({"anthropic-version": "2026-10-21"}, 401, "authentication_error", id="no key"),
        pytest.param({**HEADERS, "authorization": "Bearer other"}, 401, "authentication_error", id="wrong key"),
        pytest.param(
            {"anthropic-version": "2026-10-21", "x-api-key": "test-key"}, 401, "authentication_error", id="old header"
        ),
        pytest.param({"authorization": "Bearer test-key"}, 400, "invalid_request_error", id="no version"),
        pytest.param({**HEADERS, "anthropic-version": "2019-01-01"}, 400, "invalid_request_error", id="old version"),
    ],
)
async def test_every_door_asks_for_key_and_version(headers: dict[str, str], status: int, kind: str) -> None:
    server = a_server()
    for response in (
        await post(server, a_body(), headers=headers),
        await post(server, a_body(), path="/v1/messages/count_tokens", headers=headers),
        await fetch(server, "/v1/models", headers=headers),
        await fetch(server, "/v1/models/claude-opus-5-5", headers=headers),
    ):
        assert (response.status_code, response.json()["error"]["type"]) == (status, kind)


async def test_an_unknown_model_is_not_found() -> None:
    server = a_server()
    for response in (await post(server, a_body(model="claude-x")), await fetch(server, "/v1/models/claude-x")):
        assert response.status_code == 404
        assert response.json()["error"] == {"type": "not_found_error", "message": "model: claude-x"}


async def test_a_prompt_beyond_the_window_is_too_long() -> None:
    response = await post(a_server(), a_body(messages=[user(text("word " * 900_000))]))
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("prompt is too long: 11")


async def test_models_tell_their_limits() -> None:
    server = a_server()
    card = (await fetch(server, "/v1/models/claude-opus-5-5")).json()
    assert (card["id"], card["max_tokens"], card["lifecycle"]) == ("claude-opus-5-5", 128_000, "active")
    assert card in (await fetch(server, "/v1/models")).json()["data"]


async def test_counting_needs_no_max_tokens_and_agrees_with_the_charge() -> None:
    server = a_server()
    body = a_body(max_tokens=None)
    counted = (await post(server, body, path="/v1/messages/count_tokens")).json()["input_tokens"]
    await post(server, a_body())
    assert counted == server.ledger[0].input.fresh
