"""What a run sets aside before a call, and what its journal says it paid."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.spending import charged, most_tokens
from bot.domain.conversation import AssistantTurn, Conversation, Reply, Text, ToolResult, ToolSpec, Usage, UserTurn
from bot.domain.errors import LimitReached, ModelError
from bot.domain.events import Conclusion
from bot.domain.pricing import PRICES, most_usd, usd
from bot.ports import Entry
from tests.agent.bench import TASK, Bench, bench, no_sleep
from tests.fakes import Crash, MemoryJournal, ScriptedModel, diff_id_in, steps, submit, use

TODAY = date(2026, 11, 21)
OPUS = "claude-opus-5-5"
DEAR = Usage(fresh=25_000, output=5_000)
USED_UP = "acme/widget has used $30.00 of its $30.00 for today (UTC)"


class CountedPurse:
    """Grants so many calls, and remembers what was asked of it."""

    def __init__(self, calls: int = 99) -> None:
        self._calls = calls
        self.reserved: list[tuple[float, float]] = []
        self.settled: list[float] = []

    async def reserve(self, usd: float, *, spent_usd: float) -> None:
        if len(self.reserved) == self._calls:
            raise LimitReached(USED_UP)
        self.reserved.append((usd, spent_usd))

    async def settle(self, spent_usd: float) -> None:
        self.settled.append(spent_usd)


def editing(*, fails: int = 0) -> ScriptedModel:
    busy = ModelError("anthropic", "busy", retryable=True, remedy="retry", usage=Usage(fresh=1000, output=100))
    failures = [busy] * fails
    script = steps(
        lambda _: (
            failures.pop() if failures else [use("edit", file_path="hello.py", old_string="hullo", new_string="hello")]
        ),
        [submit()],
        lambda seen: [submit(diff_id=diff_id_in(seen))],
    )
    return ScriptedModel(script, name=OPUS)


async def run(
    on: Bench,
    model: ScriptedModel,
    purse: CountedPurse,
    journal: MemoryJournal | None = None,
    limits: Limits | None = None,
) -> Outcome:
    return await work(
        TASK,
        model=model,
        sandbox=on.sandbox,
        review=on.review,
        journal=journal or MemoryJournal(),
        limits=limits or Limits(),
        purse=purse,
        sleep=no_sleep,
    )


def one_call() -> float:
    cost = usd(OPUS, Usage(fresh=1000, output=100), day=TODAY)
    assert cost is not None
    return cost


async def test_every_call_is_reserved_before_it_and_settled_after_it(tmp_path: Path) -> None:
    """R14. Red when the loop does not ask its purse (tried)."""
    purse, model = CountedPurse(), editing(fails=2)
    outcome = await run(await bench(tmp_path), model, purse)
    assert outcome.conclusion is Conclusion.SUCCESS
    assert len(purse.reserved) == len(model.asked) == 5, "each attempt, lost ones too"
    assert [spent for _, spent in purse.reserved] == pytest.approx([n * one_call() for n in range(5)])
    assert purse.settled == pytest.approx([n * one_call() for n in (3, 4, 5)])
    assert all(most > one_call() for most, _ in purse.reserved)


async def test_a_reply_is_no_longer_than_the_runs_dollars_pay_for(tmp_path: Path) -> None:
    """R14, part 9: reserved before a call. Red when only the day's budgets are: seen."""
    model = editing()
    outcome = await run(await bench(tmp_path), model, CountedPurse(), limits=Limits(usd=0.1))
    assert outcome.conclusion is Conclusion.SUCCESS
    most = [tokens * 20 / 1_000_000 for tokens in model.max_tokens]
    assert all(0.02 <= reply < 0.1 - number * one_call() for number, reply in enumerate(most))


async def test_a_run_whose_dollars_hold_no_call_asks_nothing(tmp_path: Path) -> None:
    model = editing()
    outcome = await run(await bench(tmp_path), model, CountedPurse(), limits=Limits(usd=0.01))
    assert (model.asked, outcome.kind) == ([], "stopped")
    assert outcome.message == "$0.00 of $0.01 is used and the next request can cost more than the rest."


async def test_a_used_up_day_ends_the_run_with_what_there_is(tmp_path: Path) -> None:
    model = editing()
    outcome = await run(await bench(tmp_path), model, CountedPurse(calls=1))
    assert (outcome.kind, outcome.conclusion) == ("stopped", Conclusion.TIMED_OUT)
    assert outcome.message == USED_UP
    assert outcome.patch is not None
    assert [change.path for change in outcome.patch.changes] == ["hello.py"]
    assert len(model.asked) == 1


