"""A conversation as the body of a Messages API request: pure, append-only, with the cache marks that pay best."""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from bot.domain.conversation import AssistantTurn, Conversation, Picture, Text, ToolResult, ToolSpec, Turn, UserTurn

CACHE_MARK = {"type": "ephemeral"}  # entries of 5 minutes
BLOCKS_SEEN_BY_A_MARK = 18  # the API looks back 20 blocks from a mark; two are left in hand
MID_MARK_BEFORE_END = 15

PICTURES = "pictures"
NO_PICTURE = "[a picture was here; this model reads none]"
ABILITIES = frozenset({PICTURES, "strict", "notes", "marks", "effort", "diagnostics"})
LACKING: Mapping[str, str] = {  # by ability: what a 400 says where it is not known
    "notes": r"role '?\W?system",
    "marks": r"blocks with cache_control",
    "strict": r"\bstrict\b",
    "effort": r"\b(effort|output_config)\b",
    "diagnostics": r"\bdiagnostics\b",
    PICTURES: r"\bimages?\b",
}

Block = dict[str, Any]


def render(
    conversation: Conversation,
    *,
    model: str,
    max_tokens: int,
    abilities: Container[str] = ABILITIES,
    effort: str = "",
) -> dict[str, Any]:
    """The body without `stream`. Without its marks, a longer conversation's body has a shorter one's as its prefix.

    Marked are the system block and the last block of the two newest user messages: what the previous request wrote
    is read, what is new is written. An exchange of many blocks gets one mark more in its middle.
    """
    messages = [made for turn in conversation.turns for made in _messages(turn, abilities) if made["content"]]
    places = marks(messages)
    for message, block in places if "marks" in abilities else places[-1:]:
        messages[message]["content"][block]["cache_control"] = CACHE_MARK
    body: dict[str, Any] = {"model": model, "max_tokens": max_tokens}
    if conversation.system:
        body["system"] = [{"type": "text", "text": sendable(conversation.system), "cache_control": CACHE_MARK}]
    if conversation.tools:
        body["tools"] = [_tool(tool, strict=tool.strict and "strict" in abilities) for tool in conversation.tools]
    if wanted := effort_for(conversation, effort, abilities):
        body["output_config"] = {"effort": wanted}
    body["messages"] = messages
    if "diagnostics" in abilities:
        body["diagnostics"] = {"previous_message_id": _last_message_id(conversation)}
    return body


def effort_for(conversation: Conversation, effort: str, abilities: Container[str]) -> str:
    """How hard the model is told to think: what the conversation began with; "" where it is told nothing."""
    return (effort if conversation.effort is None else conversation.effort) if "effort" in abilities else ""


def _last_message_id(conversation: Conversation) -> str | None:
    """Of the model's newest answer: the API then says why a prompt was not found in its cache."""
    answers = [turn for turn in conversation.turns if isinstance(turn, AssistantTurn)]
    return (answers[-1].message_id or None) if answers else None


def marks(messages: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Where cache marks belong, as (message, block), in order; at most three."""
    users = [index for index, message in enumerate(messages) if message["role"] == "user"][-2:]
    ends = [(index, len(messages[index]["content"]) - 1) for index in users]
    if len(users) < 2:
        return ends
    exchange = [
        (index, block)
        for index in range(users[0] + 1, len(messages))
        for block in range(len(messages[index]["content"]))
    ]
    if len(exchange) <= BLOCKS_SEEN_BY_A_MARK:
        return ends
    candidates = exchange[-1 - MID_MARK_BEFORE_END : -1]
    middle = next((place for place in candidates if _may_be_marked(messages, place)), None)
    return [ends[0], middle, ends[1]] if middle else ends


def _may_be_marked(messages: Sequence[Mapping[str, Any]], place: tuple[int, int]) -> bool:
    """The API takes marks on what we send and on tool uses, and refuses them on thinking."""
    message, block = place
    return messages[message]["content"][block]["type"] in ("text", "tool_use", "tool_result")


def _messages(turn: Turn, abilities: Container[str]) -> Iterator[dict[str, Any]]:
    """With "notes" the harness's words come as a system message; else, and after a turn without content, as text."""
    match turn:
        case UserTurn(blocks, said, pictures):
            content = [made for block in blocks if (made := _user_block(block)) is not None]
            content += [_picture(picture) if PICTURES in abilities else _text(NO_PICTURE) for picture in pictures]
            words = [_text(text) for text in said]
            if content and "notes" in abilities:
                yield {"role": "user", "content": content}
                yield {"role": "system", "content": words}
            else:
                yield {"role": "user", "content": [*content, *words]}
        case AssistantTurn(raw):
            yield {"role": "assistant", "content": [dict(block) for block in raw if not _is_empty_text(block)]}


def _user_block(block: ToolResult | Text) -> Block | None:
    match block:
        case Text(""):
            return None
        case Text(text):
            return _text(text)
        case ToolResult(call_id, text, is_error):
            made: Block = {"type": "tool_result", "tool_use_id": call_id}
            if text:
                made["content"] = sendable(text)
            if is_error:
                made["is_error"] = True
            return made


def _text(text: str) -> Block:
    return {"type": "text", "text": sendable(text)}


def _picture(picture: Picture) -> Block:
    source = {"type": "base64", "media_type": picture.media_type, "data": picture.data}
    return {"type": "image", "source": source}


def _is_empty_text(block: Mapping[str, Any]) -> bool:
    """The API sometimes says an empty text, and never takes one back. Empty thinking, in contrast, must stay."""
    return block.get("type") == "text" and not block.get("text")


def _tool(tool: ToolSpec, *, strict: bool) -> Block:
    """`strict`: the API holds the model to the schema."""
    made = {"name": tool.name, "description": sendable(tool.description), "input_schema": tool.input_schema}
    return {**made, "strict": True} if strict else made


def sendable(text: str) -> str:
    """Lone surrogates, which UTF-8 cannot hold, become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
