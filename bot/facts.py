"""What GitHub says, live, of a job that is to be admitted."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from bot.domain.errors import ProviderError
from bot.domain.job import Job, Person, Start
from bot.intake.admission import MAY_ASK
from bot.ports import GitHub, IssueFacts, Permission, RepositoryFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`author_writes`: the issue's author has write access. `heads`: where the likely base is."""

    permission: Permission
    issue: IssueFacts
    repository: RepositoryFacts
    author_writes: bool
    heads: Mapping[str, str]


async def facts_of(job: Job, github: GitHub) -> Facts:
    """Asked for all at once. Raises ProviderError."""
    permission, issue, repository, author_writes, heads = await asyncio.gather(
        github.permission(job.requested_by.login),
        github.issue(job.issue.number),
        github.repository(),
        may_write(job.issue.author, github),
        _heads(job.options.base or job.default_branch if isinstance(job.command, Start) else "", github),
    )
    return Facts(permission=permission, issue=issue, repository=repository, author_writes=author_writes, heads=heads)


async def _heads(branch: str, github: GitHub) -> Mapping[str, str]:
    """A help and never a condition: where this fails, and where the request's default branch is one no longer, it is
    asked for when it is needed."""
    with suppress(ProviderError):
        if branch and (sha := await github.ref(branch)):
            return {branch: sha}
    return {}


async def may_write(person: Person, github: GitHub) -> bool:
    """By GitHub's live answer about this very account; one that GitHub does not know may not."""
    try:
        permission = await github.permission(person.login)
    except ProviderError as error:
        if error.retryable:
            raise
        return False
    return permission.role in MAY_ASK and permission.user_id == person.id
