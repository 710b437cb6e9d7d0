"""When comment and check are updated."""

from math import inf

import pytest

from bot.report.pace import seconds_until_due


@pytest.mark.parametrize(
    ("since", "age", "finished", "wait"),
    [
        pytest.param(inf, 0.0, False, -inf, id="first"),
        pytest.param(4.0, 4.0, False, 6.0, id="ten-seconds-apart"),
        pytest.param(10.0, 100.0, False, 0.0, id="in-time"),
        pytest.param(10.0, 300.0, False, 20.0, id="a-tenth-of-a-longer-run"),
        pytest.param(0.1, 1_800.0, True, 0.0, id="the-last-state-at-once"),
    ],
)
def test_an_update_waits_ten_seconds_or_a_tenth_of_the_run_and_the_last_not_at_all(
    since: float, age: float, finished: bool, wait: float
) -> None:
    assert seconds_until_due(seconds_since_last=since, age_s=age, finished=finished) == wait
