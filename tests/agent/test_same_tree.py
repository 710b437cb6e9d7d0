"""The same script through every kind of model: the same tree, and a bill that is the server's own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.review import Review
from bot.domain.events import ModelSwitched
from bot.models.anthropic import AnthropicModel
from bot.models.openai import OpenAIModel
from bot.ports import Model
from bot.standins.messages import (
    BrokenJson,
    Fault,
    LoopbackMessages,
    MaxTokens,
    Observed,
    Refusal,
    Script,
    Status,
    by_turn,
    say,
    think,
    use,
)
from bot.standins.messages.script import Answer
from bot.standins.serving import serve
from tests.agent.bench import TASK, no_sleep
from tests.agent.test_real_parts import CHECK, FIX, WORDS, Place, place, submit_again
from tests.fakes import MemoryJournal

__all__ = ["place"]
THROUGH_EVERYTHING = by_turn(
    [think(""), use("read", file_path="greet.py"), use("grep", pattern="hullo"), use("glob", pattern="**/*.py")],
    [say("Grüße 🙂"), use("edit", file_path="greet.py", old_string="hullo", new_string="hello")],
    [use("write", file_path="docs/ä b.md", content="naïve — “quotes” \\n\t\n"), use("bash", command=CHECK)],
    [
        use("edit", file_path="crlf.txt", old_string="two", new_string="2"),
        use("edit", file_path="x", old_string="a", new_string="b"),
    ],
    [use("bash", command="printf x > mode.sh; chmod +x mode.sh; mkdir -p sub && mv docs sub/")],
    [think(""), use("submit", **WORDS)],
    submit_again,
)


def made(name: str, url: str) -> AnthropicModel | OpenAIModel:
    if name.startswith("claude"):
        return AnthropicModel("test-key", model=name, base_url=url)
    return OpenAIModel("test-key", model=name, base_url=f"{url}/v1")


@asynccontextmanager
async def chain(
    names: Sequence[str], script: Script, faults: Mapping[int, Fault] | None = None
) -> AsyncIterator[tuple[list[Model], LoopbackMessages]]:
    server = LoopbackMessages(script, faults=faults, now=lambda: 0.0)
    async with serve(server.asgi()) as url:
        models = [made(name, url) for name in names]
        yield list(models), server
        for model in models:
            await model.aclose()


async def run(place: Place, models: Sequence[Model], journal: MemoryJournal) -> Outcome:
    async with place.filled() as sandbox:
        review = Review(place.workspace, sandbox, gate=lambda patch: [], check_command=CHECK, open_base=place.filled)
        return await work(
            replace(TASK, request="make it say hello"),
            model=models[0],
            fallbacks=models[1:],
            sandbox=sandbox,
            review=review,
            journal=journal,
            limits=Limits(),
            sleep=no_sleep,
        )


async def test_claude_openai_gemini_and_a_server_of_ones_own_leave_the_same_tree(place: Place) -> None:
    """Real SDKs, real loop, real sandbox, byte for byte."""
    changes = {}
    for name in ("claude-opus-5-5", "gpt-6.1-sol", "gemini-3-pro", "qwen3:32b"):
        async with chain([name], THROUGH_EVERYTHING) as (models, server):
            outcome = await run(place, models, MemoryJournal())
        assert outcome.patch is not None, outcome.message
        assert (outcome.turns, outcome.tool_calls, outcome.models) == (7, 11, (name,))
        assert len(server.refused) <= 1, "the name of the output limit is learned once"
        changes[name] = (outcome.patch.diff_id, outcome.patch.changes)
    first = changes.pop("claude-opus-5-5")
    assert {change.path for change in first[1]} == {"greet.py", "crlf.txt", "sub/docs/ä b.md", "mode.sh"}
    assert all(other == first for other in changes.values())


FAULTS: Mapping[int, Fault] = {
    1: MaxTokens(),  # longer
    3: Status(status=529),  # again, for nothing
    5: Refusal(),  # the next of the family, in the same conversation
    7: Status(status=402),  # another family, in a new conversation
    9: Status(status=503),
    11: BrokenJson(),
}


def wherever_it_stands(seen: Observed) -> Answer:
    """FIX, begun where the conversation shows that the work stands."""
    started_over = "<progress-" in seen.task
    newest = "".join(result.text for result in seen.results)
    if started_over and "diff_id: " in newest:
        return Answer((submit_again(seen),))
    if started_over:
        return Answer((think("Hm."), use("submit", **WORDS)))
    return FIX(seen)


async def test_the_bill_of_a_run_with_every_kind_of_trouble_is_the_servers_own(place: Place) -> None:
    """To a millionth of a dollar, over three models, lost replies and a new conversation. Red when a lost reply, the
    switch of the model, or what was cached is not counted: seen for each."""
    journal = MemoryJournal()
    names = ("claude-opus-5-5", "claude-sonnet-5-5", "gpt-6.1-sol")
    async with chain(names, wherever_it_stands, FAULTS) as (models, server):
        outcome = await run(place, models, journal)
    assert outcome.kind == "submitted", outcome.message
    assert [event.after for event in journal.of(ModelSwitched)] == list(names[1:])
    assert outcome.models == names
    assert {charge.model for charge in server.ledger} == set(names)
    assert any(charge.input.read for charge in server.ledger)
    assert len(server.ledger) > outcome.turns, "replies were lost that cost money"
    told = [entry.data["diagnostics"] for entry in journal.entries() if entry.key.startswith("reply ")]
    reasons = [said and said["cache_miss_reason"]["type"] for said in told]
    assert reasons == [None, None, "model_changed", None, None], "the prompts only grew, but for the switch"
    assert outcome.usd == pytest.approx(sum(charge.dollars for charge in server.ledger), abs=1e-6)
