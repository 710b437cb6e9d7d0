"""May this job run? Decided from live facts, refused in words for the person who asked."""

from dataclasses import dataclass

from bot.domain.errors import UserError
from bot.domain.job import Job, Work
from bot.ports import IssueFacts, Permission, RepositoryFacts

MAY_ASK = frozenset({"admin", "maintain", "write"})  # GitHub's `role_name`; triage can label but not push
SECONDS_BETWEEN_REFUSALS = 3600.0


class NotPermitted(UserError):
    """The person may not ask here at all. Answers to strangers are rationed: see `refusal_due`."""


@dataclass(frozen=True, slots=True)
class HourlyLimit:
    """Jobs that an installation may start in an hour, and how many others it has started in the last one."""

    most: int
    started: int


def admit(
    job: Job,
    *,
    permission: Permission,
    issue: IssueFacts,
    repository: RepositoryFacts,
    limit: HourlyLimit | None = None,
) -> None:
    """Returns when the job may run. `limit` None: the job was started before and goes on.

    `permission` is GitHub's live answer for the requester's login; it counts only if it is about the same numeric
    account that signed content named, since a login can change hands. Commands that start no work (help, status,
    cancel, undo) are answered on closed and locked issues too.

    Raises NotPermitted for the wrong person, UserError for the wrong place.
    """
    check_person(job, permission)
    if repository.repo.id != job.repo.id:
        raise UserError(f"{job.repo.full_name} is another repository now than the one that was asked for.")
    if repository.archived:
        raise UserError(f"{repository.repo.full_name} is archived: nothing can be pushed to it.")
    if not isinstance(job.command, Work):
        return
    thread = "pull request" if issue.is_pull_request else "issue"
    if issue.state != "open":
        raise UserError(f"This {thread} is {issue.state}: reopen it and ask again.")
    if issue.locked:
        raise UserError(f"This {thread} is locked: unlock the conversation and ask again.")
    if limit is not None and limit.started >= limit.most:
        raise UserError(
            f"The limit of jobs that may start here in an hour ({limit.most}) is reached: ask again later. "
            "The bot's operator can raise BACKSPACE_JOBS_PER_HOUR."
        )


def check_person(job: Job, permission: Permission) -> None:
    """Raises NotPermitted."""
    who = f"@{job.requested_by.login}"
    if permission.is_bot:
        raise NotPermitted(f"{who} is a bot, and only people can ask.")
    if permission.user_id != job.requested_by.id:
        raise NotPermitted(f"{who} is not the account that asked: the login has changed hands.")
    if permission.role not in MAY_ASK:
        raise NotPermitted(f"{who} needs write access to {job.repo.full_name}.")


def refusal_due(*, seconds_since_last: float | None) -> bool:
    """Whether a stranger's request gets a reply: at most one an issue an hour, whoever asks.

    `seconds_since_last` is the age of the newest such reply on the issue, None when there is none.
    """
    return seconds_since_last is None or seconds_since_last >= SECONDS_BETWEEN_REFUSALS
