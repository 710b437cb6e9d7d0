"""A command that was found in a thread, as the delivery would have told of it."""

from bot.domain.job import Command, Issue
from bot.intake.commands import command_in
from bot.intake.triggers import GHOST, Trigger, comment_name
from bot.ports import RecentComment, RepositoryFacts


def unanswered(comment: RecentComment, *, since: float) -> Command | None:
    """The command of a person's new comment. An edited one asks for nothing: its first words alone were signed."""
    if not comment.by_person or comment.author is None or comment.created_at < since:
        return None
    if comment.updated_at != comment.created_at:
        return None
    return command_in(comment.body)


def mention(
    installation_id: int, facts: RepositoryFacts, issue: Issue, comment: RecentComment, command: Command
) -> Trigger:
    """As the delivery would have told it, so that a delivery that is late finds the job."""
    return Trigger(
        name=comment_name(comment.id),
        delivery=f"found-{comment.id}",
        installation_id=installation_id,
        repo=facts.repo,
        default_branch=facts.default_branch,
        issue=issue,
        command=command,
        requested_by=comment.author or GHOST,
        comment_id=comment.id,
        asked_at=comment.created_at,
    )
