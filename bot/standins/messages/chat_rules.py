"""What a chat completions request must be like: every rule of the API that an agent's harness can break."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.standins.messages.chat_catalog import CHAT_MODELS
from bot.standins.messages.prompt import tokens_in
from bot.standins.messages.refusals import Refused
from bot.standins.messages.rules import TOOL_NAME

Json = Mapping[str, Any]

FIELDS = frozenset(
    {"max_completion_tokens", "max_tokens", "messages", "model", "parallel_tool_calls", "prompt_cache_key"}
    | {"reasoning_effort", "stream", "stream_options", "tool_choice", "tools", "temperature", "top_p"}
)
SAMPLING = ("temperature", "top_p")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
SIGNATURE = ("extra_content", "google", "thought_signature")


def check_chat_headers(headers: Mapping[str, str], *, api_key: str) -> None:
    """Raises Refused: 401 without the Bearer key."""
    if headers.get("authorization") != f"Bearer {api_key}":
        raise Refused("Incorrect API key provided.", status=401, kind="invalid_request_error", code="invalid_api_key")


def check_chat_body(body: object) -> None:
    """Raises Refused for the first rule the body breaks."""
    if not isinstance(body, dict):
        raise Refused("We could not parse the JSON body of your request.")
    model = body.get("model")
    if not isinstance(model, str):
        raise Refused("you must provide a model parameter")
    if model not in CHAT_MODELS:
        raise Refused(f"The model `{model}` does not exist.", status=404, code="model_not_found")
    _check_fields(body)
    _check_limit(body)
    _check_tools(body)
    _check_messages(body)
    size = sum(tokens_in(part) for part in prompt_parts(body))
    if size > CHAT_MODELS[model].max_input:
        most = CHAT_MODELS[model].max_input
        words = f"This model's maximum context length is {most} tokens. However, your messages resulted in {size}."
        raise Refused(words, code="context_length_exceeded")


def prompt_parts(body: Json) -> list[str]:
    """The prompt in the order in which it is cached: tools first, then each message."""
    return [_canonical(body.get("tools") or []), *(_canonical(message) for message in body["messages"])]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _check_fields(body: Json) -> None:
    for name in body:
        if name not in FIELDS:
            raise Refused(f"Unrecognized request argument supplied: {name}", code="unknown_parameter")
    facts = CHAT_MODELS[body["model"]]
    for name in SAMPLING:
        if name in body and facts.reasons:
            raise Refused(f"Unsupported parameter: '{name}' is not supported with this model.")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    effort = body.get("reasoning_effort")
    if effort is not None and not facts.reasons:
        raise Refused("Unrecognized request argument supplied: reasoning_effort", code="unknown_parameter")
    if effort is not None and effort not in EFFORTS:
        raise Refused(f"Invalid value: '{effort}'. Supported values are: {', '.join(EFFORTS)}.", code="invalid_value")


def _check_limit(body: Json) -> None:
    facts = CHAT_MODELS[body["model"]]
    wanted, other = (
        ("max_completion_tokens", "max_tokens") if facts.reasons else ("max_tokens", "max_completion_tokens")
    )
    if other in body:
        words = f"Unsupported parameter: '{other}' is not supported with this model. Use '{wanted}' instead."
        raise Refused(words, code="unsupported_parameter")
    limit = body.get(wanted)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Refused(f"Invalid '{wanted}': integer below minimum value.")
    if limit is not None and limit > facts.max_output:
        raise Refused(f"{wanted} is too large: {limit}. This model supports at most {facts.max_output} output tokens.")


def _check_tools(body: Json) -> None:
    names: set[str] = set()
    for index, tool in enumerate(body.get("tools") or []):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not TOOL_NAME.fullmatch(str(function.get("name", ""))):
            raise Refused(f"Invalid 'tools[{index}]': a function with a name of letters, digits, _ and - is expected.")
        if function["name"] in names:
            raise Refused(f"Invalid 'tools[{index}].function.name': names must be unique.")
        names.add(function["name"])
        schema = function.get("parameters")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise Refused(f"Invalid schema for function '{function['name']}': type must be object.")
        optional = set(schema.get("properties") or {}) - set(schema.get("required") or [])
        if function.get("strict") and (optional or schema.get("additionalProperties") is not False):
            raise Refused(f"Invalid schema for function '{function['name']}': strict needs every property required.")


def _check_messages(body: Json) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("Invalid 'messages': empty array. Expected an array with minimum length 1.")
    waiting: list[str] = []
    for number, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if waiting and role != "tool":
            raise Refused(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
            )
        match role:
            case "system" | "developer" | "user":
                _check_text(number, message)
            case "assistant":
                waiting = _check_answer(number, message, signed=CHAT_MODELS[body["model"]].signs_calls)
            case "tool":
                _check_text(number, message)
                if message.get("tool_call_id") not in waiting:
                    raise Refused(
                        f"Invalid parameter: messages[{number}] with role 'tool' must be a response to a preceding "
                        "message with 'tool_calls'."
                    )
                waiting.remove(message["tool_call_id"])
            case _:
                raise Refused(f"Invalid value for messages[{number}].role: {role!r}.")
    if waiting or messages[-1]["role"] not in ("user", "tool"):
        raise Refused("The conversation must end with a user message or with every tool call answered.")


def _check_text(number: int, message: Json) -> None:
    if not isinstance(message.get("content"), str) or not message["content"]:
        raise Refused(f"Invalid 'messages[{number}].content': a string with text is expected.")


def _check_answer(number: int, message: Json, *, signed: bool) -> list[str]:
    """The ids of its calls."""
    calls: Sequence[Json] = message.get("tool_calls") or []
    if message.get("content") is None and not calls:
        raise Refused(f"Invalid 'messages[{number}].content': null without tool_calls.")
    if "tool_calls" in message and not calls:
        raise Refused(f"Invalid 'messages[{number}].tool_calls': empty array.")
    ids = []
    for index, call in enumerate(calls):
        where = f"messages[{number}].tool_calls[{index}]"
        function = call.get("function") or {}
        if call.get("type") != "function" or not isinstance(call.get("id"), str) or not call["id"]:
            raise Refused(f"Invalid '{where}': a function call with an id is expected.")
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments"), str):
            raise Refused(f"Invalid '{where}.function': name and arguments, both strings, are expected.")
        if signed and not _signature(call):
            raise Refused(f"Function call `{function['name']}` at {where} is missing a thought_signature.")
        ids.append(call["id"])
    if len(set(ids)) < len(ids):
        raise Refused(f"Invalid 'messages[{number}].tool_calls': ids must be unique.")
    return ids


def _signature(call: Json) -> object:
    value: Any = call
    for key in SIGNATURE:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
