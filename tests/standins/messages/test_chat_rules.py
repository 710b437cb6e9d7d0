"""The loopback chat completions endpoint refuses what the real ones refuse, rule by rule."""

from typing import Any

import pytest

from bot.standins.messages import LoopbackMessages, answer, say, use
from tests.standins.messages.asking import fetch, post

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
BEARER = {"authorization": "Bearer test-key"}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"path": {"type": "string"}}, "required": []}
ASKED = {"role": "user", "content": "hello"}


def tool(name: str = "read", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": SCHEMA, **more}}


def called(*ids: str, arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    calls = [
        {"id": one, "type": "function", "function": {"name": "read", "arguments": arguments}, **more} for one in ids
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def returned(call: str, content: Any = "fine") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": content}


def chat(*messages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "gpt-6.1-sol", "messages": list(messages) or [ASKED], "tools": [tool()], **changes}
    return {key: value for key, value in body.items() if value is not None}


ACCEPTED = [
    pytest.param(chat(), id="a plain question"),
    pytest.param(chat({"role": "system", "content": "s"}, ASKED), id="with a system message"),
    pytest.param(chat(ASKED, called("a", "b"), returned("b"), returned("a")), id="answered calls, in any order"),
    pytest.param(chat(ASKED, called("a"), returned("a"), {"role": "user", "content": "go on"}), id="words after them"),
    pytest.param(chat(max_completion_tokens=10, reasoning_effort="xhigh"), id="limit and effort"),
    pytest.param(chat(model="qwen3:32b", max_tokens=10, temperature=0), id="another server's limit, and sampling"),
    pytest.param(
        chat(
            *(ASKED, called("a", extra_content={"google": {"thought_signature": "s"}}), returned("a")),
            model="gemini-3-pro",
        ),
        id="a signed call",
    ),
]

REFUSED = [
    pytest.param([], "could not parse", id="a list"),
    pytest.param(chat(model=None), "must provide a model", id="no model"),
    pytest.param(chat(model="gpt-2"), "does not exist", id="unknown model"),
    pytest.param(chat(colour="red"), "argument supplied: colour", id="unknown field"),
    pytest.param(chat(temperature=0), "'temperature' is not supported", id="temperature"),
    pytest.param(chat(top_p=0.5), "'top_p' is not supported", id="top_p"),
    pytest.param(chat(stream_options={"include_usage": True}), "only allowed when 'stream'", id="usage without stream"),
    pytest.param(chat(model="qwen3:32b", reasoning_effort="low"), "reasoning_effort", id="effort where there is none"),
    pytest.param(chat(reasoning_effort="max"), "Supported values", id="an effort that is none"),
    pytest.param(chat(max_tokens=10), "Use 'max_completion_tokens' instead", id="the limit's old name"),
    pytest.param(chat(model="qwen3:32b", max_completion_tokens=10), "Use 'max_tokens' instead", id="and its new one"),
    pytest.param(chat(max_completion_tokens=0), "below minimum", id="no output"),
    pytest.param(chat(max_completion_tokens=128_001), "at most 128000 output tokens", id="too much output"),
    pytest.param(chat(tools=[{"name": "read"}]), "Invalid 'tools[0]'", id="a tool that is no function"),
    pytest.param(chat(tools=[tool("a b")]), "Invalid 'tools[0]'", id="a tool's name"),
    pytest.param(chat(tools=[tool(), tool()]), "must be unique", id="two tools of one name"),
    pytest.param(chat(tools=[tool(parameters={"type": "string"})]), "type must be object", id="a schema of no object"),
    pytest.param(chat(tools=[tool(strict=True)]), "strict needs every property", id="strict with an optional field"),
    pytest.param(chat(messages=[]), "empty array", id="no messages"),
    pytest.param(chat({"role": "robot", "content": "x"}), "role: 'robot'", id="unknown role"),
    pytest.param(chat({"role": "user", "content": ""}), "a string with text", id="an empty text"),
    pytest.param(chat(ASKED, called("a"), returned("a", "")), "a string with text", id="an empty result"),
    pytest.param(chat(ASKED, {"role": "assistant", "content": None}), "null without tool_calls", id="an empty answer"),
    pytest.param(
        chat(ASKED, {"role": "assistant", "content": "x", "tool_calls": []}), "empty array", id="an empty list of calls"
    ),
    pytest.param(chat(ASKED, called("a", "a"), returned("a")), "ids must be unique", id="two calls of one id"),
    pytest.param(chat(ASKED, called(""), returned("")), "with an id", id="a call without an id"),
    pytest.param(
        chat(ASKED, called("a", arguments={}), returned("a")), "both strings", id="arguments that are no text"
    ),
    pytest.param(chat(ASKED, called("a", "b"), returned("a")), "must end with", id="a call without a result"),
    pytest.param(
        chat(ASKED, called("a", "b"), returned("a"), ASKED), "did not have response messages: b", id="words too early"
    ),
    pytest.param(chat(ASKED, returned("a")), "must be a response to a preceding", id="a result without a call"),
    pytest.param(
        chat(ASKED, called("a"), returned("a"), returned("a")), "must be a response to a preceding", id="two results"
    ),
    pytest.param(chat(ASKED, {"role": "assistant", "content": "x"}), "must end with a user", id="ends with an answer"),
    pytest.param(
        chat(ASKED, called("a"), returned("a"), model="gemini-3-pro"), "missing a thought_signature", id="unsigned call"
    ),
    pytest.param(
        chat({"role": "user", "content": "x" * 200_000}, model="qwen3:32b"), "maximum context length", id="too long"
    ),
]


def a_server() -> LoopbackMessages:
    return LoopbackMessages(lambda observed: answer(say("fine"), use("read", path="a.py")))


@pytest.mark.parametrize("body", ACCEPTED)
async def test_what_the_api_takes_is_answered(body: dict[str, Any]) -> None:
    server = a_server()
    response = await post(server, body, path=PATH, headers=BEARER)
    assert response.status_code == 200, response.text
    message = response.json()["choices"][0]["message"]
    assert message["content"] == "fine"
    assert message["tool_calls"][0]["function"] == {"name": "read", "arguments": '{"path": "a.py"}'}
    assert response.json()["choices"][0]["finish_reason"] == "tool_calls"
    assert server.refused == []


@pytest.mark.parametrize(("body", "message"), REFUSED)
async def test_what_breaks_a_rule_is_refused_by_name(body: Any, message: str) -> None:
    server = a_server()
    response = await post(server, body, path=PATH, headers=BEARER)
    assert response.status_code in (400, 404)
    assert message in response.json()["error"]["message"]
    assert len(server.refused) == 1


async def test_only_its_own_key_is_taken() -> None:
    response = await post(a_server(), chat(), path=PATH, headers={"authorization": "Bearer other"})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        pytest.param(lambda body: None, True, id="as it was"),
        pytest.param(lambda body: body["messages"][0].update(content="other"), False, id="the question edited"),
        pytest.param(lambda body: body["messages"][1].update(content="other"), False, id="the answer's text edited"),
        pytest.param(
            lambda body: body["messages"][1]["tool_calls"][0]["function"].update(arguments='{"path":"a.py"}'),
            False,
            id="a space in the arguments",
        ),
        pytest.param(lambda body: body["tools"].clear(), False, id="the tools gone"),
    ],
)
async def test_an_answer_comes_back_as_it_was_said_after_what_it_was_said_to(change: Any, accepted: bool) -> None:
    server = a_server()
    message = (await post(server, chat(), path=PATH, headers=BEARER)).json()["choices"][0]["message"]
    body = chat(dict(ASKED), message, returned(message["tool_calls"][0]["id"]))
    change(body)
    response = await post(server, body, path=PATH, headers=BEARER)
    assert (response.status_code == 200) == accepted, response.text


async def test_a_model_is_shown_to_each_kind_of_client_in_its_own_form() -> None:
    server = a_server()
    card = (await fetch(server, "/v1/models/gpt-6.1-sol", headers=BEARER)).json()
    assert (card["id"], card["object"]) == ("gpt-6.1-sol", "model")
    assert (await fetch(server, "/v1/models/qwen3:32b", headers=BEARER)).json()["max_model_len"] == 40_000
    assert (await fetch(server, "/v1/models/gpt-2", headers=BEARER)).status_code == 404


async def test_a_prompt_seen_before_is_read_from_the_cache_and_what_follows_it_is_written() -> None:
    """In the usage and in the server's own ledger; a prompt of less than 1,024 tokens is neither."""
    server = a_server()
    long = {"role": "user", "content": "x" * 8_000}
    for messages in ((long,), (long, called("a"), returned("a", "y" * 4_000))):
        usage = (await post(server, chat(*messages), path=PATH, headers=BEARER)).json()["usage"]
    first, second = server.ledger
    assert (first.input.fresh, first.input.read) == (0, 0)
    assert second.input.read == first.input.write_5m > 2_000
    assert usage["prompt_tokens"] == second.input.read + second.input.write_5m
    assert usage["prompt_tokens_details"]["cached_tokens"] == second.input.read
    assert second.dollars == pytest.approx(
        (second.input.read * 0.1 + second.input.write_5m * 2.5 + second.output * 10) / 1e6
    )
    short = (await post(server, chat(), path=PATH, headers=BEARER)).json()["usage"]
    assert short["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
