"""The chunks of a chat completions stream, gathered into one whole reply or none."""

import json
from collections.abc import Mapping
from typing import Any

from bot.domain.conversation import UNREADABLE, Json, Reply, Usage, calls_of
from bot.domain.errors import ModelError
from bot.models.chat_failures import PROVIDER
from bot.models.chat_render import FIELDS
from bot.models.classify import interrupted
from bot.models.reply import UNREADABLE_CHARACTERS, BadCount, BadSample, count, most_tokens, size_of, tool_input

_ENDS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}
BYTES_A_TOKEN = 4  # where nobody counted: about what a tokenizer makes of English and code
_ROOM_LEFT = 16  # tokens below `max_tokens` at which a reply was cut by the window and not by its limit


class ChatGathering:
    """Takes a stream's chunks one by one; `reply` tells at the end what became of them.

    A reply is whole when a `finish_reason` was seen. What a delta holds beyond text and calls is kept as it came: some
    providers want it back, and Gemini refuses calls without it.
    """

    def __init__(self, *, who: str, max_tokens: int, prompt_bytes: int) -> None:
        """`prompt_bytes`: of the request, to estimate it for servers that never say how long it was."""
        self.request_id: str | None = None
        self.is_whole = self.is_answered = False
        self._who = who
        self._max_tokens = max_tokens
        self._prompt_bytes = prompt_bytes
        self._id = self._model = self._finish = self._refusal = ""
        self._text: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._fields: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._heard = 0

    @property
    def usage(self) -> Usage | None:
        """As the server told it, which it does at the end; None before a 200 came.

        Of an answer that was cut the output is the most that can have come; a whole one is estimated where the server
        tells nothing.
        """
        if self._usage is not None:
            return self._usage
        if self.is_whole:
            return Usage(fresh=tokens_of(self._prompt_bytes), output=min(tokens_of(self._heard), self._max_tokens))
        return Usage(output=min(most_tokens(self._heard), self._max_tokens)) if self.is_answered else None

    def take(self, event: Mapping[str, Any]) -> None:
        """Raises ModelError for a chunk out of shape."""
        try:
            self._id = self._id or str(event.get("id") or "")
            self._model = self._model or str(event.get("model") or "")
            if (told := event.get("usage")) is not None:
                self._usage = usage_of(told) or self._usage
            for choice in event.get("choices") or ():
                self._take_delta(choice.get("delta") or {})
                self._finish = choice.get("finish_reason") or self._finish
            self.is_whole = bool(self._finish)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            message = f"{self._who}'s answer was not in the form this version can read."
            raise self._interrupted(message) from error

    def _take_delta(self, delta: Mapping[str, Any]) -> None:
        self._heard += size_of(delta)
        for key, value in delta.items():
            match key:
                case "role" | "function_call":
                    pass
                case "content":
                    self._text += _texts(value)
                case "refusal":
                    self._refusal += value or ""
                case "tool_calls":
                    for call in value or ():
                        self._take_call(call)
                case _:
                    _add(self._fields, key, value)

    def _take_call(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or {}
        call = self._call_of(piece, function.get("name") or "")
        call["id"] = call["id"] or piece.get("id") or ""
        call["name"] = call["name"] or function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""
        for key, value in piece.items():
            if key not in ("index", "id", "type", "function"):
                _add(call[FIELDS], key, value)

    def _call_of(self, piece: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The call a piece belongs to. Some servers number every call 0, or none, or name none: then another id, or
        another name where there are no ids, begins another call."""
        index, given = piece.get("index"), piece.get("id")
        call: dict[str, Any]
        for call in reversed(self._calls):
            goes_on = given == call["id"] if given else not name or not call["name"]
            if goes_on and index in (None, call["index"]):
                return call
        fresh: dict[str, Any] = {"index": index, "id": "", "name": "", "arguments": "", FIELDS: {}}
        self._calls.append(fresh)
        return fresh

    def reply(self) -> Reply:
        """Raises ModelError unless the whole answer came and can be used."""
        if not self.is_whole:
            raise self._interrupted(f"{self._who}'s answer was cut off.")
        self._refuse_useless_ends()
        blocks, problem = self._blocks()
        reply = self._reply(blocks)
        try:
            json.dumps(blocks, ensure_ascii=False).encode()
        except ValueError as error:
            raise self._malformed("it held text that is no valid Unicode", None) from error
        if problem:
            raise self._malformed(problem, reply)
        return reply

    def _reply(self, blocks: tuple[Json, ...]) -> Reply:
        calls = calls_of(blocks)
        ends_well = self._finish in ("stop", "tool_calls")  # some servers say "stop" after calls
        return Reply(
            model=self._model,
            message_id=self._id,
            stop_reason="tool_use" if calls and ends_well else _ENDS.get(self._finish, self._finish),
            blocks=blocks,
            text="".join(self._text),
            calls=calls,
            usage=self.usage or Usage(),
        )

    def _interrupted(self, message: str) -> ModelError:
        return interrupted(message, provider=PROVIDER, usage=self.usage, request_id=self.request_id)

    def _malformed(self, problem: str, salvaged: Reply | None) -> ModelError:
        message = f"{self._who}'s answer was malformed: {problem}."
        return ModelError(
            PROVIDER, message, remedy="again", usage=self.usage, request_id=self.request_id, salvaged=salvaged
        )

    def _refuse_useless_ends(self) -> None:
        if self._refusal or self._finish == "content_filter":
            message = f"{self._who} declined this request" + (" (content filter)." if not self._refusal else ".")
            raise ModelError(PROVIDER, message, remedy="refused", usage=self.usage, request_id=self.request_id)
        if self._finish != "length":
            return
        written = self.usage.output if self._usage is not None and self.usage else self._max_tokens
        if written < self._max_tokens - _ROOM_LEFT:
            message = f"The conversation has filled the context window of {self._who}."
            raise ModelError(PROVIDER, message, remedy="context", usage=self.usage, request_id=self.request_id)
        message = f"{self._who}'s answer did not fit into {self._max_tokens} tokens."
        raise ModelError(PROVIDER, message, remedy="longer", usage=self.usage, request_id=self.request_id)

    def _blocks(self) -> tuple[tuple[Json, ...], str]:
        """The answer in the journal's words, and what is wrong with a call's arguments, "" for nothing."""
        blocks: list[Json] = [{"type": FIELDS, FIELDS: self._fields}] if self._fields else []
        if text := "".join(self._text):
            blocks.append({"type": "text", "text": text})
        problem = ""
        for number, call in enumerate(self._calls):
            arguments = call["arguments"] or "{}"
            try:
                given = tool_input(arguments)
            except BadSample as error:
                problem = str(error)
                arguments = json.dumps({UNREADABLE: arguments[:UNREADABLE_CHARACTERS]})
                given = json.loads(arguments)
            made = {"type": "tool_use", "id": call["id"] or f"call_{self._id}_{number}", "name": call["name"]}
            extra = {FIELDS: call[FIELDS]} if call[FIELDS] else {}
            blocks.append({**made, "input": given, "arguments": arguments, **extra})
        return tuple(blocks), problem


def _add(fields: dict[str, Any], key: str, value: object) -> None:
    """What streams in pieces is put together: texts and lists are joined, objects merged, anything else replaced."""
    before = fields.get(key)
    if isinstance(before, str) and isinstance(value, str):
        fields[key] = before + value
    elif isinstance(before, list) and isinstance(value, list):
        fields[key] = [*before, *value]
    elif isinstance(before, dict) and isinstance(value, dict):
        for inner, part in value.items():
            _add(before, inner, part)
    elif value is not None:
        fields[key] = value


def _texts(content: object) -> list[str]:
    """Of a delta's content: a text, or parts, of which some servers (Mistral's) make thinking and text. Thinking is
    left out. Raises TypeError for anything else."""
    if isinstance(content, list):
        return [text for part in content if part.get("type") == "text" for text in _texts(part.get("text"))]
    if content is not None and not isinstance(content, str):
        raise TypeError(f"a delta's content is {type(content).__name__}")
    return [content or ""]


def usage_of(raw: object) -> Usage | None:
    """The API's usage in our words: its prompt tokens hold those that were read from and written to the cache.

    None when a number in it cannot be one of tokens: then nothing of it is believed.
    """
    try:
        details = raw.get("prompt_tokens_details") if isinstance(raw, Mapping) else None
        read, written = count(details, "cached_tokens"), count(details, "cache_write_tokens")
        prompt = count(raw, "prompt_tokens")
        return Usage(
            fresh=max(0, prompt - read - written),
            cache_write_5m=written,
            cache_read=read,
            output=count(raw, "completion_tokens"),
        )
    except BadCount:
        return None


def tokens_of(size: int) -> int:
    """An estimate, for so many bytes."""
    return -(-size // BYTES_A_TOKEN)
