"""Which deliveries take a request back, and which do not."""

import json
from typing import Any

import pytest
import yaml

from bot.intake.delivery import receive
from bot.intake.notices import ACTIONS, notice_of
from bot.intake.triggers import EVENTS, Ignored, trigger_of
from bot.ports import AccessChanged, Notice, RequestDeleted, ThreadStopped
from tests.intake.test_triggers import ROOT
from tests.intake.test_triggers import job as job_from
from tests.payloads.samples import SECRET, body_of, examples, headers_of, labeled, mention

GITHUBS_OWN = {"installation", "installation_repositories"}  # sent to every App, and not to be subscribed to


def noticed(payload: dict[str, Any], *, event: str = "issue_comment") -> Notice | None:
    body = body_of(payload)
    headers = [(n.encode(), v.encode()) for n, v in headers_of(body, event=event).items()]
    return notice_of(receive(headers, body, secrets=[SECRET.encode()]))


def closed(action: str = "closed", **changes: Any) -> dict[str, Any]:
    return labeled("backspace", action=action, issue__updated_at="2026-11-21T08:00:00Z", **changes)


def test_a_deleted_command_takes_back_the_job_it_made() -> None:
    assert noticed(mention("/backspace fix it", action="deleted")) == RequestDeleted(
        key=job_from(mention("/backspace fix it")).key, by="Codertocat (the request was deleted)"
    )


def test_a_command_that_was_struck_out_before_its_deletion_is_taken_back_too() -> None:
    """Red when only today's text counts: seen."""
    struck = mention("~~never mind~~", action="deleted", comment__updated_at="2029-01-01T00:00:00Z")
    assert noticed(struck) == RequestDeleted(
        key=job_from(mention("/backspace fix it")).key, by="Codertocat (the request was deleted)"
    )


def test_an_issue_that_a_bot_closes_stops_what_was_asked_there() -> None:
    notice = noticed(closed(sender__type="Bot", sender__login="stale[bot]"), event="issues")
    assert isinstance(notice, ThreadStopped)
    assert notice.by == "stale[bot] (the issue was closed)"


def test_whoever_could_delete_it_is_named() -> None:
    notice = noticed(mention("/backspace fix it", action="deleted", sender__id=2, sender__login="maintainer"))
    assert isinstance(notice, RequestDeleted)
    assert notice.by == "maintainer (the request was deleted)"


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("closed", "the issue was closed"),
        ("deleted", "the issue was deleted"),
        ("transferred", "the issue was moved"),
    ],
)
def test_a_thread_that_ends_stops_what_was_asked_there(action: str, why: str) -> None:
    assert noticed(closed(action), event="issues") == ThreadStopped(
        installation_id=371641, repo_id=186853002, issue=1, at=1795248000.0, by=f"Codertocat ({why})"
    )


@pytest.mark.parametrize("name", ["backspace", "Backspace", "backspace:plan"])
def test_removing_the_label_stops_what_the_label_started(name: str) -> None:
    notice = noticed(labeled(name, action="unlabeled"), event="issues")
    assert isinstance(notice, ThreadStopped)
    assert (notice.asked_by, notice.by) == ("label", "Codertocat (the label was removed)")


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        pytest.param(mention(), "issue_comment", id="a-new-comment"),
        pytest.param(mention(action="edited"), "issue_comment", id="edited-stops-nothing"),
        pytest.param(mention("Nice.", action="deleted"), "issue_comment", id="no-command"),
        pytest.param(mention("/backspace status", action="deleted"), "issue_comment", id="no-work"),
        pytest.param(mention(action="deleted", comment__user__type="Bot"), "issue_comment", id="a-bots-comment"),
        pytest.param(mention(action="deleted", sender__type="Bot"), "issue_comment", id="deleted-by-a-bot"),
        pytest.param(mention(action="deleted", without_app=True), "issue_comment", id="a-repository-webhook"),
        pytest.param(labeled(), "issues", id="labeled"),
        pytest.param(labeled("bug", action="unlabeled"), "issues", id="another-label"),
        pytest.param(closed("reopened"), "issues", id="reopened"),
        pytest.param(closed("edited"), "issues", id="edited"),
        pytest.param(closed("locked"), "issues", id="locked"),
        pytest.param(closed("unlabeled", sender__type="Bot"), "issues", id="unlabeled-by-a-bot"),
        pytest.param(closed(without_app=True), "issues", id="closed-elsewhere"),
        pytest.param(closed(), "pull_request", id="another-event"),
    ],
)
def test_what_takes_nothing_back(payload: dict[str, Any], event: str) -> None:
    """Turned red by hand: without the check of types three cases fail."""
    assert noticed(payload, event=event) is None


def installation(action: str, event: str = "installation") -> dict[str, Any]:
    texts = (text for name, text in examples() if name == event)
    payload: dict[str, Any] = next(p for p in map(json.loads, texts) if p["action"] == action)
    return payload


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("created", "active"),
        ("new_permissions_accepted", "active"),
        ("unsuspend", "active"),
        ("suspend", "suspended"),
        ("deleted", "removed"),
    ],
)
def test_what_happens_to_an_installation_is_known(action: str, state: str) -> None:
    payload = installation(action)
    notice = noticed(payload, event="installation")
    assert isinstance(notice, AccessChanged)
    assert (notice.installation_id, notice.repo_ids, notice.state) == (payload["installation"]["id"], (), state)
    assert 1.5e9 < notice.at < 1.7e9


def test_repositories_come_and_go() -> None:
    added = noticed(installation("added", "installation_repositories"), event="installation_repositories")
    removed = noticed(installation("removed", "installation_repositories"), event="installation_repositories")
    assert isinstance(added, AccessChanged)
    assert isinstance(removed, AccessChanged)
    assert (added.state, removed.state, removed.repo_ids) == ("active", "removed", (1296269,))
    assert added.repo_ids


def test_an_installation_that_says_nothing_new_asks_for_nothing() -> None:
    body = body_of(installation("suspend") | {"action": "rested"})
    headers = [(n.encode(), v.encode()) for n, v in headers_of(body, event="installation").items()]
    delivery = receive(headers, body, secrets=[SECRET.encode()])
    assert notice_of(delivery) is None
    assert isinstance(trigger_of(delivery), Ignored)


def test_the_bot_acts_on_what_it_subscribes_to_and_on_what_github_sends_unasked() -> None:
    manifest = yaml.safe_load((ROOT / "app.yml").read_text())
    assert set(ACTIONS) == {*EVENTS, *GITHUBS_OWN}
    assert set(manifest["default_events"]) == set(ACTIONS) - GITHUBS_OWN
