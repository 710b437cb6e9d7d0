"""A chat completions answer as it travels: one message, its chunks, and where they can be cut."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.standins.messages.faults import CutInside, ErrorEvent, Fault, UnknownDelta
from bot.standins.messages.script import ScriptError
from bot.standins.messages.stream import Wire, pieces

PING = b": still here\n\n"
_PLACES = {"text": b'"content"', "thinking": b'"reasoning_content"', "tool_use": b'"arguments"'}


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
) -> Iterator[bytes]:
    """The chunks of a stream, as the API orders them."""
    yield completion.chunk({"role": "assistant", "content": ""})
    if isinstance(fault, UnknownDelta):
        yield completion.chunk({"hologram": {"angle": 30}})
    if completion.refusal:
        yield completion.chunk({"refusal": completion.refusal})
    number = 0
    for block in blocks:
        if block.kind == "tool_use":
            opening = {"name": block.start["name"], "arguments": ""}
            call = {"index": number, "id": block.start["id"], "type": "function", "function": opening}
            yield completion.chunk({"tool_calls": [{**call, **_extra(block)}]})
            for piece in pieces(block.payload, chance):
                yield completion.chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
            number += 1
        elif block.kind in ("text", "thinking"):
            key = "content" if block.kind == "text" else "reasoning_content"
            for piece in pieces(block.payload, chance):
                yield completion.chunk({key: piece})
    yield completion.chunk({}, completion.finish_reason)
    if with_usage:
        yield completion.last()
    yield b"data: [DONE]\n\n"


def with_error(events: Iterator[bytes], error: ErrorEvent) -> Iterator[bytes]:
    """The first chunks, then an error in their place."""
    for _ in range(error.after):
        yield next(events)
    yield _data({"error": {"message": error.message, "type": error.kind, "param": None, "code": error.kind}})


def cutting_point(events: Sequence[bytes], fault: CutInside) -> int:
    """The byte in the middle of what streams into blocks of a kind. Raises ScriptError where there is none."""
    sizes, inside = [0], list[int]()
    for event in events:
        if _PLACES[fault.kind] in event and b'"role"' not in event:
            inside.append(sizes[-1] + len(event))
        sizes.append(sizes[-1] + len(event))
    if not inside:
        raise ScriptError(f"CutInside({fault.kind!r}) needs an answer with such a part")
    return inside[(len(inside) - 1) // 2]


def piece_of(event: bytes) -> tuple[object, str] | None:
    """The part of the message that a chunk adds to, and the text; None for one that adds none."""
    if not event.startswith(b"data: {"):
        return None
    for choice in json.loads(event[6:]).get("choices") or ():
        for call in choice["delta"].get("tool_calls") or ():
            return call["index"], call["function"].get("arguments", "")
        for key in ("reasoning_content", "content"):
            if text := choice["delta"].get(key):
                return key, text
    return None


def tells_output(event: bytes) -> bool:
    """The end is told; with the usage, where that was asked for."""
    return b'"finish_reason": "' in event


def _data(value: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
