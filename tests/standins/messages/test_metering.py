"""What a cut answer costs: its prompt, and what was written of it by then."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bot.standins.messages import Cut, Fault, LoopbackMessages, by_turn, say, think, use
from bot.standins.messages.cache import Charge
from tests.standins.messages.asking import a_body, post

pytestmark = pytest.mark.anyio

STEP = (think("hm"), say("Grüße, 世界 🙂 " * 20), use("read", file_path="ä.py"))


def claude() -> dict[str, Any]:
    return {"json": a_body(stream=True), "path": "/v1/messages"}


def chat() -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    return {"json": {"model": "gpt-6.1-sol", "messages": messages, "stream": True}, "path": "/v1/chat/completions"}


async def charge_of(asked: dict[str, Any], fault: Fault | None = None) -> tuple[Charge, int]:
    """With the size of the answer, in bytes."""
    server = LoopbackMessages(by_turn(STEP), faults={1: fault} if fault else {}, now=lambda: 0.0)
    response = await post(server, asked["json"], path=asked["path"])
    (charge,) = server.ledger
    return charge, len(response.content)


@pytest.mark.parametrize("asked", [claude, chat])
async def test_a_cut_answer_costs_its_prompt_and_what_was_written_until_then(
    asked: Callable[[], dict[str, Any]],
) -> None:
    """Red when a cut answer is charged in full: seen."""
    whole, size = await charge_of(asked())
    cuts = [(await charge_of(asked(), Cut(byte)))[0] for byte in (0, size // 3, size // 2, size - 1)]
    assert {charge.input for charge in cuts} == {whole.input}
    assert cuts[0].output == 0
    assert all(one.output < next.output for one, next in pairwise(cuts[:3]))
    assert cuts[2].output < cuts[3].output == whole.output, "the end had told it"
    assert all(one.dollars < next.dollars for one, next in pairwise(cuts[:3]))
