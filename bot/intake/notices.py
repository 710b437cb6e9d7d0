"""Which deliveries end jobs: the request was deleted, the thread closed, the App taken away."""

from bot.domain.job import Work
from bot.intake.commands import command_in
from bot.intake.delivery import (
    Delivery,
    InstallationEvent,
    InstallationRepositoriesEvent,
    IssueCommentEvent,
    IssuesEvent,
    Unread,
    seconds,
)
from bot.intake.triggers import LABEL, PLAN_LABEL, are_people, comment_name, is_label, key_of
from bot.ports import AccessChanged, AccessState, Notice, RequestDeleted, RequestEdited, ThreadStopped

ACTIONS = {  # what the bot acts on; GitHub sends the two of installations to every App unasked
    "issue_comment": frozenset({"created", "edited", "deleted"}),
    "issues": frozenset({"labeled", "unlabeled", "closed", "deleted", "transferred"}),
    "installation": frozenset({"created", "deleted", "suspend", "unsuspend", "new_permissions_accepted"}),
    "installation_repositories": frozenset({"added", "removed"}),
}
_THREAD_ENDS = {
    "closed": "the issue was closed",
    "deleted": "the issue was deleted",
    "transferred": "the issue was moved",
}
_INSTALLATION: dict[str, tuple[AccessState, str]] = {
    "deleted": ("removed", "the App was uninstalled"),
    "suspend": ("suspended", "the App was suspended"),
}


def notice_of(delivery: Delivery) -> Notice | None:
    """What a delivery takes back; None when it takes nothing back.

    Who may is not asked here: GitHub let them delete, close, unlabel or uninstall, and signed that they did.
    """
    match delivery.payload:
        case IssueCommentEvent() as event:
            return _request_taken_back(event)
        case IssuesEvent() as event:
            return _thread_stopped(event)
        case InstallationEvent() as event:
            return _installation_changed(event)
        case InstallationRepositoriesEvent() as event:
            return _repositories_changed(event)
        case Unread():
            return None


def _request_taken_back(event: IssueCommentEvent) -> RequestDeleted | RequestEdited | None:
    """A deleted or edited command, or a deleted comment that may have been one before an edit. A thread's answers, such
    as to `status`, are not taken back."""
    if event.action not in ("deleted", "edited"):
        return None
    comment, was = event.comment, event.changes.body.old if event.changes and event.changes.body else ""
    if event.installation is None or not are_people(event.sender, comment.user):
        return None
    was_edited = event.action == "deleted" and comment.updated_at not in (None, comment.created_at)
    if not was_edited and not any(isinstance(command_in(text), Work) for text in (comment.body or "", was)):
        return None
    key = key_of(event.installation.id, event.repository.id, comment_name(comment.id))
    match event.action:
        case "deleted":
            return RequestDeleted(key=key, by=_by(event.sender.login, "the request was deleted"))
        case "edited" if was:
            return RequestEdited(key=key, by=_by(event.sender.login, "the request was edited"))
    return None


def _thread_stopped(event: IssuesEvent) -> ThreadStopped | None:
    unlabeled = event.action == "unlabeled"
    if event.installation is None or (unlabeled and not are_people(event.sender)):
        return None
    if unlabeled and not any(is_label(event.label, ours) for ours in (LABEL, PLAN_LABEL)):
        return None
    why = "the label was removed" if unlabeled else _THREAD_ENDS.get(event.action)
    if why is None:
        return None
    return ThreadStopped(
        installation_id=event.installation.id,
        repo_id=event.repository.id,
        issue=event.issue.number,
        at=seconds(event.issue.updated_at),
        by=_by(event.sender.login, why),
        asked_by="label" if unlabeled else "anything",
    )


def _installation_changed(event: InstallationEvent) -> AccessChanged | None:
    if event.action not in ACTIONS["installation"]:
        return None
    state, why = _INSTALLATION.get(event.action, ("active", "the App was installed"))
    return AccessChanged(
        installation_id=event.installation.id,
        repo_ids=(),
        state=state,
        at=event.installation.updated_at,
        by=_by(event.sender.login, why),
    )


def _repositories_changed(event: InstallationRepositoriesEvent) -> AccessChanged | None:
    """GitHub sends one delivery for those added and another for those removed."""
    if event.action not in ACTIONS["installation_repositories"]:
        return None
    removed = event.action == "removed"
    named = event.repositories_removed if removed else event.repositories_added
    if not named:
        return None
    return AccessChanged(
        installation_id=event.installation.id,
        repo_ids=tuple(repository.id for repository in named),
        state="removed" if removed else "active",
        at=event.installation.updated_at,
        by=_by(event.sender.login, "the repository was taken from the App" if removed else "the App was installed"),
    )


def _by(login: str, why: str) -> str:
    return f"{login} ({why})"
