"""Which deliveries ask for something, what they ask, and for all others the reason why they are ignored."""

from dataclasses import dataclass

from bot.domain.job import Command, Issue, Job, Person, Plan, Repo, Start, Unclear
from bot.intake.commands import command_in, prompt_problem
from bot.intake.delivery import (
    Account,
    Delivery,
    InstallationEvent,
    InstallationRepositoriesEvent,
    IssueCommentEvent,
    IssuesEvent,
    Label,
    Repository,
    Thread,
    Unread,
    seconds,
)

EVENTS = ("issue_comment", "issues")  # app.yml subscribes to these and to nothing else
LABEL = "backspace"
PLAN_LABEL = "backspace:plan"
GHOST = Person(10137, "ghost")  # github.com/ghost, whom GitHub shows in place of a deleted account


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A person asked for something: in a comment, or by the bot's label, and then title and body are the prompt.

    `name` tells a repository's requests apart: `comment:ID`, or `label:ISSUE:INSTANT` with the issue's `updated_at` in
    the signed payload. Labelling an issue moves it, so the same label put on again is a new request, while a redelivery
    repeats the old payload and with it the old instant. `comment_id` and `asked_at` as in `Job`.
    """

    name: str
    delivery: str
    installation_id: int
    repo: Repo
    default_branch: str
    issue: Issue
    command: Command
    requested_by: Person
    comment_id: int | None
    asked_at: float


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do; `reason` is one sentence for whoever asks why there was no answer."""

    reason: str


def trigger_of(delivery: Delivery) -> Trigger | Ignored:
    """Decide from signed content alone. Whether the person may ask is decided later, by a live look-up."""
    match delivery.payload:
        case IssueCommentEvent() as event:
            return _mention(delivery.id, event)
        case IssuesEvent() as event:
            return _labeled(delivery.id, event)
        case InstallationEvent() | InstallationRepositoriesEvent():
            return Ignored("Nothing is asked by what happens to an installation.")
        case Unread(problem):
            return Ignored(problem or f"The bot does not act on {delivery.event} events.")


def job_of(trigger: Trigger, *, job_id: str, watch_key: str) -> Job:
    """The job a trigger asks for. Its key is made from signed content: redeliveries and replays find the same job."""
    return Job(
        id=job_id,
        key=key_of(trigger.installation_id, trigger.repo.id, trigger.name),
        watch_key=watch_key,
        delivery=trigger.delivery,
        installation_id=trigger.installation_id,
        repo=trigger.repo,
        default_branch=trigger.default_branch,
        issue=trigger.issue,
        command=trigger.command,
        requested_by=trigger.requested_by,
        comment_id=trigger.comment_id,
        asked_at=trigger.asked_at,
    )


def comment_name(comment_id: int) -> str:
    return f"comment:{comment_id}"


def key_of(installation_id: int, repo_id: int, name: str) -> str:
    """`name` as in `Trigger`."""
    return f"{installation_id}:{repo_id}:{name}"


def _mention(delivery: str, event: IssueCommentEvent) -> Trigger | Ignored:
    if event.action != "created":
        return Ignored("Only a new comment starts something; edited and deleted ones do not.")
    comment = event.comment
    if comment.performed_via_github_app or not are_people(event.sender, comment.user):
        return Ignored("The comment was not written by a person.")
    if comment.user is None or comment.user.id != event.sender.id:
        return Ignored("The sender of the delivery is not the author of the comment.")
    command = command_in(comment.body or "")
    if command is None:
        return Ignored("No line of the comment is a /backspace command.")
    asked_at = seconds(comment.created_at)
    return _trigger(delivery, event, command, name=comment_name(comment.id), comment_id=comment.id, asked_at=asked_at)


def _labeled(delivery: str, event: IssuesEvent) -> Trigger | Ignored:
    if event.action != "labeled":
        return Ignored("Of what happens to an issue, only a new label starts something.")
    plans = is_label(event.label, PLAN_LABEL)
    if not plans and not is_label(event.label, LABEL):
        return Ignored("The label is not one of the bot's.")
    if not are_people(event.sender):
        return Ignored("The label was not set by a person.")
    issue = event.issue
    name, asked_at = f"label:{issue.number}:{issue.updated_at}", seconds(issue.updated_at)
    return _trigger(delivery, event, _request(issue, plans=plans), name=name, comment_id=None, asked_at=asked_at)


def _trigger(
    delivery: str,
    event: IssueCommentEvent | IssuesEvent,
    command: Command,
    *,
    name: str,
    comment_id: int | None,
    asked_at: float,
) -> Trigger | Ignored:
    if event.installation is None:
        return Ignored("The delivery names no installation of the App: it comes from a repository webhook.")
    return Trigger(
        name=name,
        delivery=delivery,
        installation_id=event.installation.id,
        repo=_repo(event.repository),
        default_branch=event.repository.default_branch,
        issue=_issue(event.issue),
        command=command,
        requested_by=_person(event.sender),
        comment_id=comment_id,
        asked_at=asked_at,
    )


def _request(issue: Thread, *, plans: bool) -> Start | Plan | Unclear:
    """Title and body as the prompt; a body that browsers sent with CRLF is read with LF, as comments are."""
    body = issue.body or ""
    if body.count("\n") == body.count("\r\n"):
        body = body.replace("\r\n", "\n")
    prompt = f"{issue.title}\n\n{body}".strip()
    problem = prompt_problem(prompt)
    if problem is not None:
        return Unclear(problem)
    return Plan(prompt) if plans else Start(prompt)


def is_label(label: Label | None, ours: str) -> bool:
    """GitHub takes labels that differ in case for the same; only ASCII may differ, since U+212A lowers to a k."""
    return label is not None and label.name.isascii() and label.name.lower() == ours


def are_people(*accounts: Account | None) -> bool:
    """GitHub's own word for the account, never the look of its login; a deleted account is judged elsewhere."""
    return all(account is None or account.type == "User" for account in accounts)


def _repo(repository: Repository) -> Repo:
    return Repo(repository.id, repository.owner.login, repository.name)


def _person(account: Account) -> Person:
    return Person(account.id, account.login)


def _issue(thread: Thread) -> Issue:
    return Issue(
        number=thread.number,
        title=thread.title,
        body=thread.body or "",
        author=GHOST if thread.user is None else _person(thread.user),
        is_pull_request=thread.pull_request,
    )
