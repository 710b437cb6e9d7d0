"""Replies and last sentences, as whole texts."""

import re
from dataclasses import fields
from typing import Any

import pytest

from bot.domain.errors import BotError, LimitReached, ModelError, ProviderError, UserError
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
    Submission,
    Unclear,
    Undo,
)
from bot.intake.commands import NO_PROMPT
from bot.ports import JobRow
from bot.report.answers import HELP, advice, answer, cancelled, ended, failed, not_started, our_fault
from bot.report.leaks import LeakFound
from tests.report.samples import job

INSTEAD = "`/backspace <what to change>` starts a job; `/backspace help` lists the rest."
RUNNING = JobRow(job=job(), state="running", attempts=1, created_at=100.0, finished_at=None, cancel_by=None)
OVER = JobRow(job=job(id="a2b4"), state="failed", attempts=1, created_at=10.0, finished_at=40.0, cancel_by=None)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        pytest.param(Help(), HELP, id="help"),
        pytest.param(
            Unclear("`--budget` wants dollars"),
            "**Not understood**: `--budget` wants dollars `/backspace help` lists what I understand.",
            id="unclear",
        ),
        pytest.param(Unclear(NO_PROMPT), f"**Not understood**: {NO_PROMPT}", id="no-prompt-names-help-once"),
        pytest.param(
            Start("x"),
            "**Not there yet**: A job on a pull request is planned but not built. Comment on an issue instead.",
            id="on-a-pull-request",
        ),
        pytest.param(
            Continue(),
            "**Not there yet**: `/backspace continue` on a pull request is planned but not built. "
            "Say it on the issue instead.",
            id="continue-on-a-pull-request",
        ),
        *(
            pytest.param(
                command,
                f"**Not there yet**: `/backspace {command.kind}` is planned but not built. {INSTEAD}",
                id=command.kind,
            )
            for command in (Plan("x"), Approve(), Retry(), Undo())
        ),
        pytest.param(
            Status(),
            "No job has been started on this thread. `/backspace <what to change>` starts one.",
            id="status-of-nothing",
        ),
        pytest.param(Cancel(), "Nothing is running on this thread.", id="cancel-of-nothing"),
    ],
)
def test_every_command_that_starts_no_job_is_answered(command: Command, reply: str) -> None:
    assert answer(command, now=0.0) == reply


def test_status_lists_the_thread_s_jobs() -> None:
    assert answer(Status(), jobs=(RUNNING, OVER), pages={"k7f3": "https://bot.example/jobs/k7f3?t=w"}, now=160.0) == (
        "- run k7f3 is running · asked 1 min ago · by alice · [live log](https://bot.example/jobs/k7f3?t=w)\n"
        "- run a2b4 has failed · 2 min ago · by alice"
    )


def test_status_tells_a_message_from_a_job() -> None:
    passed_on = JobRow(job=job(), state="succeeded", attempts=0, created_at=10.0, finished_at=40.0, cancel_by=None)
    assert answer(Status(), jobs=(passed_on,), now=160.0) == (
        "- run k7f3 was passed on to the agent · 2 min ago · by alice"
    )


def test_cancel_names_what_it_stops() -> None:
    assert answer(Cancel(), jobs=(RUNNING,), now=0.0) == "Stopping run k7f3."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            ProviderError("github", "rate limited", retryable=True),
            "**Failed**: github: rate limited. Asking again later can help.",
            id="retryable",
        ),
        pytest.param(
            ProviderError(
                "github", "no answer: ReadTimeout (GET /repos/{owner}/{repo}/issues/{number})", retryable=True
            ),
            "**Failed**: github: no answer: ReadTimeout. Asking again later can help.",
            id="no-answer",
        ),
        pytest.param(
            ProviderError("github", "Not accessible (POST /repos/{owner}/{repo}/pulls: HTTP 403)", status=403),
            "**Failed**: github: Not accessible (HTTP 403). "
            "Whoever runs this bot is told by `backspace doctor` what it may not do here.",
            id="not-permitted",
        ),
        pytest.param(
            ProviderError("github", "the repository is archived (PATCH /repos/{owner}: HTTP 403)", status=403),
            "**Failed**: github: the repository is archived (HTTP 403). "
            "Asking again will not help until that is changed.",
            id="archived",
        ),
        pytest.param(
            ProviderError("anthropic", "the key is refused."),
            "**Failed**: anthropic: the key is refused. Asking again will not help until that is changed.",
            id="not-retryable",
        ),
        pytest.param(LimitReached("60 files is more than 50"), "**Stopped**: 60 files is more than 50.", id="limit"),
        pytest.param(
            UserError("The branch `main` is gone: @alice asked @all <b>too</b>."),
            "**Stopped**: The branch `main` is gone: @alice asked `@all` \\<b\\>too\\</b\\>.",
            id="user",
        ),
        pytest.param(
            LeakFound("One of the bot's own secrets turned up in what the model wrote, so nothing was published."),
            "**Failed**: One of the bot's own secrets turned up in what the model wrote, so nothing was published. "
            "Tell whoever runs this bot, so that the secret is changed.",
            id="leak",
        ),
        pytest.param(BotError("odd"), "**Failed**: odd.", id="other"),
    ],
)
def test_a_failure_says_what_happened_and_whether_asking_again_helps(error: BotError, words: str) -> None:
    assert failed(error, asker="alice") == words


