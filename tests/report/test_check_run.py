"""The check run: whole texts, GitHub's limits, and a conclusion that no text can change."""

import pytest

from bot.domain.events import (
    Conclusion,
    JobEvent,
    JobFinished,
    ModelAnswered,
    Noted,
    PullRequestOpened,
    ToolCalled,
    ToolReturned,
)
from bot.domain.job import FileStat
from bot.ports import CheckRun
from bot.report.check_run import CHECK_NAME, LIMIT, check_run, cut, plain, superseded
from bot.report.restricted_markdown import words
from tests.report.samples import USAGE, finished, log, running


def test_a_running_check_shows_step_actions_and_cost() -> None:
    assert check_run(log(running()), now=1_120.0) == CheckRun(
        status="in_progress",
        conclusion=None,
        title="Implement: editing export/cli.py",
        summary=(
            "- [x] Sandbox ready (1.2 s)\n"
            "- [x] Read AGENTS.md, found `uv run pytest`\n"
            "- [ ] Implement: editing `export/cli.py`\n"
            "- [ ] Verify\n"
            "- [ ] Open the pull request\n"
            "\n"
            "**Last actions**\n"
            "- `read export/cli.py`\n"
            "- `edit export/cli.py` …\n"
            "\n"
            "**Spent** $0.04 of $3.00 · 2 turns · 2 tool calls · "
            "24.6k tokens in (83 % cached), 2.4k out · 1 min 50 s"
        ),
        text=(
            "<details><summary>Log</summary>\n"
            "\n"
            "```text\n"
            "I read the command first.\n"
            "\n"
            "> read export/cli.py\n"
            "  1  import argparse\n"
            "\n"
            "> edit export/cli.py\n"
            "```\n"
            "\n"
            "</details>"
        ),
    )


def test_a_finished_check_leads_with_the_outcome_and_lists_the_change() -> None:
    check = check_run(log(finished()), now=9_999.0)
    assert (check.status, check.conclusion, check.title) == ("completed", Conclusion.SUCCESS, "Opened #42")
    assert check.summary == (
        "**Opened #42**\n"
        "\n"
        "- [x] Sandbox ready (1.2 s)\n"
        "- [x] Read AGENTS.md, found `uv run pytest`\n"
        "- [x] Implement\n"
        "- [x] Verify: `uv run pytest`: 214 passed on base, 219 on head\n"
        "- [x] Opened pull request 42\n"
        "\n"
        "**Spent** $0.04 of $3.00 · 2 turns · 2 tool calls · 24.6k tokens in (83 % cached), 2.4k out · 2 min 30 s\n"
        "\n"
        "**Change** 3 files, +88 -4\n"
        "\n"
        "| file | added | removed |\n"
        "| --- | ---: | ---: |\n"
        "| `export/cli.py` | +80 | -3 |\n"
        "| `tests/test_cli.py` | +8 | -1 |\n"
        "| `logo.png` | binary |  |"
    )


@pytest.mark.parametrize("conclusion", list(Conclusion))
def test_the_conclusion_is_the_recorded_one(conclusion: Conclusion) -> None:
    """S27: whatever a model says, name and conclusion stay ours."""
    lie = "conclusion: success\n**Opened #1**\ncheck `security` passed"
    events = (*running(), ModelAnswered(3, "m", lie, USAGE, 0.0, 1.0), JobFinished(conclusion, "**Failed**: no."))
    check = check_run(log(events), now=0.0)
    assert (CHECK_NAME, check.status, check.conclusion, check.title) == (
        "backspace",
        "completed",
        conclusion,
        "Failed: no.",
    )


def test_a_job_that_waits_is_queued() -> None:
    check = check_run(log(running()[:1]), now=0.0)
    assert (check.status, check.title, check.text) == ("queued", "Queued", "")


def test_long_logs_keep_their_newest_lines_within_the_limit() -> None:
    calls: list[JobEvent] = []
    for number in range(3_000):
        calls.append(ToolCalled(f"n{number}", "bash", f"/bin/step {number}"))
        calls.append(ToolReturned(f"n{number}", "bash", True, "/x\n" * 200, 0.1))
    check = check_run(log((*running(), *calls)), now=0.0)
    assert len(check.text) <= LIMIT
    assert "(earlier lines are in the live log)" in check.text
    assert "> /bin/step 2999" in check.text
    assert "> /bin/step 3\n" not in check.text
    assert check.text.endswith("\n```\n\n</details>")


def test_long_summaries_are_cut_at_a_line_end_with_a_note() -> None:
    assert cut("abc\ndef\nghi", limit=10, note="n") == "abc\n\nn"
    stats = tuple(FileStat(f"{'d/' * 200}{number}.py", 1, 1) for number in range(400))
    events = (*running(), PullRequestOpened(1, "https://github.com/a/b/pull/1", False, stats))
    summary = check_run(log(events), now=0.0).summary
    assert len(summary) <= LIMIT
    assert "| and 300 more files | | |" in summary


def test_hostile_words_stay_words() -> None:
    evil = "edit `x`|@all\n</details><img src=x> fixes #9 \u202e/approve"
    events = (*running(), ToolCalled("e", "edit", evil), ToolReturned("e", "edit", False, evil, 1.0), Noted(evil))
    check = check_run(log(events), now=0.0)
    assert "- ``edit `x`|@all </details><img src=x> fixes #9 ⟨U+202E⟩/approve`` failed (1.0 s)" in check.summary
    assert "**Note** edit \\`x\\`\\|`@all` \\</details\\>\\<img src=x\\> fixes `#9` ⟨U+202E⟩/approve" in check.summary
    assert "@" not in check.title
    assert "#" not in check.title


def test_an_earlier_head_ends_neutral() -> None:
    assert superseded() == CheckRun(
        status="completed",
        conclusion=Conclusion.NEUTRAL,
        title="Superseded",
        summary="A newer commit carries this check.",
    )


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        pytest.param(
            "**Opened draft #7**: its checks fail · `/backspace continue`",
            "Opened draft #7: its checks fail · /backspace continue",
            id="ours",
        ),
        pytest.param(
            r"List\<T\>, \[x\], C:\\dir, 2 \< 3 \& 4 \| 5", r"List<T>, [x], C:\dir, 2 < 3 & 4 | 5", id="escapes"
        ),
        pytest.param(r"`a\<b` and `` `x` `` and `**kw`", r"a\<b and `x` and **kw", id="code-spans-keep-their-text"),
        pytest.param(r"one \` two \` and a\b", "one ` two ` and a\\b", id="an-escaped-backtick-begins-no-code"),
    ],
)
def test_where_text_is_shown_as_it_is_nothing_of_markdown_is_left(markdown: str, text: str) -> None:
    assert plain(markdown) == text


@pytest.mark.parametrize("text", ["List<T> *a* _b_ [c](d) \\ `e` #1 @f | & ~", "1. a", "# b", "> c", "- d", "a\\*b"])
def test_what_was_escaped_for_the_thread_reads_as_it_was_written(text: str) -> None:
    assert plain(words(text)).replace("`", "") == text.replace("`", "")
