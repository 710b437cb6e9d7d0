"""Which tests a runner's output says passed."""

import pytest

from bot.evaluation.judging import passed_in

PYTEST = """\
============================= short test summary info =============================
PASSED tests/test_a.py::test_one
PASSED tests/test_a.py::test_two[a b-1]
FAILED tests/test_a.py::test_three - assert 1 == 2
SKIPPED [1] tests/test_a.py:9: no
"""
UNITTEST = """\
test_one (tests.test_a.A.test_one) ... ok
test_two (tests.test_a.A.test_two) ... FAIL
test_three (tests.test_a.A.test_three) ... skipped 'no'
"""
TAP = """\
TAP version 13
ok 1 - adds up lines
    ok 1 - inside
not ok 2 - removes
ok 3 - later # SKIP not here
"""


@pytest.mark.parametrize(
    ("output", "names"),
    [
        pytest.param(PYTEST, {"tests/test_a.py::test_one", "tests/test_a.py::test_two[a b-1]"}, id="pytest"),
        pytest.param(UNITTEST, {"test_one (tests.test_a.A.test_one)"}, id="unittest"),
        pytest.param(TAP, {"adds up lines", "inside"}, id="tap"),
        pytest.param("", set(), id="nothing"),
    ],
)
def test_the_names_that_passed(output: str, names: set[str]) -> None:
    assert passed_in(output) == names
