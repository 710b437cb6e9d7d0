"""What a script sees of a chat completions request: the same conversation in the Messages API's words."""

import json
from collections.abc import Mapping
from typing import Any

from bot.standins.messages.script import Observed

Json = Mapping[str, Any]


def observed(number: int, body: Json, *, max_tokens: int) -> Observed:
    system = "\n".join(message["content"] for message in body["messages"] if message["role"] == "system")
    return Observed(
        number=number,
        model=body["model"],
        system=system,
        tools=tuple(tool["function"]["name"] for tool in body.get("tools") or []),
        max_tokens=max_tokens,
        messages=tuple(_messages(body["messages"])),
    )


def _messages(messages: list[Json]) -> list[Json]:
    """Tool messages and the user's words after them become one user message, results first."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        match message["role"]:
            case "assistant":
                turns.append({"role": "assistant", "content": _blocks(message)})
            case "tool":
                result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
                _add(turns, {**result, "is_error": message["content"].startswith("Error: ")})
            case "user":
                _add(turns, {"type": "text", "text": message["content"]})
    return list(turns)


def _add(turns: list[dict[str, Any]], block: Json) -> None:
    if not turns or turns[-1]["role"] != "user":
        turns.append({"role": "user", "content": []})
    turns[-1]["content"].append(block)


def _blocks(message: Json) -> list[Json]:
    text = [{"type": "text", "text": message["content"]}] if message.get("content") else []
    calls = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call["function"]["arguments"]),
        }
        for call in message.get("tool_calls") or []
    ]
    return [*text, *calls]
