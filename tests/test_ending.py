"""The end of a job in words: dry runs, drafts, and work that was stopped."""

from dataclasses import replace

import pytest

from bot.agent.outcome import Kind, Outcome
from bot.domain.conversation import Usage
from bot.domain.errors import ModelError
from bot.domain.events import Conclusion, JobFinished
from bot.domain.job import Change, Check, PullRequest, Receipt, Submission
from bot.ending import banner, ended, is_draft, shown, unfinished
from bot.report.wording import pull_request_title
from tests.report.samples import PASSED, PATCH, SUBMISSION, job

READY = Outcome(
    kind="submitted",
    conclusion=Conclusion.SUCCESS,
    message="The change is ready.",
    submission=SUBMISSION,
    patch=replace(PATCH, changes=(Change("a", "100644", b"new\n", "100644"),), diff="-old\n+new\n"),
    receipt=PASSED,
    turns=2,
    tool_calls=2,
    usage=Usage(),
    usd=0.0,
    nudges=0,
)
DRAFT = PullRequest(7, "https://github.com/acme/widget/pull/7", True, "a" * 40)
BASE, HEAD = PASSED.runs
RED = replace(HEAD, exit_code=1, tail="1 failed, 4 passed")
RED_BASE = replace(RED, where="base")
DIFF = "```diff\n-old\n+new\n```"


def failing(*runs: Check) -> Outcome:
    return replace(READY, conclusion=Conclusion.NEUTRAL, receipt=Receipt(command="make test", runs=runs))


def without_patch(kind: Kind, summary: str, conclusion: Conclusion) -> Outcome:
    said = Submission(outcome="blocked", title="t", summary=summary, testing="")
    return replace(READY, kind=kind, conclusion=conclusion, submission=said, patch=None)


BUSY = ModelError("anthropic", "Claude is overloaded.", retryable=True, remedy="retry", status=529)
NO_KEY = ModelError("anthropic", "Claude refused the API key.", remedy="next", status=401, for_operator=True)
STOPPED = replace(READY, kind="stopped", conclusion=Conclusion.TIMED_OUT, message="the limit of 60 turns is reached.")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        pytest.param(
            READY,
            "**Dry run**: nothing was pushed.\n\n"
            f"Checks: `uv run pytest`: 214 passed on base, 219 on head.\n\nThe patch:\n\n{DIFF}",
            id="patch",
        ),
        pytest.param(
            failing(BASE, RED),
            "**Dry run**: nothing was pushed.\n\n"
            "**Checks fail** on this change and did not fail on its base.\n\n"
            f"Checks: `make test`: 214 passed on base, 1 failed on head.\n\nThe patch:\n\n{DIFF}",
            id="failing-checks",
        ),
        pytest.param(
            STOPPED,
            f"**Dry run** · **Stopped: the limit of 60 turns is reached**\n\nNothing was pushed. "
            f"The patch so far:\n\n{DIFF}",
            id="stopped-with-a-patch",
        ),
        pytest.param(
            replace(STOPPED, patch=None),
            "**Dry run** · **Stopped: the limit of 60 turns is reached**",
            id="stopped-without",
        ),
        pytest.param(
            without_patch("blocked", "It understands:\n\n- a patch\n- a file", Conclusion.ACTION_REQUIRED),
            "**Dry run** · **Could not do it**\n\nIt understands:\n\n- a patch\n- a file",
            id="blocked-says-what-is-understood",
        ),
        pytest.param(
            without_patch("answered", "It does that already.", Conclusion.NEUTRAL),
            "**Dry run** · **Ended without a change**: It does that already.",
            id="answered",
        ),
    ],
)
def test_a_dry_run_shows_its_patch_or_why_there_is_none(outcome: Outcome, words: str) -> None:
    assert shown(job(), outcome) == JobFinished(outcome.conclusion, words)


