"""A reply is whole or it is an error: events gathered by hand, in good order and in bad."""

from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.conversation import UNREADABLE, Reply, ToolUse, Usage
from bot.domain.errors import ModelError
from bot.models.reply import Gathering, usage_of

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "claude-x",
        "content": [],
        "usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 5},
    },
}
STOP = {"type": "message_stop"}
BLOCK_END = {"type": "content_block_stop", "index": 0}


def begins(**block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 0, "content_block": block}


def adds(kind: str, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **delta}}


def ends(stop_reason: str | None, output: int = 7, **delta: Any) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, **delta},
        "usage": {"output_tokens": output, "input_tokens": None},
    }


TOOL_USE = begins(type="tool_use", id="t1", name="read", input={})


def reply_of(*events: Mapping[str, Any]) -> Reply:
    gathered = Gathering("req_1")
    for event in events:
        gathered.take(event)
    return gathered.reply()


def error_of(*events: Mapping[str, Any]) -> ModelError:
    with pytest.raises(ModelError) as caught:
        reply_of(*events)
    assert caught.value.request_id == "req_1"
    return caught.value


def test_a_whole_reply() -> None:
    events = (
        START,
        begins(type="text", text=""),
        adds("text_delta", text="Grü"),
        adds("text_delta", text="ße"),
        BLOCK_END,
        {**TOOL_USE, "index": 1},
        {**adds("input_json_delta", partial_json='{"path"'), "index": 1},
        {**adds("input_json_delta", partial_json=':"a"}'), "index": 1},
        {**BLOCK_END, "index": 1},
        ends("tool_use"),
        STOP,
    )
    assert reply_of(*events) == Reply(
        model="claude-x",
        message_id="msg_1",
        stop_reason="tool_use",
        blocks=(
            {"type": "text", "text": "Grüße"},
            {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a"}},
        ),
        text="Grüße",
        calls=(ToolUse("t1", "read", {"path": "a"}),),
        usage=Usage(fresh=10, cache_read=5, output=7),
    )


def test_thinking_keeps_its_signature_and_unknown_blocks_stay() -> None:
    reply = reply_of(
        START,
        begins(type="thinking", thinking="", signature=""),
        adds("thinking_delta", thinking="hm"),
        adds("signature_delta", signature="s"),
        BLOCK_END,
        {"type": "content_block_start", "index": 1, "content_block": {"type": "hologram", "frames": [1]}},
        {**BLOCK_END, "index": 1},
        {"type": "weather_report", "sunny": True},
        ends("end_turn"),
        STOP,
    )
    assert reply.blocks == (
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "hologram", "frames": [1]},
    )


def test_citations_are_kept() -> None:
    text = (START, begins(type="text", text="", citations=None), adds("citations_delta", citation={"n": 1}))
    assert reply_of(*text, BLOCK_END, ends("end_turn"), STOP).blocks == (
        {"type": "text", "text": "", "citations": [{"n": 1}]},
    )


def test_a_tool_use_without_input_has_an_empty_one() -> None:
    events = (START, TOOL_USE, adds("input_json_delta", partial_json=""), BLOCK_END, ends("tool_use"), STOP)
    assert reply_of(*events).calls == (ToolUse("t1", "read", {}),)


@pytest.mark.parametrize("stop_reason", ["end_turn", "stop_sequence", "pause_turn", "compaction", "something_new"])
def test_other_ends_are_for_the_loop_to_judge(stop_reason: str) -> None:
    assert reply_of(START, ends(stop_reason), STOP).stop_reason == stop_reason


CUT = "Claude's answer was cut off."


