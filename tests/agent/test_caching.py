"""Forty turns with parallel calls against the strict server: what is read from its cache, by its own accounting."""

import json
import random
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.agent.limits import Limits
from bot.agent.loop import work
from bot.models.anthropic import AnthropicModel
from bot.standins.messages import Charge, LoopbackMessages
from bot.standins.messages.script import Answer, Observed, Use, answer, say, think, use
from bot.standins.serving import serve
from tests.agent.bench import TASK, bench, no_sleep
from tests.fakes import MemoryJournal

TURNS = 40
MARK = re.compile(r', ?"cache_control": ?\{"type": ?"ephemeral"\}')
CALLS = ((1, 60), (2, 20), (3, 10), (6, 7), (12, 3))  # calls a reply, and how many of a hundred replies have so many


def repository(chance: random.Random) -> dict[str, bytes]:
    """Files as large as tool results are: half below 400 tokens, at most 4,000 (four bytes a token)."""
    sizes = [min(16_000, round(1_600 * chance.lognormvariate(0.0, 1.0))) for _ in range(120)]
    words = {"AGENTS.md": ("Say what you mean, and mean it.\n" * 500).encode()}
    return words | {
        f"src/module{n:03}.py": (f"value_{n} = {n}\n" * size)[:size].encode() for n, size in enumerate(sizes)
    }


def script(seed: int) -> Any:
    """Each turn its calls, the same for the same seed; most look, some run a command or write a file."""

    def played(seen: Observed) -> Answer:
        if seen.turn == TURNS - 1:
            return answer(think(), use("submit", outcome="blocked", title="t", summary="s", testing="n"))
        chance = random.Random(f"{seed} {seen.turn}")
        (calls,) = chance.choices([n for n, _ in CALLS], [weight for _, weight in CALLS])
        return answer(think(), say("Looking."), *(_call(chance, f"{seen.turn}.{n}") for n in range(calls)))

    return played


def _call(chance: random.Random, name: str) -> Use:
    number = chance.randrange(120)
    match chance.randrange(10):
        case 0:
            return use("bash", command=f"echo {name}; wc -c src/module{number:03}.py")
        case 1:
            return use("write", file_path=f"notes/{name}.txt", content=f"{name}\n")
        case 2:
            return use("grep", pattern=f"value_{number} = ", path=f"src/module{number:03}.py")
    return use("read", file_path=f"src/module{number:03}.py")


async def forty_turns(tmp_path: Path, seed: int) -> LoopbackMessages:
    on = await bench(tmp_path, repository(random.Random(seed)))
    server = LoopbackMessages(script(seed), seed=seed, largest_write=None)
    async with serve(server.asgi()) as url:
        model = AnthropicModel("test-key", model="claude-opus-5-5", base_url=url)
        limits = Limits(usd=100)
        await work(
            TASK,
            model=model,
            sandbox=on.sandbox,
            review=on.review,
            journal=MemoryJournal(),
            limits=limits,
            sleep=no_sleep,
        )
        await model.aclose()
    return server


def size(charge: Charge) -> int:
    spent = charge.input
    return spent.fresh + spent.write_5m + spent.write_1h + spent.read


def read_of_all_and_of_possible(charges: Sequence[Charge]) -> tuple[float, float]:
    """What a request could have read is the whole prompt of the one before it."""
    read = sum(charge.input.read for charge in charges)
    possible = sum(size(charge) for charge in charges[:-1])
    return read / sum(map(size, charges)), read / possible


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_forty_turns_read_what_can_be_read_and_rewrite_nothing(tmp_path: Path, seed: int) -> None:
    """Red without the mark on the newest message but one, and with a turn's number in the system prompt: both seen."""
    server = await forty_turns(tmp_path, seed)
    assert server.refused == []
    assert len(server.ledger) == TURNS
    assert max(calls_in(body) for body in server.requests) >= 6, "the run held replies of many calls"
    of_all, of_possible = read_of_all_and_of_possible(server.ledger)
    assert of_all >= 0.94
    assert of_possible >= 0.99
    assert min(charge.read_share for charge in server.ledger[1:]) >= 0.5
    for number, (earlier, later) in enumerate(pairwise(server.raw), 2):
        assert_begins_alike(earlier, later, f"request {number}")


def calls_in(body: dict[str, Any]) -> int:
    answers = [message for message in body["messages"] if message["role"] == "assistant"]
    return sum(block["type"] == "tool_use" for block in answers[-1]["content"]) if answers else 0


def assert_begins_alike(earlier: bytes, later: bytes, which: str) -> None:
    """Byte for byte over the wire, cache marks left out."""
    for part in ("system", "tools"):
        assert raw(earlier, part) == raw(later, part), which
    before = raw(earlier, "messages")
    assert before[-1] == "]"
    assert raw(later, "messages").startswith(before[:-1] + ","), which


def raw(body: bytes, part: str) -> str:
    """The text of one field of a request, as it went over the wire, without cache marks."""
    text = body.decode()
    start = json.loads(text)[part]
    begins = re.search(rf'"{part}": ?', text)
    assert begins is not None
    _, end = json.JSONDecoder().raw_decode(text, begins.end())
    assert json.loads(text[begins.end() : end]) == start
    return MARK.sub("", text[begins.end() : end])
