"""An answer as it travels: content blocks, events, and bytes split where it hurts."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.standins.messages.faults import (
    BrokenJson,
    CutInside,
    ErrorEvent,
    Fault,
    MaxTokens,
    StopReason,
    UnknownBlock,
    UnknownDelta,
)
from bot.standins.messages.prompt import tokens_in
from bot.standins.messages.refusals import error_body
from bot.standins.messages.script import Answer, ScriptError

DELTAS: Mapping[str, tuple[str, str]] = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}


@dataclass(frozen=True, slots=True)
class Wire:
    """One content block: how it starts, what streams into it, and the signature that ends it."""

    start: Mapping[str, Any]
    payload: str = ""
    signature: str | None = None

    @property
    def kind(self) -> str:
        return str(self.start["type"])

    @property
    def tokens(self) -> int:
        return max(1, tokens_in(self.payload))

    def whole(self) -> dict[str, Any]:
        """The block as a JSON answer shows it."""
        block = dict(self.start)
        if self.kind == "tool_use":
            block["input"] = _input_of(self.payload)
        elif self.kind in DELTAS:
            block[self.kind] = self.payload
        if self.signature is not None:
            block["signature"] = self.signature
        return block


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds the blocks of one answer. `usage` is the input side, as `message_start` shows it."""

    message_id: str
    request_id: str
    model: str
    usage: Mapping[str, Any]
    stop_reason: str
    stop_details: Mapping[str, Any] | None = None
    diagnostics: Mapping[str, Any] | None = None

    def message(self, content: Sequence[Mapping[str, Any]], stop_reason: str | None, output: int) -> dict[str, Any]:
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": list(content),
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "stop_details": self.stop_details if stop_reason else None,
            "usage": {**self.usage, "output_tokens": output},
            "diagnostics": self.diagnostics,
        }


def as_written(blocks: Sequence[Wire], made: Answer, fault: Fault | None, *, limit: int) -> tuple[list[Wire], str]:
    """What a fault and `limit`, in tokens, leave of the blocks of an answer, and its stop reason."""
    kept, was_cut = _cut_to(_spoiled(blocks, fault), limit)
    if was_cut or isinstance(fault, MaxTokens):
        return kept, "max_tokens"
    return kept, fault.reason if isinstance(fault, StopReason) else made.natural_stop_reason


def _cut_to(blocks: Sequence[Wire], max_tokens: int) -> tuple[list[Wire], bool]:
    """The blocks that fit into `max_tokens`; the last may end in its middle. True when something was cut."""
    kept: list[Wire] = []
    left = max_tokens
    for block in blocks:
        if block.tokens > left:
            part = block.payload.encode()[: left * 4].decode(errors="ignore")
            return ([*kept, replace(block, payload=part)] if left else kept), True
        kept.append(block)
        left -= block.tokens
    return kept, False


