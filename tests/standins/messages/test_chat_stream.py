"""The chunks of the loopback chat completions endpoint: their order, their bytes, and where they break."""

import json
from typing import Any

import pytest

from bot.standins.messages import Cut, ErrorEvent, Fault, LoopbackMessages, SlowStart, answer, say, think, use
from tests.standins.messages.asking import post
from tests.standins.messages.test_chat_rules import BEARER, PATH, chat

pytestmark = pytest.mark.anyio

WORDS = "Grüße, 世界 🙂 " * 20


def a_server(fault: Fault | None = None, **more: Any) -> LoopbackMessages:
    made = answer(think("Hm."), say(WORDS), use("read", path="ä.py"), use("read", path="b.py"))
    return LoopbackMessages(lambda observed: made, faults={1: fault} if fault else None, **more)


async def streamed(server: LoopbackMessages, **changes: Any) -> list[str]:
    body = chat(stream=True, stream_options={"include_usage": True}, **changes)
    response = await post(server, body, path=PATH, headers=BEARER)
    assert response.status_code == 200, response.text
    return [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]


async def test_chunks_come_in_the_order_of_the_api_and_say_what_the_json_answer_says() -> None:
    *chunks, done = await streamed(a_server())
    assert done == "[DONE]"
    made = [json.loads(chunk) for chunk in chunks]
    assert made[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in made[:-1]][-1] == "tool_calls"
    assert (made[-1]["choices"], made[-1]["usage"]["completion_tokens"] > 0) == ([], True)
    deltas = [chunk["choices"][0]["delta"] for chunk in made[:-1]]
    whole = (await post(a_server(), chat(), path=PATH, headers=BEARER)).json()["choices"][0]["message"]
    assert "".join(delta.get("content") or "" for delta in deltas) == whole["content"] == WORDS
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == whole["reasoning_content"] == "Hm."
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    for index, call in enumerate(whole["tool_calls"]):
        pieces = [piece for piece in calls if piece["index"] == index]
        assert pieces[0]["id"] == call["id"]
        assert "".join(piece["function"]["arguments"] for piece in pieces) == call["function"]["arguments"]


async def test_without_being_asked_it_does_not_tell_the_usage() -> None:
    response = await post(a_server(), chat(stream=True), path=PATH, headers=BEARER)
    assert "usage" not in response.text


@pytest.mark.parametrize("largest_write", [1, 7, 200])
async def test_the_split_never_changes_the_bytes(largest_write: int) -> None:
    assert await streamed(a_server(largest_write=largest_write)) == await streamed(a_server(largest_write=None))


async def test_gemini_signs_each_call() -> None:
    message = (await post(a_server(), chat(model="gemini-3-pro"), path=PATH, headers=BEARER)).json()["choices"][0][
        "message"
    ]
    signatures = [call["extra_content"]["google"]["thought_signature"] for call in message["tool_calls"]]
    assert len(set(signatures)) == 2


async def test_a_stream_breaks_where_it_was_asked_to() -> None:
    assert "[DONE]" not in await streamed(a_server(Cut(400)))
    *_, last = await streamed(a_server(ErrorEvent("server_error")))
    assert json.loads(last)["error"]["code"] == "server_error"
    assert ": still here" in await streamed(a_server(SlowStart(0.05, pings=True)))
