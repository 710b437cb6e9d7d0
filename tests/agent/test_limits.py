"""When a run goes on, hears a note, wraps up or stops."""

import pytest

from bot.agent.limits import Go, Limits, Note, Spent, Stop, Verdict, WrapUp, verdict

LIMITS = Limits()


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        pytest.param(Spent(), Go(), id="fresh"),
        pytest.param(Spent(turns=29), Go(), id="below-half"),
        pytest.param(Spent(turns=30), Note("50%", "50% of a budget is used: 30 of 60 turns."), id="half-the-turns"),
        pytest.param(Spent(turns=31, told=frozenset({"50%"})), Go(), id="half-is-said-once"),
        pytest.param(
            Spent(usd=2.4), Note("80%", "80% of a budget is used: $2.40 of $3.00."), id="four-fifths-of-money"
        ),
        pytest.param(
            Spent(turns=57, told=frozenset({"50%", "80%"})),
            Note("last turns", "3 turns left. Finish with submit."),
            id="last-turns",
        ),
        pytest.param(Spent(turns=60), WrapUp("the limit of 60 turns is reached"), id="turns-wrap-up"),
        pytest.param(Spent(usd=2.7), WrapUp("$2.70 of $3.00 is used"), id="money-wraps-up-at-nine-tenths"),
        pytest.param(
            Spent(input_tokens=2_700_000), WrapUp("2,700,000 of 3,000,000 input tokens are used"), id="input-wraps-up"
        ),
        pytest.param(
            Spent(output_tokens=108_000), WrapUp("108,000 of 120,000 output tokens are used"), id="output-wraps-up"
        ),
        pytest.param(Spent(seconds=25.5 * 60), WrapUp("25.5 of 30 minutes are used"), id="time-wraps-up-at-85-percent"),
        pytest.param(Spent(seconds=1800), Stop("30.0 of 30 minutes are used"), id="time-is-over"),
        pytest.param(
            Spent(usd=3.1),
            Stop("$3.10 of $3.00 is used and the next request would cost more than the rest"),
            id="money-is-gone",
        ),
        pytest.param(
            Spent(usd=2.0, next_usd=1.01),
            Stop("$2.00 of $3.00 is used and the next request would cost more than the rest"),
            id="the-next-request-is-too-dear",
        ),
        pytest.param(
            Spent(output_tokens=120_000), Stop("120,000 of 120,000 output tokens are used"), id="output-is-gone"
        ),
        pytest.param(
            Spent(turns=61, told=frozenset({"wrap-up"})),
            Stop("the limit of 60 turns is reached"),
            id="after-the-wrap-up-turn",
        ),
        pytest.param(
            Spent(bad_replies=3),
            Stop("3 replies in a row held a tool call that cannot be run", is_budget=False),
            id="bad-calls",
        ),
        pytest.param(
            Spent(edit_errors=3),
            Note(
                "edit errors",
                "The same edit failed in the same way 3 times. Use read on the file first, and copy old_string from "
                "what it shows.",
            ),
            id="edit-errors",
        ),
        pytest.param(Spent(edit_errors=4, told=frozenset({"edit errors"})), Go(), id="edit-errors-are-said-once"),
        pytest.param(
            Spent(repeats=4),
            Note("repeats", "The same call gave the same result 4 times. Try something else."),
            id="repeats",
        ),
        pytest.param(Spent(repeats=5, told=frozenset({"repeats"})), Go(), id="repeats-are-said-once"),
        pytest.param(
            Spent(repeats=6), Stop("the same tool call gave the same result 6 times", is_budget=False), id="stuck"
        ),
    ],
)
def test_the_verdict(spent: Spent, expected: Verdict) -> None:
    assert verdict(spent, LIMITS) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(9.0, "0.15 of 0.15 minutes are used", id="at-the-limit"),
        pytest.param(14.0, "0.15 of 0.15 minutes are used", id="beyond-it"),
        pytest.param(8.0, "0.13 of 0.15 minutes are used", id="before-it"),
    ],
)
def test_no_more_minutes_are_used_than_there_are(seconds: float, words: str) -> None:
    said = verdict(Spent(seconds=seconds), Limits(minutes=0.15))
    assert isinstance(said, Stop | WrapUp)
    assert said.reason == words


def test_a_budget_of_nothing_stops_at_once() -> None:
    assert isinstance(verdict(Spent(), Limits(minutes=0)), Stop)
