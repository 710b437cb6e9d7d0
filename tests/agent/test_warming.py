"""A step of twelve minutes, on a clock of the test's own: the prompt is still in the strict server's cache after it."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import HTMLResponse
from starlette.types import Message, Receive, Scope, Send

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.transcript import fold
from bot.domain.conversation import Conversation, Reply, Usage
from bot.domain.errors import ModelError, ProviderError
from bot.domain.events import JobEvent, Recorded
from bot.models.anthropic import AnthropicModel
from bot.ports import Entry, ExecResult, Model
from bot.report.progress import progress
from bot.standins.messages.app import LoopbackMessages
from bot.standins.messages.faults import Fault, Status
from bot.standins.messages.script import Script, by_turn, think, use
from bot.standins.serving import serve
from tests.agent.bench import TASK, bench, no_sleep
from tests.fakes import DirectorySandbox, MemoryJournal, ScriptedModel, steps, submit
from tests.fakes import use as tool_use

STEP_S = 720.0
BLOCKED = use("submit", outcome="blocked", title="t", summary="s", testing="n")
LONG: Script = by_turn([think(), use("bash", command="make world", timeout_ms=600_000)], [think(), BLOCKED])


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.napping = asyncio.Event()

    def __call__(self) -> float:
        return self.seconds

    async def nap(self, seconds: float) -> None:
        until = self.seconds + seconds
        self.napping.set()
        while True:
            if self.seconds >= until:
                return
            await asyncio.sleep(0.001)


class SlowSandbox(DirectorySandbox):
    """Its command takes twelve minutes by the clock; at each instant when a request is due, it waits for `seen`."""

    def __init__(self, root: Path, clock: Clock, seen: asyncio.Queue[float]) -> None:
        super().__init__(root)
        self._clock = clock
        self._seen = seen

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout_s: float,
        max_output_bytes: int = 1_000_000,
    ) -> ExecResult:
        if not any("make world" in part for part in argv):
            return await super().exec(
                argv, stdin=stdin, env=env, timeout_s=timeout_s, max_output_bytes=max_output_bytes
            )
        for instant in (270.0, 540.0):
            if self._seen.empty():  # else nobody keeps anything warm any more
                await self._clock.napping.wait()
            self._clock.napping.clear()
            self._clock.seconds = instant
            await self._seen.get()
        self._clock.seconds = STEP_S
        return ExecResult(exit_code=0, stdout=b"", stderr=b"", truncated=False, timed_out=False, seconds=STEP_S)


class Counted(AnthropicModel):
    """Says when a request that keeps the cache warm has come back, whatever became of it."""

    def __init__(self, url: str, seen: asyncio.Queue[float], clock: Clock) -> None:
        super().__init__("test-key", model="claude-opus-5-5", base_url=url)
        self._seen_at = seen
        self._now = clock

    async def keep_warm(self, conversation: Conversation) -> Usage:
        try:
            return await super().keep_warm(conversation)
        except ModelError:
            self._seen_at.put_nowait(self._now())  # in the place of the second one, which never comes
            raise
        finally:
            self._seen_at.put_nowait(self._now())


class Unheard(Counted):
    async def keep_warm(self, conversation: Conversation) -> Usage:
        await super().keep_warm(conversation)
        self._seen_at.put_nowait(self._now())
        raise ModelError("anthropic", "lost", usage=Usage())


async def twelve_minutes(
    tmp_path: Path, faults: Mapping[int, Fault], kind: type[Counted] = Counted
) -> tuple[LoopbackMessages, MemoryJournal]:
    clock, seen, journal = Clock(), asyncio.Queue[float](), MemoryJournal()
    server = LoopbackMessages(LONG, now=clock, faults=faults)
    async with serve(server.asgi()) as url:
        model = kind(url, seen, clock)
        await worked(tmp_path, model, clock, seen, journal)
        await model.aclose()
    return server, journal


def assert_watchers_see_what_was_paid(journal: MemoryJournal) -> None:
    """Red when an entry of the journal costs what no event tells: seen."""
    shown = progress([Recorded(seq, 0.0, event) for seq, event in enumerate(journal.events, 1)])
    paid = fold(journal.entries())
    assert shown.usage == paid.usage
    assert shown.usd == pytest.approx(paid.usd)


async def worked(
    tmp_path: Path, model: Model, clock: Clock, seen: asyncio.Queue[float], journal: MemoryJournal
) -> Outcome:
    on = await bench(tmp_path)
    sandbox = SlowSandbox(on.sandbox.root, clock, seen)
    return await work(
        TASK,
        model=model,
        sandbox=sandbox,
        review=on.review_of(sandbox),
        journal=journal,
        limits=Limits(),
        clock=clock,
        sleep=no_sleep,
        nap=clock.nap,
    )


async def test_a_long_step_leaves_the_prompt_in_the_cache_and_is_paid_for(tmp_path: Path) -> None:
    """Red without keeping warm: the last request reads nothing (the test below)."""
    server, journal = await twelve_minutes(tmp_path, {})
    assert [body["max_tokens"] for body in server.requests] == [16_000, 0, 0, 16_000]
    assert [bool(body.get("stream")) for body in server.requests] == [True, False, False, True]
    assert server.requests[1]["messages"] == server.requests[0]["messages"]
    assert server.refused == []
    first, *warm, last = server.ledger
    assert [charge.input.read for charge in warm] == [first.input.write_5m] * 2
    assert last.input.read == first.input.write_5m
    far = fold(journal.entries())
    assert far.usd == pytest.approx(sum(charge.dollars for charge in server.ledger), abs=1e-9)
    assert (far.warmed, far.replies) == (2, 2)
    assert_watchers_see_what_was_paid(journal)


async def test_a_model_that_cannot_is_asked_once_and_the_run_goes_on(tmp_path: Path) -> None:
    server, journal = await twelve_minutes(tmp_path, {2: Status(status=400)})
    assert [body["max_tokens"] for body in server.requests] == [16_000, 0, 16_000]
    assert server.ledger[-1].input.read == 0, "and the cache was cold"
    assert fold(journal.entries()).accepted is not None


async def test_a_request_that_keeps_warm_and_whose_answer_is_lost_is_in_the_bill(tmp_path: Path) -> None:
    """Red when it is not written down: seen, 0.0006 too little."""
    server, journal = await twelve_minutes(tmp_path, {}, Unheard)
    assert [body["max_tokens"] for body in server.requests] == [16_000, 0, 16_000]
    usd = fold(journal.entries()).usd
    assert usd is not None
    assert 0 <= usd - sum(charge.dollars for charge in server.ledger) < 0.001
    assert_watchers_see_what_was_paid(journal)


@pytest.mark.parametrize("meanwhile", ["the answer", "the writing"])
async def test_what_was_paid_is_written_down_though_the_step_ends_meanwhile(tmp_path: Path, meanwhile: str) -> None:
    """Red when the end of the step cuts the request or the writing off (seen)."""
    clock, asked = Clock(), asyncio.Event()

    class Slow(MemoryJournal):
        async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
            if meanwhile == "the writing" and entry is None and any(one.key.startswith("warm") for one in before):
                asked.set()
                await asyncio.sleep(0.05)
            await super().record(*events, entry=entry, before=before)

    class Warm(ScriptedModel):
        async def keep_warm(self, conversation: Conversation) -> Usage:
            if meanwhile == "the answer":
                asked.set()
                await asyncio.sleep(0.05)
            return Usage(cache_read=1000)

    class Quick(DirectorySandbox):
        async def exec(self, argv: Sequence[str], **more: Any) -> ExecResult:
            if any("make world" in part for part in argv):
                await clock.napping.wait()
                clock.seconds = 270.0
                await asked.wait()
            return await super().exec(argv, **more)

    on, journal = await bench(tmp_path), Slow()
    sandbox = Quick(on.sandbox.root)
    await work(
        TASK,
        model=Warm(steps([tool_use("bash", command="make world")], [submit(outcome="blocked")])),
        sandbox=sandbox,
        review=on.review_of(sandbox),
        journal=journal,
        limits=Limits(),
        clock=clock,
        sleep=no_sleep,
        nap=clock.nap,
    )
    assert [entry.key for entry in journal.entries() if entry.kind == "model"] == ["reply 1", "warm 1", "reply 2"]
    assert fold(journal.entries()).usage.cache_read == 1000


async def test_a_model_without_a_cache_is_left_alone(tmp_path: Path) -> None:
    clock, seen, journal = Clock(), asyncio.Queue[float](), MemoryJournal()
    for _ in range(2):
        seen.put_nowait(0.0)
    long = [tool_use("bash", command="make world", timeout_ms=600_000)]
    model = ScriptedModel(steps(long, [submit(outcome="blocked")]))
    outcome = await worked(tmp_path, model, clock, seen, journal)
    assert (outcome.kind, len(model.asked)) == ("blocked", 2)


async def test_nothing_is_asked_after_a_step_that_was_quick(tmp_path: Path) -> None:
    asked: list[Conversation] = []

    class Quick(ScriptedModel):
        async def keep_warm(self, conversation: Conversation) -> Usage:
            asked.append(conversation)
            raise ModelError("scripted", "never", remedy="stop")

        async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
            await asyncio.sleep(0.01)
            return await super().ask(conversation, max_tokens=max_tokens)

    on, clock = await bench(tmp_path), Clock()
    model = Quick(steps([tool_use("bash", command="true")], [submit(outcome="blocked")]))
    await work(
        TASK,
        model=model,
        sandbox=on.sandbox,
        review=on.review,
        journal=MemoryJournal(),
        limits=Limits(),
        clock=clock,
        sleep=no_sleep,
        nap=clock.nap,
    )
    assert asked == []


class _Gateway:
    """In front of the strict server: what is asked without a stream is answered with a page of HTML."""

    def __init__(self, server: LoopbackMessages) -> None:
        self._app = server.asgi()
        self.pages = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        got: list[Message] = []
        while not got or got[-1].get("more_body"):
            got.append(await receive())
        if b'"stream":true' in b"".join(part.get("body", b"") for part in got).replace(b" ", b""):
            await self._app(scope, lambda: _one(got, receive), send)
            return
        self.pages += 1
        await HTMLResponse("<html>Welcome to the gateway</html>")(scope, receive, send)


async def _one(got: list[Message], receive: Receive) -> Message:
    return got.pop(0) if got else await receive()


async def test_a_gateway_that_answers_with_a_page_ends_the_keeping_and_not_the_run(tmp_path: Path) -> None:
    """Red when the answer's type is not looked at: seen, an AttributeError ended the run."""
    clock, seen, journal = Clock(), asyncio.Queue[float](), MemoryJournal()
    gateway = _Gateway(LoopbackMessages(LONG, now=clock))
    async with serve(gateway) as url:
        model = Counted(url, seen, clock)
        outcome = await worked(tmp_path, model, clock, seen, journal)
        await model.aclose()
    assert (outcome.kind, gateway.pages) == ("blocked", 1)


