"""A chat completions answer as it travels: one message, and its chunks."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.standins.messages.delivery import Event
from bot.standins.messages.faults import ErrorEvent, Fault, UnknownDelta
from bot.standins.messages.stream import Wire, pieces

PING = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class Completion:
    """What surrounds the blocks of one answer. `usage` is the API's object."""

    id: str
    model: str
    finish_reason: str
    usage: Mapping[str, Any]
    refusal: str | None = None

    def whole(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request that does not stream."""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": dict(self.usage)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": 1_790_000_000, "model": self.model}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return _data({**self._head("chat.completion.chunk"), "choices": [choice]})

    def last(self) -> bytes:
        return _data({**self._head("chat.completion.chunk"), "choices": [], "usage": dict(self.usage)})


def message_of(blocks: Sequence[Wire], refusal: str | None = None) -> dict[str, Any]:
    """The blocks as one assistant message, as it must come back."""
    text = "".join(block.payload for block in blocks if block.kind == "text")
    thought = "".join(block.payload for block in blocks if block.kind == "thinking")
    calls = [_call(block) for block in blocks if block.kind == "tool_use"]
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls or refusal else "")}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    return {**message, "refusal": refusal} if refusal else message


def _call(block: Wire) -> dict[str, Any]:
    function = {"name": block.start["name"], "arguments": block.payload}
    made: dict[str, Any] = {"id": block.start["id"], "type": "function", "function": function}
    return {**made, **_extra(block)}


def _extra(block: Wire) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": block.signature}}} if block.signature else {}


def chunks(
    blocks: Sequence[Wire], completion: Completion, fault: Fault | None, chance: random.Random, *, with_usage: bool
) -> Iterator[Event]:
    """The chunks of a stream, as the API orders them."""
    yield Event(completion.chunk({"role": "assistant", "content": ""}), 0)
    if isinstance(fault, UnknownDelta):
        yield Event(completion.chunk({"hologram": {"angle": 30}}), 0)
    if completion.refusal:
        yield Event(completion.chunk({"refusal": completion.refusal}), 0)
    number = done = 0
    for index, block in enumerate(blocks):
        if block.kind == "tool_use":
            opening = {"name": block.start["name"], "arguments": ""}
            call = {"index": number, "id": block.start["id"], "type": "function", "function": opening}
            yield Event(completion.chunk({"tool_calls": [{**call, **_extra(block)}]}), done + 1, index)
        for piece, tokens in pieces(block.payload, chance):
            yield Event(completion.chunk(_delta(block, number, piece)), done + tokens, index)
        number += block.kind == "tool_use"
        done += block.tokens
    yield Event(completion.chunk({}, completion.finish_reason), done)
    if with_usage:
        yield Event(completion.last(), done)
    yield Event(b"data: [DONE]\n\n", done)


def _delta(block: Wire, number: int, piece: str) -> dict[str, Any]:
    if block.kind == "tool_use":
        return {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}
    return {"content" if block.kind == "text" else "reasoning_content": piece}


def error_chunk(error: ErrorEvent) -> bytes:
    return _data({"error": {"message": error.message, "type": error.kind, "param": None, "code": error.kind}})


def _data(value: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
