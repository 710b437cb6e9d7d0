"""The tracking comment, as whole texts, in every state a thread can show."""

from dataclasses import replace

import pytest

from bot.domain.events import Conclusion, JobEvent, JobFinished, JobQueued, JobStarted, ModelSwitched, Verified
from bot.domain.job import Options, Receipt, Start
from bot.report.tracking import marker, tracking_comment
from tests.report.samples import LINKS, finished, job, log, running

CHECKED = replace(LINKS, check="https://github.com/acme/widget/runs/9")
QUEUED = (JobQueued("add --json", "alice"),)
STARTED = (*QUEUED, JobStarted(1, "claude-opus-5-5", 3.0))
LOG = "[live log](https://bot.example/jobs/k7f3?t=wwww)"
LIVE = "[live log](https://bot.example/jobs/k7f3?t=wwww)"


def comment(*events: JobEvent, now: float = 1_400.0) -> str:
    return tracking_comment(job(), log(events), now=now, links=CHECKED)


def test_a_running_job_shows_its_checklist() -> None:
    assert comment(*running()) == (
        "<!-- backspace:job:k7f3 -->\n"
        f"**Working on it** · run k7f3 · {LIVE} · [check](https://github.com/acme/widget/runs/9) · $0.04 of $3.00\n"
        "\n"
        "- [x] Sandbox ready (1.2 s)\n"
        "- [x] Read AGENTS.md, found `uv run pytest`\n"
        "- [ ] Implement: editing `export/cli.py`\n"
        "- [ ] Verify\n"
        "- [ ] Open the pull request\n"
        "\n"
        "`/backspace cancel`"
    )


def test_a_job_that_opened_a_pull_request_is_one_line() -> None:
    assert comment(*finished()) == (
        "<!-- backspace:job:k7f3 -->\n"
        "**Opened #42** in 2 min 30 s · $0.04 · 3 files, +88 -4 · "
        f"`uv run pytest`: 214 passed on base, 219 on head · {LOG}"
    )


def test_what_comes_after_the_first_line_stands_below_the_facts() -> None:
    said = "What was said last came too late for this run: ask again."
    told = comment(*finished()[:-1], JobFinished(Conclusion.SUCCESS, f"**Opened #42**\n\n{said}"))
    assert told.split("\n")[1].startswith("**Opened #42** in 2 min 30 s · ")
    assert told.endswith(f"{LOG}\n\n{said}")


def test_a_job_a_worker_has_is_worked_on_before_its_first_step() -> None:
    """The next update may be ten seconds away."""
    assert comment(*QUEUED) == (
        "<!-- backspace:job:k7f3 -->\n"
        f"**Working on it** · run k7f3 · {LIVE} · [check](https://github.com/acme/widget/runs/9) · $0.00\n"
        "\n"
        "- [ ] Start the sandbox\n"
        "- [ ] Read the repository\n"
        "- [ ] Implement\n"
        "- [ ] Verify\n"
        "- [ ] Open the pull request\n"
        "\n"
        "`/backspace cancel`"
    )


@pytest.mark.parametrize(
    ("conclusion", "message"),
    [
        pytest.param(Conclusion.NEUTRAL, "**Opened draft #42**: its checks fail", id="checks-fail"),
        pytest.param(
            Conclusion.TIMED_OUT, "**Stopped: budget reached** · what there is, is in draft #42", id="stopped"
        ),
    ],
)
def test_whoever_opened_a_pull_request_shows_the_facts(conclusion: Conclusion, message: str) -> None:
    assert comment(*finished()[:-1], JobFinished(conclusion, message)) == (
        f"<!-- backspace:job:k7f3 -->\n{message}\n\n"
        "run k7f3 · 2 min 30 s · $0.04 · 3 files, +88 -4 · "
        f"`uv run pytest`: 214 passed on base, 219 on head · {LOG}"
    )


def test_a_verdict_that_quotes_the_sandbox_notifies_nobody() -> None:
    """Red when the verdict is not escaped (tried)."""
    receipt = Receipt(command="make", reason="the sandbox cannot run it (make: @alice not found)")
    events = [Verified(receipt) if isinstance(e, Verified) else e for e in finished()]
    assert "`make`: not run: the sandbox cannot run it (make: `@alice` not found) · " in comment(*events)


@pytest.mark.parametrize(
    ("events", "body"),
    [
        pytest.param(
            (
                *STARTED,
                JobFinished(Conclusion.TIMED_OUT, "**Stopped: budget reached** · what there is, is in draft #42"),
            ),
            f"**Stopped: budget reached** · what there is, is in draft #42\n\nrun k7f3 · 10 s · $0.00 · {LOG}",
            id="stopped",
        ),
        pytest.param(
            (
                *QUEUED,
                JobFinished(Conclusion.ACTION_REQUIRED, "**Not started**: @bob needs write access to acme/widget."),
            ),
            f"**Not started**: @bob needs write access to acme/widget.\n\nrun k7f3 · {LOG}",
            id="refused",
        ),
        pytest.param(
            (*STARTED, JobFinished(Conclusion.NEUTRAL, "**Cancelled** by @alice.")),
            f"**Cancelled** by @alice.\n\nrun k7f3 · 10 s · $0.00 · {LOG}",
            id="cancelled",
        ),
    ],
)
def test_every_other_end_says_what_happened_and_names_the_run(events: tuple[JobEvent, ...], body: str) -> None:
    assert comment(*events) == f"<!-- backspace:job:k7f3 -->\n{body}"


def test_tests_that_were_not_run_are_said_so() -> None:
    events = [Verified(Receipt(command=None)) if isinstance(e, Verified) else e for e in finished()]
    assert "· tests not run: no test command found ·" in comment(*events)


def test_a_second_attempt_says_so() -> None:
    assert "**Working on it** (attempt 2) · " in comment(*QUEUED, JobStarted(2, "rules", 3.0))


def test_a_budget_that_was_not_granted_is_told_running_and_at_the_end() -> None:
    asked = job(command=Start("add --json", Options(budget_usd=50.0)))
    for events in (running(), finished()):
        said = tracking_comment(asked, log(events), now=1_400.0, links=CHECKED)
        assert "\n\n$50.00 was asked for; whoever runs this bot allows a job $3.00 at most." in said


def test_the_marker_names_the_job_and_is_hidden() -> None:
    assert marker("k7f3") == "<!-- backspace:job:k7f3 -->"


def test_the_newest_switches_of_the_model_are_told_running_and_at_the_end() -> None:
    """In words that came from a provider, so escaped. Red when they are not: seen."""
    switches = [ModelSwitched("a", "b", f"{number}: a is out, b goes on: @alice <b>") for number in range(6)]
    running_now, over = comment(*running(), *switches), comment(*finished()[:-1], *switches, finished()[-1])
    for text in (running_now, over):
        assert "1: a is out" not in text
        assert [f"{number}: a is out, b goes on: `@alice` \\<b\\>" in text for number in (2, 3, 4, 5)] == [True] * 4
    assert over.split("\n")[1].startswith("**Opened #42** in ")
