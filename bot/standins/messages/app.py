"""The HTTP side: routes, what was seen, what was charged, and the bytes of each answer."""

import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.standins.messages.cache import Charge, PromptCache, Visit
from bot.standins.messages.catalog import MODELS, model_card
from bot.standins.messages.chat import Chat, chat_refusal, decoded
from bot.standins.messages.chat_catalog import CHAT_MODELS, chat_card
from bot.standins.messages.chat_rules import check_chat_headers
from bot.standins.messages.delivery import Dropped, delivered, may_begin
from bot.standins.messages.diagnosis import Diagnosis
from bot.standins.messages.faults import (
    Cut,
    CutInside,
    ErrorEvent,
    Fault,
    Refusal,
    Status,
)
from bot.standins.messages.metering import booked, charging, written_by
from bot.standins.messages.prompt import prompt_of
from bot.standins.messages.refusals import Refused, error_body
from bot.standins.messages.rules import check_body, check_headers
from bot.standins.messages.script import Answer, Observed, Say, Script, ScriptError, Think, text_of
from bot.standins.messages.seals import Seals
from bot.standins.messages.stream import (
    Envelope,
    Wire,
    as_written,
    cutting_point,
    frames,
    piece_of,
    random_writes,
    tells_output,
    with_error,
)


class LoopbackMessages:
    """`POST /v1/messages`, `/v1/messages/count_tokens`, `/v1/chat/completions`, `GET /v1/models[/{id}]`, strict,
    answered by `script`.

    `requests` are the accepted and refused bodies of /v1/messages in order, `raw` the same as bytes, `refused` the
    rules that were broken (request number, sentence), `ledger` the charges. `faults` maps request numbers, from 1, to
    what goes wrong with them. `now` is the clock of the cache, in seconds. The same `seed` gives the same bytes, ids
    included. Each write is given to the server by itself; on a socket without TCP_NODELAY the kernel may hold it back.
    """

    def __init__(
        self,
        script: Script,
        *,
        seed: int = 0,
        now: Callable[[], float] = time.monotonic,
        api_key: str = "test-key",
        faults: Mapping[int, Fault] | None = None,
        largest_write: int | None = 200,
    ) -> None:
        """`largest_write` None: one write an event; else random pieces of 1 to so many bytes."""
        self.requests: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.refused: list[tuple[int, str]] = []
        self.ledger: list[Charge] = []
        self.faults: dict[int, Fault] = dict(faults or {})
        self._script = script
        self._seed = seed
        self._api_key = api_key
        self._largest_write = largest_write
        self._cache = PromptCache(now)
        self._diagnosis = Diagnosis()
        self._seals = Seals(f"loopback {seed}".encode())
        self._chat = Chat(
            api_key=api_key,
            seed=seed,
            largest_write=largest_write,
            now=now,
            played=lambda observed: _played(script, observed),
            ledger=self.ledger,
        )

    def asgi(self) -> ASGIApp:
        routes = Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/chat/completions", self._completions, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/models/{model}", self._model, methods=["GET"]),
            ]
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            with suppress(Dropped):  # the server closes a connection whose answer is unfinished
                await routes(scope, receive, send)

        return app

    async def _completions(self, request: Request) -> Response:
        raw = await request.body()
        self.raw.append(raw)
        number = len(self.raw)
        try:
            self.requests.append(decoded(raw))
            return await self._chat.answer(request, raw, number, self.faults.get(number))
        except (ScriptError, Refused) as error:
            return chat_refusal(self._noted(number, error))

    def _noted(self, number: int, error: ScriptError | Refused) -> Refused:
        refused = error if isinstance(error, Refused) else Refused(f"script: {error}")
        self.refused.append((number, refused.message))
        return refused

    async def _models(self, request: Request) -> Response:
        return self._guarded(request, lambda: {"data": [model_card(name) for name in MODELS], "has_more": False})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"]
        if name not in MODELS and "anthropic-version" not in request.headers:
            return self._chat_model(request, name)

        def card() -> dict[str, Any]:
            if name not in MODELS:
                raise Refused(f"model: {name}", status=404)
            return model_card(name)

        return self._guarded(request, card)

    def _chat_model(self, request: Request, name: str) -> Response:
        try:
            check_chat_headers(request.headers, api_key=self._api_key)
            if name not in CHAT_MODELS:
                raise Refused(f"The model `{name}` does not exist.", status=404, code="model_not_found")
            return JSONResponse(chat_card(name))
        except Refused as refused:
            return chat_refusal(refused)

    async def _count_tokens(self, request: Request) -> Response:
        raw = await request.body()

        def count() -> dict[str, Any]:
            body = decoded(raw)
            check_body(body, counting=True)
            return {"input_tokens": sum(block.tokens for block in prompt_of(body)[0])}

        return self._guarded(request, count)

    def _guarded(self, request: Request, act: Callable[[], dict[str, Any]]) -> Response:
        request_id = f"req_{random.Random(f'{self._seed} {request.url.path}').getrandbits(64):016x}"
        try:
            check_headers(request.headers, api_key=self._api_key)
            return JSONResponse(act(), headers={"request-id": request_id})
        except Refused as refused:
            return _error(refused, request_id)

    async def _messages(self, request: Request) -> Response:
        raw = await request.body()
        self.raw.append(raw)
        number = len(self.raw)
        chance = random.Random(f"{self._seed} {number}")
        request_id = f"req_{chance.getrandbits(64):016x}"
        try:
            check_headers(request.headers, api_key=self._api_key)
            body = decoded(raw)
            self.requests.append(body)
            check_body(body)
            self._seals.check(body)
            fault = self.faults.get(number)
            if isinstance(fault, Status):
                raise Refused(**asdict(fault))
            return await self._answer(number, body, fault, chance, request_id)
        except (ScriptError, Refused) as error:
            return _error(self._noted(number, error), request_id)

    async def _answer(
        self, number: int, body: dict[str, Any], fault: Fault | None, chance: random.Random, request_id: str
    ) -> Response:
        visit = self._cache.visit(body)
        made = _played(self._script, _observed(number, body)) if body["max_tokens"] else Answer(())
        blocks, stop_reason = self._blocks(body, made, fault, chance)
        envelope = Envelope(
            message_id=f"msg_{chance.getrandbits(64):016x}",
            request_id=request_id,
            model=body["model"],
            usage=visit.usage.reported(),
            stop_reason=stop_reason,
            stop_details=_details_of(fault),
            diagnostics=self._diagnosis.of(body),
        )
        self._diagnosis.remember(envelope.message_id, body)
        headers = {"request-id": request_id}
        output = sum(block.tokens for block in blocks)
        if not body.get("stream"):
            await may_begin(fault)
            self._settle(number, body, visit)(output)
            content = [block.whole() for block in blocks]
            return JSONResponse(envelope.message(content, stop_reason, output), headers=headers)
        streamed = frames(blocks, envelope, fault, chance)
        events = list(with_error(streamed, fault, request_id) if isinstance(fault, ErrorEvent) else streamed)
        if isinstance(fault, CutInside):
            fault = Cut(cutting_point(events, blocks, fault), fault.cleanly)
        written = written_by(events, piece_of, ended=tells_output, whole=output)
        sends = charging(lambda: self._settle(number, body, visit), written)
        writes = random_writes(events, random.Random(f"{self._seed} split {number}"), largest=self._largest_write)
        stream = delivered(writes, fault, sends=sends)
        return StreamingResponse(stream, media_type="text/event-stream; charset=utf-8", headers=headers)

    def _blocks(
        self, body: Mapping[str, Any], made: Answer, fault: Fault | None, chance: random.Random
    ) -> tuple[list[Wire], str]:
        if isinstance(fault, Refusal):
            return [], "refusal"
        return as_written(self._wired(body, made, chance), made, fault, limit=body["max_tokens"])

    def _wired(self, body: Mapping[str, Any], made: Answer, chance: random.Random) -> list[Wire]:
        blocks: list[Wire] = []
        for part in made.parts:
            match part:
                case Say(text):
                    blocks.append(Wire({"type": "text", "text": "", "citations": None}, text))
                case Think(text):
                    before = [block.whole() for block in blocks]
                    signature = self._seals.sign(body, before=before, thinking=text)
                    blocks.append(Wire({"type": "thinking"}, text, signature))
                case _:
                    start = {"type": "tool_use", "id": f"toolu_{chance.getrandbits(64):016x}", "name": part.name}
                    blocks.append(Wire(start, json.dumps(part.input, ensure_ascii=False)))
        return blocks

    def _settle(self, number: int, body: Mapping[str, Any], visit: Visit) -> Callable[[int], None]:
        """The answer begins: the cache holds the prompt, and the request costs money, more with its output."""
        self._cache.keep(visit)
        spent = visit.usage
        prices = MODELS[body["model"]].prices
        counts = (spent.fresh, spent.write_5m, spent.write_1h, spent.read)
        prompt = sum(count * price for count, price in zip(counts, prices[:4], strict=True))
        return booked(self.ledger, number, body["model"], spent, prompt_nanos=prompt, output_nanos=prices[4])


def _played(script: Script, observed: Observed) -> Answer:
    """What the script says; anything it did not expect is a ScriptError, so that nobody asks again."""
    try:
        return script(observed)
    except (AssertionError, LookupError) as error:
        raise ScriptError(f"turn {observed.turn}: {type(error).__name__}: {error}") from error


def _error(refused: Refused, request_id: str) -> Response:
    headers = {"request-id": request_id}
    if refused.retry_after is not None:
        headers["retry-after"] = refused.retry_after
    body = error_body(refused.kind, refused.message, request_id=request_id, code=refused.code)
    return JSONResponse(body, status_code=refused.status, headers=headers)


def _observed(number: int, body: Mapping[str, Any]) -> Observed:
    return Observed(
        number=number,
        model=body["model"],
        system=text_of(body.get("system", "")),
        tools=tuple(tool["name"] for tool in body.get("tools") or []),
        max_tokens=body["max_tokens"],
        messages=tuple(body["messages"]),
    )


def _details_of(fault: Fault | None) -> dict[str, Any] | None:
    if not isinstance(fault, Refusal):
        return None
    return {"type": "refusal", "category": fault.category, "explanation": None}
