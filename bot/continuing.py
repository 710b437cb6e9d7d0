"""`/backspace continue`: in which unfinished pull request of a thread a job goes on, and what there is of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from bot.domain.conversation import Json
from bot.domain.errors import UserError
from bot.domain.events import Conclusion, JobFinished
from bot.domain.job import Continue, Job, Options, Start
from bot.ports import Entry, ExportedFile, GitHub, JobRow, JobStore, Journal
from bot.publish.mirror import Mirror
from bot.publish.pull_request import BRANCH_ADVANCED, OPENED
from bot.publish.workspace import PinnedWorkspace

BASE = "base"  # journal key: the branch and commit a job's work starts from
GOES_ON = "goes on"  # journal key: the work before, for every attempt the same
SUBMODULE = "160000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A pull request of the bot's, `branch` at `head_sha` on `base_sha` of `base_branch`, and what was asked for when
    it was begun.

    `by_label`: the issue's own text was the request. `model` and `draft` are its flags.
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
    for row in await store.jobs_on(job.repo.id, job.issue.number):
        if row.job.id == job.id or not isinstance(row.job.command, Start | Continue):
            continue
        written = {entry.key: entry.data for entry in await store.journal(row.job.id) if entry.kind == "effect"}
        number = written.get(OPENED, {}).get("number") or written.get(GOES_ON, {}).get("pull_request")
        if number is None or BRANCH_ADVANCED not in written:
            continue
        earlier = _earlier(row, number, written, end=await _end_of(row, store))
        await _look_after(earlier, github)
        await journal.record(entry=Entry("effect", GOES_ON, asdict(earlier)))
        return earlier
    raise UserError("No pull request came of this thread yet, so there is no work to go on with: say what to do.")


def _earlier(row: JobRow, number: int, written: dict[str, Json], *, end: JobFinished | None) -> Earlier:
    job, before = row.job, written.get(GOES_ON, {})
    if end is None:
        raise UserError(f"The work on #{number} is not over yet.")
    if end.conclusion is Conclusion.SUCCESS:
        raise UserError(f"The work on #{number} was finished: say what is still to be done.")
    return Earlier(
        pull_request=number,
        branch=written[BRANCH_ADVANCED]["branch"],
        head_sha=written[BRANCH_ADVANCED]["sha"],
        base_branch=written[BASE]["branch"],
        base_sha=written[BASE]["sha"],
        prompt=before.get("prompt", job.instruction),
        by_label=before.get("by_label", job.comment_id is None),
        model=job.options.model or before.get("model"),
        draft=before.get("draft", job.options.draft),
    )


async def _end_of(row: JobRow, store: JobStore) -> JobFinished | None:
    ends = [recorded.event for recorded in await store.events(row.job.id) if isinstance(recorded.event, JobFinished)]
    return ends[-1] if ends else None


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