async def test_a_call_whose_worker_died_before_settling_is_settled_by_the_next(on: Bench) -> None:
    journal = MemoryJournal(crash_after=3)
    died, resumed = CountedPurse(), CountedPurse()
    with pytest.raises(Crash):
        await run(on, editing(), died, journal)
    assert len(died.reserved) == 1
    await run(on, editing(), resumed, MemoryJournal(journal.entries()))
    assert resumed.settled[0] == pytest.approx(one_call())
    assert len(resumed.reserved) == 2, "the recorded reply is not asked for again"


def reply(usd: float | None, model: str = "unheard-of") -> Entry:
    usage = {"fresh": 1_000_000, "cache_write_5m": 0, "cache_write_1h": 0, "cache_read": 0, "output": 1_000_000}
    return Entry("model", "reply 1", {"model": model, "usd": usd, "usage": usage})


def test_a_call_of_unknown_price_counts_as_the_dearest_known() -> None:
    assert charged([reply(0.25), Entry("tool", "x", {})], day=TODAY) == 0.25
    assert charged([reply(None), reply(0.5)], day=TODAY) == 20.0 + 50.0 + 0.5


@pytest.mark.parametrize("model", sorted({row.model for row in PRICES}))
@pytest.mark.parametrize("kind", ["fresh", "cache_write_5m", "cache_write_1h", "cache_read"])
def test_no_call_costs_more_than_was_set_aside(model: str, kind: str) -> None:
    for tokens in (10, 99_999, 500_000):
        cost = usd(model, Usage(**{kind: tokens, "output": 16_000}), day=TODAY)
        assert (cost or 0.0) <= most_usd(model, prompt_tokens=tokens, output_tokens=16_000, day=TODAY)


def test_the_next_prompt_is_the_last_one_and_what_came_after_it() -> None:
    tools = (ToolSpec("read", "Reads.", {"type": "object"}),)
    first = UserTurn((Text("x" * 1000),))
    begun = Conversation("s" * 100, tools, (first,))
    assert 550 <= most_tokens(begun, last_prompt=0) <= 620
    answered = AssistantTurn(({"type": "text", "text": "y" * 200},))
    told = UserTurn((ToolResult("c", "é" * 100), Text("z")))
    grown = Conversation("s" * 100, tools, (first, answered, told))
    assert 7000 + 200 <= most_tokens(grown, last_prompt=7000) <= 7000 + 280


async def test_one_reply_of_unknown_price_does_not_lift_the_limit_on_dollars(on: Bench) -> None:
    """Red when the sum of known prices is not held against the limit: seen, the run spent on to its last turn."""
    journal = MemoryJournal()
    unpriced = ScriptedModel(
        steps([use("read", file_path="hello.py")], ModelError("openai", "no money", remedy="next")),
        name="gemini-3-pro",
    )
    priced = ScriptedModel(lambda seen: [use("bash", command=f"echo {len(seen.turns)}")], name=OPUS, usage=DEAR)
    outcome = await work(
        TASK,
        model=unpriced,
        fallbacks=[priced],
        sandbox=on.sandbox,
        review=on.review,
        journal=journal,
        limits=Limits(usd=1.0),
        sleep=no_sleep,
    )
    cost = usd(OPUS, DEAR, day=TODAY)
    assert cost is not None
    assert outcome.conclusion is Conclusion.TIMED_OUT
    assert outcome.usd is None, "shown as n/a all the same"
    assert 0.9 <= len(priced.asked) * cost <= 1.0 + cost


class Endless(ScriptedModel):
    """Begins to answer and never ends."""

    def __init__(self) -> None:
        super().__init__(steps([]), name=OPUS)
        self.begun = asyncio.Event()

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "out-of-time"])
async def test_a_reply_that_nobody_waits_for_is_in_the_bill(on: Bench, is_cancelled: bool) -> None:
    """With the most it can cost, for a model that says nothing of it. Red when the end in mid-reply writes nothing."""
    journal, model = MemoryJournal(), Endless()
    limits = Limits(minutes=30 if is_cancelled else 0.01)
    worked = asyncio.create_task(
        work(
            TASK,
            model=model,
            sandbox=on.sandbox,
            review=on.review,
            journal=journal,
            limits=limits,
            clock=lambda: 0.0,  # time passes in mid-reply alone
            sleep=no_sleep,
        )
    )
    await model.begun.wait()
    if is_cancelled:
        worked.cancel()
    await asyncio.wait({worked})
    assert worked.cancelled() == is_cancelled
    (entry,) = [entry for entry in journal.entries() if entry.kind == "model"]
    assert entry.key == "discarded 1"
    assert 0.32 < entry.data["usd"] < 0.36, "16,000 tokens of output, and the prompt"
