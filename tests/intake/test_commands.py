"""What counts as a command, and what it asks for."""

import time

import pytest

from bot.domain.job import (
    Approve,
    Cancel,
    Command,
    Continue,
    Help,
    Options,
    Plan,
    Retry,
    Start,
    Status,
    Unclear,
    Undo,
)
from bot.intake.commands import NO_PROMPT, PROMPT_LIMIT, command_in

FIX = Start("fix it")
DIFF = "```diff\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n \n```"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        pytest.param("/backspace fix it", FIX, id="a-prompt"),
        pytest.param("Thanks!\n\n/backspace fix it", FIX, id="not-on-the-first-line"),
        pytest.param("/backspace fix it\r\n", FIX, id="browser-line-end"),
        pytest.param("   /backspace fix it", FIX, id="three-spaces-before"),
        pytest.param("/backspace \t  fix it", FIX, id="much-space-between"),
        pytest.param("/backspace\u00a0fix it", FIX, id="no-break-space-between"),
        pytest.param("/BackSpace fix it", FIX, id="any-case"),
        pytest.param("/backspace: fix it", FIX, id="colon"),
        pytest.param("/backspace, fix it", FIX, id="comma"),
        pytest.param("/backspace\nfix it", FIX, id="prompt-below"),
        pytest.param("/backspace\n\n\nfix it\n\n", FIX, id="prompt-further-below"),
        pytest.param("/backspace one\n/backspace two", Start("one\n/backspace two"), id="the-first-counts"),
        pytest.param("/backspace fix `a`\n\n- b\n  - c", Start("fix `a`\n\n- b\n  - c"), id="markdown-below"),
        pytest.param(f"/backspace apply this\n\n{DIFF}\n", Start(f"apply this\n\n{DIFF}"), id="patch-word-for-word"),
        pytest.param(
            f"/backspace apply this\n\n{DIFF}\n".replace("\n", "\r\n"),
            Start(f"apply this\n\n{DIFF}"),
            id="patch-sent-by-a-browser",
        ),
        pytest.param("/backspace a\n```\nb\r\n```", Start("a\n```\nb\r\n```"), id="mixed-line-ends-stay"),
        pytest.param("/backspace a\u2028b", Start("a\u2028b"), id="line-separator-in-the-prompt"),
        pytest.param("/backspace \u2764\ufe0f the docs", Start("\u2764\ufe0f the docs"), id="emoji"),
        pytest.param("/backspace fix /backspace", Start("fix /backspace"), id="its-own-name-in-the-prompt"),
        pytest.param("`<!--` starts one\n/backspace fix it", FIX, id="comment-sign-in-a-code-span"),
        pytest.param("<!-- a --> text <!-- b -->\n/backspace fix it", FIX, id="after-closed-html-comments"),
        pytest.param("<!--\n/backspace no\n-->\n/backspace fix it", FIX, id="after-a-long-html-comment"),
        pytest.param("```\n/backspace no\n```\n/backspace fix it", FIX, id="after-a-fence"),
        pytest.param("````\n```\n/backspace no\n````\n/backspace fix it", FIX, id="after-a-longer-fence"),
        pytest.param("```a`b```\n/backspace fix it", FIX, id="backticks-that-are-no-fence"),
        pytest.param("> /backspace no\n\n/backspace fix it", FIX, id="after-a-quote"),
        pytest.param("/backspace plan fix it", Plan("fix it"), id="plan"),
        pytest.param("/backspace plan\nfix it", Plan("fix it"), id="plan-below"),
        pytest.param("/backspace approve", Approve(), id="approve"),
        pytest.param("/backspace cancel", Cancel(), id="cancel"),
        pytest.param("/backspace Cancel!\nThanks anyway.", Cancel(), id="cancel-politely"),
        pytest.param("/backspace retry", Retry(), id="retry"),
        pytest.param("/backspace continue", Continue(), id="continue"),
        pytest.param("/backspace undo", Undo(), id="undo"),
        pytest.param("/backspace status?", Status(), id="status"),
        pytest.param("/backspace help", Help(), id="help"),
        pytest.param("/backspace -- help the parser", Start("help the parser"), id="a-prompt-like-a-command"),
        pytest.param("/backspace -- statsu", Start("statsu"), id="a-prompt-nearly-like-a-command"),
        pytest.param("/backspace --draft -- statsu", Start("statsu", Options(draft=True)), id="and-a-flag"),
        pytest.param("/backspace statsu is misspelt", Start("statsu is misspelt"), id="more-than-one-word"),
        pytest.param("/backspace plan statsu", Plan("statsu"), id="a-plan-of-one-word"),
        pytest.param("/backspace refactor", Start("refactor"), id="one-word-that-is-none"),
        pytest.param("/backspace test", Start("test"), id="another"),
        pytest.param("/backspace helpful errors", Start("helpful errors"), id="a-longer-word"),
        pytest.param("/backspace 'plan'", Start("'plan'"), id="a-quoted-word"),
    ],
)
def test_a_reader_would_take_it_for_a_command(text: str, command: Command) -> None:
    assert command_in(text) == command


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("please /backspace fix it", id="in-the-middle-of-a-line"),
        pytest.param("> /backspace fix it", id="quoted"),
        pytest.param("  >/backspace fix it", id="quoted-without-space"),
        pytest.param("> > /backspace fix it", id="quoted-twice"),
        pytest.param("```\n/backspace fix it\n```", id="fenced"),
        pytest.param("~~~sh\n/backspace fix it\n~~~", id="fenced-with-tildes"),
        pytest.param("```\n/backspace fix it", id="fence-never-closed"),
        pytest.param("- ```\n  /backspace fix it\n  ```", id="fenced-in-a-list"),
        pytest.param("    /backspace fix it", id="indented-code"),
        pytest.param("\t/backspace fix it", id="indented-by-a-tab"),
        pytest.param("`/backspace fix it`", id="code-span"),
        pytest.param("- /backspace fix it", id="list-item"),
        pytest.param("**/backspace** fix it", id="bold"),
        pytest.param("<!-- /backspace fix it -->", id="html-comment"),
        pytest.param("<!--\n/backspace fix it\n-->", id="html-comment-of-three-lines"),
        pytest.param("Hello <!--\n/backspace fix it\n-->", id="html-comment-after-text"),
        pytest.param("<!-- a --> <!--\n/backspace fix it\n-->", id="second-html-comment"),
        pytest.param("<!--\n/backspace fix it", id="html-comment-never-closed"),
        pytest.param("<pre>\n/backspace fix it\n</pre>", id="preformatted"),
        pytest.param("<STYLE>\n/backspace fix it\n</STYLE>", id="style"),
        pytest.param("/backspacefix it", id="no-space"),
        pytest.param("/backspaces fix it", id="longer-word"),
        pytest.param("/backspace/fix it", id="a-path"),
        pytest.param("/backspace-bot fix it", id="another-bot"),
        pytest.param("//backspace fix it", id="two-slashes"),
        pytest.param("\\/backspace fix it", id="escaped"),
        pytest.param("/ backspace fix it", id="space-inside"),
        pytest.param("\uff0fbackspace fix it", id="full-width-slash"),
        pytest.param("\u2215backspace fix it", id="division-slash"),
        pytest.param("/bac\u212aspace fix it", id="kelvin-sign"),
        pytest.param("/back\u017fpace fix it", id="long-s"),
        pytest.param("/b\u0430ckspace fix it", id="cyrillic-a"),
        pytest.param("/back\u00adspace fix it", id="soft-hyphen"),
        pytest.param("\u200b/backspace fix it", id="zero-width-space-before"),
        pytest.param("\u202e/backspace fix it", id="direction-override-before"),
        pytest.param("hello\u2028/backspace fix it", id="after-a-line-separator"),
        pytest.param("hello\x0b/backspace fix it", id="after-a-vertical-tab"),
        pytest.param("hello\x0c/backspace fix it", id="after-a-form-feed"),
        pytest.param("hello\x85/backspace fix it", id="after-a-next-line"),
        pytest.param("hello\r/backspace fix it", id="after-a-lone-carriage-return"),
        pytest.param("/backspace\u3000fix it", id="ideographic-space"),
    ],
)
def test_a_reader_would_not_take_it_for_a_command(text: str) -> None:
    assert command_in(text) is None


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        pytest.param("--model claude-sonnet-4-5", Options(model="claude-sonnet-4-5"), id="model"),
        pytest.param("--model=openai/gpt-5:beta@1", Options(model="openai/gpt-5:beta@1"), id="model-with-equals"),
        pytest.param("--budget 5", Options(budget_usd=5.0), id="budget"),
        pytest.param("--budget=$2.50", Options(budget_usd=2.5), id="budget-in-dollars"),
        pytest.param("--draft", Options(draft=True), id="draft"),
        pytest.param("--dry-run", Options(dry_run=True), id="dry-run"),
        pytest.param("--new", Options(new=True), id="new"),
        pytest.param("--base release/1.x", Options(base="release/1.x"), id="base"),
        pytest.param("\u2014draft", Options(draft=True), id="long-dash-of-a-phone"),
        pytest.param("\u2013budget 1", Options(budget_usd=1.0), id="short-dash-of-a-phone"),
        pytest.param(
            "--draft  --dry-run --budget 0.01 --base main --model m",
            Options(model="m", budget_usd=0.01, draft=True, dry_run=True, base="main"),
            id="all",
        ),
    ],
)
def test_flags_stand_before_the_prompt_or_the_word_plan(flags: str, options: Options) -> None:
    assert command_in(f"/backspace {flags} fix it") == Start("fix it", options)
    assert command_in(f"/backspace {flags} -- --fix it") == Start("--fix it", options)
    assert command_in(f"/backspace plan {flags}\nfix it") == Plan("fix it", options)
    assert command_in(f"/backspace {flags} plan fix it") == Plan("fix it", options)


