"""What the rows say together."""

import io

import pytest
from rich.console import Console

from bot.evaluation.rows import Row, Verdict, as_json, exit_code, summary, table, wilson


def rows(*verdicts: Verdict) -> list[Row]:
    return [Row(task=f"t{n}", verdict=verdict, said="so", turns=2, usd=0.5) for n, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # From the closed form, by hand: z = 1.959964. 0 of n ends at z2 / (n + z2), n of n begins at n / (n + z2).
        pytest.param(0, 12, 0.0, 0.2425, id="none"),
        pytest.param(12, 12, 0.7575, 1.0, id="all"),
        pytest.param(6, 12, 0.2538, 0.7462, id="half"),
        pytest.param(0, 0, 0.0, 1.0, id="nothing-tried"),
    ],
)
def test_the_interval_of_a_share(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_a_run_that_solves_nothing_says_so_with_its_interval() -> None:
    never: list[Verdict] = ["unsolved"] * 12
    nothing = rows(*never)
    assert summary(nothing) == "0/12 solved (0 %, 95 % interval 0 to 24 %)"
    assert exit_code(nothing) == 3


@pytest.mark.parametrize(
    ("verdicts", "code", "said"),
    [
        pytest.param(["solved", "skipped"], 0, "1/1 solved (100 %, 95 % interval 21 to 100 %)", id="all-that-count"),
        pytest.param(["solved", "unsolved"], 3, "1/2 solved (50 %, ", id="some"),
        pytest.param(["solved", "broken"], 4, "not counted: 1 broken", id="a-broken-task"),
        pytest.param(["solved", "crashed"], 4, "1/2 solved (50 %, ", id="a-crash-counts-as-not-solved"),
        pytest.param(["skipped"], 4, "0/0 solved (95 % interval 0 to 100 %); not counted: 1 skipped", id="nothing-ran"),
    ],
)
def test_what_counts(verdicts: list[Verdict], code: int, said: str) -> None:
    made = rows(*verdicts)
    assert exit_code(made) == code
    assert said in summary(made)


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    known, unknown = (
        Row(task="a", verdict="solved", said="", usd=0.25, turns=1),
        Row(task="b", verdict="solved", said=""),
    )
    dear = Row(task="c", verdict="solved", said="", usd=None, turns=1)
    assert as_json([known, unknown], player="x")["usd"] == 0.25
    assert as_json([known, dear], player="x")["usd"] is None
    shown = Console(file=io.StringIO(), width=120)
    shown.print(table([known, dear]))
    assert isinstance(shown.file, io.StringIO)
    assert shown.file.getvalue().count("n/a") == 2
