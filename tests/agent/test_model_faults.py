"""What goes wrong with a model, at the first, a middle and the last turn, through the whole loop and the real SDKs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from structlog.testing import capture_logs

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.domain.events import ModelSwitched, ToolCalled
from bot.models.anthropic import AnthropicModel
from bot.models.listening import Patience
from bot.models.openai import OpenAIModel
from bot.ports import Model
from bot.standins.messages import (
    BrokenJson,
    Cut,
    CutInside,
    ErrorEvent,
    Fault,
    LoopbackMessages,
    MaxTokens,
    Observed,
    Refusal,
    SlowStart,
    Stall,
    Status,
    StopReason,
    UnknownDelta,
    answer,
    say,
    think,
    use,
)
from bot.standins.messages.script import Answer, Use
from bot.standins.serving import serve
from tests.agent.bench import TASK, Bench, bench, no_sleep
from tests.fakes import MemoryJournal
from tests.leaping import at_rest, leap
from tests.polling import until

Door = Literal["claude", "chat"]
MODELS: Mapping[str, tuple[str, str]] = {
    "claude": ("claude-opus-5-5", "claude-sonnet-5-5"),
    "chat": ("gpt-6.1-sol", "gpt-6-luna"),
}
LEARNT = {"claude": 0, "chat": 1}  # requests before the first whole one: how these models call the output limit
CUT = (Cut, CutInside, ErrorEvent, SlowStart, Stall)  # the end of such a stream would have said what it cost
OUTPUT_USD = 0.005  # by which an output that was cut may be counted too high, at two bytes a token
PROMPT_USD = 0.03  # and a prompt that nobody told, as all written to the cache: the first is 0.014, and 0.029 so
FOREVER_S = 9_000.0
TOO_LONG_S = 130.0  # for a model's patience
WORDS = {"outcome": "changes", "title": "Say hello", "summary": "s", "testing": "t"}
FIXED = b'print("hello")\n'


def by_what_is_there(seen: Observed) -> Answer:
    """Edit, note it, submit, submit again: by what the conversation shows, so that it can begin in any state."""
    said = seen.task
    done = [result.tool for result in seen.all_results if not result.is_error]
    newest = seen.results[-1].text if seen.results else ""
    if "diff_id: " in newest:
        return answer(use("submit", **WORDS, diff_id=seen.find(r"diff_id: (\w+)")))
    if "edit" not in done and "+print" not in said:
        return answer(think(""), say("Found it."), _edit())
    if "bash" not in done and "count.txt" not in said:
        return answer(think(""), use("bash", command="echo once >> count.txt"))
    return answer(think(""), use("submit", **WORDS))


def _edit() -> Use:
    return use("edit", file_path="hello.py", old_string="hullo", new_string="hello")


@asynccontextmanager
async def models(door: Door, faults: Mapping[int, Fault]) -> AsyncIterator[tuple[list[Model], LoopbackMessages]]:
    later = {number + LEARNT[door]: fault for number, fault in faults.items()}
    server = LoopbackMessages(by_what_is_there, faults=later, now=lambda: 0.0)
    async with serve(server.asgi()) as url:
        made: list[AnthropicModel | OpenAIModel] = []
        for name in MODELS[door]:
            if door == "claude":
                made.append(AnthropicModel("test-key", model=name, base_url=url))
            else:
                made.append(OpenAIModel("test-key", model=name, base_url=f"{url}/v1"))
        yield list(made), server
        for model in made:
            await model.aclose()


async def run(on: Bench, chain: list[Model], journal: MemoryJournal) -> Outcome:
    return await work(
        replace(TASK, request="make it say hello"),
        model=chain[0],
        fallbacks=chain[1:],
        sandbox=on.sandbox,
        review=on.review,
        journal=journal,
        limits=Limits(),
        clock=lambda: asyncio.get_running_loop().time(),
        sleep=no_sleep,
        chance=lambda: 0.5,
    )


AGAIN, NEXT, ANEW, STOP = "again", "next", "anew", "stop"
TABLE = [
    *(pytest.param(Status(status=status), AGAIN, id=f"http-{status}") for status in (529, 500, 503)),
    pytest.param(ErrorEvent("overloaded_error"), AGAIN, id="error-in-the-stream"),
    pytest.param(Cut(0), AGAIN, id="cut-at-once"),
    pytest.param(CutInside("tool_use"), AGAIN, id="cut-inside-tool-json"),
    pytest.param(CutInside("tool_use", cleanly=False), AGAIN, id="dropped-inside-tool-json"),
    pytest.param(SlowStart(FOREVER_S, pings=True), AGAIN, id="slow-start"),
    pytest.param(Stall(300, FOREVER_S), AGAIN, id="silence"),
    pytest.param(Status(status=429, retry_after="5"), AGAIN, id="429-with-a-bearable-time"),
    pytest.param(BrokenJson(), AGAIN, id="tool-input-that-is-no-json"),
    pytest.param(Status(status=429, retry_after="900"), NEXT, id="429-with-too-long-a-time"),
    pytest.param(Status(status=402), NEXT, id="402"),
    *(pytest.param(Status(status=status), NEXT, id=f"http-{status}") for status in (401, 403, 404)),
    pytest.param(Refusal(), NEXT, id="refusal"),
    pytest.param(Status(status=413), ANEW, id="too-long"),
    pytest.param(Status(status=400, message="Something is odd."), STOP, id="another-400"),
]
ONLY_CLAUDE = [
    pytest.param(MaxTokens(), AGAIN, id="cut-by-its-limit"),
    pytest.param(UnknownDelta(), AGAIN, id="a-delta-nobody-knows"),
    pytest.param(Status(status=429, code="enforced_spend_limit_reached", retry_after="1"), NEXT, id="spend-limit"),
    pytest.param(Status(status=400, code="model_not_available"), NEXT, id="model-not-available"),
    pytest.param(StopReason("model_context_window_exceeded"), ANEW, id="window-full"),
    pytest.param(
        Status(status=400, message="this `thinking` block is bound to a different conversation."),
        ANEW,
        id="a-damaged-transcript",
    ),
]
ONLY_CHAT = [
    pytest.param(MaxTokens(), ANEW, id="cut-by-the-window"),
    pytest.param(Status(status=429, code="insufficient_quota"), NEXT, id="no-money"),
    pytest.param(Refusal("I will not."), NEXT, id="refusal-in-words"),
    pytest.param(Status(status=400, code="context_length_exceeded"), ANEW, id="window-full"),
]
TURNS = [
    pytest.param(1, id="first", marks=pytest.mark.slow),
    pytest.param(2, id="middle"),
    pytest.param(4, id="last", marks=pytest.mark.slow),
]


async def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: Door, fault: Fault, number: int, expected: str
) -> None:
    """The tree is the right one, the command ran once, and what was lost shows in the bill.

    Red when a reply that is cut before its first event costs nothing, and when what came of its output does: seen.
    """
    journal, spoiled = MemoryJournal(), number + LEARNT[door]
    async with models(door, {number: fault}) as (chain, server):
        on = await bench(tmp_path)
        running = asyncio.create_task(run(on, chain, journal))
        if isinstance(fault, SlowStart | Stall):
            await until(lambda: len(server.raw) == spoiled)
            await leap(TOO_LONG_S, monkeypatch)
        outcome = await running
    paid = sum(charge.dollars for charge in server.ledger)
    assert outcome.usd is not None
    if isinstance(fault, CUT):
        is_told = door == "claude" and isinstance(fault, CutInside | ErrorEvent)
        assert -1e-9 < outcome.usd - paid < (OUTPUT_USD if is_told else PROMPT_USD), "never less than was charged"
    else:
        assert outcome.usd == pytest.approx(paid, abs=1e-9)
    switches = [(event.before, event.after) for event in journal.of(ModelSwitched)]
    if expected == STOP:
        assert outcome.kind == "stopped"
        assert "Something is odd." in outcome.message
        assert (outcome.patch is not None) == (number > 1), "what there is, is a draft"
        return
    assert outcome.kind == "submitted", outcome.message
    assert on.read("hello.py") == FIXED
    assert on.read("count.txt") == b"once\n", "a command ran twice, or from a reply that was not whole"
    assert [event.tool for event in journal.of(ToolCalled)].count("edit") == 1
    first, second = MODELS[door]
    if expected == AGAIN:
        assert (switches, outcome.turns) == ([], 4)
    elif expected == NEXT or number == 1:  # nothing to hand over: another model sees whether it can take it
        assert switches == [(first, second)]
    else:
        assert switches == [(first, first)]
    refused = [broken for broken, why in server.refused if "max_completion_tokens" not in why]
    assert all(broken == spoiled for broken in refused if broken <= spoiled), "only the spoiled one is refused"


@pytest.mark.parametrize("number", TURNS)
@pytest.mark.parametrize(("fault", "expected"), [*TABLE, *ONLY_CLAUDE])
async def test_claude(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, expected: str, number: int
) -> None:
    await check(tmp_path, monkeypatch, "claude", fault, number, expected)


@pytest.mark.parametrize("number", TURNS)
@pytest.mark.parametrize(("fault", "expected"), [*TABLE, *ONLY_CHAT])
async def test_chat_completions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, expected: str, number: int
) -> None:
    await check(tmp_path, monkeypatch, "chat", fault, number, expected)


@pytest.mark.parametrize("door", ["claude", "chat"])
async def test_input_that_is_no_json_twice_is_answered_with_what_is_wrong(tmp_path: Path, door: Door) -> None:
    """The first is asked for again; of the second the model hears. Neither is run."""
    journal = MemoryJournal()
    async with models(door, {2: BrokenJson(), 3: BrokenJson()}) as (chain, server):
        on = await bench(tmp_path)
        outcome = await run(on, chain, journal)
    assert (outcome.kind, outcome.turns) == ("submitted", 5)
    assert on.read("count.txt") == b"once\n"
    said = [entry.data["text"] for entry in journal.entries() if entry.key.startswith("result 2.")]
    assert said == ["bash: the input was not one JSON object; send the call again."]
    assert len(server.refused) == LEARNT[door]
    assert outcome.usd == pytest.approx(sum(charge.dollars for charge in server.ledger), abs=1e-6)


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "out-of-time"])
async def test_a_reply_that_is_left_in_its_middle_costs_what_had_come_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    """Red when the model does not say what it had heard: seen, the whole reservation was counted."""
    asked = asyncio.Event()

    def script(seen: Observed) -> Answer:
        asked.set()
        return by_what_is_there(seen)

    server, journal = LoopbackMessages(script, faults={1: Stall(1500, FOREVER_S)}), MemoryJournal()
    patience = Patience(first_event_s=FOREVER_S, silence_s=FOREVER_S, total_s=FOREVER_S)
    async with serve(server.asgi()) as url:
        model = AnthropicModel("test-key", base_url=url, patience=patience)
        running = asyncio.create_task(run(await bench(tmp_path), [model], journal))
        await asked.wait()
        if is_cancelled:
            await at_rest()
            running.cancel()
        else:
            await leap(Limits().minutes * 60 + 1, monkeypatch)
        await asyncio.wait({running})
        await model.aclose()
    assert running.cancelled() == is_cancelled
    (lost,) = [entry for entry in journal.entries() if entry.kind == "model"]
    (charge,) = server.ledger
    assert (lost.key, lost.data["usage"]["cache_write_5m"]) == ("discarded 1", charge.input.write_5m)
    assert 0 <= lost.data["usd"] - charge.dollars < OUTPUT_USD


@pytest.mark.parametrize("door", ["claude", "chat"])
async def test_the_operator_hears_of_a_key_that_is_refused_and_the_key_is_not_told(tmp_path: Path, door: Door) -> None:
    async with models(door, {1: Status(status=401, message="no such key: test-key")}) as (chain, _):
        with capture_logs() as logged:
            await run(await bench(tmp_path), chain, MemoryJournal())
    (alert,) = [line for line in logged if line["log_level"] == "error"]
    assert (alert["event"], alert["model"]) == ("a model's settings are wrong", MODELS[door][0])
    assert "HTTP 401" in alert["problem"]
    assert "test-key" not in str(logged)
