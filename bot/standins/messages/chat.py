"""`POST /v1/chat/completions` of the loopback server: strict, and answered by the same script as `/v1/messages`."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from bot.standins.messages import chat_stream as wire
from bot.standins.messages.cache import Charge, InputUsage
from bot.standins.messages.chat_catalog import CHAT_MODELS
from bot.standins.messages.chat_rules import check_chat_body, check_chat_headers, prompt_parts
from bot.standins.messages.chat_seen import observed
from bot.standins.messages.delivery import delivered, may_begin
from bot.standins.messages.faults import (
    Cut,
    CutInside,
    ErrorEvent,
    Fault,
    Refusal,
    Status,
)
from bot.standins.messages.metering import booked, charging, written_by
from bot.standins.messages.prompt import tokens_in
from bot.standins.messages.refusals import Refused
from bot.standins.messages.script import Answer, Observed, Say, Think
from bot.standins.messages.stream import Wire, as_written, random_writes

LEAST_CACHED = 1_024  # tokens; OpenAI's smallest cached prefix
CACHED_S = 600.0  # how long a prefix stays

Json = Mapping[str, Any]
FINISH = {"tool_use": "tool_calls", "end_turn": "stop", "max_tokens": "length"}


@dataclass(slots=True)
class Chat:
    """`played` asks the script, `ledger` takes the charges, `now` is the cache's clock in seconds."""

    api_key: str
    seed: int
    largest_write: int | None
    now: Callable[[], float]
    played: Callable[[Observed], Answer]
    ledger: list[Charge]
    _prefixes: dict[str, float] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    async def answer(self, request: Request, raw: bytes, number: int, fault: Fault | None) -> Response:
        """Raises Refused and ScriptError."""
        chance = random.Random(f"{self.seed} chat {number}")
        check_chat_headers(request.headers, api_key=self.api_key)
        body = decoded(raw)
        check_chat_body(body)
        self._check_history(body)
        if isinstance(fault, Status):
            raise Refused(**asdict(fault))
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or CHAT_MODELS[body["model"]].max_output
        made = self.played(observed(number, body, max_tokens=limit))
        blocks, finish, refusal = self._blocks(body, made, fault, chance, limit)
        spent = self._spent(body)
        output = sum(block.tokens for block in blocks)
        completion = wire.Completion(
            id=f"chatcmpl-{chance.getrandbits(64):016x}",
            model=body["model"],
            finish_reason=finish,
            usage=_reported(spent, output),
            refusal=refusal,
        )
        headers = {"x-request-id": f"req_{chance.getrandbits(64):016x}"}

        if not body.get("stream"):
            await may_begin(fault)
            self._book(number, body, spent, blocks)(output)
            return JSONResponse(completion.whole(wire.message_of(blocks, refusal)), headers=headers)
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        streamed = wire.chunks(blocks, completion, fault, chance, with_usage=with_usage)
        events = list(wire.with_error(streamed, fault) if isinstance(fault, ErrorEvent) else streamed)
        if isinstance(fault, CutInside):
            fault = Cut(wire.cutting_point(events, fault), fault.cleanly)
        written = written_by(events, wire.piece_of, ended=wire.tells_output, whole=output)
        sends = charging(lambda: self._book(number, body, spent, blocks), written)
        writes = random_writes(events, random.Random(f"{self.seed} split {number}"), largest=self.largest_write)
        stream = delivered(writes, fault, sends=sends, ping=wire.PING)
        return StreamingResponse(stream, media_type="text/event-stream; charset=utf-8", headers=headers)

    def _blocks(
        self, body: Json, made: Answer, fault: Fault | None, chance: random.Random, limit: int
    ) -> tuple[list[Wire], str, str | None]:
        """What is written, how it ends, and the words of a refusal."""
        if isinstance(fault, Refusal):
            return [], "stop" if fault.category else "content_filter", fault.category
        blocks, reason = as_written(self._wired(body, made, chance), made, fault, limit=limit)
        return blocks, FINISH.get(reason, reason), None

    def _wired(self, body: Json, made: Answer, chance: random.Random) -> list[Wire]:
        blocks = []
        for part in made.parts:
            match part:
                case Say(text):
                    blocks.append(Wire({"type": "text"}, text))
                case Think(text):
                    blocks.append(Wire({"type": "thinking"}, text))
                case _:
                    call = f"call_{chance.getrandbits(64):016x}"
                    signs = CHAT_MODELS[body["model"]].signs_calls
                    signature = hashlib.sha256(f"{self.seed} {call}".encode()).hexdigest() if signs else None
                    start = {"type": "tool_use", "id": call, "name": part.name}
                    blocks.append(Wire(start, json.dumps(part.input, ensure_ascii=False), signature))
        return blocks

    def _check_history(self, body: Json) -> None:
        """A call of ours comes back as it was said, after what it was said to. Raises Refused."""
        for number, message in enumerate(body["messages"]):
            for call in message.get("tool_calls") or [] if message["role"] == "assistant" else []:
                said = self._said.get(call["id"])
                if said is not None and said != _digest(body, body["messages"][:number], message):
                    raise Refused(f"messages[{number}]: this answer or what came before it was changed.")

    def _spent(self, body: Json) -> InputUsage:
        sizes = [tokens_in(part) for part in prompt_parts(body)]
        cached = 0
        for prefix, total in zip(_prefixes(body), accumulate(sizes), strict=True):
            if total >= LEAST_CACHED and self._prefixes.get(prefix, float("-inf")) > self.now():
                cached = total
        rest = sum(sizes) - cached
        writes = CHAT_MODELS[body["model"]].prices[1] and sum(sizes) >= LEAST_CACHED
        return InputUsage(fresh=0 if writes else rest, write_5m=rest if writes else 0, write_1h=0, read=cached)

    def _book(self, number: int, body: Json, spent: InputUsage, blocks: list[Wire]) -> Callable[[int], None]:
        """The answer begins: its prompt is in the cache, its calls are ours, and it costs money."""
        for prefix in _prefixes(body):
            self._prefixes[prefix] = self.now() + CACHED_S
        message = wire.message_of(blocks)
        calls = message.get("tool_calls") or []
        if all(_is_json(call["function"]["arguments"]) for call in calls):  # what is none cannot come back as it was
            self._said |= {call["id"]: _digest(body, body["messages"], message) for call in calls}
        prices = CHAT_MODELS[body["model"]].prices
        counts = (spent.fresh, spent.write_5m, spent.read)
        prompt = sum(count * price for count, price in zip(counts, prices[:3], strict=True))
        return booked(self.ledger, number, body["model"], spent, prompt_nanos=prompt, output_nanos=prices[3])


def decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError as error:
        raise Refused("We could not parse the JSON body of your request.") from error


def chat_refusal(refused: Refused) -> Response:
    """An error in this API's form."""
    headers = {"x-request-id": "req_refused"}
    if refused.retry_after is not None:
        headers["retry-after"] = refused.retry_after
    error = {"message": refused.message, "type": refused.kind, "param": None, "code": refused.code}
    return JSONResponse({"error": error}, status_code=refused.status, headers=headers)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _prefixes(body: Json) -> list[str]:
    running, found = hashlib.sha256(body["model"].encode()), []
    for part in prompt_parts(body):
        running.update(f"{len(part)}:{part}".encode())
        found.append(running.hexdigest())
    return found


def _digest(body: Json, before: list[Json], message: Json) -> str:
    kept = {key: value for key, value in message.items() if value is not None}
    text = json.dumps([body.get("tools"), before, kept], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _reported(spent: InputUsage, output: int) -> dict[str, Any]:
    prompt = spent.fresh + spent.write_5m + spent.read
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": spent.read, "cache_write_tokens": spent.write_5m},
    }
