"""What a repository asks for its pull requests: who reviews them, whether CI runs, and their template."""

from bot.domain.job import Job
from bot.intake.reading import Reading
from bot.ports import Workspace
from bot.publish.template import template_path
from bot.repo_config import REQUESTER, RepoConfig
from bot.report import wording


def reviewers(job: Job, rules: RepoConfig) -> tuple[str, ...]:
    return tuple(job.requested_by.login if name == REQUESTER else name for name in rules.reviewers)


def ci_held(rules: RepoConfig, reading: Reading) -> wording.CiHeld | None:
    """Why the head commit starts no workflow; None when it does."""
    if rules.ci == "run":
        return None
    if reading.outsider:
        return "outsider"
    return "setting" if rules.ci == "hold" else None


async def pull_request_template(workspace: Workspace) -> str | None:
    """The repository's own, from the base."""
    path = template_path(await workspace.base_paths())
    content = await workspace.base_file(path) if path else None
    return content.decode("utf-8", "replace") if content else None
