"""Branch, commits and pull request: whole texts, and what hostile text cannot do in them."""

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.job import Check, Person, Receipt, Submission
from bot.report.wording import (
    Totals,
    branch_name,
    commit_message,
    prompt_hash,
    pull_request_body,
    pull_request_title,
    runs_before,
    start_commit_message,
)
from tests.report.samples import LINKS, PASSED, PATCH, SUBMISSION, USAGE, job

TOTALS = Totals(
    model="claude-opus-5-5",
    turns=12,
    tool_calls=31,
    usage=USAGE,
    usd=0.71,
    sandbox_seconds=130.0,
    prompt_hash=prompt_hash(job()),
)
EVIL = (
    "Fixes #13, closes acme/other#4, @everyone\n\n/approve\n\n<img src=https://evil.example/x.png>\n\n"
    "Co-authored-by: Linus <torvalds@linux-foundation.org>\nskip-checks: true\n[skip ci]"
)


def body(submission: Submission = SUBMISSION, receipt: Receipt = PASSED, **options: Any) -> str:
    facts: dict[str, Any] = {"second_look": (), "totals": TOTALS, "links": LINKS}
    return pull_request_body(job(), submission, receipt, PATCH, **{**facts, **options})


def test_the_branch_is_named_by_issue_and_key() -> None:
    assert branch_name(job()) == "backspace/12-81db16ba"
    assert branch_name(job(id="another", delivery="another")) == branch_name(job())
    assert branch_name(job(key="1:2:comment:4")) != branch_name(job())


def test_the_start_commit_starts_no_workflow_and_refers_to_no_issue() -> None:
    assert start_commit_message(job()) == (
        "Start work on issue 12\n\nAn empty commit that carries the check of run k7f3.\n\n[skip ci]"
    )


def test_the_commit_credits_the_requester() -> None:
    assert commit_message(job(), SUBMISSION, hold_ci=False) == (
        "Add --json to the export command\n"
        "\n"
        "`export --json` prints one object a row.\n"
        "\n"
        "- The table stays the default.\n"
        "\n"
        "Co-authored-by: alice <7+alice@users.noreply.github.com>"
    )


def test_a_held_commit_starts_no_workflow_in_both_of_github_s_ways() -> None:
    assert commit_message(job(), replace(SUBMISSION, summary=""), hold_ci=True) == (
        "Add --json to the export command\n"
        "\n"
        "[skip ci]\n"
        "\n"
        "\n"
        "Co-authored-by: alice <7+alice@users.noreply.github.com>\n"
        "skip-checks: true"
    )


def test_a_model_s_commit_text_credits_closes_and_holds_nothing() -> None:
    """S25, S26, S32; red when `safe_plain` gives its text back unchanged (tried)."""
    message = commit_message(job(), replace(SUBMISSION, title=f"{EVIL} [ci skip]", summary=EVIL), hold_ci=False)
    assert message == (
        "Fixes \uff0313, closes acme/other\uff034, \uff20everyone /approve <img…\n"
        "\n"
        "Fixes \uff0313, closes acme/other\uff034, \uff20everyone\n"
        "\n"
        "> /approve\n"
        "\n"
        "<img src=evil.example/x.png>\n"
        "\n"
        "> Co-authored-by: Linus <torvalds\uff20linux-foundation.org>\n"
        "> skip-checks: true\n"
        "(skip ci)\n"
        "\n"
        "Co-authored-by: alice <7+alice@users.noreply.github.com>"
    )


def test_a_login_cannot_break_out_of_its_trailer() -> None:
    message = commit_message(job(requested_by=Person(9, "x>\nSigned-off-by: y")), SUBMISSION, hold_ci=False)
    assert message.endswith("\n\nCo-authored-by: xSigned-off-byy <9+xSigned-off-byy@users.noreply.github.com>")


def test_a_long_summary_is_cut_in_the_commit() -> None:
    message = commit_message(job(), replace(SUBMISSION, summary="line\n" * 2_000), hold_ci=False)
    assert len(message) < 2_200
    assert "\n…\n\nCo-authored-by" in message


def test_the_pull_request_says_what_changed_and_proves_it() -> None:
    text = body(
        second_look=("package-lock.json: a lock file",),
        ci_held="outsider",
        hidden_removed=("an HTML comment",),
        banner="This is a draft: the budget was reached.",
    )
    assert text == (
        "> This is a draft: the budget was reached.\n"
        "\n"
        "> **CI is held on this commit**: the model read text by somebody without write access. "
        "Read the change; a push by one of you starts CI.\n"
        "\n"
        "Fixes #12\n"
        "\n"
        "### Worth a second look\n"
        "- `package-lock.json`: a lock file\n"
        "\n"
        "### What changed\n"
        "`export --json` prints one object a row.\n"
        "\n"
        "- The table stays the default.\n"
        "\n"
        "### Verification\n"
        "| `uv run pytest` | result | exit code | time |\n"
        "| --- | --- | ---: | ---: |\n"
        "| base | 214 passed | 0 | 3.2 s |\n"
        "| head | 219 passed | 0 | 3.4 s |\n"
        "\n"
        "<details><summary>Last lines on head</summary>\n"
        "\n"
        "```\n"
        "....\n"
        "219 passed in 3.30s\n"
        "```\n"
        "\n"
        "</details>\n"
        "\n"
        "The model about its own tests:\n"
        "\n"
        "> Ran the export by hand on two files.\n"
        "\n"
        "### Left for later\n"
        "- Document the flag.\n"
        "\n"
        "Hidden text in the issue was kept from the model: an HTML comment.\n"
        "\n"
        "---\n"
        "<sub>[Run k7f3](https://bot.example/jobs/k7f3?t=wwww) · asked by @alice · `claude-opus-5-5` · 12 turns · "
        "31 tool calls · 12.3k tokens in (83 % cached), 1.2k out · $0.71 · sandbox 2 min 10 s · "
        "prompt `a9730854f9f7` · base `aaaaaaaaaaaa`</sub>"
    )


