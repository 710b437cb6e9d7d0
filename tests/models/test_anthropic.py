"""Claude's adapter through the real SDK, over a real socket, against the strict loopback Messages API."""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bot.domain.conversation import (
    UNREADABLE,
    AssistantTurn,
    Conversation,
    Reply,
    Text,
    ToolResult,
    ToolSpec,
    Turn,
    Usage,
    UserTurn,
)
from bot.domain.errors import ModelError
from bot.domain.pricing import usd
from bot.models.anthropic import AnthropicModel
from bot.models.listening import Patience
from bot.standins.messages import (
    BrokenJson,
    Cut,
    CutInside,
    ErrorEvent,
    Fault,
    LoopbackMessages,
    MaxTokens,
    Refusal,
    Script,
    SlowStart,
    Stall,
    Status,
    StopReason,
    UnknownBlock,
    UnknownDelta,
    answer,
    by_turn,
    say,
    think,
    use,
)
from bot.standins.serving import serve
from tests.leaping import leap
from tests.polling import until
from tests.standins.messages.asking import a_body, post

KEY = "sk-ant-loopback-0123456789"
WORDS = "Grüße, 世界 🙂 " * 30
STEP = answer(think(""), say(WORDS), use("read", file_path="ä.py"))
READ = ToolSpec("read", "Show a file.", {"type": "object", "properties": {"file_path": {"type": "string"}}})
READ_STRICT = ToolSpec(
    "read",
    "Show a file.",
    {"type": "object", "additionalProperties": False, "properties": {"file_path": {"type": "string"}}},
    strict=True,
)
TASK = Conversation("Work well.", (READ,), (UserTurn((Text("fix it"),)),))
FOREVER_S = 9_000.0


@asynccontextmanager
async def claude(
    script: Script | None = None,
    *,
    key: str = KEY,
    model: str = "claude-opus-5-5",
    patience: Patience | None = None,
    **more: Any,
) -> AsyncIterator[tuple[AnthropicModel, LoopbackMessages]]:
    server = LoopbackMessages(script or (lambda observed: STEP), api_key=KEY, now=lambda: 0.0, **more)
    async with serve(server.asgi()) as url:
        adapter = AnthropicModel(key, model=model, base_url=url, patience=patience)
        try:
            yield adapter, server
        finally:
            await adapter.aclose()


async def error_with(fault: Fault | None = None, *, key: str = KEY, model: str = "claude-opus-5-5") -> ModelError:
    """How the adapter says that its first request failed, which it sends once; a second one, without the fault, must
    then succeed."""
    faults = {1: fault} if fault else {}
    async with claude(key=key, model=model, faults=faults) as (adapter, server):
        with pytest.raises(ModelError) as caught:
            await adapter.ask(TASK, max_tokens=1000)
        assert len(server.raw) == 1
        if fault:
            assert (await adapter.ask(TASK, max_tokens=1000)).text == WORDS
    assert caught.value.provider == "anthropic"
    assert KEY not in f"{caught.value!r} {caught.value}"
    return caught.value


def check_reply(reply: Reply) -> None:
    assert reply.stop_reason == "tool_use"
    assert reply.text == WORDS
    assert [(call.name, call.input) for call in reply.calls] == [("read", {"file_path": "ä.py"})]
    assert [block["type"] for block in reply.blocks] == ["thinking", "text", "tool_use"]


@pytest.mark.parametrize("largest_write", [None, 1, 200])
async def test_a_reply_arrives_whole_however_the_bytes_are_split(largest_write: int | None) -> None:
    async with claude(largest_write=largest_write) as (adapter, server):
        check_reply(await adapter.ask(TASK, max_tokens=1000))
        assert server.refused == []


@pytest.mark.parametrize("seed", range(5))
async def test_a_reply_goes_back_as_it_came_and_the_server_recognises_its_thinking(seed: int) -> None:
    script = by_turn(STEP, STEP, say("done"))
    async with claude(script, seed=seed) as (adapter, server):
        conversation = TASK
        while (reply := await adapter.ask(conversation, max_tokens=1000)).calls:
            results = UserTurn(tuple(ToolResult(call.id, "text of ä.py") for call in reply.calls))
            turns: tuple[Turn, ...] = (*conversation.turns, AssistantTurn(reply.blocks), results)
            conversation = Conversation(conversation.system, conversation.tools, turns)
        assert (reply.text, reply.stop_reason) == ("done", "end_turn")
        assert server.refused == []


