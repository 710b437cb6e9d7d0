"""The body of a request: words in the right places, marks where they pay, and never a changed beginning."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.conversation import AssistantTurn, Conversation, Text, ToolResult, ToolSpec, Turn, UserTurn
from bot.models.render import render

MARK = {"type": "ephemeral"}
READ = ToolSpec("read", "Show a file.", {"type": "object", "properties": {"file_path": {"type": "string"}}})


def body_of(*turns: Turn, system: str = "Work well.", tools: tuple[ToolSpec, ...] = (READ,)) -> dict[str, Any]:
    return render(Conversation(system, tools, turns), model="claude-opus-5-5", max_tokens=16_000)


def a_use(call: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": "read", "input": {"file_path": "a.py"}}


def an_exchange(first: int, count: int, *, thinking: bool = True) -> tuple[Turn, Turn]:
    """An answer with `count` calls, and their results."""
    thought = ({"type": "thinking", "thinking": "", "signature": "s"},) if thinking else ()
    calls = [f"t{number}" for number in range(first, first + count)]
    return AssistantTurn((*thought, *map(a_use, calls))), UserTurn(tuple(ToolResult(call, "fine") for call in calls))


def marked(body: dict[str, Any]) -> list[tuple[int, int]]:
    return [
        (number, index)
        for number, message in enumerate(body["messages"])
        for index, block in enumerate(message["content"])
        if "cache_control" in block
    ]


def without_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_marks(item) for key, item in value.items() if key != "cache_control"}
    return [without_marks(item) for item in value] if isinstance(value, list) else value


def test_a_first_request_in_full() -> None:
    assert body_of(UserTurn((Text("fix it"),))) == {
        "model": "claude-opus-5-5",
        "max_tokens": 16_000,
        "system": [{"type": "text", "text": "Work well.", "cache_control": MARK}],
        "tools": [{"name": "read", "description": "Show a file.", "input_schema": READ.input_schema}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "fix it", "cache_control": MARK}]}],
        "diagnostics": {"previous_message_id": None},
    }


def test_a_model_gets_only_what_it_takes() -> None:
    """Strict schemas, effort, more than two marks and diagnostics; a model that refuses one of them works without."""
    strict = replace(READ, strict=True)
    turns = (UserTurn((Text("fix it"),)), AssistantTurn((a_use("t1"),), "msg_1"), UserTurn((ToolResult("t1", "fine"),)))
    conversation = Conversation("Work well.", (strict,), turns)
    able = render(conversation, model="m", max_tokens=1, effort="high")
    assert able["tools"][0]["strict"] is True
    assert (able["output_config"], able["diagnostics"]) == ({"effort": "high"}, {"previous_message_id": "msg_1"})
    assert len(marked(able)) == 2
    begun = render(replace(conversation, effort="low"), model="m", max_tokens=1, effort="high")
    assert begun["output_config"] == {"effort": "low"}, "a run keeps the effort it began with"
    plain = render(conversation, model="m", max_tokens=1, effort="high", abilities=frozenset())
    assert plain.keys() == {"model", "max_tokens", "system", "tools", "messages"}
    assert "strict" not in plain["tools"][0]
    assert len(marked(plain)) == 1


def test_results_and_assistant_blocks_go_back_as_they_are() -> None:
    blocks = ({"type": "thinking", "thinking": "", "signature": "s"}, a_use("t1"), a_use("t2"))
    results = UserTurn((ToolResult("t1", "text"), ToolResult("t2", "", is_error=True), Text("half is used")))
    body = body_of(UserTurn((Text("fix it"),)), AssistantTurn(blocks), results)
    assert body["messages"][1] == {"role": "assistant", "content": list(blocks)}
    assert without_marks(body["messages"][2]["content"]) == [
        {"type": "tool_result", "tool_use_id": "t1", "content": "text"},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
        {"type": "text", "text": "half is used"},
    ]


def test_the_harness_speaks_with_a_systems_weight_where_the_model_knows_that() -> None:
    turns = (
        UserTurn((Text("fix it"),)),
        AssistantTurn((a_use("t1"),)),
        UserTurn((ToolResult("t1", "fine"),), ("half is used",)),
    )
    conversation = Conversation("Work well.", (), turns)
    able = without_marks(render(conversation, model="m", max_tokens=1)["messages"])
    assert able[-2:] == [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "fine"}]},
        {"role": "system", "content": [{"type": "text", "text": "half is used"}]},
    ]
    plain = without_marks(render(conversation, model="m", max_tokens=1, abilities=frozenset())["messages"])
    assert plain[-1]["content"][-1] == {"type": "text", "text": "half is used"}
    assert plain[:-1] == able[:-2]


def test_what_the_api_never_takes_is_left_out() -> None:
    turns = (UserTurn((Text("a"), Text(""))), AssistantTurn(({"type": "text", "text": ""},)), UserTurn((Text("b"),)))
    body = body_of(*turns, system="", tools=())
    assert without_marks(body["messages"]) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
    ]
    assert "system" not in body
    assert "tools" not in body


def test_lone_surrogates_do_not_stop_a_request() -> None:
    body = body_of(UserTurn((ToolResult("t1", "caf\udce9"), Text("\ud83d"))), system="\udcff")
    assert json.dumps(body, ensure_ascii=False).encode()
    assert body["messages"][0]["content"][0]["content"] == "caf?"


def test_the_two_newest_user_messages_are_marked_at_their_ends() -> None:
    turns = (UserTurn((Text("fix it"),)), *an_exchange(0, 2), *an_exchange(2, 3))
    assert marked(body_of(*turns)) == [(2, 1), (4, 2)]


def test_an_exchange_of_eighteen_blocks_needs_no_mark_in_its_middle() -> None:
    turns = (UserTurn((Text("fix it"),)), *an_exchange(0, 9, thinking=False))
    assert marked(body_of(*turns)) == [(0, 0), (2, 8)]


def test_a_longer_exchange_gets_a_mark_fifteen_blocks_before_its_end() -> None:
    turns = (UserTurn((Text("fix it"),)), *an_exchange(0, 9))
    assert marked(body_of(*turns)) == [(0, 0), (1, 3), (2, 8)]


def test_the_mark_in_the_middle_is_never_on_thinking() -> None:
    thoughts = tuple({"type": "thinking", "thinking": "", "signature": "s"} for _ in range(18))
    turns = (
        UserTurn((Text("fix it"),)),
        AssistantTurn((*thoughts, a_use("t1"))),
        UserTurn((ToolResult("t1", "fine"),)),
    )
    assert marked(body_of(*turns)) == [(0, 0), (1, 18), (2, 0)]


def test_rendering_leaves_the_conversation_as_it_was() -> None:
    use = a_use("t1")
    results = tuple(ToolResult(f"t{number}", "fine") for number in range(20))
    body_of(UserTurn((Text("a"),)), AssistantTurn((use, *(a_use(f"t{n}") for n in range(2, 21)))), UserTurn(results))
    assert use == a_use("t1")


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    turns: list[Turn] = [UserTurn((Text(draw(st.text())), Text("fix it")))]
    for number in range(draw(st.integers(1, 5))):
        use, results = an_exchange(100 * number, draw(st.integers(1, 14)), thinking=draw(st.booleans()))
        turns += [use, results]
    return tuple(turns)


@settings(deadline=None, max_examples=50)
@given(conversations())
def test_a_longer_conversation_begins_byte_for_byte_with_the_shorter_one(turns: tuple[Turn, ...]) -> None:
    bodies = [json.dumps(without_marks(body_of(*turns[: count + 1])["messages"])) for count in range(0, len(turns), 2)]
    for shorter, longer in pairwise(bodies):
        assert longer.startswith(shorter.removesuffix("]"))


@settings(deadline=None, max_examples=50)
@given(conversations())
def test_there_are_never_more_marks_than_the_api_allows(turns: tuple[Turn, ...]) -> None:
    body = body_of(*turns)
    assert 1 <= len(marked(body)) <= 3
    for number, index in marked(body):
        assert body["messages"][number]["content"][index]["type"] != "thinking"
