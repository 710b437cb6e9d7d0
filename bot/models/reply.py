"""The events of a Messages API stream, gathered into one whole reply or none."""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, NoReturn

from bot.domain.conversation import UNREADABLE, Reply, Usage, calls_of
from bot.domain.errors import ModelError
from bot.domain.pricing import LEAST_BYTES_A_TOKEN
from bot.models.classify import PROVIDER, interrupted, refusal

MOST_TOKENS = 1_000_000_000  # that an endpoint is believed to have counted
MOST_DEPTH = 64  # of a tool's input: it is walked through in places that hold a deep stack already; a tool needs two
UNREADABLE_CHARACTERS = 2_000  # of what was no JSON, as the model is shown it
_APPENDED = {"text_delta": "text", "thinking_delta": "thinking"}


class BadSample(Exception):
    """The model wrote something that cannot be used; another try may do better."""


class BadCount(Exception):
    """An endpoint told a number that cannot be one of tokens: negative, absurd, or no whole number."""


class Gathering:
    """Takes a stream's events one by one; `reply` tells at the end what became of them.

    A reply is whole when `message_stop` was seen, every block was closed, and every delta was of a known kind: a
    delta that is left out would be sent back as a block the model never wrote.
    """

    def __init__(self, request_id: str | None = None) -> None:
        self.request_id = request_id
        self.is_whole = self.is_answered = False
        self._message: Mapping[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._open: set[int] = set()
        self._inputs: dict[int, list[str]] = {}
        self._unknown = ""
        self._heard = 0
        self._stop_reason: str | None = None
        self._stop_details: Mapping[str, Any] = {}

    @property
    def usage(self) -> Usage | None:
        """As the stream told it; None before a 200 came.

        The output of a stream that was cut is the most that can have come: its end would have said how much it was.
        """
        if not (self._usage or self.is_answered):
            return None
        told = usage_of(self._usage) or Usage()
        if self._stop_reason and told.output:
            return told
        return replace(told, output=max(told.output, most_tokens(self._heard)))

    def take(self, event: Mapping[str, Any]) -> None:
        """Events of unknown types are passed over, as the API's versioning asks. Raises ModelError for a broken one."""
        try:
            self._sort(event)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            message = "Claude's answer was not in the form this version can read."
            raise interrupted(message, usage=self.usage, request_id=self.request_id) from error

    def _sort(self, event: Mapping[str, Any]) -> None:
        match event["type"]:
            case "message_start":
                self._message = event["message"]
                self._usage = dict(event["message"].get("usage") or {})
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
                self._heard += size_of(event["content_block"])
                self._open.add(event["index"])
            case "content_block_delta":
                self._take_delta(event["index"], event["delta"])
            case "content_block_stop":
                self._open.discard(event["index"])
            case "message_delta":
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
                self._stop_details = event["delta"].get("stop_details") or {}
                told = {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
                self._usage.update(told)
            case "message_stop":
                self.is_whole = bool(self._message) and self._stop_reason is not None and not self._open

    def _take_delta(self, index: int, delta: Mapping[str, Any]) -> None:
        block, kind = self._blocks[index], delta["type"]
        said = (text for key, text in delta.items() if key != "type" and isinstance(text, str))
        self._heard += len("".join(said).encode("utf-8", "replace"))
        if key := _APPENDED.get(kind):
            block[key] = (block.get(key) or "") + delta[key]
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        elif kind == "input_json_delta":
            self._inputs.setdefault(index, []).append(delta["partial_json"])
        else:
            self._unknown = self._unknown or str(kind)

    def reply(self) -> Reply:
        """Raises ModelError unless the whole answer came and can be used."""
        if not self.is_whole:
            raise interrupted("Claude's answer was cut off.", usage=self.usage, request_id=self.request_id)
        if self._unknown:
            message = "Claude's answer held a part that this version cannot read."
            raise interrupted(message, usage=self.usage, request_id=self.request_id)
        self._refuse_useless_ends()
        problem = self._finish_inputs()
        reply = self._reply()
        try:
            json.dumps(reply.blocks, ensure_ascii=False).encode()
        except ValueError as error:
            raise malformed("it held text that is no valid Unicode", self.usage, self.request_id, None) from error
        if problem:
            raise malformed(problem, self.usage, self.request_id, reply)
        return reply

    def _reply(self) -> Reply:
        blocks = tuple(self._blocks[index] for index in sorted(self._blocks))
        return Reply(
            model=str(self._message.get("model", "")),
            message_id=str(self._message.get("id", "")),
            stop_reason=str(self._stop_reason),
            blocks=blocks,
            text="".join(block.get("text") or "" for block in blocks if block["type"] == "text"),
            calls=calls_of(blocks),
            usage=self.usage or Usage(),
            stop_details=str(self._stop_details.get("category") or ""),
            diagnostics=self._message.get("diagnostics"),
        )

    def _refuse_useless_ends(self) -> None:
        match self._stop_reason:
            case "refusal":
                raise refusal(self._stop_details.get("category"), usage=self.usage, request_id=self.request_id)
            case "max_tokens":
                message = f"Claude's answer did not fit into {self._usage.get('output_tokens', 0)} tokens."
                raise ModelError(PROVIDER, message, remedy="longer", usage=self.usage, request_id=self.request_id)
            case "model_context_window_exceeded":
                message = "The conversation has filled the model's context window."
                raise ModelError(PROVIDER, message, remedy="context", usage=self.usage, request_id=self.request_id)

    def _finish_inputs(self) -> str:
        """What is wrong with one of them, "" when all can be read."""
        problem = ""
        for index, pieces in self._inputs.items():
            if text := "".join(pieces):
                try:
                    self._blocks[index]["input"] = tool_input(text)
                except BadSample as error:
                    problem = str(error)
                    self._blocks[index]["input"] = {UNREADABLE: text[:UNREADABLE_CHARACTERS]}
        return problem


def malformed(problem: str, usage: Usage | None, request_id: str | None, salvaged: Reply | None) -> ModelError:
    """The model wrote what cannot be used. `salvaged`: the reply with what there is in place of what cannot be read."""
    message = f"Claude's answer was malformed: {problem}."
    return ModelError(PROVIDER, message, remedy="again", usage=usage, request_id=request_id, salvaged=salvaged)


def tool_input(text: str) -> dict[str, Any]:
    """The input of a tool use. Raises BadSample for what is not one finite, bounded JSON object."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadSample("the input of a tool use was not JSON") from error
    if not isinstance(value, dict):
        raise BadSample("the input of a tool use was not an object")
    if _is_deeper(value, MOST_DEPTH):
        raise BadSample(f"the input of a tool use was not flat: it has more than {MOST_DEPTH} levels")
    return value


def _is_deeper(value: object, most: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most < 0 or any(_is_deeper(one, most - 1) for one in inner)


def _finite(number: str) -> float:
    return float(number) if isfinite(float(number)) else _refuse_constant(number)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def most_tokens(size: int) -> int:
    """That so many bytes can be."""
    return -(-size // LEAST_BYTES_A_TOKEN)


def size_of(part: object) -> int:
    """Bytes of JSON."""
    return len(json.dumps(part, ensure_ascii=False, default=str).encode("utf-8", "replace"))


def usage_of(raw: Mapping[str, Any]) -> Usage | None:
    """The API's usage object in our words; what it does not split by lifetime was written for 5 minutes.

    None when a number in it cannot be one of tokens: then nothing of it is believed.
    """
    try:
        split = raw.get("cache_creation") or {}
        written, for_an_hour = count(raw, "cache_creation_input_tokens"), count(split, "ephemeral_1h_input_tokens")
        return Usage(
            fresh=count(raw, "input_tokens"),
            cache_write_5m=max(written - for_an_hour, count(split, "ephemeral_5m_input_tokens")),
            cache_write_1h=for_an_hour,
            cache_read=count(raw, "cache_read_input_tokens"),
            output=count(raw, "output_tokens"),
        )
    except BadCount:
        return None


def count(raw: object, key: str) -> int:
    """Tokens, 0 where nothing is said. Raises BadCount."""
    number = raw.get(key) if isinstance(raw, Mapping) else raw
    if number is None:
        return 0
    if type(number) is not int or number is raw or not 0 <= number <= MOST_TOKENS:
        raise BadCount
    return number
