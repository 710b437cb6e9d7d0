"""Merging a pull request, as its button does."""

import re
from asyncio import to_thread

from bot.standins.github import git_shapes, threads
from bot.standins.github.git import Signature
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.refs import moved
from bot.standins.github.state import Issue, Repository, User, stamp
from bot.standins.github.world import World

CLOSING = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):? +#(\d+)\b", re.IGNORECASE)


async def merge(world: World, repo: Repository, issue: Issue, by: User) -> str:
    """The SHA of the merge commit. What the body says it fixes is closed.

    Raises Problem 404 for a plain issue, 405 when it is closed, GitFailed for a conflict.
    """
    pull = issue.pull
    if pull is None:
        raise not_found()
    if issue.state == "closed":
        raise Problem(405, "Pull Request is not mergeable")
    tree = await to_thread(repo.git.merge_trees, pull.base_sha, pull.head_sha)
    own = Signature(by.login, git_shapes.noreply(by), stamp(world.now()))
    sha = await to_thread(
        repo.git.write_commit,
        message=f"Merge pull request #{issue.number} from {repo.owner.login}/{pull.head_ref}\n\n{issue.title}",
        tree=tree,
        parents=(pull.base_sha, pull.head_sha),
        author=own,
        committer=Signature("GitHub", "noreply@github.com", own.date),
    )
    before = pull.base_sha
    await to_thread(repo.git.move_ref, f"refs/heads/{pull.base_ref}", sha, old=before)
    repo.verified.add(sha)
    issue.state, issue.closed_at, issue.closed_by = "closed", world.now(), by
    pull.merged_at, pull.merged_by, pull.merge_commit_sha = world.now(), by, sha
    threads.tell(world, repo, issue, "closed", by)
    await moved(world, repo, f"refs/heads/{pull.base_ref}", before, sha, by)
    if pull.base_ref == repo.default_branch:
        for number in CLOSING.findall(issue.body or ""):
            if (fixed := repo.issues.get(int(number))) is not None:
                threads.set_state(world, repo, fixed, by, "closed")
    return sha
