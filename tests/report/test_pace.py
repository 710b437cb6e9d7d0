"""When comment and check are updated."""

import pytest

from bot.report.pace import due


@pytest.mark.parametrize(
    ("seconds", "finished", "changed", "expected"),
    [
        pytest.param(float("inf"), False, True, True, id="first"),
        pytest.param(9.9, False, True, False, id="too-soon"),
        pytest.param(10.0, False, True, True, id="in-time"),
        pytest.param(0.1, True, True, True, id="the-last-state-at-once"),
        pytest.param(60.0, False, False, False, id="nothing-new"),
        pytest.param(60.0, True, False, False, id="nothing-new-at-the-end"),
    ],
)
def test_at_most_one_update_in_ten_seconds_and_always_the_last(
    seconds: float, finished: bool, changed: bool, expected: bool
) -> None:
    assert due(seconds_since_last=seconds, finished=finished, changed=changed) is expected