def test_flags_after_the_prompt_begins_belong_to_it() -> None:
    assert command_in("/backspace add --draft to the cli") == Start("add --draft to the cli")


@pytest.mark.parametrize(
    ("written", "command"),
    [
        pytest.param("statsu", "status", id="swapped"),
        pytest.param("canel", "cancel", id="missing"),
        pytest.param("cancell", "cancel", id="doubled"),
        pytest.param("hlep", "help", id="short"),
        pytest.param("Aprove!", "approve", id="any-case"),
        pytest.param("--draft continu", "continue", id="after-a-flag"),
        pytest.param("\nundoo", "undo", id="below"),
        pytest.param("Stop!", "cancel", id="another-word-for-it"),
    ],
)
def test_one_word_that_is_nearly_a_command_starts_nothing(written: str, command: str) -> None:
    word = written.split()[-1]
    assert command_in(f"/backspace {written}") == Unclear(
        f"`{word}` is no command: did you mean `/backspace {command}`? Write `/backspace -- {word}` if it is a prompt."
    )


def test_continue_takes_a_budget_and_a_model() -> None:
    assert command_in("/backspace continue --budget 5") == Continue(Options(budget_usd=5.0))
    assert command_in("/backspace continue --draft") == Unclear(
        "`/backspace continue` takes the flags `--model` and `--budget` only."
    )


