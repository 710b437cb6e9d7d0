"""Which deliveries start something, and the reason why the others do not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.domain.job import Cancel, Issue, Job, Person, Plan, Repo, Start, Unclear
from bot.intake.delivery import receive
from bot.intake.triggers import EVENTS, GHOST, Ignored, Trigger, job_of, trigger_of
from tests.payloads.samples import SECRET, body_of, examples, headers_of, labeled, mention

ROOT = Path(__file__).parents[2]


def decided(payload: dict[str, Any], *, event: str = "issue_comment", delivery: str = "1-2") -> Trigger | Ignored:
    body = body_of(payload)
    headers = headers_of(body, event=event, delivery=delivery)
    return trigger_of(receive([(n.encode(), v.encode()) for n, v in headers.items()], body, secrets=[SECRET.encode()]))


def job(payload: dict[str, Any], *, event: str = "issue_comment", delivery: str = "1-2", job_id: str = "j") -> Job:
    trigger = decided(payload, event=event, delivery=delivery)
    assert isinstance(trigger, Trigger)
    return job_of(trigger, job_id=job_id, watch_key="w")


def test_a_command_in_a_comment_becomes_a_job() -> None:
    assert job(mention("/backspace fix it")) == Job(
        id="j",
        key="371641:186853002:comment:492700400",
        watch_key="w",
        delivery="1-2",
        installation_id=371641,
        repo=Repo(186853002, "Codertocat", "Hello-World"),
        default_branch="master",
        issue=Issue(
            number=1,
            title="Spelling error in the README file",
            body="It looks like you accidently spelled 'commit' with two 't's.",
            author=Person(21031067, "Codertocat"),
        ),
        command=Start("fix it"),
        requested_by=Person(21031067, "Codertocat"),
        comment_id=492700400,
        asked_at=1557933621.0,
    )


def test_the_label_asks_for_the_issue_itself() -> None:
    payload = labeled(issue__title="Greet politely", issue__body="Say hello,\r\nnot hullo.")
    made = job(payload, event="issues")
    assert made.command == Start("Greet politely\n\nSay hello,\nnot hullo.")
    assert made.key == f"371641:186853002:label:1:{payload['issue']['updated_at']}"
    assert (made.requested_by, made.comment_id) == (Person(21031067, "Codertocat"), None)


def test_a_redelivery_or_a_replay_under_a_new_id_is_the_same_request() -> None:
    for payload, event in ((mention(), "issue_comment"), (labeled(), "issues")):
        first = job(payload, event=event, delivery="1-1", job_id="a")
        assert job(payload, event=event, delivery="9-9", job_id="b").key == first.key


def test_requests_that_differ_have_different_keys() -> None:
    first = job(mention())
    again = job(labeled(issue__updated_at="2026-11-21T07:20:00Z"), event="issues")
    others = [
        job(mention(comment__id=1)),
        job(mention(repository__id=1)),
        job(mention(installation={"id": 1})),
        job(labeled(), event="issues"),
        job(labeled(issue__number=2), event="issues"),
    ]
    assert len({made.key for made in [first, again, *others]}) == 7


def test_a_renamed_repository_is_still_the_same_request() -> None:
    assert job(mention(repository__name="Renamed")).key == job(mention()).key


def test_a_pull_request_is_known_as_one() -> None:
    assert job(mention(issue__pull_request={"url": "https://api.github.com/x"})).issue.is_pull_request
    assert not job(mention(issue__pull_request=None)).issue.is_pull_request


def test_commands_without_a_prompt_are_jobs_too() -> None:
    assert job(mention("/backspace cancel")).command == Cancel()
    assert isinstance(job(mention("/backspace --oops")).command, Unclear)


def test_a_deleted_authors_issue_is_the_ghosts() -> None:
    assert job(mention(issue__user=None)).issue.author == GHOST


def test_an_empty_issue_body_is_no_body() -> None:
    made = job(labeled(issue__body=None, issue__title="Greet"), event="issues")
    assert (made.issue.body, made.command) == ("", Start("Greet"))


@pytest.mark.parametrize("label", ["backspace", "Backspace", "BACKSPACE"])
def test_labels_may_differ_in_case(label: str) -> None:
    assert isinstance(decided(labeled(label), event="issues"), Trigger)


def test_another_label_asks_for_a_plan() -> None:
    made = job(labeled("backspace:plan", issue__title="Greet", issue__body="politely"), event="issues")
    assert made.command == Plan("Greet\n\npolitely")


def test_an_issue_too_long_for_a_prompt_says_so() -> None:
    command = job(labeled(issue__body="x" * 65_536), event="issues").command
    assert isinstance(command, Unclear)
    assert "32,768 is the most I take" in command.problem


NOT_NEW = "Only a new comment starts something; edited and deleted ones do not."
NOT_A_PERSON = "The comment was not written by a person."
NOT_THE_AUTHOR = "The sender of the delivery is not the author of the comment."
NO_INSTALLATION = "The delivery names no installation of the App: it comes from a repository webhook."


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(mention("Nice."), "No line of the comment is a /backspace command.", id="no-command"),
        pytest.param(mention(comment__body=None), "No line of the comment is a /backspace command.", id="no-text"),
        pytest.param(mention(action="edited"), NOT_NEW, id="edited"),
        pytest.param(mention(action="deleted"), NOT_NEW, id="deleted"),
        pytest.param(mention(action="Created"), NOT_NEW, id="action-in-another-case"),
        pytest.param(mention(sender__type="Bot", comment__user__type="Bot"), NOT_A_PERSON, id="a-bot"),
        pytest.param(mention(sender__type="Bot"), NOT_A_PERSON, id="bot-sends"),
        pytest.param(mention(comment__user__type="Bot"), NOT_A_PERSON, id="bot-writes"),
        pytest.param(mention(sender__type="Mannequin"), NOT_A_PERSON, id="mannequin"),
        pytest.param(mention(sender__type="bot"), NOT_A_PERSON, id="unknown-type"),
        pytest.param(mention(comment__performed_via_github_app={"id": 9}), NOT_A_PERSON, id="through-an-app"),
        pytest.param(mention(sender__id=2), NOT_THE_AUTHOR, id="sender-is-not-author"),
        pytest.param(mention(comment__user__id=2), NOT_THE_AUTHOR, id="same-login-other-account"),
        pytest.param(mention(comment__user=None), NOT_THE_AUTHOR, id="author-deleted"),
        pytest.param(mention(without_app=True), NO_INSTALLATION, id="repository-webhook"),
        pytest.param(mention(installation=None), NO_INSTALLATION, id="null-installation"),
    ],
)
def test_comments_that_start_nothing_say_why(payload: dict[str, Any], reason: str) -> None:
    """Turned red by hand: without the check of types 6 cases fail, without that of ids 3."""
    assert decided(payload) == Ignored(reason)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(labeled("bug"), "The label is not one of the bot's.", id="another-label"),
        pytest.param(labeled("bac\u212aspace"), "The label is not one of the bot's.", id="kelvin-sign"),
        pytest.param(labeled("backspace "), "The label is not one of the bot's.", id="space-after"),
        pytest.param(labeled(None), "The label is not one of the bot's.", id="null-label"),
        pytest.param(labeled(sender__type="Bot"), "The label was not set by a person.", id="a-bot"),
        pytest.param(labeled(without_app=True), NO_INSTALLATION, id="repository-webhook"),
        pytest.param(
            labeled(action="unlabeled"),
            "Of what happens to an issue, only a new label starts something.",
            id="label-removed",
        ),
        pytest.param(
            labeled(action="opened"), "Of what happens to an issue, only a new label starts something.", id="opened"
        ),
    ],
)
def test_labels_that_start_nothing_say_why(payload: dict[str, Any], reason: str) -> None:
    assert decided(payload, event="issues") == Ignored(reason)


def test_a_body_sent_under_another_event_name_is_no_request() -> None:
    assert isinstance(decided(mention(), event="issues"), Ignored)
    assert isinstance(decided(labeled(), event="issue_comment"), Ignored)
    assert decided(mention(), event="pull_request") == Ignored("The bot does not act on pull_request events.")


def test_every_published_example_is_ignored_with_a_reason() -> None:
    """None of them has our label or a command, and those of other events are not read at all."""
    for event, text in examples():
        decision = decided(json.loads(text), event=event)
        assert isinstance(decision, Ignored)
        assert decision.reason.endswith("."), decision


def test_the_app_subscribes_to_the_events_that_are_acted_on_and_asks_for_no_more() -> None:
    manifest = yaml.safe_load((ROOT / "app.yml").read_text())
    assert manifest["default_events"] == sorted(EVENTS)
    assert manifest["default_permissions"] == {
        "checks": "write",
        "contents": "write",
        "issues": "write",
        "metadata": "read",
        "pull_requests": "write",
    }
