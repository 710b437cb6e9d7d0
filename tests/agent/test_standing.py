"""How the checks of a change stand beside those of its base."""

import pytest

from bot.agent.standing import Standing, standing
from bot.domain.job import Check, Receipt


def base(exit_code: int | None, tail: str = "") -> Check:
    return Check(where="base", exit_code=exit_code, seconds=1.0, tail=tail)


def head(exit_code: int | None, tail: str = "") -> Check:
    return Check(where="head", exit_code=exit_code, seconds=1.0, tail=tail)


@pytest.mark.parametrize(
    ("runs", "stands"),
    [
        pytest.param((), "fine", id="nothing-ran"),
        pytest.param((head(0),), "fine", id="passes"),
        pytest.param((base(1, "1 failed"), head(0)), "fine", id="mended"),
        pytest.param((head(1),), "worse", id="no-base-to-compare"),
        pytest.param((base(0), head(1)), "worse", id="newly-fails"),
        pytest.param((base(0), head(None)), "worse", id="newly-times-out"),
        pytest.param((base(1), head(None)), "worse", id="failed-and-now-times-out"),
        pytest.param((base(None), head(1, "9 failed")), "as on base", id="the-base-timed-out"),
        pytest.param((base(1), head(1)), "as on base", id="neither-tells-a-number"),
        pytest.param((base(2), head(1, "3 failed, 1 passed")), "as on base", id="the-base-broke-before-its-tests"),
        pytest.param((base(1, "1 failed, 4 passed"), head(1, "1 failed, 5 passed")), "as on base", id="as-many"),
        pytest.param((base(1, "2 failed, 4 passed"), head(1, "1 failed, 2 passed")), "as on base", id="fewer"),
        pytest.param((base(1, "1 failed, 4 passed"), head(1, "1 failed, 3 passed, 1 error")), "worse", id="an-error"),
        pytest.param((base(1, "1 failed, 4 passed"), head(2, "1 error")), "worse", id="nothing-passes-any-more"),
        pytest.param((base(1, "1 failed, 4 passed"), head(1, "SyntaxError")), "worse", id="no-number-any-more"),
    ],
)
def test_a_failure_counts_as_far_as_the_base_does_not_share_it(runs: tuple[Check, ...], stands: Standing) -> None:
    assert standing(Receipt(command="x", runs=runs)) == stands
