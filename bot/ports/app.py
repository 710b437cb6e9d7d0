"""What the App itself can ask of GitHub: where it is installed, what was delivered to it, what people wrote lately."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bot.domain.job import Person, Repo
from bot.ports.github import IssueFacts, RepositoryFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """One attempt to deliver a webhook; a `redelivery` is another attempt with the same `guid`.

    `delivered_at` is Unix time in seconds; `action` is "" for events that have none. `status_code` is what the bot
    answered, or GitHub's own 502 or 504 when it did not.
    """

    id: int
    guid: str
    event: str
    action: str
    installation_id: int | None
    repository_id: int | None
    delivered_at: float
    status_code: int
    redelivery: bool

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The App on one account."""

    id: int
    suspended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentComment:
    """A comment on an issue or pull request. Times are Unix time in seconds; they differ once it was edited.

    `author` None: the account was deleted. `by_person`: GitHub calls the author a User, and no App wrote in their name.
    """

    id: int
    issue: int
    body: str
    author: Person | None
    by_person: bool
    created_at: float
    updated_at: float


class Survey(Protocol):
    """One installation, read-only. Every method raises ProviderError."""

    def repositories(self) -> AsyncIterator[RepositoryFacts]: ...
    def recent_comments(self, repo: Repo, *, since: float) -> AsyncIterator[RecentComment]:
        """Oldest first: what was written or edited at `since` (Unix time in seconds) or later."""
        ...

    async def issue(self, repo: Repo, number: int) -> IssueFacts: ...


class AppHooks(Protocol):
    """Every method raises ProviderError."""

    def deliveries(self, *, since: float) -> AsyncIterator[DeliveryAttempt]:
        """Newest first, back to `since` (Unix time in seconds); GitHub keeps three days."""
        ...

    async def redeliver(self, attempt_id: int) -> None:
        """GitHub sends the same payload with the same `guid` again, soon. Raises NotFound when it is too old."""
        ...

    def installations(self) -> AsyncIterator[Installation]: ...
    async def installation(self, installation_id: int) -> Installation:
        """Raises NotFound when the App was removed from the account."""
        ...

    def survey(self, installation_id: int) -> AbstractAsyncContextManager[Survey]:
        """Its token reads metadata, issues and pull requests, of every repository the installation has."""
        ...