RETRIED = [
    pytest.param(Status(status=529), "Claude is overloaded (HTTP 529).", id="529"),
    pytest.param(Status(status=500), "Claude's service failed (HTTP 500).", id="500"),
    pytest.param(ErrorEvent("overloaded_error"), "Claude is overloaded (in the middle of an answer).", id="in-stream"),
    pytest.param(Cut(0), "Claude's answer was cut off.", id="cut before the first byte"),
    pytest.param(CutInside("text"), "Claude's answer was cut off.", id="cut inside text"),
    pytest.param(CutInside("tool_use"), "Claude's answer was cut off.", id="cut inside tool JSON"),
    pytest.param(CutInside("text", cleanly=False), "The connection to Claude broke off.", id="dropped inside text"),
    pytest.param(UnknownDelta(), "Claude's answer held a part that this version cannot read.", id="unknown delta"),
]


@pytest.mark.parametrize(("fault", "message"), RETRIED)
async def test_what_passes_can_be_asked_again(fault: Fault, message: str) -> None:
    error = await error_with(fault)
    assert (error.message, error.remedy, error.retryable) == (message, "retry", True)
    assert error.request_id is not None


async def test_input_that_is_no_json_is_kept_as_it_is_for_the_model_to_see() -> None:
    error = await error_with(BrokenJson())
    assert error.message == "Claude's answer was malformed: the input of a tool use was not JSON."
    assert error.remedy == "again"
    assert error.salvaged is not None
    (call,) = error.salvaged.calls
    assert call.input[UNREADABLE].startswith('{"file_path"')


async def test_a_cut_at_any_byte_never_gives_a_reply() -> None:
    """Red when a reply is built without `message_stop`: the SDK itself ends such a stream without an error."""
    faults: dict[int, Fault] = {number: Cut(number * 37) for number in range(1, 60)}
    async with claude(faults=faults, largest_write=None) as (adapter, _):
        for _ in faults:
            with pytest.raises(ModelError) as caught:
                await adapter.ask(TASK, max_tokens=1000)
            assert caught.value.remedy == "retry"


async def test_a_lost_answer_still_tells_what_it_cost() -> None:
    error = await error_with(CutInside("tool_use"))
    assert error.usage is not None
    assert error.usage.fresh > 0


