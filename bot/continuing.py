"""`/backspace continue`: in which unfinished pull request of a thread a job goes on, and what there is of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from bot.domain.errors import UserError
from bot.domain.events import Conclusion
from bot.domain.job import Continue, Job, Options, Start
from bot.ports import Entry, ExportedFile, GitHub, JobStore, Journal
from bot.publish.mirror import Mirror
from bot.publish.workspace import PinnedWorkspace
from bot.report.progress import Progress, progress
from bot.report.wording import runs_before

BASE = "base"  # journal key: the branch and commit a job's work starts from
GOES_ON = "goes on"  # journal key: the work before, for every attempt the same
SUBMODULE = "160000"
NOTHING = "No pull request came of this thread yet, so there is no work to go on with: say what to do."


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A pull request of the bot's, `branch` at `head_sha` on `base_sha` of `base_branch`, and what was asked for when
    it was begun.

    `by_label`: the issue's own text was the request. `model` and `draft` are its flags. `runs`: who worked on it and
    what that cost, in words.
    """

    pull_request: int
    branch: str
    head_sha: str
    base_branch: str
    base_sha: str
    prompt: str
    by_label: bool
    model: str | None
    draft: bool
    runs: str

    def asked_again(self, job: Job) -> Job:
        """The job as if it asked for the whole; its own flags count more than those of the request before."""
        wish = job.options
        options = Options(model=wish.model or self.model, budget_usd=wish.budget_usd, draft=self.draft)
        return replace(job, command=Start(self.prompt, options))


async def earlier_work(job: Job, *, store: JobStore, github: GitHub, journal: Journal) -> Earlier:
    """The newest unfinished work of the job's thread. Raises UserError when there is none to go on with."""
    known = next((entry for entry in journal.entries() if entry.key == GOES_ON), None)
    if known is not None:
        return Earlier(**known.data)
    past = [
        (row.job, progress(await store.events(row.job.id)))
        for row in await store.jobs_on(job.repo.id, job.issue.number)
        if row.job.id != job.id and isinstance(row.job.command, Start | Continue)
    ]
    earlier = unfinished(past)
    await _look_after(earlier, github)
    await journal.record(entry=Entry("effect", GOES_ON, asdict(earlier)))
    return earlier


def unfinished(past: Sequence[tuple[Job, Progress]]) -> Earlier:
    """What the newest pull request of a thread came to by all jobs that worked on its branch, one after the other.

    `past` are the thread's jobs, newest first, with how far each came. Raises UserError when nothing is unfinished.
    """
    for _, so_far in past:
        if so_far.pull_request is not None and so_far.heads:
            number, branch = so_far.pull_request.number, so_far.heads[-1].branch
            break
    else:
        raise UserError(NOTHING)
    of_it = [(job, so_far) for job, so_far in past if so_far.heads and so_far.heads[-1].branch == branch]
    (_, newest), (first, begun) = of_it[0], of_it[-1]
    if not isinstance(first.command, Start) or begun.base is None:
        raise UserError(NOTHING)
    if newest.finished is None:
        raise UserError(f"The work on #{number} is not over yet.")
    if newest.finished.conclusion is Conclusion.SUCCESS:
        raise UserError(f"The work on #{number} was finished: say what is still to be done.")
    return Earlier(
        pull_request=number,
        branch=branch,
        head_sha=newest.heads[-1].head_sha,
        base_branch=begun.base.branch,
        base_sha=begun.base.sha,
        prompt=first.instruction,
        by_label=first.comment_id is None,
        model=next((job.options.model for job, _ in of_it if job.options.model), None),
        draft=first.options.draft,
        runs=_runs(of_it),
    )


def _runs(of_it: Sequence[tuple[Job, Progress]]) -> str:
    costs = [so_far.usd for _, so_far in of_it if so_far.usd is not None]
    return runs_before([job.id for job, _ in reversed(of_it)], sum(costs) if len(costs) == len(of_it) else None)


async def _look_after(earlier: Earlier, github: GitHub) -> None:
    """Only where the bot's own work is what it was, and people have not ended it. Raises UserError."""
    number, branch = earlier.pull_request, earlier.branch
    head, state = await github.ref(branch), (await github.pull_request(number)).state
    if state == "merged":
        raise UserError(f"#{number} was merged: say what is still to be done.")
    if head is None:
        raise UserError(f"The branch `{branch}` of #{number} is gone, so there is no work to go on with.")
    if state == "closed":
        raise UserError(f"#{number} was closed: reopen it to have it gone on with, or ask for something else.")
    if head != earlier.head_sha:
        raise UserError(f"Others have pushed to #{number} since: go on there by hand, or ask for what is missing.")


async def unfinished_files(
    earlier: Earlier | None, base: PinnedWorkspace, *, mirror: Mirror, github: GitHub, repo_id: int
) -> tuple[ExportedFile, ...]:
    """What the draft changes of its base; nothing without one. Raises ProviderError and LimitReached."""
    if earlier is None:
        return ()
    head = await mirror.pin(await github.remote(), repo_id=repo_id, sha=earlier.head_sha, branch=earlier.base_branch)
    files = []
    for path in sorted(base.base.keys() | head.base.keys()):
        was, now = base.base.get(path), head.base.get(path)
        if was == now or SUBMODULE in (was and was.mode, now and now.mode):
            continue
        content = await head.base_file(path) if now else None
        files.append(ExportedFile(path, now.mode if now else None, content))
    return tuple(files)


def so_far(earlier: Earlier, files: Sequence[ExportedFile]) -> str:
    """For the agent; the paths are whatever the work before called them."""
    listed = "\n".join(f"- {file.path}{' (deleted)' if file.mode is None else ''}" for file in files)
    return (
        "# Work so far\nAn earlier run began with this request and was ended before it was done. Its changes are in "
        f"the work tree already, as in draft #{earlier.pull_request}; read them with git diff, and go on from there. "
        f"What you submit is the whole change, its part and yours. Changed are:\n{listed}"
    )
