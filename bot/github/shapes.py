"""What GitHub shows of repositories and threads, as the bot's own words."""

from datetime import datetime
from typing import Literal

from bot.domain.errors import ProviderError
from bot.domain.job import Person, PullRequest, Repo
from bot.github.answers import field, flag, number, text
from bot.ports import Comment, Commit, IssueFacts, RepositoryFacts, Said, TreeEntry


def repository_facts(data: object) -> RepositoryFacts:
    return RepositoryFacts(
        repo=Repo(number(data, "id"), text(data, "owner", "login"), text(data, "name")),
        default_branch=text(data, "default_branch"),
        private=flag(data, "private"),
        archived=flag(data, "archived"),
    )


def issue_facts(data: object) -> IssueFacts:
    return IssueFacts(
        state=text(data, "state"),
        locked=flag(data, "locked"),
        title=text(data, "title"),
        body=text_or_nothing(data, "body"),
        author=_person(field(data, "user")),
        is_pull_request=field(data, "pull_request") is not None,
    )


def said(data: object) -> Said:
    return Said(
        id=number(data, "id"),
        author=_person(field(data, "user")),
        by_person=field(data, "user", "type") == "User" and field(data, "performed_via_github_app") is None,
        body=text_or_nothing(data, "body"),
        created_at=instant(data, "created_at"),
        updated_at=instant(data, "updated_at"),
    )


def commit_of(data: object) -> Commit:
    verification = field(data, "verification")
    return Commit(
        sha=text(data, "sha"),
        tree_sha=text(data, "tree", "sha"),
        verified=field(verification, "verified") is True,
        reason=text_or_nothing(verification, "reason"),
    )


def pull_request_of(data: object) -> PullRequest:
    over: Literal["merged", "closed"] = "closed" if field(data, "merged_at") is None else "merged"
    return PullRequest(
        number=number(data, "number"),
        url=text(data, "html_url"),
        draft=field(data, "draft") is True,
        head_sha=text(data, "head", "sha"),
        state="open" if text(data, "state") == "open" else over,
    )


def comment_of(data: object) -> Comment:
    return Comment(number(data, "id"), text(data, "html_url"), text_or_nothing(data, "body"))


def _person(user: object) -> Person:
    """GitHub shows the author of a deleted account as nobody, and its page as @ghost."""
    return Person(0, "ghost") if user is None else Person(number(user, "id"), text(user, "login"))


def text_or_nothing(data: object, name: str) -> str:
    value = field(data, name)
    return value if isinstance(value, str) else ""


def instant(data: object, name: str) -> float:
    """A time such as 2026-03-10T09:30:00Z as Unix time in seconds."""
    try:
        return datetime.fromisoformat(text(data, name)).timestamp()
    except ValueError:
        raise ProviderError("github", f"an answer without a time at {name}", retryable=True) from None


def tree_entry(entry: TreeEntry) -> dict[str, str | None]:
    what = {"sha": entry.sha} if entry.text is None else {"content": entry.text}
    return {"path": entry.path, "mode": entry.mode, "type": "blob", **what}