@pytest.mark.parametrize(
    "quoted",
    [
        pytest.param("@bob", id="mention"),
        pytest.param("@alice-evil", id="nearly-the-asker"),
        pytest.param("acme/other#7", id="reference"),
        pytest.param("x`@bob", id="out-of-its-code-span"),
        pytest.param("https://evil.example/x", id="address"),
        pytest.param("![x](https://evil.example/x.png)", id="image"),
        pytest.param("[x](https://evil.example)", id="link"),
    ],
)
def test_what_our_sentences_quote_is_not_live(quoted: str) -> None:
    """Red when the sentence is published as it is (tried)."""
    for text in (f"GitHub says {quoted}.", f"acme/widget has no branch `{quoted}`: name one."):
        said = not_started(UserError(text), asker="alice")
        outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", said)
        assert not re.search(r"(?<!\\)(?:@\w|#\d|https?:|!?\[)", outside), said


def test_help_names_every_flag() -> None:
    for option in fields(Options):
        assert f"`--{option.name.removesuffix('_usd').replace('_', '-')}" in HELP


def test_short_sentences() -> None:
    refusal = UserError("@bob needs write access to acme/widget.")
    assert not_started(refusal, asker="bob") == "**Not started**: @bob needs write access to acme/widget."
    assert cancelled("alice") == "**Cancelled** by @alice."
    assert cancelled("") == "**Cancelled**."
    assert cancelled("(the App was suspended)") == "**Cancelled** (the App was suspended)."
    assert our_fault() == (
        "**Failed**: something broke on our side. It is recorded under this run; asking again can help."
    )


def said(summary: str) -> Submission:
    return Submission(outcome="blocked", title="t", summary=summary, testing="")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        pytest.param({"kind": "submitted", "pull_request": 42}, "**Opened #42**", id="submitted"),
        pytest.param({"kind": "submitted", "pull_request": 42, "draft": True}, "**Opened draft #42**", id="draft"),
        pytest.param(
            {"kind": "submitted", "pull_request": 42, "verb": "Updated"}, "**Updated #42**", id="gone-on-with"
        ),
        pytest.param(
            {"kind": "submitted", "pull_request": 42, "draft": True, "but": "its checks fail"},
            "**Opened draft #42**: its checks fail",
            id="draft-with-failing-checks",
        ),
        pytest.param(
            {"kind": "no_change", "submission": said("It prints `hello` already, @bob.")},
            "**Nothing to change**: It prints `hello` already, `@bob`.",
            id="no-change",
        ),
        pytest.param(
            {"kind": "blocked", "submission": said("I understand:\n\n- a patch\n- a file")},
            "**Could not do it**\n\nI understand:\n\n- a patch\n- a file",
            id="blocked",
        ),
        pytest.param(
            {"kind": "answered", "message": "The model stopped."},
            "**Ended without a change**: The model stopped.",
            id="answered",
        ),
        pytest.param({"kind": "answered"}, "**Ended without a change**.", id="answered-nothing"),
        pytest.param(
            {
                "kind": "stopped",
                "message": "budget reached.",
                "pull_request": 42,
                "next_command": "/backspace continue --budget 5",
            },
            "**Stopped: budget reached** · what there is, is in draft #42 · "
            "`/backspace continue --budget 5` goes on with it",
            id="stopped-with-a-draft",
        ),
        pytest.param(
            {"kind": "stopped", "message": "time is up"}, "**Stopped: time is up**", id="stopped-empty-handed"
        ),
    ],
)
def test_the_last_sentence_of_a_job(facts: dict[str, Any], words: str) -> None:
    assert ended(**facts, own_issue=12) == words


@pytest.mark.parametrize(
    ("remedy", "more", "words"),
    [
        pytest.param("retry", {"retryable": True}, "Asking again later can help.", id="overloaded"),
        pytest.param("next", {"status": 429}, "Asking again later can help.", id="a-rate-limit-too-long-to-wait-for"),
        pytest.param(
            "next",
            {"status": 401, "for_operator": True},
            "Whoever runs this bot has to change that; until then asking again will not help.",
            id="a-refused-key",
        ),
        pytest.param("again", {}, "Asking again later can help.", id="unreadable"),
        pytest.param("refused", {}, "Asking in other words can help.", id="declined"),
        pytest.param("context", {}, "Asking for less at once can help.", id="too-long"),
        pytest.param("stop", {"status": 400}, "Asking again will not help until that is changed.", id="not-accepted"),
    ],
)
def test_a_models_failure_says_whether_asking_again_can_help(remedy: Any, more: dict[str, Any], words: str) -> None:
    assert advice(ModelError("anthropic", "no answer", remedy=remedy, **more)) == words
