"""An endpoint that lies, speaks another dialect or never ends: at the worst its answer is lost, never the job."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bot.domain.conversation import Conversation, Text, ToolSpec, Usage, UserTurn
from bot.domain.errors import ModelError
from bot.models import chat_reply, reply
from bot.models.anthropic import AnthropicModel
from bot.models.chat_reply import ChatGathering
from bot.models.listening import MOST_BYTES
from bot.models.openai import OpenAIModel
from bot.models.reply import Gathering
from bot.standins.serving import serve

TASK = Conversation("Work.", (ToolSpec("read", "Show.", {"type": "object"}),), (UserTurn((Text("fix it"),)),))
LIES = [-1, 10**10, 10**400, "5", 1.5, float("nan"), True, [1], {"a": 1}]


@pytest.mark.parametrize("lie", LIES, ids=[str(lie)[:20] for lie in LIES])
@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens", "cached_tokens"])
def test_a_number_that_cannot_be_one_of_tokens_is_not_believed(key: str, lie: object) -> None:
    """Red before: ten million tokens below zero made a job that had spent less than nothing."""
    told: dict[str, Any] = {"prompt_tokens": 9, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}
    (told if key in told else told["prompt_tokens_details"])[key] = lie
    assert chat_reply.usage_of(told) is None
    claudes = {"cached_tokens": "cache_read_input_tokens", "prompt_tokens": "input_tokens"}
    assert reply.usage_of({"output_tokens": 9, claudes.get(key, "output_tokens"): lie}) is None


@pytest.mark.parametrize("told", [{"completion_tokens": -(10**7)}, [1], "none", {"prompt_tokens_details": [1]}, 7])
def test_a_reply_without_a_usage_to_believe_is_estimated(told: object) -> None:
    gathered = chat()
    gathered.take({"choices": [{"delta": {"content": "Hello there"}, "finish_reason": "stop"}]})
    gathered.take({"choices": [], "usage": told})
    assert gathered.reply().usage == Usage(fresh=100, output=7)


def test_claudes_reply_without_a_usage_to_believe_costs_what_was_heard() -> None:
    gathered = Gathering()
    gathered.is_answered = True
    for event in (
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": -5, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 100}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": "many"}},
        {"type": "message_stop"},
    ):
        gathered.take(event)
    usage = gathered.reply().usage
    assert (usage.input, usage.output >= 50) == (0, True)


def test_content_in_parts_is_read_and_thinking_among_it_left_out() -> None:
    """Mistral's reasoning models stream such parts. Red before: a list of lists could not be joined."""
    gathered = chat()
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    for content in ([thinking], [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], " you", None):
        gathered.take({"choices": [{"delta": {"content": content}}]})
    gathered.take({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert gathered.reply().text == "Hello you"


@pytest.mark.parametrize(
    "delta",
    [
        {"content": 7},
        {"content": {"text": "x"}},
        {"content": [7]},
        {"content": [{"type": "text", "text": 7}]},
        {"tool_calls": [{"function": {"name": "read", "arguments": {"a": 1}}}]},
        {"tool_calls": 7},
        {"refusal": {"a": 1}},
    ],
)
def test_a_delta_of_another_form_is_an_interruption(delta: Mapping[str, Any]) -> None:
    gathered = chat()
    with pytest.raises(ModelError, match="not in the form") as told:
        gathered.take({"choices": [{"delta": delta}]})
    assert told.value.remedy == "retry"


def chat() -> ChatGathering:
    gathered = ChatGathering(who="gpt-6-sol", max_tokens=1000, prompt_bytes=400)
    gathered.is_answered = True
    return gathered


@pytest.mark.parametrize(("door", "line_end"), [("claude", "\n\n"), ("chat", "\n\n"), ("chat", "")])
async def test_an_answer_without_end_breaks_off(door: str, line_end: str) -> None:
    """Red before: a gigabyte of text filled the memory of the worker, with every other job in it."""
    sent = 0

    async def flood(request: Request) -> StreamingResponse:
        piece = {"type": "ping", "choices": [], "filler": "x" * 500_000}

        async def without_end() -> AsyncIterator[str]:
            nonlocal sent
            while sent < 4 * MOST_BYTES:
                sent += 500_000
                yield f"data: {json.dumps(piece)}{line_end}"

        return StreamingResponse(without_end(), media_type="text/event-stream")

    async with serve(Starlette(routes=[Route("/{path:path}", flood, methods=["POST"])])) as url:
        model: AnthropicModel | OpenAIModel = OpenAIModel("key", model="gpt-6-sol", base_url=f"{url}/v1")
        if door == "claude":
            model = AnthropicModel("key", model="claude-opus-5-5", base_url=url)
        with pytest.raises(ModelError) as told:
            await model.ask(TASK, max_tokens=1000)
        await model.aclose()
    assert told.value.remedy == "retry"
    cause = told.value.__cause__
    assert f"more than {MOST_BYTES}" in f"{cause} {cause and cause.__cause__}"