@pytest.mark.parametrize(
    ("events", "message"),
    [
        pytest.param((), CUT, id="nothing at all"),
        pytest.param((START, begins(type="text", text="")), CUT, id="in a text"),
        pytest.param((START, ends("tool_use")), CUT, id="before message_stop"),
        pytest.param((START, STOP), CUT, id="no stop reason"),
        pytest.param((START, ends(None), STOP), CUT, id="stop reason null"),
        pytest.param((START, begins(type="text", text=""), ends("end_turn"), STOP), CUT, id="a block left open"),
        pytest.param((ends("end_turn"), STOP), CUT, id="no message_start"),
        pytest.param(
            (START, begins(type="text", text=""), adds("hologram_delta", z=1), BLOCK_END, ends("end_turn"), STOP),
            "Claude's answer held a part that this version cannot read.",
            id="unknown delta",
        ),
    ],
)
def test_an_answer_that_is_not_whole_can_be_asked_for_again(
    events: tuple[Mapping[str, Any], ...], message: str
) -> None:
    error = error_of(*events)
    assert (error.remedy, error.retryable, error.message) == ("retry", True, message)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param('{"path": "a', id="cut"),
        pytest.param('{"a": 1}}', id="too much"),
        pytest.param("[1]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param('{"a": NaN}', id="NaN"),
        pytest.param('{"a": 1e999}', id="more than a float holds"),
        pytest.param('{"a": ' + "9" * 5000 + "}", id="5,000 digits"),
        pytest.param('{"a": ' + "[" * 65 + "]" * 65 + "}", id="65 levels"),
        pytest.param('{"a": ' + "[" * 100_000, id="100,000 levels"),
    ],
)
def test_unusable_input_of_a_tool_use_is_a_bad_sample(written: str) -> None:
    adding = adds("input_json_delta", partial_json=written)
    error = error_of(START, TOOL_USE, adding, BLOCK_END, ends("tool_use"), STOP)
    assert error.remedy == "again"
    assert error.message.startswith("Claude's answer was malformed: the input of a tool use was not ")
    assert error.salvaged is not None
    assert [call.input for call in error.salvaged.calls] == [{UNREADABLE: written[:2000]}]


def test_text_that_is_no_unicode_is_a_bad_sample_of_which_nothing_can_be_kept() -> None:
    error = error_of(START, begins(type="text", text="\ud800"), BLOCK_END, ends("end_turn"), STOP)
    assert error.message == "Claude's answer was malformed: it held text that is no valid Unicode."
    assert (error.remedy, error.salvaged) == ("again", None)


def test_the_output_of_an_answer_that_was_cut_is_the_most_that_came() -> None:
    error = error_of(START, begins(type="text", text=""), adds("text_delta", text="x" * 4000))
    assert error.usage is not None
    assert 2000 <= error.usage.output < 2020  # of two bytes each, and what begins the block


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(adds("text_delta", text="x"), id="a delta without a block"),
        pytest.param({"type": "content_block_start", "index": 0}, id="a block without content"),
        pytest.param({"type": "message_start", "message": None}, id="a message that is null"),
        pytest.param({}, id="no type"),
    ],
)
def test_an_event_out_of_shape_is_an_interruption(event: Mapping[str, Any]) -> None:
    assert error_of(START, event).message == "Claude's answer was not in the form this version can read."


def test_a_limit_inside_a_tool_use_never_gives_a_partial_call() -> None:
    """Red when the stop reason is not looked at before the input is parsed, or when the reply is returned."""
    for written in ('{"path": "a.py", "content": "li', '{"path": "a.py"}'):
        adding = adds("input_json_delta", partial_json=written)
        error = error_of(START, TOOL_USE, adding, BLOCK_END, ends("max_tokens", output=64), STOP)
        assert (error.remedy, error.message) == ("longer", "Claude's answer did not fit into 64 tokens.")
        assert error.usage == Usage(fresh=10, cache_read=5, output=64)


def test_a_full_window_asks_for_a_shorter_conversation() -> None:
    assert error_of(START, ends("model_context_window_exceeded"), STOP).remedy == "context"


def test_a_refusal_carries_its_category() -> None:
    error = error_of(START, ends("refusal", stop_details={"type": "refusal", "category": "bio"}), STOP)
    assert error.remedy == "refused"
    assert "biological harm" in error.message


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        pytest.param({}, Usage(), id="nothing"),
        pytest.param({"input_tokens": 3, "output_tokens": 4}, Usage(fresh=3, output=4), id="no cache"),
        pytest.param({"cache_creation_input_tokens": 9}, Usage(cache_write_5m=9), id="not split by lifetime"),
        pytest.param(
            {
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4},
                "cache_read_input_tokens": 2,
            },
            Usage(cache_write_5m=5, cache_write_1h=4, cache_read=2),
            id="split by lifetime",
        ),
        pytest.param({"input_tokens": None, "cache_creation": None}, Usage(), id="nulls"),
    ],
)
def test_usage_in_our_words(raw: dict[str, Any], usage: Usage) -> None:
    assert usage_of(raw) == usage
