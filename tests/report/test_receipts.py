"""The words of a verification receipt, held against what test commands really print at their end."""

import pytest

from bot.domain.job import Check, Receipt
from bot.report.receipts import result, verdict
from bot.report.tallies import WHOLE_CHARACTERS
from tests.report.samples import PASSED

PYTEST = """\
ERROR test_p.py::test_e - ZeroDivisionError: division by zero
==================== 1 failed, 2 passed, 7 errors in 0.74s ====================="""
PYTEST_LONG = "=========== 1 failed, 200 passed, 3 skipped, 2 warnings in 62.05s (0:01:02) ==========="
PYTEST_QUIET = "..             [100%]\n2 passed, 3 deselected in 0.99s"
PYTEST_NOTHING = "collected 0 items\n\n============================ no tests ran in 0.01s ============================="
UNITTEST = """\
----------------------------------------------------------------------
Ran 12 tests in 0.001s

"""
NODE = """\
1..3
# tests 3
# suites 0
# pass 2
# fail 1
# cancelled 1
# skipped 0
# todo 0
# duration_ms 184.266204"""
NODE_SPEC = (
    "\u2139 tests 3\n\u2139 pass 3\n\u2139 fail 0\n\u2139 cancelled 0\n\u2139 skipped 0\n\u2139 duration_ms 61.2"
)
JEST = """\
Test Suites: 1 failed, 4 passed, 5 total
Tests:       1 failed, 1 skipped, 17 passed, 19 total
Snapshots:   0 total
Time:        1.451 s
Ran all test suites."""
JEST_GREEN = "Test Suites: 5 passed, 5 total\nTests:       18 passed, 18 total\nSnapshots:   3 passed, 3 total"
JEST_BROKEN = "Test Suites: 1 failed, 1 total\nTests:       0 total\nSnapshots:   0 total\nTime:        0.3 s"
VITEST = """\
 Test Files  1 failed | 3 passed (4)
      Tests  1 failed | 12 passed (13)
   Start at  14:08:12
   Duration  931ms (transform 17ms, setup 0ms, import 28ms, tests 10ms, environment 2ms)"""
MOCHA = "\n\n  12 passing (16ms)\n  3 failing\n\n  1) q\n       b:\n     Error: the number 1 was thrown"
GO = "--- FAIL: TestMean (0.00s)\nFAIL\nFAIL\texample.com/calc\t0.002s\nok  \texample.com/io\t0.1s\nFAIL"
CARGO = """\
    Finished `test` profile [unoptimized + debuginfo] target(s) in 2.46s
     Running unittests src/lib.rs (target/debug/deps/w-3465ff687fb6aeef)

running 9 tests
.........
test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/it.rs (target/debug/deps/it-1)
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests w
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s"""
CARGO_RED = """\
failures:
    tests::it_works

test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.12s

error: test failed, to rerun pass `--lib`"""


def check(tail: str, exit_code: int | None = 0) -> Check:
    return Check(where="head", exit_code=exit_code, seconds=1.0, tail=tail)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        pytest.param(check(PYTEST, 1), "8 failed", id="pytest-errors-count"),
        pytest.param(check(PYTEST_LONG, 1), "1 failed", id="pytest-longer-than-a-minute"),
        pytest.param(check(PYTEST_LONG), "200 passed", id="exit-0-decides"),
        pytest.param(check(PYTEST_QUIET), "2 passed", id="pytest-quiet"),
        pytest.param(check("1 passed, 2 subtests passed in 0.02s"), "1 passed", id="pytest-subtests"),
        pytest.param(check(PYTEST_NOTHING, 5), "failed (exit 5)", id="pytest-without-tests"),
        pytest.param(check(f"{UNITTEST}OK"), "12 passed", id="unittest"),
        pytest.param(check(f"{UNITTEST}OK (skipped=2)"), "10 passed", id="unittest-skips-are-not-passes"),
        pytest.param(check(f"{UNITTEST}FAILED (failures=1, errors=1)", 1), "2 failed", id="unittest-errors-count"),
        pytest.param(check(f"{UNITTEST}FAILED (errors=3)", 1), "3 failed", id="unittest-errors-only"),
        pytest.param(check(NODE, 1), "2 failed", id="node"),
        pytest.param(check(NODE_SPEC), "3 passed", id="node-spec"),
        pytest.param(check(f"{NODE_SPEC}\n\n/app/a.js\n  1:1  error  no-var\n", 1), "failed (exit 1)", id="then-lint"),
        pytest.param(check(JEST, 1), "1 failed", id="jest"),
        pytest.param(check(JEST_GREEN), "18 passed", id="jest-counts-tests-not-suites-or-snapshots"),
        pytest.param(check(JEST_BROKEN, 1), "failed (exit 1)", id="jest-could-not-load"),
        pytest.param(check(VITEST, 1), "1 failed", id="vitest"),
        pytest.param(check(VITEST), "12 passed", id="vitest-counts-tests-not-files"),
        pytest.param(check(MOCHA, 3), "3 failed", id="mocha"),
        pytest.param(check(GO, 1), "failed (exit 1)", id="go-counts-nothing"),
        pytest.param(check("ok  \texample.com/calc\t0.002s"), "passed", id="go"),
        pytest.param(check(CARGO), "13 passed", id="cargo-counts-all-programs"),
        pytest.param(check("x" * WHOLE_CHARACTERS + CARGO), "passed", id="cargo-some-cut-off"),
        pytest.param(check(CARGO_RED, 101), "2 failed", id="cargo-failed"),
        pytest.param(check("I saw 3 failed logins and 7 passed exams today.\n"), "passed", id="only-summaries-count"),
        pytest.param(check(""), "passed", id="silent"),
        pytest.param(check("boom", 2), "failed (exit 2)", id="silent-failure"),
        pytest.param(check("", None), "killed", id="killed"),
    ],
)
def test_a_run_is_told_by_its_exit_code_and_the_last_summary_it_printed(run: Check, words: str) -> None:
    assert result(run) == words


@pytest.mark.parametrize(
    ("receipt", "words"),
    [
        pytest.param(PASSED, "214 passed on base, 219 on head", id="both-passed"),
        pytest.param(
            Receipt(
                command="t", runs=(Check(where="base", exit_code=1, seconds=1.0, tail="1 failed"), check("2 passed"))
            ),
            "1 failed on base, 2 passed on head",
            id="fixed",
        ),
        pytest.param(Receipt(command="t", runs=(check("2 passed"),)), "2 passed on head", id="head-only"),
        pytest.param(Receipt(command=None, reason="it timed out"), "not run: it timed out", id="not-run"),
    ],
)
def test_a_verdict_compares_base_and_head(receipt: Receipt, words: str) -> None:
    assert verdict(receipt) == words
