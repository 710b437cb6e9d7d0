"""What the messages of a request must be like: blocks, order, and tool uses with their results."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.standins.messages.catalog import MODELS
from bot.standins.messages.prompt import merged
from bot.standins.messages.refusals import Refused

Json = Mapping[str, Any]

BLOCKS = {
    "user": frozenset({"text", "image", "document", "tool_result"}),
    "assistant": frozenset({"text", "thinking", "redacted_thinking", "tool_use"}),
    "system": frozenset({"text"}),
}


def check_messages(body: Json) -> None:
    """Raises Refused for the first message that breaks a rule."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("messages: at least one message is required")
    for number, message in enumerate(messages):
        _check_message(number, message)
    turns = merged(messages)
    _check_order(turns, model=body["model"])
    _check_tool_uses(turns)


def _check_message(number: int, message: object) -> None:
    where = f"messages.{number}"
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        raise Refused(f"{where}: must have role and content and nothing else")
    if message["role"] not in BLOCKS:
        raise Refused(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise Refused(f"{where}.content: must not be empty")
    for index, block in enumerate(content):
        _check_block(f"{where}.content.{index}", message["role"], block)


def _check_block(where: str, role: str, block: object) -> None:
    if not isinstance(block, dict) or block.get("type") not in BLOCKS[role]:
        kind = block.get("type") if isinstance(block, dict) else None
        raise Refused(f"{where}: Input tag {kind!r} is not one a {role} message may hold")
    match block["type"]:
        case "text" if not block.get("text"):
            raise Refused(f"{where}: text content blocks must be non-empty")
        case "text" if role == "user" and block.get("citations"):
            raise Refused(f"{where}.citations: must be empty in user messages")
        case "thinking" if not isinstance(block.get("thinking"), str) or not isinstance(block.get("signature"), str):
            raise Refused(f"{where}.signature: Field required")
        case "tool_use" if not isinstance(block.get("input"), dict):
            raise Refused(f"{where}.input: Input should be a valid dictionary")
        case "tool_use" if not isinstance(block.get("id"), str) or not isinstance(block.get("name"), str):
            raise Refused(f"{where}: a tool_use needs id and name")
        case "tool_result" if not isinstance(block.get("tool_use_id"), str):
            raise Refused(f"{where}.tool_use_id: Field required")


def _check_order(turns: Sequence[tuple[str, list[Json]]], *, model: str) -> None:
    if turns[0][0] != "user":
        raise Refused("messages: first message must use the 'user' role")
    roles = [role for role, _ in turns]
    for number, role in enumerate(roles):
        if role != "system":
            continue
        if not MODELS[model].system_messages:
            raise Refused(f"messages.{number}: role 'system' is not supported on this model")
        if roles[number - 1] != "user" or (number + 1 < len(roles) and roles[number + 1] != "assistant"):
            raise Refused(f"messages.{number}: role 'system' must directly follow a user turn and end it")
    if roles[-1] == "assistant":
        raise Refused(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )


def _check_tool_uses(turns: Sequence[tuple[str, list[Json]]]) -> None:
    seen: set[str] = set()
    asked: list[str] = []
    for number, (role, blocks) in enumerate(turns):
        if role == "user":
            _check_results(number, blocks, asked)
            asked = []
        elif role == "assistant":
            asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
            for call in asked:
                if call in seen or asked.count(call) > 1:
                    raise Refused(f"messages.{number}: `tool_use` ids must be unique: {call}")
            seen.update(asked)


def _check_results(number: int, blocks: list[Json], asked: list[str]) -> None:
    where = f"messages.{number}"
    kinds = [block["type"] for block in blocks]
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    if "tool_result" in kinds[len(answered) :]:
        raise Refused(f"{where}: `tool_result` blocks must come first in the user message")
    for call in answered:
        if call not in asked:
            raise Refused(f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {call}")
        if answered.count(call) > 1:
            raise Refused(
                f"{where}: each tool_use must have a single result. Found multiple `tool_result` blocks: {call}"
            )
    if missing := [call for call in asked if call not in answered]:
        raise Refused(f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {missing}")
