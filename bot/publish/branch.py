"""The job's branch: made from the pinned base or taken up as it was left; known after a crash, dropped when empty."""

from bot.domain.conversation import Json
from bot.domain.errors import AmbiguousWrite, ProviderError, Unprocessable, UserError
from bot.domain.events import BranchMoved
from bot.domain.job import Job
from bot.ports import Entry, GitHub, Journal
from bot.publish.whole import whole

START_COMMIT = "start_commit"
HEAD_COMMIT = "head_commit"
BRANCH_CREATED = "branch_created"
TAKEN_UP = "taken_up"


async def start_branch(
    job: Job, *, branch: str, message: str, base_sha: str, base_tree: str, github: GitHub, journal: Journal
) -> str:
    """The branch's head, to hang a check run on: an empty commit on the pinned base, or where an earlier attempt left.

    `branch` and `message` come from `bot.report.wording`; the message ends with `[skip ci]`. `base_tree` is that of
    `base_sha`.
    Raises UserError when a commit that is not this job's lies on the branch.
    """
    start: str | None = written(journal, START_COMMIT).get("sha")
    head = None if start is None else await github.ref(branch)
    if head is not None and head not in own_commits(journal):
        raise foreign(job, branch, head)
    if head is None:
        if start is None:
            commit = await github.create_commit(message, tree=base_tree, parents=[base_sha])
            start = commit.sha
            await journal.record(entry=Entry("effect", START_COMMIT, {"sha": start, "base": base_sha}))
        head = await whole(_created(job, branch, start, github=github))
    if not written(journal, BRANCH_CREATED):
        created = BranchMoved(branch=branch, head_sha=head, created=True)
        await journal.record(created, entry=Entry("effect", BRANCH_CREATED, {"branch": branch, "sha": head}))
    return head


async def take_up_branch(*, branch: str, head_sha: str, journal: Journal) -> None:
    """The branch of an earlier job, for commits on top of the head it left: that head carries this job's check, too."""
    if not written(journal, TAKEN_UP):
        found = BranchMoved(branch=branch, head_sha=head_sha, created=False)
        await journal.record(found, entry=Entry("effect", TAKEN_UP, {"branch": branch, "sha": head_sha}))


async def drop_branch(*, branch: str, github: GitHub, journal: Journal) -> bool:
    """Delete the branch when it holds this job's start commit only and no pull request came of it; True: it is gone.

    A branch that was taken up has no start commit of this job, and stays.
    """
    start = written(journal, START_COMMIT).get("sha")
    head = await github.ref(branch)
    if head is None:
        return True
    if head != start or await github.find_pull_request(branch) is not None:
        return False
    await github.delete_ref(branch)
    return True


def own_commits(journal: Journal) -> tuple[str, ...]:
    """Every commit this job has made so far or began with, each journalled before it moves a branch."""
    return tuple(
        entry.data["sha"]
        for entry in journal.entries()
        if entry.kind == "effect" and entry.key in (START_COMMIT, TAKEN_UP, HEAD_COMMIT)
    )


def written(journal: Journal, key: str) -> Json:
    """What the journal says about an effect, the latest entry of that key; nothing when there is none."""
    for entry in reversed(journal.entries()):
        if entry.kind == "effect" and entry.key == key:
            return entry.data
    return {}


def foreign(job: Job, branch: str, sha: str) -> UserError:
    return UserError(
        f"The branch `{branch}` of {job.repo.full_name} holds the commit {sha[:10]}, which this job did not make. "
        "Nothing was overwritten: delete the branch, then ask again in a new comment."
    )


async def _created(job: Job, branch: str, sha: str, *, github: GitHub) -> str:
    """Create-only: a lost answer is settled by looking, and trying once more is harmless, as GitHub refuses twins."""
    for _ in range(2):
        try:
            await github.create_ref(branch, sha)
        except (AmbiguousWrite, Unprocessable) as error:
            head = await github.ref(branch)
            if head is not None and head != sha:
                raise foreign(job, branch, head) from None
            if head is None and isinstance(error, AmbiguousWrite):
                continue
            if head is None and "already exists" not in error.message:
                raise
            if head is None:
                break
        return sha
    raise ProviderError("github", f"the branch {branch} could not be confirmed", retryable=True)