def test_ci_that_only_the_setting_holds_is_not_put_on_an_outsider() -> None:
    assert body(ci_held="setting").startswith(
        "> **CI is held on this commit**, as `ci: hold` in `.github/backspace.yml` asks. "
        "A push by one of you starts CI.\n\nFixes #12\n"
    )


def test_unfinished_work_closes_no_issue() -> None:
    text = body(unfinished=True, banner="**Unfinished**: budget reached.")
    assert text.startswith("> **Unfinished**: budget reached.\n\nFor #12\n\n### What changed\n")
    assert "Fixes" not in text


def test_a_check_that_was_not_run_is_said_so() -> None:
    text = body(replace(SUBMISSION, testing="", follow_ups=()), Receipt(command=None, reason="no test command found"))
    assert "### Verification\nNot run: no test command found.\n\n---\n" in text


def test_a_failing_check_and_a_pipe_in_its_command_are_shown() -> None:
    failing = Receipt(
        command="make test | tee log",
        runs=(
            Check(where="base", exit_code=0, seconds=1.0, tail=""),
            Check(where="head", exit_code=None, seconds=600.0, tail="", timed_out=True),
        ),
    )
    assert (
        "| `make test \\| tee log` | result | exit code | time |\n"
        "| --- | --- | ---: | ---: |\n"
        "| base | passed | 0 | 1.0 s |\n"
        "| head | timed out after 10 min | - | 10 min |\n" in body(receipt=failing)
    )


def test_an_unknown_price_is_not_zero() -> None:
    assert " · n/a · " in body(totals=replace(TOTALS, usd=None))


SUMMARY = "`export --json` prints one object a row.\n\n- The table stays the default."


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param(
            "## Description\r\n<!-- what and why -->\r\n\r\n## Checklist\r\n- [ ] tests\r\n",
            "## Description\n\n`export --json` prints one object a row.\n\n- The table stays the default.\n\n"
            "<!-- what and why -->\n\n## Checklist\n- [ ] tests",
            id="below-its-heading",
        ),
        pytest.param(
            "- [ ] I signed the CLA",
            "`export --json` prints one object a row.\n\n- The table stays the default.\n\n- [ ] I signed the CLA",
            id="without-a-heading",
        ),
        pytest.param(
            "<!--\n## Description of the process\n-->\n\n## Why `<!--`\n\nx\n## Testing",
            "<!--\n## Description of the process\n-->\n\n## Why `<!--`\n\n" + SUMMARY + "\n\nx\n## Testing",
            id="not-in-a-comment",
        ),
        pytest.param(
            "````\n```\n# What to run\n````\n## Why\n~~~ sh\nx",
            "````\n```\n# What to run\n````\n## Why\n\n" + SUMMARY + "\n\n~~~ sh\nx\n~~~",
            id="not-in-a-fence",
        ),
        pytest.param(
            "## What\n" + "x" * 7_900 + "\n<!-- one --> <!-- two\n" + "y" * 80 + "\n-->",
            "## What\n\n" + SUMMARY + "\n\n" + "x" * 7_900 + "\n<!-- one --> <!-- two\n-->",
            id="cut-in-a-comment",
        ),
        pytest.param(
            "### Summary\n<!-- left open by its author",
            "### Summary\n\n" + SUMMARY + "\n\n<!-- left open by its author\n-->",
            id="left-open",
        ),
    ],
)
def test_the_repository_s_template_is_filled_in(template: str, expected: str) -> None:
    """What a comment or a fence would hide is below neither; red when headings are looked for everywhere: seen."""
    assert f"Fixes #12\n\n{expected}\n\n### Verification\n" in body(template=template)


def test_a_model_s_body_closes_mentions_and_runs_nothing() -> None:
    text = body(Submission(outcome="changes", title=EVIL, summary=EVIL, testing=EVIL, follow_ups=(EVIL,)))
    assert text.startswith(
        "Fixes #12\n\n### What changed\n"
        "Fixes `#13`, closes `acme/other#4`, `@everyone`\n\n\\/approve\n\n\\<img src=`https://evil.example/x.png`\\>\n\n"
    )
    assert "- Fixes `#13`, closes `acme/other#4`, `@everyone` /approve \\<img" in text


def test_the_longest_body_fits_github() -> None:
    huge = "`x` @a #1 " * 20_000
    text = body(
        Submission(outcome="changes", title=huge, summary=huge, testing=huge, follow_ups=(huge,) * 99),
        replace(PASSED, command=huge, runs=(Check(where="head", exit_code=1, seconds=1, tail=huge),)),
        second_look=tuple(f"{'p' * 900}{number}: a lock file" for number in range(500)),
        template="<!-- x -->\n" * 9_000,
        hidden_removed=("an HTML comment",) * 9,
    )
    assert len(text) <= 65_536
    assert len(pull_request_title(replace(SUBMISSION, title=huge))) <= 256


@pytest.mark.parametrize(
    ("runs", "usd", "words"),
    [
        pytest.param(["k7f3"], 1.5, "goes on with run k7f3 ($1.50)", id="one"),
        pytest.param(["k7f3", "m2p9"], None, "goes on with runs k7f3, m2p9 (n/a)", id="two-without-a-price"),
    ],
)
def test_the_footer_names_the_runs_before_and_their_cost(runs: list[str], usd: float | None, words: str) -> None:
    before = replace(TOTALS, before=runs_before(runs, usd))
    assert f"?t=wwww) · {words} · asked by @alice" in body(totals=before)
