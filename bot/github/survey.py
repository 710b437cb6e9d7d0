"""A read-only look around one installation: its repositories, and what was written there lately."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from bot.domain.errors import ProviderError
from bot.domain.job import Person, Repo
from bot.github.answers import field, items, number, text
from bot.github.client import Client, Values
from bot.github.pace import Priority
from bot.github.shapes import instant, issue_facts, repository_facts, text_or_nothing
from bot.ports import IssueFacts, RecentComment, RepositoryFacts

_REPO = "/repos/{owner}/{repo}"
_PAGE = 100  # GitHub's largest


class RestSurvey:
    """`ports.Survey`; made by `App.survey`. It gives way to the jobs of the same installation.

    `client_for` makes a client about one repository, or about none.
    """

    def __init__(self, client_for: Callable[[Repo | None], Client]) -> None:
        self._client_for = client_for

    async def repositories(self) -> AsyncIterator[RepositoryFacts]:
        client = self._client_for(None)
        async for row in _pages(client, "/installation/repositories", {}, "repositories"):
            yield repository_facts(row)

    async def recent_comments(self, repo: Repo, *, since: float) -> AsyncIterator[RecentComment]:
        client = self._client_for(repo)
        query: Values = {
            "since": datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "sort": "created",
            "direction": "asc",
        }
        async for row in _pages(client, _REPO + "/issues/comments", query):
            yield _recent_comment(row)

    async def issue(self, repo: Repo, number: int) -> IssueFacts:
        client = self._client_for(repo)
        at: Values = {"number": number}
        answer = await client.call("GET", _REPO + "/issues/{number}", at=at, priority=Priority.PROGRESS)
        return issue_facts(answer.data)


async def _pages(client: Client, template: str, query: Values, *path: str) -> AsyncIterator[object]:
    page, last = 1, 1
    while page <= last:
        query = {**query, "per_page": _PAGE, "page": page}
        answer = await client.call("GET", template, query=query, priority=Priority.PROGRESS)
        for row in items(answer.data, *path):
            yield row
        page, last = page + 1, max(last, answer.last_page)


def _recent_comment(row: object) -> RecentComment:
    user = field(row, "user")
    return RecentComment(
        id=number(row, "id"),
        issue=_issue_number(text(row, "issue_url")),
        body=text_or_nothing(row, "body"),
        author=None if user is None else Person(number(user, "id"), text(user, "login")),
        by_person=field(user, "type") == "User" and field(row, "performed_via_github_app") is None,
        created_at=instant(row, "created_at"),
        updated_at=instant(row, "updated_at"),
    )


def _issue_number(url: str) -> int:
    digits = url.rpartition("/")[2]
    if not (digits.isascii() and digits.isdecimal()):
        raise ProviderError("github", "a comment without the number of its issue", retryable=True)
    return int(digits)
