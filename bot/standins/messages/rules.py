"""What a request must be like: every rule of the API that an agent's harness can break."""

import re
from collections.abc import Mapping
from typing import Any

from bot.standins.messages import rules_of_messages
from bot.standins.messages.catalog import MODELS
from bot.standins.messages.prompt import prompt_of
from bot.standins.messages.refusals import Refused

Json = Mapping[str, Any]

VERSIONS = frozenset({"2023-06-01", "2026-10-21"})
FIELDS = frozenset(
    {
        "cache_control",
        "diagnostics",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)
EFFORTS = ("low", "medium", "high", "xhigh", "max")
UNBOUND = frozenset({"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"})
SAMPLING = ("temperature", "top_p", "top_k")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
MARKS = 4


def check_headers(headers: Mapping[str, str], *, api_key: str) -> None:
    """Raises Refused: 401 without the Bearer key, 400 without a version this server speaks."""
    if headers.get("authorization") != f"Bearer {api_key}":
        raise Refused("invalid bearer token", status=401)
    version = headers.get("anthropic-version")
    if version is None:
        raise Refused("anthropic-version: header is required")
    if version not in VERSIONS:
        raise Refused(f"anthropic-version: {version!r} is not a valid version")


def check_body(body: object, *, counting: bool = False) -> None:
    """Raises Refused for the first rule the body breaks. `counting`: for count_tokens, which needs no max_tokens."""
    if not isinstance(body, dict):
        raise Refused("The request body is not a JSON object")
    _check_fields(body)
    model = body.get("model")
    if not isinstance(model, str):
        raise Refused("model: Field required")
    if model not in MODELS:
        raise Refused(f"model: {model}", status=404)
    if not counting:
        _check_max_tokens(body)
    _check_thinking_and_choice(body)
    _check_settings(body)
    _check_system(body)
    _check_tools(body)
    rules_of_messages.check_messages(body)
    _check_marks(body)
    size = sum(block.tokens for block in prompt_of(body)[0])
    if size > MODELS[model].max_input:
        raise Refused(f"prompt is too long: {size} tokens > {MODELS[model].max_input} maximum")


def _check_fields(body: Json) -> None:
    for name in body:
        if name in SAMPLING:
            raise Refused(f"{name}: sampling parameters are not supported in this API version")
        if name not in FIELDS:
            raise Refused(f"{name}: Extra inputs are not permitted")


def _check_max_tokens(body: Json) -> None:
    limit, most = body.get("max_tokens"), MODELS[body["model"]].max_output
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise Refused("max_tokens: Field required, an integer")
    if limit < 0 or (limit == 0 and body.get("stream")):
        raise Refused("max_tokens: must be at least 1, or 0 without streaming to warm the cache")
    if limit > most:
        raise Refused(f"max_tokens: {limit} > {most}, which is the maximum allowed number of output tokens")


def _check_thinking_and_choice(body: Json) -> None:
    model = body["model"]
    if MODELS[model].always_thinks:
        kind = (body.get("thinking") or {}).get("type")
        if kind in ("enabled", "disabled"):
            raise Refused(f"thinking.type: {kind!r} is not supported for {model}; thinking is always adaptive")
        choice = (body.get("tool_choice") or {}).get("type")
        if choice in ("any", "tool"):
            raise Refused(f"tool_choice: forced tool use ({choice!r}) is not supported for {model}")


def _check_system(body: Json) -> None:
    system = body.get("system")
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list) or not all(
        isinstance(block, dict) and block.get("type") == "text" and block.get("text") for block in system
    ):
        raise Refused("system: must be a string or a list of non-empty text blocks")


def _check_tools(body: Json) -> None:
    names: set[str] = set()
    for index, tool in enumerate(body.get("tools") or []):
        name = tool.get("name", "")
        if not TOOL_NAME.fullmatch(name):
            raise Refused(f"tools.{index}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if name in names:
            raise Refused("tools: Tool names must be unique")
        names.add(name)
        schema = tool.get("input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise Refused(f"tools.{index}.input_schema.type: must be 'object'")
        if tool.get("strict"):
            _check_strict(f"tools.{index}", schema)


def _check_strict(where: str, schema: Json) -> None:
    """In every object of the schema, however deep."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Refused(f"{where}: strict needs additionalProperties false")
    if found := UNBOUND & set(schema):
        raise Refused(f"{where}: strict knows no {min(found)}")
    inner = [*(schema.get("properties") or {}).values(), schema.get("items")]
    for part in inner:
        if isinstance(part, dict):
            _check_strict(where, part)


def _check_settings(body: Json) -> None:
    effort = (body.get("output_config") or {}).get("effort")
    if effort is not None and effort not in EFFORTS:
        raise Refused(f"output_config.effort: Input should be one of {', '.join(EFFORTS)}")
    diagnostics = body.get("diagnostics")
    if diagnostics is not None:
        before = diagnostics.get("previous_message_id") if isinstance(diagnostics, dict) else diagnostics
        if before is not None and not (isinstance(before, str) and before.startswith("msg_")):
            raise Refused("diagnostics.previous_message_id: Input should be the id of a message, or null")


def _check_marks(body: Json) -> None:
    marked = [("cache_control", body["cache_control"])] if body.get("cache_control") else []
    in_order: list[str] = []
    for where, block in _markable(body):
        if mark := block.get("cache_control"):
            if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
                raise Refused(f"{where}.cache_control: must be ephemeral with a ttl of 5m or 1h")
            if block.get("type") in ("thinking", "redacted_thinking"):
                raise Refused(f"{where}.cache_control: Extra inputs are not permitted on thinking blocks")
            marked.append((where, mark))
            in_order.append(mark.get("ttl", "5m"))
    if len(marked) > MARKS:
        raise Refused(f"A maximum of {MARKS} blocks with cache_control may be provided. Found {len(marked)}.")
    if in_order != sorted(in_order, key=("1h", "5m").index):
        raise Refused("cache_control.ttl: a ttl='1h' block must not come after a ttl='5m' block")


def _markable(body: Json) -> list[tuple[str, Json]]:
    places: list[tuple[str, Json]] = [(f"tools.{i}", tool) for i, tool in enumerate(body.get("tools") or [])]
    if isinstance(body.get("system"), list):
        places += [(f"system.{i}", block) for i, block in enumerate(body["system"])]
    for number, message in enumerate(body["messages"]):
        if isinstance(message["content"], list):
            places += [(f"messages.{number}.content.{i}", block) for i, block in enumerate(message["content"])]
    return places
