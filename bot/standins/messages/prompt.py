"""A request as the model reads it: one list of blocks in the order tools, system, messages."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.standins.messages.script import blocks_of

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """`text` is canonical JSON without cache marks; `mark` the time to live it asks for, in seconds."""

    text: str
    tokens: int
    mark: int | None


def tokens_in(text: str) -> int:
    """A stand-in for the tokenizer: one token for four bytes, rounded up."""
    return (len(text.encode()) + 3) // 4


def canonical(value: object) -> str:
    """The same text for the same meaning: sorted keys, no cache marks, a string as one text block."""
    return json.dumps(_without_marks(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _without_marks(value: object) -> object:
    if isinstance(value, Mapping):
        kept = {key: _without_marks(item) for key, item in value.items() if key != "cache_control"}
        if kept.get("type") == "tool_result" and isinstance(kept.get("content"), str):
            kept["content"] = [{"type": "text", "text": kept["content"]}]
        return kept
    return [_without_marks(item) for item in value] if isinstance(value, list) else value


def merged(messages: Sequence[Json]) -> list[tuple[str, list[Json]]]:
    """Messages as (role, blocks); neighbours of one role are one turn, as the API combines them."""
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(blocks_of(message))
        else:
            turns.append((message["role"], list(blocks_of(message))))
    return turns


def system_blocks(body: Json) -> Sequence[Json]:
    return blocks_of({"content": body.get("system") or []})


def settings_of(body: Json) -> str:
    """What changes the messages part of the cache without being a block."""
    return canonical({key: body.get(key) for key in ("tool_choice", "thinking", "output_config")})


def prompt_of(body: Json) -> tuple[list[Block], int]:
    """All blocks, and how many of them come before the first message."""
    head = [*_blocks("tool", body.get("tools") or []), *_blocks("system", system_blocks(body))]
    tail = [block for role, blocks in merged(body["messages"]) for block in _blocks(role, blocks)]
    blocks = head + tail
    if (automatic := body.get("cache_control")) and blocks:
        blocks[-1] = Block(blocks[-1].text, blocks[-1].tokens, seconds_of(automatic))
    return blocks, len(head)


def _blocks(role: str, blocks: Sequence[Json]) -> Iterator[Block]:
    for block in blocks:
        text = canonical([role, block])
        yield Block(text, tokens_in(text), seconds_of(mark) if (mark := block.get("cache_control")) else None)


def seconds_of(mark: Json) -> int:
    return 3600 if mark.get("ttl") == "1h" else 300
