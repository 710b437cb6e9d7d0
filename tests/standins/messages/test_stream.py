"""The bytes of an answer: the same answer whatever the split, and each fault as it was asked for."""

import json
from typing import Any

import httpx
import pytest

from bot.standins.messages import (
    BrokenJson,
    Cut,
    CutInside,
    ErrorEvent,
    Fault,
    LoopbackMessages,
    MaxTokens,
    Refusal,
    SlowStart,
    Stall,
    Status,
    StopReason,
    UnknownBlock,
    UnknownDelta,
    by_turn,
    say,
    think,
    use,
)
from bot.standins.serving import serve
from tests.standins.messages.asking import HEADERS, a_body, post

pytestmark = pytest.mark.anyio

WORDS = "Grüße, 世界 🙂 " * 20
STEP = (think("hm"), say(WORDS), use("read", file_path="ä.py"))


def a_server(fault: Fault | None = None, **more: Any) -> LoopbackMessages:
    return LoopbackMessages(by_turn(STEP), faults={1: fault} if fault else {}, now=lambda: 0.0, **more)


async def streamed(server: LoopbackMessages, **changes: Any) -> list[dict[str, Any]]:
    response = await post(server, a_body(stream=True, **changes))
    assert response.status_code == 200
    return events_in(response.content)


def events_in(body: bytes) -> list[dict[str, Any]]:
    found = []
    for frame in body.decode().split("\n\n")[:-1]:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def text_in(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


async def test_events_come_in_the_order_of_the_api() -> None:
    seen = kinds(await streamed(a_server()))
    assert seen[:2] == ["message_start", "ping"]
    assert seen[-2:] == ["message_delta", "message_stop"]
    assert seen.count("content_block_start") == seen.count("content_block_stop") == 3


async def test_the_stream_and_the_json_answer_say_the_same() -> None:
    events = await streamed(a_server())
    whole = (await post(a_server(), a_body())).json()
    assert text_in(events) == whole["content"][1]["text"] == WORDS
    assert whole["content"][2]["input"] == {"file_path": "ä.py"}
    assert whole["stop_reason"] == "tool_use"
    assert whole["usage"]["output_tokens"] == events[-2]["usage"]["output_tokens"]


async def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, same, other = [(await post(a_server(seed=seed), a_body(stream=True))).content for seed in (1, 1, 2)]
    assert one == same != other


@pytest.mark.parametrize("largest_write", [None, 1, 7])
async def test_the_split_never_changes_the_bytes(largest_write: int | None) -> None:
    expected = (await post(a_server(), a_body(stream=True))).content
    assert (await post(a_server(largest_write=largest_write), a_body(stream=True))).content == expected


async def test_too_small_a_limit_cuts_the_answer_in_its_middle() -> None:
    events = await streamed(a_server(), max_tokens=30)
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert WORDS.startswith(text_in(events))
    assert 0 < len(text_in(events)) < len(WORDS)


async def test_a_json_answer_that_is_cut_shows_a_tool_use_without_input() -> None:
    whole = (await post(a_server(MaxTokens()), a_body())).json()
    assert (whole["content"][2]["input"], whole["stop_reason"]) == ({}, "max_tokens")


async def test_an_error_status_has_its_header_and_code() -> None:
    fault = Status(status=429, code="ramp_limit_exceeded", retry_after="7")
    response = await post(a_server(fault), a_body(stream=True))
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"
    assert response.json()["error"]["type"] == "rate_limit_error"
    assert response.json()["error"]["details"] == {"error_code": "ramp_limit_exceeded"}


async def test_a_fault_strikes_only_its_request() -> None:
    server = a_server(Status(status=529))
    assert (await post(server, a_body())).status_code == 529
    assert (await post(server, a_body())).status_code == 200


async def test_an_error_event_ends_the_stream() -> None:
    events = await streamed(a_server(ErrorEvent("overloaded_error", after=3)))
    assert len(events) == 4
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "Overloaded"}


async def test_broken_json_is_broken() -> None:
    events = await streamed(a_server(BrokenJson()))
    pieces = [event["delta"].get("partial_json", "") for event in events if event["type"] == "content_block_delta"]
    with pytest.raises(ValueError, match="Unterminated string"):
        json.loads("".join(pieces))


async def test_unknown_things_are_in_the_stream() -> None:
    block = next(e for e in await streamed(a_server(UnknownBlock())) if e["type"] == "content_block_start")
    assert block["content_block"]["type"] == "hologram"
    delta = next(e for e in await streamed(a_server(UnknownDelta())) if e["type"] == "content_block_delta")
    assert delta["delta"]["type"] == "hologram_delta"


@pytest.mark.parametrize(
    ("fault", "stop_reason"),
    [
        (StopReason("model_context_window_exceeded"), "model_context_window_exceeded"),
        (StopReason("something_new"), "something_new"),
        (MaxTokens(), "max_tokens"),
        (Refusal("cyber"), "refusal"),
    ],
)
async def test_an_answer_can_end_otherwise(fault: Fault, stop_reason: str) -> None:
    events = await streamed(a_server(fault))
    assert events[-2]["delta"]["stop_reason"] == stop_reason
    details = events[-2]["delta"]["stop_details"]
    assert (details or {}).get("category") == ("cyber" if stop_reason == "refusal" else None)


@pytest.mark.parametrize("fault", [CutInside("thinking"), CutInside("tool_use")])
async def test_a_fault_that_finds_nothing_to_spoil_says_so(fault: Fault) -> None:
    server = LoopbackMessages(by_turn(say("only text")), faults={1: fault})
    response = await post(server, a_body(stream=True))
    assert response.status_code == 400
    assert "needs an answer with such a block" in response.json()["error"]["message"]


async def test_cuts_end_the_body_where_they_were_asked_to() -> None:
    whole = (await post(a_server(), a_body(stream=True))).content
    assert (await post(a_server(Cut(500)), a_body(stream=True))).content == whole[:500]
    inside = (await post(a_server(CutInside("tool_use")), a_body(stream=True))).content
    assert whole.startswith(inside)
    assert b"input_json_delta" in inside
    assert b"message_delta" not in inside


async def test_a_dropped_connection_is_an_error_to_the_client() -> None:
    async with serve(a_server(Cut(500, cleanly=False)).asgi()) as url, httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await client.post("/v1/messages", json=a_body(stream=True), headers=HEADERS)


READ_S = httpx.Timeout(60, read=0.1)


@pytest.mark.parametrize("fault", [SlowStart(30.0), Stall(300, 30.0)])
async def test_a_slow_server_is_silent(fault: Fault) -> None:
    async with serve(a_server(fault).asgi()) as url, httpx.AsyncClient(base_url=url, timeout=READ_S) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/messages", json=a_body(stream=True), headers=HEADERS)


async def test_a_slow_start_may_show_life() -> None:
    events = await streamed(a_server(SlowStart(0.1, pings=True)))
    assert kinds(events)[0] == "ping"
    assert text_in(events) == WORDS