BUDGET = "an amount in dollars such as 5 or 2.50, below 10,000"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", NO_PROMPT, id="nothing-asked"),
        pytest.param(" --draft", NO_PROMPT, id="flags-only"),
        pytest.param(" plan", NO_PROMPT, id="nothing-to-plan"),
        pytest.param(" \u200b\u00ad", NO_PROMPT, id="invisible-characters-only"),
        pytest.param(" --draft --draft x", "The flag `--draft` is there twice: keep one.", id="flag-twice"),
        pytest.param(" --draft=yes x", "The flag `--draft` takes no value.", id="switch-with-value"),
        pytest.param(
            " --fast x",
            "I do not know the flag `--fast`: there are `--model`, `--budget`, `--base`, `--draft`, `--dry-run`, "
            "`--new`; write `--` before a prompt that starts with dashes.",
            id="unknown-flag",
        ),
        pytest.param(" --budget nan x", f"The flag `--budget` needs {BUDGET}, not `nan`.", id="budget-nan"),
        pytest.param(" --budget 1e9 x", f"The flag `--budget` needs {BUDGET}, not `1e9`.", id="budget-exponent"),
        pytest.param(" --budget 0 x", f"The flag `--budget` needs {BUDGET}, not `0`.", id="budget-zero"),
        pytest.param(" --budget -5 x", f"The flag `--budget` needs {BUDGET}, not `-5`.", id="budget-negative"),
        pytest.param(" --budget 99999 x", f"The flag `--budget` needs {BUDGET}, not `99999`.", id="budget-huge"),
        pytest.param(" --budget \u0665 x", f"The flag `--budget` needs {BUDGET}, not `\u0665`.", id="budget-arabic"),
        pytest.param(" --budget", f"The flag `--budget` needs {BUDGET}, not nothing.", id="budget-missing"),
        pytest.param(" --budget= x", f"The flag `--budget` needs {BUDGET}, not nothing.", id="budget-empty"),
        pytest.param(" --base ../x y", "The flag `--base` needs the name of a branch, not `../x`.", id="base-path"),
        pytest.param(" --base a..b y", "The flag `--base` needs the name of a branch, not `a..b`.", id="base-range"),
        pytest.param(" --base -x y", "The flag `--base` needs the name of a branch, not `-x`.", id="base-option"),
        pytest.param(" --base x.lock y", "The flag `--base` needs the name of a branch, not `x.lock`.", id="base-lock"),
        pytest.param(
            " --model `@a/b` y", "The flag `--model` needs the name of a model, not `?@a/b?`.", id="echo-safe"
        ),
        pytest.param(
            f" --model {'(' * 99} y",
            f"The flag `--model` needs the name of a model, not `{'(' * 40}...`.",
            id="echo-cut",
        ),
        pytest.param(
            " retry the upload",
            "`/backspace retry` takes nothing after it on the line: leave the rest out, or, if this was a prompt, "
            "write `/backspace -- retry ...`.",
            id="word-with-more",
        ),
        pytest.param(" cancel --draft", "`/backspace cancel` takes no flags.", id="flag-that-says-nothing"),
        pytest.param(
            " " + "\u00e9" * PROMPT_LIMIT,
            "The prompt has 65,536 bytes and 32,768 is the most I take: shorten it or split the work.",
            id="prompt-too-long",
        ),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why_in_one_sentence(text: str, problem: str) -> None:
    assert command_in(f"/backspace{text}") == Unclear(problem)


def test_a_prompt_of_just_the_limit_is_taken() -> None:
    assert command_in("/backspace " + "x" * PROMPT_LIMIT) == Start("x" * PROMPT_LIMIT)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("/backspace " + "x" * 1_000_000, id="a-megabyte-of-prompt"),
        pytest.param("/backspace --model " + "x" * 1_000_000, id="a-megabyte-of-value"),
        pytest.param("/backspace --" + "x" * 1_000_000, id="a-megabyte-of-flag"),
        pytest.param("/backspace " + "--draft " * 125_000, id="flags"),
        pytest.param("/backspace\n" + "\n" * 1_000_000, id="empty-lines"),
        pytest.param(" " * 1_000_000 + "/backspace x", id="spaces"),
        pytest.param("<!-- -->" * 125_000 + "\n/backspace x", id="html-comments"),
        pytest.param("<" + "".join("`" * n + " " for n in range(1400)), id="backticks"),
        pytest.param("```\n" * 250_000, id="fences"),
        pytest.param("<pre" * 250_000, id="openings"),
    ],
)
def test_a_megabyte_takes_no_time(text: str) -> None:
    started = time.process_time()
    command_in(text)
    assert time.process_time() - started < 1.5
