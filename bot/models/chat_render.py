"""A conversation as the body of a chat completions request: pure and append-only, as the other one is."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from bot.domain.conversation import (
    AssistantTurn,
    Conversation,
    Json,
    Picture,
    Text,
    ToolResult,
    ToolSpec,
    Turn,
    UserTurn,
)
from bot.models.render import NO_PICTURE, PICTURES, effort_for, sendable

OUTPUT_LIMIT = "max_completion_tokens"  # OpenAI's name for it; most other servers know "max_tokens" only
ABILITIES = frozenset({PICTURES, "usage", OUTPUT_LIMIT, "effort", "fields"})
LACKING: Mapping[str, str] = {  # by ability: what a 400 says where it is not known
    "usage": r"stream_options|include_usage",
    OUTPUT_LIMIT: r"max_completion_tokens",
    "max_tokens": r"\bmax_tokens\b",
    "effort": r"reasoning_effort",
    PICTURES: r"image_url|\bimages?\b|vision|content.*must be a string",
    "fields": r"reasoning_content|reasoning_details|extra_content|messages\.\d+\.reasoning",
}
FIELDS = "fields"  # the block that holds what an answer has beyond text and calls
NO_OUTPUT = "(no output)"  # some servers refuse an empty result
EFFORT = {"max": "xhigh"}  # the highest has another name here

Message = dict[str, Any]


def render(
    conversation: Conversation,
    *,
    model: str,
    max_tokens: int,
    abilities: Container[str] = ABILITIES,
    effort: str = "",
) -> dict[str, Any]:
    """The body without `stream`. A longer conversation's messages have a shorter one's as their exact prefix."""
    messages: list[Message] = []
    if conversation.system:
        messages.append({"role": "system", "content": sendable(conversation.system)})
    for turn in conversation.turns:
        messages += _messages(turn, abilities)
    body: dict[str, Any] = {"model": model, "messages": messages}
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
    body[OUTPUT_LIMIT if OUTPUT_LIMIT in abilities else "max_tokens"] = max_tokens
    if wanted := effort_for(conversation, effort, abilities):
        body["reasoning_effort"] = EFFORT.get(wanted, wanted)
    if "usage" in abilities:
        body["stream_options"] = {"include_usage": True}
    return body


def _messages(turn: Turn, abilities: Container[str]) -> Iterator[Message]:
    match turn:
        case AssistantTurn(blocks):
            yield _answer(blocks, fields=FIELDS in abilities)
        case UserTurn(blocks, notes, pictures):
            for block in blocks:
                if isinstance(block, ToolResult):
                    yield {"role": "tool", "tool_call_id": block.call_id, "content": _result(block)}
            texts = [sendable(block.text) for block in blocks if isinstance(block, Text) and block.text]
            texts += map(sendable, notes)
            if pictures and PICTURES not in abilities:
                texts.append(NO_PICTURE)
            words = "\n\n".join(texts)
            if pictures and PICTURES in abilities:
                yield {"role": "user", "content": [{"type": "text", "text": words}, *map(_picture, pictures)]}
            elif texts:
                yield {"role": "user", "content": words}


def _picture(picture: Picture) -> Message:
    return {"type": "image_url", "image_url": {"url": f"data:{picture.media_type};base64,{picture.data}"}}


def _result(result: ToolResult) -> str:
    """This API has no mark for a failure, so the words say it."""
    text = sendable(result.text) or NO_OUTPUT
    return f"Error: {text}" if result.is_error else text


def _answer(blocks: tuple[Json, ...], *, fields: bool) -> Message:
    """The message the blocks were made from: what the provider wrote goes back as it was, arguments to the byte."""
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = [_call(block, fields=fields) for block in blocks if block["type"] == "tool_use"]
    message: Message = {"role": "assistant", "content": text if text or not calls else None}
    if calls:
        message["tool_calls"] = calls
    if fields:
        for block in blocks:
            message |= block[FIELDS] if block["type"] == FIELDS else {}
    return message


def _call(block: Json, *, fields: bool) -> Message:
    function = {"name": block["name"], "arguments": block["arguments"]}
    made = {"id": block["id"], "type": "function", "function": function}
    return {**made, **block.get(FIELDS, {})} if fields else made


def _tool(tool: ToolSpec) -> Message:
    """Not strict: strict schemas of this API allow no optional fields."""
    function = {"name": tool.name, "description": sendable(tool.description), "parameters": tool.input_schema}
    return {"type": "function", "function": function}