@pytest.mark.parametrize(
    ("fault", "patience", "leap_s", "message"),
    [
        pytest.param(SlowStart(FOREVER_S), Patience(), 91, "Claude was silent for 90 s.", id="no byte"),
        pytest.param(
            SlowStart(FOREVER_S, pings=True),
            Patience(silence_s=FOREVER_S),
            121,
            "Claude did not begin to answer within 120 s.",
            id="only pings",
        ),
        pytest.param(Stall(1500, FOREVER_S), Patience(), 91, "Claude was silent for 90 s.", id="silence in the middle"),
        pytest.param(
            Stall(1500, FOREVER_S),
            Patience(silence_s=FOREVER_S),
            601,
            "Claude's answer took longer than 600 s.",
            id="trickles on and on",
        ),
    ],
)
async def test_waiting_has_an_end(
    fault: Fault, patience: Patience, leap_s: float, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with claude(patience=patience, faults={1: fault}) as (adapter, server):
        asking = asyncio.create_task(adapter.ask(TASK, max_tokens=1000))
        await until(lambda: bool(server.raw))
        await leap(leap_s, monkeypatch)
        with pytest.raises(ModelError) as caught:
            await asking
        assert (caught.value.message, caught.value.remedy) == (message, "retry")
        check_reply(await adapter.ask(TASK, max_tokens=1000))


@pytest.mark.parametrize(
    ("fault", "remedy", "wait"),
    [
        pytest.param(Status(status=429, retry_after="7"), "retry", 7.0, id="short wait"),
        pytest.param(Status(status=429, retry_after="4233600"), "next", 4233600.0, id="49 days"),
        pytest.param(Status(status=429), "retry", None, id="no time given"),
        pytest.param(
            Status(status=429, code="enforced_spend_limit_reached", retry_after="1"), "next", 1.0, id="spend limit"
        ),
        pytest.param(Status(status=402), "next", None, id="no money"),
        pytest.param(Status(status=403), "next", None, id="not allowed"),
        pytest.param(Status(status=400, message="prompt is too long: 2 > 1"), "context", None, id="too long"),
        pytest.param(Status(status=400, message="messages.0: no"), "stop", None, id="bad request"),
        pytest.param(Status(status=413), "context", None, id="too large"),
    ],
)
async def test_an_error_status_is_sorted_at_once(fault: Status, remedy: str, wait: float | None) -> None:
    error = await error_with(fault)
    assert (error.remedy, error.retry_after_s, error.status) == (remedy, wait, fault.status)


async def test_a_wrong_key_is_named_but_not_told() -> None:
    wrong = "sk-ant-wrong-9876543210"
    error = await error_with(key=wrong)
    assert (error.remedy, error.status) == ("next", 401)
    assert "ANTHROPIC_API_KEY" in error.message
    assert wrong not in f"{error!r} {error}"


async def test_a_key_that_the_server_repeats_is_taken_out() -> None:
    """Red when the provider's words are passed on as they come."""
    error = await error_with(Status(status=400, message=f"no such key: {KEY}"))
    assert "no such key: [key]" in error.message


async def test_neither_prompt_nor_answer_nor_key_is_logged_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """Red when the SDK's logger is left at DEBUG: it writes whole request bodies."""
    with caplog.at_level(logging.DEBUG):
        async with claude() as (adapter, _):
            await adapter.ask(TASK, max_tokens=1000)
    assert "HTTP Request" in caplog.text
    for private in ("fix it", "Work well", "Grüße", KEY):
        assert private not in caplog.text


async def test_an_unknown_model_is_another_models_turn() -> None:
    error = await error_with(model="claude-x")
    assert (error.remedy, error.message) == ("next", "There is no model claude-x for this API key (HTTP 404).")


async def test_a_refusal_says_why() -> None:
    error = await error_with(Refusal("cyber"))
    assert error.remedy == "refused"
    assert "attack on computers" in error.message


async def test_too_small_a_limit_inside_a_tool_use_asks_for_more_and_tells_the_cost() -> None:
    error = await error_with(MaxTokens())
    assert error.remedy == "longer"
    assert error.usage is not None
    assert error.usage.output > 0


async def test_a_larger_limit_brings_the_answer() -> None:
    async with claude() as (adapter, _):
        with pytest.raises(ModelError, match="did not fit into 50 tokens"):
            await adapter.ask(TASK, max_tokens=50)
        check_reply(await adapter.ask(TASK, max_tokens=1000))


async def test_a_full_context_window_asks_for_a_shorter_conversation() -> None:
    assert (await error_with(StopReason("model_context_window_exceeded"))).remedy == "context"


@pytest.mark.parametrize("fault", [StopReason("something_new"), UnknownBlock()])
async def test_what_is_new_but_whole_is_a_reply(fault: Fault) -> None:
    async with claude(faults={1: fault}) as (adapter, _):
        reply = await adapter.ask(TASK, max_tokens=1000)
    assert reply.text == WORDS
    if isinstance(fault, UnknownBlock):
        assert reply.blocks[0] == {"type": "hologram", "angle": 30, "frames": [{"z": 1}]}
    else:
        assert reply.stop_reason == "something_new"


async def test_edited_history_is_our_bug_and_says_so() -> None:
    async with claude(by_turn(STEP, say("done"))) as (adapter, _):
        reply = await adapter.ask(TASK, max_tokens=1000)
        turns = (*TASK.turns, AssistantTurn(reply.blocks), UserTurn((ToolResult(reply.calls[0].id, "fine"),)))
        with pytest.raises(ModelError, match="a bug of this bot") as caught:
            await adapter.ask(Conversation("Work better.", (READ,), turns), max_tokens=1000)
        assert caught.value.remedy == "context"


async def test_nobody_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # so that nobody listens there
        adapter = AnthropicModel(KEY, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ModelError, match="could not be reached") as caught:
            await adapter.ask(TASK, max_tokens=1000)
        assert (caught.value.remedy, caught.value.usage) == ("retry", None)
        assert await adapter.problem() == (
            "Claude's API cannot be reached at 127.0.0.1: check the network and ANTHROPIC_BASE_URL."
        )
        await adapter.aclose()


async def test_a_redirect_is_never_followed_with_the_conversation() -> None:
    """Red when redirects are followed: then the other address sees the prompt."""
    seen: list[str] = []

    async def elsewhere(request: Request) -> Response:
        seen.append(request.url.path)
        return RedirectResponse("/other", status_code=307)

    app = Starlette(routes=[Route("/{path:path}", elsewhere, methods=["GET", "POST"])])
    async with serve(app) as url:
        adapter = AnthropicModel(KEY, base_url=url)
        with pytest.raises(ModelError, match="redirects elsewhere"):
            await adapter.ask(TASK, max_tokens=1000)
        await adapter.aclose()
    assert seen == ["/v1/messages"]


async def test_connections_are_used_again() -> None:
    ports: set[int] = set()
    server = LoopbackMessages(lambda observed: STEP, api_key=KEY, now=lambda: 0.0)
    answering = server.asgi()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            ports.add(scope["client"][1])
        await answering(scope, receive, send)

    async with serve(app) as url:
        adapter = AnthropicModel(KEY, base_url=url)
        for _ in range(3):
            check_reply(await adapter.ask(TASK, max_tokens=1000))
        await adapter.aclose()
    assert len(ports) == 1


async def test_a_whole_answer_is_not_waited_for_beyond_its_end() -> None:
    recorded = LoopbackMessages(lambda observed: STEP)
    whole = (await post(recorded, a_body(stream=True))).content

    async def endless() -> AsyncIterator[bytes]:
        yield whole
        await asyncio.Event().wait()

    async def messages(request: Request) -> Response:
        return StreamingResponse(endless(), media_type="text/event-stream")

    async with serve(Starlette(routes=[Route("/v1/messages", messages, methods=["POST"])])) as url:
        patience = Patience(after_the_end_s=0.1, silence_s=FOREVER_S, total_s=FOREVER_S)
        adapter = AnthropicModel(KEY, base_url=url, patience=patience)
        async with asyncio.timeout(30):
            check_reply(await adapter.ask(TASK, max_tokens=1000))
        await adapter.aclose()


async def test_an_own_http_client_is_used() -> None:
    def overloaded(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(529, json={"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}})

    adapter = AnthropicModel(KEY, http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(overloaded)))
    with pytest.raises(ModelError, match=r"Claude is overloaded \(HTTP 529\)"):
        await adapter.ask(TASK, max_tokens=1000)
    await adapter.aclose()


async def test_cancelling_closes_the_connection_at_once() -> None:
    async with claude(faults={1: SlowStart(FOREVER_S, pings=True)}) as (adapter, server):
        asking = asyncio.create_task(adapter.ask(TASK, max_tokens=1000))
        await until(lambda: bool(server.raw))
        asking.cancel()
        async with asyncio.timeout(30):
            with pytest.raises(asyncio.CancelledError):
                await asking


@pytest.mark.parametrize("key", ["", " sk", "sk\n", "sk-é"])
def test_a_key_that_cannot_be_one_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="copy it again") as caught:
        AnthropicModel(key)
    assert not key.strip() or key not in str(caught.value)


async def test_doctor_hears_what_is_wrong_in_one_sentence() -> None:
    async with claude() as (adapter, _):
        assert await adapter.problem() is None
    async with claude(key="sk-other") as (adapter, _):
        assert await adapter.problem() == (
            "Claude refused the API key (HTTP 401): ANTHROPIC_API_KEY is wrong or was revoked."
        )
    async with claude(model="claude-x") as (adapter, _):
        assert await adapter.problem() == "There is no model claude-x for this API key (HTTP 404)."


async def test_doctor_notices_that_something_else_answers() -> None:
    async def hello(request: Request) -> Response:
        return PlainTextResponse("It works!")

    async with serve(Starlette(routes=[Route("/{path:path}", hello)])) as url:
        adapter = AnthropicModel(KEY, base_url=url)
        assert await adapter.problem() == ("What answers at 127.0.0.1 is not the Claude API: check ANTHROPIC_BASE_URL.")
        await adapter.aclose()


def _work(turn: int) -> Any:
    """Forty turns of reading, mostly one file at a time, now and then many."""
    calls = {0: 2, 7: 6, 11: 12}.get(turn % 17, 1)
    return answer(think(""), *(use("read", file_path=f"{turn}-{number}.py") for number in range(calls)))


async def test_forty_turns_are_read_from_the_cache_and_add_up_to_the_servers_bill() -> None:
    script = by_turn(*(_work(turn) for turn in range(39)), say("done"))
    usage, dollars, conversation = Usage(), 0.0, Conversation("Work well. " * 700, (READ,), TASK.turns)
    async with claude(script) as (adapter, server):
        for _ in range(40):
            reply = await adapter.ask(conversation, max_tokens=16_000)
            usage += reply.usage
            dollars += usd(reply.model, reply.usage, day=date(2026, 11, 21)) or float("nan")
            results = UserTurn(
                tuple(ToolResult(call.id, f"{call.input} " * 60) for call in reply.calls) or (Text("-"),)
            )
            turns = (*conversation.turns, AssistantTurn(reply.blocks), results)
            conversation = Conversation(conversation.system, conversation.tools, turns)
    assert server.refused == []
    assert len(server.ledger) == 40
    assert usage.cache_read / usage.input >= 0.94
    assert all(charge.read_share >= 0.5 for charge in server.ledger[1:])
    assert dollars == pytest.approx(sum(charge.dollars for charge in server.ledger), abs=1e-6)
    assert (usage.input, usage.output) == (
        sum(c.input.fresh + c.input.write_5m + c.input.write_1h + c.input.read for c in server.ledger),
        sum(charge.output for charge in server.ledger),
    )
    for shorter, longer in pairwise(map(_messages_without_marks, server.raw)):
        assert longer.startswith(shorter)


def _messages_without_marks(raw: bytes) -> bytes:
    """The bytes of the messages as they travelled, cache marks cut out, without the end of the list."""
    bare = re.sub(rb',"cache_control":\{"type":"ephemeral"\}', b"", raw)
    assert b"cache_control" not in bare
    found = re.search(rb'"messages":\[(.*)\],"diagnostics"', bare, re.DOTALL)
    assert found is not None
    return found[1]


NO_SYSTEM = Status(status=400, message="messages.3: role 'system' is not supported on this model")


@pytest.mark.parametrize(
    ("model", "faults", "roles"),
    [
        pytest.param("claude-opus-5-5", {}, ["user", "assistant", "user", "system"], id="known to take it"),
        pytest.param("claude-sonnet-5-5", {}, ["user", "assistant", "user"], id="known not to"),
        pytest.param("claude-opus-5-5", {2: NO_SYSTEM}, ["user", "assistant", "user"], id="found out"),
    ],
)
async def test_a_note_comes_as_a_system_message_where_that_is_taken(
    model: str, faults: dict[int, Fault], roles: list[str]
) -> None:
    """Found out once: the refusal switches it off for this model, and the request is sent again without."""
    async with claude(by_turn(STEP, say("done"), say("done")), model=model, faults=faults) as (adapter, server):
        reply = await adapter.ask(TASK, max_tokens=1000)
        results = UserTurn(tuple(ToolResult(call.id, "fine") for call in reply.calls), ("Half is used.",))
        turns: tuple[Turn, ...] = (*TASK.turns, AssistantTurn(reply.blocks, reply.message_id), results)
        noted = Conversation(TASK.system, TASK.tools, turns)
        for _ in range(2):
            assert (await adapter.ask(noted, max_tokens=1000)).text == "done"
    assert [message["role"] for message in server.requests[-1]["messages"]] == roles
    assert len(server.refused) == len(faults)
    assert server.requests[-1]["diagnostics"] == {"previous_message_id": reply.message_id}


ABILITIES = {
    "strict": "tools.0.strict: Extra inputs are not permitted",
    "marks": "A maximum of 1 blocks with cache_control may be provided. Found 2.",
    "output_config": "output_config.effort: Extra inputs are not permitted",
    "diagnostics": "diagnostics: Extra inputs are not permitted",
}


@pytest.mark.parametrize("ability", ABILITIES)
async def test_what_a_model_refuses_is_left_out_from_then_on(ability: str) -> None:
    strict = Conversation(TASK.system, (READ_STRICT,), TASK.turns)
    faults = {1: Status(status=400, message=ABILITIES[ability])}
    server = LoopbackMessages(lambda observed: STEP, api_key=KEY, faults=faults, now=lambda: 0.0)
    async with serve(server.asgi()) as url:
        adapter = AnthropicModel(KEY, base_url=url, effort="high")
        for _ in range(2):
            check_reply(await adapter.ask(strict, max_tokens=1000))
        await adapter.aclose()
    first, *later = server.requests
    assert (first["tools"][0]["strict"], first["output_config"]) == (True, {"effort": "high"})
    assert len(later) == 2
    for body in later:
        assert ability not in body
        assert ("strict" in body["tools"][0]) == (ability != "strict")


async def test_a_limit_above_the_models_own_is_lowered_once() -> None:
    async with claude(model="claude-haiku-4-5") as (adapter, server):
        for _ in range(2):
            await adapter.ask(TASK, max_tokens=128_000)
    assert [body["max_tokens"] for body in server.requests] == [64_000, 64_000], "known before it is asked"


async def test_what_the_models_card_says_is_believed() -> None:
    async with claude(model="claude-haiku-4-5") as (adapter, _):
        assert adapter.longest_prompt == 120_000
        assert await adapter.problem() is None
        assert adapter.longest_prompt == 120_000
    async with claude(model="claude-opus-5-5") as (adapter, _):
        assert adapter.longest_prompt == 400_000
