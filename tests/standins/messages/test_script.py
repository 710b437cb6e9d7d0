"""Scripts are functions of what the server saw, and say so when they saw something unexpected."""

import pytest

from bot.standins.messages import (
    Answer,
    LoopbackMessages,
    Observed,
    Result,
    Script,
    ScriptError,
    Step,
    answer,
    by_turn,
    say,
    think,
    use,
)
from tests.standins.messages.asking import a_body, assistant, post, result, text, used, user

pytestmark = pytest.mark.anyio

SEEN = Observed(
    number=3,
    model="claude-opus-5-5",
    system="Work well.",
    tools=("read",),
    max_tokens=100,
    messages=(
        user(text("fix it")),
        assistant(text("reading"), used("t1", input={"file_path": "a.py"}), used("t2", name="grep")),
        user(result("t1", "old text"), result("t2", "diff_id 0a1b2c", is_error=True), text("half the budget is used")),
    ),
)


def test_the_newest_results_come_with_the_uses_they_answer() -> None:
    assert SEEN.results == (
        Result("read", {"file_path": "a.py"}, "old text", False),
        Result("grep", {}, "diff_id 0a1b2c", True),
    )
    assert SEEN.all_results == SEEN.results
    assert (SEEN.turn, SEEN.task, SEEN.said) == (1, "fix it", "half the budget is used")


def test_a_step_can_look_for_what_the_harness_said() -> None:
    assert SEEN.find(r"diff_id ([0-9a-f]+)") == "0a1b2c"
    assert SEEN.find(r"(half) the budget") == "half"
    with pytest.raises(ScriptError, match="turn 1: nothing in the newest message matches"):
        SEEN.find(r"diff_id ([g-z]+)")


def test_a_step_is_a_part_some_parts_an_answer_or_a_function() -> None:
    def made(script: Script) -> Answer:
        return script(SEEN)

    first = say("first")
    parts = (think(), use("read", file_path="a"))
    steps: list[Step] = [parts, list(parts), answer(*parts), lambda seen: parts, lambda seen: answer(*parts)]
    for step in steps:
        assert made(by_turn(first, step)) == answer(*parts)
    assert made(by_turn(first, lambda seen: use("submit", diff_id=seen.find("diff_id (.*)")))) == answer(
        use("submit", diff_id="0a1b2c")
    )


def test_the_stop_reason_follows_from_the_parts() -> None:
    assert answer(say("a")).natural_stop_reason == "end_turn"
    assert answer(say("a"), use("read")).natural_stop_reason == "tool_use"
    assert answer(use("read"), stop_reason="pause_turn").natural_stop_reason == "pause_turn"


def _broken_lookup(seen: Observed) -> Answer:
    return answer(say(seen.results[0].text))


def _broken_expectation(seen: Observed) -> Answer:
    assert "submit" in seen.tools, "no submit tool"
    return answer()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        pytest.param(by_turn(), "script: the script has 0 steps, and was asked for step 1", id="no more steps"),
        pytest.param(_broken_lookup, "script: turn 0: IndexError", id="a result that is not there"),
        pytest.param(_broken_expectation, "script: turn 0: AssertionError: no submit tool", id="an assertion"),
    ],
)
async def test_an_unexpected_conversation_is_a_400_nobody_retries(script: Script, sentence: str) -> None:
    server = LoopbackMessages(script)
    response = await post(server, a_body())
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(sentence)
    assert server.refused[0][1].startswith(sentence)
