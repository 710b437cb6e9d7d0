"""Where a job stands after each event, and the checklist made of it."""

from dataclasses import replace

import pytest

from bot.domain.conversation import Usage
from bot.domain.events import (
    BasePinned,
    BranchMoved,
    Conclusion,
    ContextRead,
    DiffShown,
    JobEvent,
    JobFinished,
    JobStarted,
    ModelAnswered,
    PullRequestOpened,
    SandboxReady,
    ToolCalled,
    ToolReturned,
    Verified,
)
from bot.domain.job import Receipt
from bot.report.progress import Action, progress
from bot.report.steps import checklist, current_step
from tests.report.samples import DIFF, PASSED, STATS, finished, log, running

STARTED = JobStarted(1, "m", 3.0)
SUBMITTED = DiffShown("d1", DIFF, STATS)
END = JobFinished(Conclusion.TIMED_OUT, "**Stopped: the limit of 5 turns is reached**")
SANDBOX = SandboxReady("bubblewrap", 1.2)
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
            "- [ ] Verify: not run: no test command found",
            id="no-check",
        ),
        pytest.param(
            (Verified(Receipt(command="make", reason="the sandbox cannot run it")),),
            "- [ ] Verify: `make`: not run: the sandbox cannot run it",
            id="a-check-that-cannot-run",
        ),
    ],
)
def test_the_checklist_says_where_it_is(events: tuple[JobEvent, ...], line: str) -> None:
    assert line in checklist(progress(log([STARTED, *events])))


def test_the_current_step_is_the_first_that_is_not_done() -> None:
    assert current_step(progress(log(running()))).plain == "Implement: editing export/cli.py"
    assert current_step(progress(log(finished()))).plain == "Opened pull request 42"
    unchecked = progress(log([STARTED, SANDBOX, ContextRead((), ""), SUBMITTED, Verified(Receipt(command=None))]))
    assert current_step(unchecked).plain == "Open the pull request"


def test_work_that_goes_on_is_pushed_to_the_pull_request_that_is_there() -> None:
    left = BranchMoved("backspace/12-aabbccdd", "1" * 40, created=False)
    assert "- [ ] Push to the pull request" in checklist(progress(log([STARTED, left])))
    pushed = PullRequestOpened(42, "https://github.com/acme/widget/pull/42", False, (), created=False)
    assert "- [x] Pushed to pull request 42" in checklist(progress(log([STARTED, left, pushed])))


def test_work_that_was_stopped_half_way_is_not_ticked_off_though_its_draft_is_open() -> None:
    """Red when an open pull request, or a change that can be looked at, counts as work that is done: seen."""
    opened = PullRequestOpened(42, "https://github.com/acme/widget/pull/42", True, STATS)
    lines = checklist(progress(log([STARTED, SUBMITTED, opened, END]))).split("\n")
    assert lines[2:] == ["- [ ] Implement", "- [ ] Verify", "- [x] Opened pull request 42"]


def test_a_check_that_failed_is_over_without_a_tick() -> None:
    red = replace(PASSED, runs=(PASSED.runs[0], replace(PASSED.runs[1], exit_code=1, tail="2 failed")))
    lines = checklist(progress(log([STARTED, SUBMITTED, Verified(red)])))
    assert "- [ ] \u2717 Verify: `uv run pytest`: 214 passed on base, 2 failed on head" in lines