async def test_a_store_that_fails_ends_the_keeping_and_not_the_run(tmp_path: Path) -> None:
    """Red when only a model's errors end the keeping: seen, the run died of it."""
    clock, reserved = Clock(), asyncio.Event()

    class Purse:
        async def reserve(self, usd: float, *, spent_usd: float) -> None:
            if clock.seconds:
                reserved.set()
                raise ProviderError("database", "is away")

        async def settle(self, spent_usd: float) -> None:
            return

    class Warm(ScriptedModel):
        async def keep_warm(self, conversation: Conversation) -> Usage:
            raise AssertionError("no money was set aside")

    class Quick(DirectorySandbox):
        async def exec(self, argv: Sequence[str], **more: Any) -> ExecResult:
            if any("make world" in part for part in argv):
                await clock.napping.wait()
                clock.seconds = 270.0
                await reserved.wait()
                await asyncio.sleep(0)
                clock.seconds = 0.0
            return await super().exec(argv, **more)

    on = await bench(tmp_path)
    sandbox = Quick(on.sandbox.root)
    outcome = await work(
        TASK,
        model=Warm(steps([tool_use("bash", command="make world")], [submit(outcome="blocked")])),
        sandbox=sandbox,
        review=on.review_of(sandbox),
        journal=MemoryJournal(),
        limits=Limits(),
        purse=Purse(),
        clock=clock,
        sleep=no_sleep,
        nap=clock.nap,
    )
    assert outcome.kind == "blocked"
