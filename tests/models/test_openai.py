"""The chat completions adapter through the real SDK, over a real socket, against the strict loopback endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import httpx2
import pytest

from bot.domain.conversation import (
    UNREADABLE,
    AssistantTurn,
    Conversation,
    Reply,
    Text,
    ToolResult,
    ToolSpec,
    Turn,
    UserTurn,
)
from bot.domain.errors import ModelError
from bot.domain.pricing import usd
from bot.models.listening import Patience
from bot.models.openai import OpenAIModel
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

KEY = "sk-loopback-0123456789"
WORDS = "Grüße, 世界 🙂 " * 30
STEP = answer(think("Hm."), say(WORDS), use("read", file_path="ä.py"), use("read", file_path="b.py"))
READ = ToolSpec(
    "read", "Show a file.", {"type": "object", "properties": {"file_path": {"type": "string"}}}, strict=True
)
TASK = Conversation("Work well.", (READ,), (UserTurn((Text("fix it"),)),))
FOREVER_S = 9_000.0


@asynccontextmanager
async def chat(
    script: Script | None = None,
    *,
    key: str = KEY,
    model: str = "gpt-6.1-sol",
    patience: Patience | None = None,
    effort: str = "",
    **more: Any,
) -> AsyncIterator[tuple[OpenAIModel, LoopbackMessages]]:
    server = LoopbackMessages(script or (lambda observed: STEP), api_key=KEY, now=lambda: 0.0, **more)
    async with serve(server.asgi()) as url:
        adapter = OpenAIModel(key, model=model, base_url=f"{url}/v1", patience=patience, effort=effort)
        try:
            yield adapter, server
        finally:
            await adapter.aclose()


async def error_with(fault: Fault | None = None, *, key: str = KEY, model: str = "gpt-6.1-sol") -> ModelError:
    """How the adapter says that its first request failed; a second one, without the fault, must then succeed."""
    # the first request of an adapter with an address of its own learns the name of the output limit
    async with chat(key=key, model=model) as (adapter, server):
        if key == KEY and model == "gpt-6.1-sol":
            await adapter.ask(TASK, max_tokens=1000)
        if fault:
            server.faults[len(server.raw) + 1] = fault
        with pytest.raises(ModelError) as caught:
            await adapter.ask(TASK, max_tokens=1000)
        if fault:
            check(await adapter.ask(TASK, max_tokens=1000))
    assert caught.value.provider == "openai"
    assert KEY not in f"{caught.value!r} {caught.value}"
    return caught.value


def check(reply: Reply) -> None:
    assert (reply.stop_reason, reply.text) == ("tool_use", WORDS)
    assert [(call.name, call.input["file_path"]) for call in reply.calls] == [("read", "ä.py"), ("read", "b.py")]


@pytest.mark.parametrize("model", ["gpt-6.1-sol", "gemini-3-pro", "qwen3:32b"])
@pytest.mark.parametrize("largest_write", [None, 1, 200])
async def test_a_conversation_goes_on_however_the_bytes_are_split(model: str, largest_write: int | None) -> None:
    """The endpoint refuses an answer that comes back changed in one byte, and Gemini a call without its signature."""
    script = by_turn(STEP, STEP, say("done"))
    async with chat(script, model=model, largest_write=largest_write) as (adapter, server):
        conversation = TASK
        while (reply := await adapter.ask(conversation, max_tokens=1000)).calls:
            check(reply)
            results = UserTurn(tuple(ToolResult(call.id, "") for call in reply.calls), ("half is used",))
            turns: tuple[Turn, ...] = (*conversation.turns, AssistantTurn(reply.blocks, reply.message_id), results)
            conversation = Conversation(conversation.system, conversation.tools, turns)
    assert (reply.text, reply.stop_reason) == ("done", "end_turn")
    assert [body["messages"][: len(TASK.turns) + 1] for body in server.requests] == [
        server.requests[0]["messages"]
    ] * len(server.requests)
    assert all("strict" not in tool["function"] for tool in server.requests[-1]["tools"])
    assert any(message.get("reasoning_content") == "Hm." for message in server.requests[-1]["messages"])


async def test_the_names_a_server_does_not_know_are_tried_once_in_a_life() -> None:
    """`max_tokens` where OpenAI wants another name, and an effort where there is none."""
    async with chat(model="gpt-6.1-sol") as (adapter, server):
        for _ in range(2):
            await adapter.ask(TASK, max_tokens=1000)
    assert [message for _, message in server.refused] == [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    ]
    async with chat(model="qwen3:32b", effort="high") as (adapter, server):
        for _ in range(2):
            await adapter.ask(TASK, max_tokens=1000)
    assert [message for _, message in server.refused] == ["Unrecognized request argument supplied: reasoning_effort"]


async def test_more_output_than_a_model_has_is_asked_for_once() -> None:
    async with chat(model="gemini-3-pro") as (adapter, server):
        for _ in range(2):
            await adapter.ask(TASK, max_tokens=100_000)
    assert [message for _, message in server.refused] == [
        "max_tokens is too large: 100000. This model supports at most 64000 output tokens."
    ]
    assert [body["max_tokens"] for body in server.requests] == [100_000, 64_000, 64_000]


async def test_a_server_that_says_how_much_it_reads_is_believed() -> None:
    async with chat(model="qwen3:32b") as (adapter, server):
        assert adapter.longest_prompt == 76_800
        assert await adapter.problem() is None
        assert adapter.longest_prompt == 24_000
        await adapter.ask(TASK, max_tokens=128_000)
    assert server.requests[-1]["max_tokens"] <= 32_000


@pytest.mark.parametrize("name", ["context_length", "context_window", "max_context_length"])
async def test_a_card_that_says_so_in_other_words_is_believed(name: str) -> None:
    def card(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"id": "m", "object": "model", name: 500_000})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(card))
    adapter = OpenAIModel(KEY, model="m", base_url="https://models.example/v1", http_client=client)
    assert adapter.longest_prompt == 76_800
    assert await adapter.problem() is None
    assert adapter.longest_prompt == 300_000
    await adapter.aclose()


RETRIED = [
    pytest.param(Status(status=503), "The service of gpt-6.1-sol failed (HTTP 503).", id="503"),
    pytest.param(Status(status=429), "The rate limit of gpt-6.1-sol is reached (HTTP 429).", id="429"),
    pytest.param(
        Status(status=429, retry_after="7"),
        "The rate limit of gpt-6.1-sol is reached; it asks to wait 7 s (HTTP 429).",
        id="429 with a time",
    ),
    pytest.param(
        ErrorEvent("server_error"), "The service of gpt-6.1-sol failed (in the middle of an answer).", id="in-stream"
    ),
    pytest.param(Cut(0), "gpt-6.1-sol's answer was cut off.", id="cut before the first byte"),
    pytest.param(CutInside("text"), "gpt-6.1-sol's answer was cut off.", id="cut inside text"),
    pytest.param(CutInside("tool_use"), "gpt-6.1-sol's answer was cut off.", id="cut inside tool JSON"),
    pytest.param(CutInside("text", cleanly=False), "The connection to gpt-6.1-sol broke off.", id="dropped"),
]


@pytest.mark.parametrize(("fault", "message"), RETRIED)
async def test_what_passes_can_be_asked_again(fault: Fault, message: str) -> None:
    error = await error_with(fault)
    assert (error.remedy, error.message) == ("retry", message)


@pytest.mark.parametrize(
    ("fault", "silence_s", "message"),
    [
        pytest.param(
            SlowStart(FOREVER_S, pings=True),
            FOREVER_S,
            "gpt-6.1-sol did not begin to answer within 120 s.",
            id="slow start",
        ),
        pytest.param(Stall(1000, FOREVER_S), 90, "gpt-6.1-sol was silent for 90 s.", id="silence"),
    ],
)
async def test_patience_ends(fault: Fault, silence_s: float, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(patience=Patience(silence_s=silence_s), faults={2: fault}) as (adapter, server):
        asking = asyncio.create_task(adapter.ask(TASK, max_tokens=1000))
        await until(lambda: len(server.raw) == 2)  # the first one learns the name of the output limit
        await leap(121, monkeypatch)
        with pytest.raises(ModelError) as caught:
            await asking
        assert caught.value.message == message
        check(await adapter.ask(TASK, max_tokens=1000))


@pytest.mark.parametrize(
    ("fault", "remedy", "message", "for_operator"),
    [
        pytest.param(
            Status(status=429, code="insufficient_quota"),
            "next",
            "The account that pays for gpt-6.1-sol has no money left (HTTP 429).",
            True,
            id="no money",
        ),
        pytest.param(
            Status(status=429, retry_after="900"),
            "next",
            "The rate limit of gpt-6.1-sol is reached for the next 900 s, too long to wait (HTTP 429).",
            False,
            id="too long to wait",
        ),
        pytest.param(
            Status(status=403), "next", "The API key may not use gpt-6.1-sol (HTTP 403).", True, id="not allowed"
        ),
        pytest.param(
            Status(status=400, code="context_length_exceeded"),
            "context",
            "The conversation is too long for gpt-6.1-sol (HTTP 400).",
            False,
            id="too long",
        ),
        pytest.param(
            Status(status=400, message="Your tool is odd."),
            "stop",
            "gpt-6.1-sol did not accept the request (HTTP 400, request req_refused): Your tool is odd.",
            False,
            id="another 400",
        ),
        pytest.param(
            Refusal(), "refused", "gpt-6.1-sol declined this request (content filter).", False, id="content filter"
        ),
        pytest.param(Refusal("I won't."), "refused", "gpt-6.1-sol declined this request.", False, id="refusal"),
        pytest.param(
            MaxTokens(),
            "context",
            "The conversation has filled the context window of gpt-6.1-sol.",
            False,
            id="cut by the window",
        ),
        pytest.param(
            BrokenJson(),
            "again",
            "gpt-6.1-sol's answer was malformed: the input of a tool use was not JSON.",
            False,
            id="bad JSON",
        ),
    ],
)
async def test_what_does_not_pass_says_who_can_help(
    fault: Fault, remedy: str, message: str, for_operator: bool
) -> None:
    error = await error_with(fault)
    assert (error.remedy, error.message, error.for_operator) == (remedy, message, for_operator)


async def test_a_wrong_key_and_an_unknown_model_are_the_operators() -> None:
    for error in (await error_with(key="sk-wrong"), await error_with(model="gpt-2")):
        assert (error.remedy, error.for_operator) == ("next", True)


async def test_an_answer_cut_by_its_limit_wants_a_higher_one() -> None:
    async with chat() as (adapter, _):
        with pytest.raises(ModelError) as caught:
            await adapter.ask(TASK, max_tokens=20)
    assert (caught.value.remedy, caught.value.message) == ("longer", "gpt-6.1-sol's answer did not fit into 20 tokens.")


async def test_a_stop_reason_nobody_knows_is_passed_on_and_an_unknown_field_kept() -> None:
    async with chat(faults={2: StopReason("eldritch"), 3: UnknownDelta()}) as (adapter, _):
        assert (await adapter.ask(TASK, max_tokens=1000)).stop_reason == "eldritch"
        reply = await adapter.ask(TASK, max_tokens=1000)
        assert {"type": "fields", "fields": {"hologram": {"angle": 30}, "reasoning_content": "Hm."}} in reply.blocks


async def test_input_that_is_no_json_is_kept_for_the_model_to_see() -> None:
    error = await error_with(BrokenJson())
    assert error.salvaged is not None
    first, second = error.salvaged.calls
    assert first.input[UNREADABLE].startswith('{"file_path"')
    assert second.input == {"file_path": "b.py"}


async def test_a_cut_at_any_byte_never_gives_a_reply() -> None:
    """Red when a reply is built without a `finish_reason`: seen. The SDK itself ends such a stream without an error."""
    faults: dict[int, Fault] = {number: Cut(number * 43) for number in range(2, 80)}
    async with chat(faults=faults, largest_write=None) as (adapter, _):
        for _ in faults:
            with pytest.raises(ModelError) as caught:
                await adapter.ask(TASK, max_tokens=1000)
            assert caught.value.remedy == "retry"


async def test_what_an_answer_cost_is_what_the_server_says() -> None:
    long = Conversation("s" * 9000, (READ,), (UserTurn((Text("fix it"),)),))
    async with chat() as (adapter, server):
        replies = [await adapter.ask(long, max_tokens=1000) for _ in range(2)]
    assert [reply.usage.cache_read > 0 for reply in replies] == [False, True]
    costs = [usd(reply.model, reply.usage, day=date(2026, 11, 21)) for reply in replies]
    assert costs == [pytest.approx(charge.dollars, abs=1e-9) for charge in server.ledger]


async def test_the_doctor_hears_what_is_wrong() -> None:
    async with chat() as (adapter, _):
        assert await adapter.problem() is None
    async with chat(key="sk-wrong") as (adapter, _):
        problem = await adapter.problem()
    assert problem == "The API key for gpt-6.1-sol was refused (HTTP 401): OPENAI_API_KEY is wrong or was revoked."
    nowhere = OpenAIModel("", model="m", base_url="http://127.0.0.1:9/v1")
    assert await nowhere.problem() == "The endpoint of m cannot be reached at 127.0.0.1: check OPENAI_BASE_URL."
    await nowhere.aclose()