def _spoiled(blocks: Sequence[Wire], fault: Fault | None) -> list[Wire]:
    """The blocks as a fault wants them. Raises ScriptError when the answer has nothing it could spoil."""
    made = list(blocks)
    match fault:
        case BrokenJson():
            index = next((i for i, block in enumerate(made) if block.kind == "tool_use"), None)
            if index is None:
                raise ScriptError("BrokenJson needs an answer that uses a tool")
            made[index] = replace(made[index], payload=made[index].payload[:-1] + ', "')
        case UnknownBlock():
            made.insert(0, Wire({"type": "hologram", "angle": 30, "frames": [{"z": 1}]}))
        case MaxTokens() if made:
            made[-1] = replace(made[-1], payload=made[-1].payload[: len(made[-1].payload) // 2], signature=None)
    return made


def frames(blocks: Sequence[Wire], envelope: Envelope, fault: Fault | None, chance: random.Random) -> Iterator[bytes]:
    """The events of a stream, as the API orders them, with a ping here and there."""
    yield _frame("message_start", {"message": envelope.message([], None, 1)})
    yield _frame("ping", {})
    for index, block in enumerate(blocks):
        yield _frame("content_block_start", {"index": index, "content_block": _opening(block)})
        if index == 0 and isinstance(fault, UnknownDelta):
            yield _delta(index, {"type": "hologram_delta", "angle": 30})
        for piece in pieces(block.payload, chance):
            kind, key = DELTAS[block.kind]
            yield _delta(index, {"type": kind, key: piece})
            if chance.random() < 0.1:
                yield _frame("ping", {})
        if block.signature is not None:
            yield _delta(index, {"type": "signature_delta", "signature": block.signature})
        yield _frame("content_block_stop", {"index": index})
    delta = {"stop_reason": envelope.stop_reason, "stop_sequence": None, "stop_details": envelope.stop_details}
    output = sum(block.tokens for block in blocks)
    yield _frame("message_delta", {"delta": delta, "usage": {**_totals(envelope.usage), "output_tokens": output}})
    yield _frame("message_stop", {})


def with_error(events: Iterator[bytes], error: ErrorEvent, request_id: str) -> Iterator[bytes]:
    """The first events, then an error in their place."""
    for _ in range(error.after):
        yield next(events)
    body = error_body(error.kind, error.message, request_id=request_id)
    yield f"event: error\ndata: {json.dumps(body)}\n\n".encode()


def cutting_point(events: Sequence[bytes], blocks: Sequence[Wire], fault: CutInside) -> int:
    """The byte in the middle of what streams into the first block of a kind. Raises ScriptError without one."""
    index = next((i for i, block in enumerate(blocks) if block.kind == fault.kind), None)
    if index is None:
        raise ScriptError(f"CutInside({fault.kind!r}) needs an answer with such a block")
    sizes = [0]
    inside: list[int] = []
    for event in events:
        if event.startswith(b"event: content_block_delta") and f'"index": {index},'.encode() in event:
            inside.append(sizes[-1] + len(event))
        sizes.append(sizes[-1] + len(event))
    return inside[(len(inside) - 1) // 2] if inside else sizes[-1] // 2


def piece_of(event: bytes) -> tuple[int, str] | None:
    """The block that an event adds to, and the text; None for an event beside the blocks."""
    if not event.startswith(b"event: content_block"):
        return None
    data = json.loads(event.split(b"data: ", 1)[1])
    delta = data.get("delta", {})
    return data["index"], "".join(delta.get(key, "") for _, key in DELTAS.values())


def tells_output(event: bytes) -> bool:
    return event.startswith(b"event: message_delta")


def random_writes(events: Iterable[bytes], chance: random.Random, *, largest: int | None) -> Iterator[bytes]:
    """The same bytes in pieces of 1 to `largest` that respect neither events nor characters; None: the events."""
    if largest is None:
        yield from events
        return
    waiting = b""
    for event in events:
        waiting += event
        while len(waiting) > (size := chance.randint(1, largest)):
            yield waiting[:size]
            waiting = waiting[size:]
    if waiting:
        yield waiting


def _input_of(payload: str) -> Any:
    """Input that was cut is shown as none at all."""
    try:
        return json.loads(payload)
    except ValueError:
        return {}


def _opening(block: Wire) -> dict[str, Any]:
    if block.kind == "tool_use":
        return {**block.start, "input": {}}
    if block.kind == "thinking":
        return {**block.start, "thinking": "", "signature": ""}
    return {**block.start, "text": ""} if block.kind == "text" else dict(block.start)


def pieces(text: str, chance: random.Random) -> Iterator[str]:
    at = 0
    while at < len(text):
        size = chance.randint(1, 40)
        yield text[at : at + size]
        at += size


def _totals(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in usage.items() if key.endswith("input_tokens")}


def _delta(index: int, delta: Mapping[str, Any]) -> bytes:
    return _frame("content_block_delta", {"index": index, "delta": delta})


def _frame(name: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data}, ensure_ascii=False)}\n\n".encode()
