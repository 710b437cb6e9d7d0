"""Who may ask, where, and the words for everybody else."""

import dataclasses
from typing import Any

import pytest

from bot.domain.errors import UserError
from bot.domain.job import Cancel, Command, Continue, Help, Issue, Job, Person, Plan, Repo, Retry, Start, Status, Undo
from bot.intake.admission import NotPermitted, admit, refusal_due
from bot.ports import IssueFacts, Permission, RepositoryFacts

BOB = Person(7, "bob")
JOB = Job(
    id="k7f3",
    key="1:2:comment:3",
    watch_key="w",
    delivery="1-2",
    installation_id=1,
    repo=Repo(2, "acme", "widget"),
    default_branch="main",
    issue=Issue(number=12, title="Greet", body="", author=BOB),
    command=Start("fix it"),
    requested_by=BOB,
    comment_id=3,
)
WRITER = Permission(7, "write", is_bot=False)
OPEN = IssueFacts(state="open", locked=False, title="Greet", body="", author=BOB, is_pull_request=False)
LIVE = RepositoryFacts(repo=JOB.repo, default_branch="main", private=False, archived=False)


def asked(
    *,
    command: Command = JOB.command,
    permission: Permission = WRITER,
    issue: dict[str, Any] | None = None,
    repository: dict[str, Any] | None = None,
) -> None:
    admit(
        dataclasses.replace(JOB, command=command),
        permission=permission,
        issue=dataclasses.replace(OPEN, **(issue or {})),
        repository=dataclasses.replace(LIVE, **(repository or {})),
    )


@pytest.mark.parametrize("role", ["write", "maintain", "admin"])
def test_people_who_can_push_may_ask(role: str) -> None:
    asked(permission=Permission(7, role, is_bot=False))


@pytest.mark.parametrize("role", ["triage", "read", "none", "", "Write", "writer", "owner", "push", "security-lead"])
def test_people_who_cannot_push_are_told_what_they_need(role: str) -> None:
    """Turned red by hand: with `MAY_ASK` holding "triage" that case fails."""
    with pytest.raises(NotPermitted) as refusal:
        asked(permission=Permission(7, role, is_bot=False))
    assert str(refusal.value) == "@bob needs write access to acme/widget."


def test_another_account_under_the_same_login_is_refused() -> None:
    with pytest.raises(NotPermitted) as refusal:
        asked(permission=Permission(8, "admin", is_bot=False))
    assert str(refusal.value) == "@bob is not the account that asked: the login has changed hands."


def test_a_bot_is_refused_whatever_its_role() -> None:
    with pytest.raises(NotPermitted) as refusal:
        asked(permission=Permission(7, "admin", is_bot=True))
    assert str(refusal.value) == "@bob is a bot, and only people can ask."


@pytest.mark.parametrize(
    ("issue", "repository", "words"),
    [
        pytest.param({"state": "closed"}, {}, "This issue is closed: reopen it and ask again.", id="closed"),
        pytest.param(
            {"state": "closed", "is_pull_request": True},
            {},
            "This pull request is closed: reopen it and ask again.",
            id="closed-pull-request",
        ),
        pytest.param({"locked": True}, {}, "This issue is locked: unlock the conversation and ask again.", id="locked"),
        pytest.param({}, {"archived": True}, "acme/widget is archived: nothing can be pushed to it.", id="archived"),
        pytest.param(
            {},
            {"repo": Repo(99, "acme", "widget")},
            "acme/widget is another repository now than the one that was asked for.",
            id="another-repository",
        ),
    ],
)
def test_places_where_no_work_can_be_done_say_what_helps(
    issue: dict[str, Any], repository: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as refusal:
        asked(issue=issue, repository=repository)
    assert str(refusal.value) == words
    assert not isinstance(refusal.value, NotPermitted)


@pytest.mark.parametrize("command", [Start("x"), Continue()])
def test_no_work_starts_on_a_closed_issue(command: Command) -> None:
    with pytest.raises(UserError):
        asked(command=command, issue={"state": "closed"})


@pytest.mark.parametrize("command", [Help(), Status(), Cancel(), Undo(), Plan("x"), Retry()])
def test_questions_are_answered_on_a_closed_issue(command: Command) -> None:
    asked(command=command, issue={"state": "closed"})


def test_a_renamed_repository_is_called_by_its_new_name() -> None:
    asked(repository={"repo": Repo(2, "acme", "gadget")})


@pytest.mark.parametrize(
    ("seconds", "due"),
    [(None, True), (0.0, False), (3599.9, False), (3600.0, True)],
    ids=["first", "now", "soon", "later"],
)
def test_strangers_get_one_reply_an_hour(seconds: float | None, due: bool) -> None:
    assert refusal_due(seconds_since_last=seconds) is due
