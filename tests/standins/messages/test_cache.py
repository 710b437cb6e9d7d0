"""The cache ledger: what is read, what is written, and when it is forgotten."""

import asyncio
from typing import Any

import pytest

from bot.standins.messages import Held, LoopbackMessages, Status, answer, say
from bot.standins.messages.cache import InputUsage
from tests.polling import until
from tests.standins.messages.asking import HOUR, MARK, a_body, assistant, post, text, user

pytestmark = pytest.mark.anyio

LONG = "x" * 4000  # about 1000 tokens; the smallest cached prefix of this model is 512


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def a_server(clock: Clock | None = None, **more: Any) -> LoopbackMessages:
    return LoopbackMessages(lambda observed: answer(say("fine")), now=clock or Clock(), **more)


def asking(*blocks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return a_body(system=None, tools=None, messages=[user(*blocks)], **changes)


async def usage_after(server: LoopbackMessages, body: dict[str, Any]) -> InputUsage:
    response = await post(server, body)
    assert response.status_code == 200, response.text
    return server.ledger[-1].input


async def test_what_is_marked_is_written_once_and_then_read() -> None:
    server = a_server()
    first = await usage_after(server, asking(text(LONG, cache_control=MARK), text("a")))
    second = await usage_after(server, asking(text(LONG, cache_control=MARK), text("b")))
    assert first.write_5m > 1000
    assert first.read == 0
    assert (second.read, second.write_5m, second.fresh) == (first.write_5m, 0, first.fresh)


async def test_nothing_is_cached_without_a_mark_or_below_the_smallest_size() -> None:
    server = a_server()
    for body in (asking(text(LONG)), asking(text("short", cache_control=MARK))):
        for _ in range(2):
            usage = await usage_after(server, body)
            assert (usage.read, usage.write_5m, usage.write_1h) == (0, 0, 0)


async def test_an_entry_lives_five_minutes_from_the_start_of_the_last_request_that_read_it() -> None:
    clock = Clock()
    server = a_server(clock)
    body = asking(text(LONG, cache_control=MARK))
    reads = []
    for clock.seconds in (0.0, 299.0, 598.0, 899.0):
        reads.append((await usage_after(server, body)).read > 0)
    assert reads == [False, True, True, False]


async def test_an_hour_costs_its_own_kind_of_token_and_lasts() -> None:
    clock = Clock()
    server = a_server(clock)
    body = asking(text(LONG, cache_control=HOUR), text(LONG + "y", cache_control=MARK))
    first = await usage_after(server, body)
    assert first.write_1h > 1000
    assert first.write_5m > 1000
    clock.seconds = 3599.0
    later = await usage_after(server, body)
    assert (later.read, later.write_5m) == (first.write_1h, first.write_5m)


async def test_a_changed_prefix_reads_nothing() -> None:
    server = a_server()
    tail = text(LONG, cache_control=MARK)
    await usage_after(server, asking(text("counter 1"), tail))
    assert (await usage_after(server, asking(text("counter 2"), tail))).read == 0


@pytest.mark.parametrize(
    ("changes", "system_is_read"),
    [
        pytest.param({"output_config": {"effort": "high"}}, True, id="effort"),
        pytest.param({"tool_choice": {"type": "none"}}, True, id="tool choice"),
        pytest.param({"model": "claude-sonnet-5-5"}, False, id="model"),
        pytest.param({"tools": [{"name": "b", "input_schema": {"type": "object"}}]}, False, id="tools"),
    ],
)
async def test_settings_drop_the_messages_part_and_model_and_tools_everything(
    changes: dict[str, Any], system_is_read: bool
) -> None:
    server = a_server()
    body = a_body(system=[text(LONG, cache_control=MARK)], messages=[user(text(LONG, cache_control=MARK))])
    whole = (await usage_after(server, body)).write_5m
    read = (await usage_after(server, {**body, **changes})).read
    assert read < whole
    assert (read > 1000) == system_is_read


@pytest.mark.parametrize(("new_blocks", "is_read"), [(19, True), (20, False)])
async def test_a_mark_looks_at_twenty_positions(new_blocks: int, is_read: bool) -> None:
    server = a_server()
    await usage_after(server, asking(text(LONG, cache_control=MARK)))
    more = [text(str(number)) for number in range(new_blocks)]
    more[-1]["cache_control"] = MARK
    assert ((await usage_after(server, asking(text(LONG), *more))).read > 0) == is_read


async def test_a_string_is_the_same_as_one_text_block() -> None:
    server = a_server()
    await usage_after(server, a_body(system=[text(LONG, cache_control=MARK)], messages=[user(text("a"))]))
    body = a_body(system=LONG, messages=[{"role": "user", "content": "a"}], cache_control=MARK)
    assert (await usage_after(server, body)).read > 1000


async def test_an_automatic_mark_is_on_the_last_block() -> None:
    server = a_server()
    body = asking(text(LONG), cache_control=MARK)
    assert (await usage_after(server, body)).fresh == 0
    assert (await usage_after(server, body)).read > 1000


async def test_a_request_that_failed_leaves_nothing_behind_and_costs_nothing() -> None:
    server = a_server(faults={1: Status(status=529)})
    body = asking(text(LONG, cache_control=MARK))
    assert (await post(server, body)).status_code == 529
    assert server.ledger == []
    assert (await usage_after(server, body)).read == 0


async def test_an_entry_is_readable_only_once_its_request_has_begun_to_answer() -> None:
    server = a_server(faults={1: Held(let_go := asyncio.Event())})
    body = asking(text(LONG, cache_control=MARK))
    slow = asyncio.create_task(post(server, body))
    await until(lambda: bool(server.raw))
    early = await usage_after(server, body)
    let_go.set()
    await slow
    assert early.read == 0
    assert (await usage_after(server, body)).read > 0


async def test_the_charge_is_tokens_times_prices() -> None:
    server = a_server()
    await post(server, asking(text(LONG, cache_control=MARK)))
    charge = server.ledger[0]
    expected = (charge.input.fresh * 4 + charge.input.write_5m * 5 + charge.output * 20) / 1e6
    assert charge.dollars == pytest.approx(expected, abs=1e-12)
    assert charge.read_share == 0.0


async def test_warming_the_cache_writes_and_says_nothing() -> None:
    server = a_server()
    body = asking(text(LONG, cache_control=MARK))
    warmed = await post(server, {**body, "max_tokens": 0})
    assert (warmed.json()["content"], warmed.json()["stop_reason"]) == ([], "end_turn")
    assert (await usage_after(server, body)).read > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({}, None, id="the same, and more"),
        pytest.param({"model": "claude-opus-5"}, "model_changed", id="model"),
        pytest.param({"system": "Work badly."}, "system_changed", id="system"),
        pytest.param({"tools": []}, "tools_changed", id="tools"),
        pytest.param({"messages": [user(text("goodbye"))]}, "messages_changed", id="messages"),
        pytest.param({"diagnostics": {"previous_message_id": "msg_0"}}, "previous_message_not_found", id="unknown"),
        pytest.param({"diagnostics": None}, None, id="not asked"),
    ],
)
async def test_an_answer_says_why_its_prompt_is_not_the_one_before_with_more(
    change: dict[str, Any], reason: str | None
) -> None:
    server = a_server()
    first = (await post(server, a_body(messages=[user(text("hello"))]))).json()
    assert first["diagnostics"] is None
    more = [user(text("hello")), assistant(text("fine")), user(text("go on"))]
    again = a_body(**{"messages": more, "diagnostics": {"previous_message_id": first["id"]}, **change})
    said = (await post(server, again)).json()["diagnostics"]
    assert (said and said["cache_miss_reason"]["type"]) == reason
