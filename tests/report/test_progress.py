"""Where a job stands after each event, and the checklist made of it."""

import pytest

from bot.domain.conversation import Usage
from bot.domain.events import (
    BasePinned,
    BranchMoved,
    ContextRead,
    DiffShown,
    JobEvent,
    JobStarted,
    ModelAnswered,
    PullRequestOpened,
    ToolCalled,
    ToolReturned,
    Verified,
)
from bot.domain.job import Check, Receipt
from bot.report.progress import Action, progress
from bot.report.receipts import result, verdict
from bot.report.steps import checklist, current_step
from tests.report.samples import DIFF, PASSED, STATS, finished, log, running

STARTED = JobStarted(1, "m", 3.0)
SUBMITTED = DiffShown("d1", DIFF, STATS)
EDIT = ToolCalled("c9", "edit", "edit a.py")


def test_a_run_at_the_terminal_opens_no_pull_request() -> None:
    local: list[JobEvent] = [STARTED, BasePinned("HEAD", "a" * 40), SUBMITTED, Verified(PASSED)]
    assert "Open the pull request" not in checklist(progress(log(local)))
    assert "Open the pull request" in checklist(progress(log([STARTED, SUBMITTED, Verified(PASSED)])))


def test_a_whole_run_adds_up() -> None:
    so_far = progress(log(finished()))
    assert (so_far.state, so_far.turns, so_far.tool_calls, so_far.attempt) == ("finished", 2, 2, 1)
    assert so_far.usd == pytest.approx(0.04)
    assert so_far.usage == Usage(fresh=1_200, cache_write_5m=2_800, cache_read=20_600, output=2_400)
    assert so_far.seconds(now=99_999.0) == 150.0
    assert [head.head_sha[0] for head in so_far.heads] == ["1", "2"]


def test_a_setup_that_runs_is_a_step_of_its_own() -> None:
    """Before the sandbox is ready: the agent has not begun."""
    setting_up = log([STARTED, ToolCalled("s1", "setup", "run npm ci")])
    assert current_step(progress(setting_up)).plain == "Set up: npm ci"
    done = log([STARTED, ToolCalled("s1", "setup", "run npm ci"), ToolReturned("s1", "setup", True, "", 1.0)])
    assert current_step(progress(done)).plain == "Start the sandbox"


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    answers = [ModelAnswered(n, "m", "", Usage(), usd, 1.0) for n, usd in enumerate((0.1, None, 0.2), 1)]
    assert progress(log([STARTED, *answers])).usd is None


def test_only_the_latest_actions_are_kept_with_how_they_ended() -> None:
    calls = [ToolCalled(f"c{n}", "bash", f"bash step {n}") for n in range(9)]
    so_far = progress(log([STARTED, *calls, ToolReturned("c8", "bash", False, "", 2.0)]))
    assert [action.call_id for action in so_far.actions] == ["c3", "c4", "c5", "c6", "c7", "c8"]
    assert so_far.actions[-1] == Action(call_id="c8", tool="bash", title="bash step 8", ok=False, seconds=2.0)


@pytest.mark.parametrize(
    ("events", "line"),
    [
        pytest.param((), "- [ ] Start the sandbox", id="start"),
        pytest.param((ContextRead((), ""),), "- [x] Read the repository", id="nothing-found"),
        pytest.param(
            (ContextRead(("A.md", "B.md", "C.md", "D.md"), "make test"),),
            "- [x] Read A.md, B.md, C.md and 1 more file, found `make test`",
            id="many-files",
        ),
        pytest.param((EDIT,), "- [ ] Implement: editing `a.py`", id="editing"),
        pytest.param((ToolCalled("c", "bash", "ls -la"),), "- [ ] Implement: `ls -la`", id="a-title-without-a-verb"),
        pytest.param((EDIT, ToolReturned("c9", "edit", True, "", 0.1)), "- [ ] Implement\n", id="between-tools"),
        pytest.param((SUBMITTED,), "- [x] Implement", id="submitted"),
        pytest.param((ContextRead((), "make test"), SUBMITTED), "- [ ] Verify: running `make test`", id="checks-run"),
        pytest.param((SUBMITTED, Verified(PASSED), EDIT), "- [ ] Verify\n", id="edited-after-the-check"),
        pytest.param(
            (Verified(Receipt(command=None, reason="no test command found")),),
            "- [x] Verify: not run: no test command found",
            id="no-check",
        ),
    ],
)
def test_the_checklist_says_where_it_is(events: tuple[JobEvent, ...], line: str) -> None:
    assert line in checklist(progress(log([STARTED, *events])))


def test_the_current_step_is_the_first_that_is_not_done() -> None:
    assert current_step(progress(log(running()))).plain == "Implement: editing export/cli.py"
    assert current_step(progress(log(finished()))).plain == "Opened pull request 42"


def test_work_that_goes_on_is_pushed_to_the_pull_request_that_is_there() -> None:
    left = BranchMoved("backspace/12-aabbccdd", "1" * 40, created=False)
    assert "- [ ] Push to the pull request" in checklist(progress(log([STARTED, left])))
    pushed = PullRequestOpened(42, "https://github.com/acme/widget/pull/42", False, (), created=False)
    assert "- [x] Pushed to pull request 42" in checklist(progress(log([STARTED, left, pushed])))


def check(tail: str, exit_code: int | None = 0) -> Check:
    return Check(where="head", exit_code=exit_code, seconds=1.0, tail=tail)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        pytest.param(check("== 2 failed, 5 passed in 1s =="), "5 passed", id="exit-0-decides"),
        pytest.param(check("== 2 failed, 5 passed in 1s ==", 1), "2 failed", id="pytest"),
        pytest.param(check("Tests:       1 failed, 7 passed, 8 total", 1), "1 failed", id="jest"),
        pytest.param(check("# tests 3\n# pass 3\n# fail 0"), "3 passed", id="node"),
        pytest.param(check("  12 passing (40ms)"), "12 passed", id="mocha"),
        pytest.param(check("Ran 4 tests in 0.1s\n\nOK"), "4 passed", id="unittest"),
        pytest.param(check("FAILED (failures=2)", 1), "2 failed", id="unittest-failed"),
        pytest.param(check("test result: ok. 9 passed; 0 failed; 0 ignored"), "9 passed", id="cargo"),
        pytest.param(check(""), "passed", id="silent"),
        pytest.param(check("boom", 2), "failed (exit 2)", id="silent-failure"),
        pytest.param(check("", None), "killed", id="killed"),
    ],
)
def test_a_run_is_told_by_its_exit_code(run: Check, words: str) -> None:
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