def test_a_long_patch_is_cut_to_what_a_comment_holds() -> None:
    assert READY.patch is not None
    end = shown(job(), replace(READY, patch=replace(READY.patch, diff="+x\n" * 40_000)))
    assert len(end.message) < 60_000
    assert end.message.endswith("\n\nThe patch is cut here; the live log has all of it.")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        pytest.param(READY, "", id="ready"),
        pytest.param(
            STOPPED,
            "**Unfinished**: the limit of 60 turns is reached. `/backspace continue` on #12 goes on with it.",
            id="stopped",
        ),
        pytest.param(
            replace(STOPPED, message="$2.50 of $2.50 is used."),
            "**Unfinished**: $2.50 of $2.50 is used. `/backspace continue --budget 2.50` on #12 goes on with it.",
            id="out-of-money",
        ),
        pytest.param(
            replace(STOPPED, message=NO_KEY.message, setback=NO_KEY),
            "**Unfinished**: Claude refused the API key. Whoever runs this bot has to change that; until then asking "
            "again will not help.",
            id="nobody-but-the-operator-can-help",
        ),
        pytest.param(
            replace(STOPPED, message=BUSY.message, setback=BUSY),
            "**Unfinished**: Claude is overloaded. Asking again later can help. `/backspace continue` on #12 goes on "
            "with it.",
            id="the-model-was-busy",
        ),
        pytest.param(
            failing(BASE, RED),
            "**Checks fail** on this change and did not fail on its base. "
            "`/backspace continue` on #12 goes on with it.",
            id="base-passed",
        ),
        pytest.param(
            failing(RED_BASE, RED), "**Checks fail** on this change, as on its base.", id="base-fails-in-the-same-way"
        ),
        pytest.param(
            failing(RED_BASE, replace(RED, tail="2 failed, 3 passed")),
            "**Checks fail** on this change, more than on its base. `/backspace continue` on #12 goes on with it.",
            id="base-fails-less",
        ),
        pytest.param(
            failing(RED),
            "**Checks fail** on this change; they could not be run on its base, so they may have failed before. "
            "`/backspace continue` on #12 goes on with it.",
            id="base-unknown",
        ),
    ],
)
def test_a_pull_request_says_what_is_wrong_with_it(outcome: Outcome, words: str) -> None:
    assert banner(outcome, job=job(), budget_usd=2.5) == words


def test_the_last_sentence_of_a_draft_with_failing_checks_names_them() -> None:
    said = ended(job(), failing(BASE, RED), DRAFT, budget_usd=3.0).message
    assert said == "**Opened draft #7**: its checks fail · `/backspace continue` goes on with it"
    assert ended(job(), READY, DRAFT, budget_usd=3.0).message == "**Opened draft #7**"


def test_work_that_a_model_ended_says_whether_asking_again_can_help() -> None:
    later = replace(STOPPED, message=BUSY.message, setback=BUSY, patch=None)
    said = ended(job(), later, None, budget_usd=3.0).message
    assert said == "**Stopped: Claude is overloaded**\n\nAsking again later can help."
    odd = ModelError("anthropic", "Claude did not accept the request.", remedy="stop", status=400)
    said = ended(job(), replace(STOPPED, message=odd.message, setback=odd), DRAFT, budget_usd=3.0).message
    assert "/backspace continue" not in said
    never = replace(STOPPED, message=NO_KEY.message, setback=NO_KEY)
    said = ended(job(), never, DRAFT, budget_usd=3.0).message
    assert said == (
        "**Stopped: Claude refused the API key** · what there is, is in draft #7\n\n"
        "Whoever runs this bot has to change that; until then asking again will not help."
    )


def test_a_change_that_fails_as_its_base_does_is_no_draft_and_says_so() -> None:
    opened = replace(DRAFT, draft=False)
    said = ended(job(), failing(RED_BASE, RED), opened, budget_usd=3.0).message
    assert said == "**Opened #7**: its checks fail, as on its base"
    assert not is_draft(failing(RED_BASE, RED))


def test_our_own_title_reads_as_it_was_written() -> None:
    assert pull_request_title(unfinished(job())) == "Unfinished work on issue 12"
