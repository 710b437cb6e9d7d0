"""`/backspace continue`: a job that was stopped left a draft; the next one goes on in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.continuing import unfinished
from bot.domain.errors import UserError
from bot.domain.events import BasePinned, BranchMoved, Conclusion, JobEvent, JobFinished, PullRequestOpened
from bot.domain.job import Continue, Job, Options, Start
from bot.report.progress import Progress, progress
from bot.stage import Stage
from bot.standins.github import Reply
from bot.standins.github.state import Issue, PullRequest
from bot.standins.messages import Answer, Observed, by_turn, think, use
from tests.report.samples import job, log
from tests.repositories import CHECK, PYTHON, python_bug, submit, write
from tests.repositories import commit as committed
from tests.test_journey import assert_published, bot, end_of, finished
from tests.test_steering import said

pytestmark = pytest.mark.anyio

ASKED = "/backspace the mean is wrong, please mend it"
AT_FIRST = by_turn(
    use("edit", file_path="calc/mean.py", old_string="(len(numbers) - 1)", new_string="(len(numbers))"),
    use("write", file_path="notes.txt", content="half of it\n"),
    use("bash", command="rm .gitignore; chmod +x calc/mean.py"),
    use("bash", command="true"),
)
A_LITTLE = by_turn(use("write", file_path="more.txt", content="more\n"), *(use("bash", command="true"),) * 2)
THEN = by_turn(
    [
        think(),
        use("edit", file_path="calc/mean.py", old_string="(len(numbers))", new_string="len(numbers)"),
        use(
            "bash",
            command="test -x calc/mean.py && rm -f notes.txt more.txt && git checkout -q .gitignore; "
            "chmod -x calc/mean.py",
        ),
    ],
    *submit(title="Divide the sum by the count"),
)


def in_two_runs(seen: Observed) -> Answer:
    return THEN(seen) if "# Work so far" in seen.task else AT_FIRST(seen)


def in_three_runs(seen: Observed) -> Answer:
    return A_LITTLE(seen) if "# Work so far" in seen.task and "- more.txt" not in seen.task else in_two_runs(seen)


def short_of_turns(root: Path) -> Path:
    """The repository with the wrong mean, whose jobs have three turns each."""
    python_bug(root)
    write(root, {CHECK: (root / CHECK).read_bytes() + b"budget: {turns: 3}\n"})
    return committed(root)


async def say(stage: Stage, issue: int, *words: str) -> None:
    """One comment after the other, each when the job before has ended."""
    for text in words:
        stage.github.comment(stage.repository, issue, "alice", text)
        await finished(stage, issue)


def opened_issue(stage: Stage) -> int:
    return stage.github.open_issue(stage.repository, "alice", "It is broken", "Please see to it.").number


def the_one(stage: Stage) -> tuple[Issue, PullRequest]:
    (opened,) = stage.github.pull_requests(stage.repository)
    assert opened.pull is not None
    return opened, opened.pull


def branches(stage: Stage) -> list[str]:
    return [ref for ref in stage.github.refs(stage.repository) if ref.startswith("refs/heads/")]


def changed(stage: Stage, ref: str) -> set[str]:
    base, there = stage.github.tree(stage.repository, "main"), stage.github.tree(stage.repository, ref)
    return {path for path in base.keys() | there.keys() if base.get(path) != there.get(path)}


OURS, OTHER = "backspace/12-aabbccdd", "backspace/12-eeff0011"
OVER = JobFinished(Conclusion.TIMED_OUT, "**Stopped**")


def came(branch: str, head: str, *more: JobEvent, number: int = 42) -> Progress:
    """A job that pushed `head` and opened a pull request, and what else happened."""
    moved = BranchMoved(branch, head, created=False)
    opened = PullRequestOpened(number, "https://github.com/acme/widget/pull/42", True, ())
    return progress(
        log([BasePinned("main", "b" * 40), BranchMoved(branch, "0" * 40, created=True), moved, opened, *more])
    )


FIRST = (job(id="one", command=Start("mend it", Options(draft=True, model="m"))), came(OURS, "1" * 40, OVER))
CANCELLED = (
    job(id="two", command=Continue(Options(model="n"))),
    progress(log([BasePinned("main", "b" * 40), BranchMoved(OURS, "1" * 40, created=False), OVER])),
)
FAILED_LATE = (
    job(id="three", command=Continue()),
    progress(log([BranchMoved(OURS, "1" * 40, created=False), BranchMoved(OURS, "2" * 40, created=False), OVER])),
)
REFUSED = (job(id="four"), progress(log([JobFinished(Conclusion.ACTION_REQUIRED, "**Not started**")])))
ANOTHER = (job(id="five", command=Start("and that")), came(OTHER, "3" * 40, OVER, number=50))


@pytest.mark.parametrize(
    ("past", "number", "head", "model", "runs"),
    [
        pytest.param([REFUSED, FIRST], 42, "1", "m", "goes on with run one", id="the-draft"),
        pytest.param([CANCELLED, FIRST], 42, "1", "n", "goes on with runs one, two", id="nothing-came-of-the-last"),
        pytest.param([FAILED_LATE, CANCELLED, FIRST], 42, "2", "n", "goes on with runs one, two, three", id="pushed"),
        pytest.param([ANOTHER, FIRST], 50, "3", None, "goes on with run five", id="the-newest-of-two"),
    ],
)
def test_what_is_unfinished_is_read_off_the_thread_s_jobs(
    past: list[tuple[Job, Progress]], number: int, head: str, model: str | None, runs: str
) -> None:
    found = unfinished(past)
    assert (found.pull_request, found.head_sha, found.model) == (number, head * 40, model)
    asked = ("mend it", True) if number == 42 else ("and that", False)
    assert (found.base_sha, found.prompt, found.draft) == ("b" * 40, *asked)
    assert found.runs.startswith(f"{runs} (")


@pytest.mark.parametrize(
    ("past", "words"),
    [
        pytest.param([], "No pull request came of this thread yet", id="no-jobs"),
        pytest.param([REFUSED], "No pull request came of this thread yet", id="none-that-opened"),
        pytest.param([(FIRST[0], came(OURS, "1" * 40))], "The work on #42 is not over yet", id="at-work"),
        pytest.param(
            [(FIRST[0], came(OURS, "1" * 40, JobFinished(Conclusion.SUCCESS, "")))], "was finished", id="finished"
        ),
        pytest.param(
            [(FAILED_LATE[0], came(OURS, "1" * 40, OVER))], "No pull request came", id="its-beginning-forgotten"
        ),
    ],
)
def test_where_nothing_is_unfinished_the_reason_is_said(past: list[tuple[Job, Progress]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        unfinished(past)


async def test_unfinished_work_is_gone_on_with_in_its_pull_request(tmp_path: Path) -> None:
    """The draft, its words, and then one change with all of both runs on the base the first one had."""
    async with bot(tmp_path, short_of_turns, in_two_runs) as (stage, messages):
        issue = opened_issue(stage)
        await say(stage, issue, ASKED)
        draft, pull = the_one(stage)
        left, branch = pull.head_sha, pull.head_ref
        assert pull.draft
        assert f"/backspace continue` on #{issue} goes on with it." in (draft.body or "")
        assert any("`/backspace continue`" in body for body in said(stage, issue))
        await say(stage, issue, "/backspace continue --budget 3")
        end = await end_of(stage, issue)
        assert (end.conclusion, end.message) == (Conclusion.SUCCESS, f"**Updated #{draft.number}**")
        now, pull = the_one(stage)
        assert (now.number, now.title) == (draft.number, "Divide the sum by the count")
        assert (pull.draft, pull.head_ref) == (False, branch)
        assert changed(stage, branch) == {"calc/mean.py"}
        assert stage.repository.git.commit(pull.head_sha).parents == (left,)
        assert branches(stage) == [f"refs/heads/{branch}", "refs/heads/main"]
        assert f"Fixes #{issue}" in (now.body or "")
        assert "Unfinished" not in (now.body or "")
        _, first_run = await stage.jobs(issue)
        assert f" · goes on with run {first_run.job.id} (" in (now.body or "")
        assert [one.login for one in pull.requested_reviewers] == ["alice"]
        first = "".join(block["text"] for block in messages.requests[-1]["messages"][0]["content"])
        assert "the mean is wrong, please mend it" in first
        assert "- .gitignore (deleted)\n- calc/mean.py\n- notes.txt" in first
        runs = stage.github.check_runs(stage.repository)
        assert all(run.status == "completed" for run in runs)
        assert [run.conclusion for run in runs if run.head_sha == pull.head_sha] == ["success"]
        for delivery in [one for one in stage.github.deliveries if one.event == "issue_comment"]:
            stage.github.redeliver(delivery)
        await finished(stage, issue)
        assert len(await stage.jobs(issue)) == 2


@pytest.mark.slow
async def test_work_may_be_gone_on_with_again_and_what_was_asked_for_as_a_draft_stays_one(tmp_path: Path) -> None:
    async with bot(tmp_path, short_of_turns, in_three_runs) as (stage, _):
        issue = opened_issue(stage)
        await say(stage, issue, ASKED.replace("/backspace", "/backspace --draft"))
        stage.github.faults.add(Reply(403), method="PATCH", path=r".*/pulls/\d+$")
        await say(stage, issue, "/backspace continue")
        draft, pull = the_one(stage)
        assert changed(stage, pull.head_ref) == {".gitignore", "calc/mean.py", "more.txt", "notes.txt"}
        assert "**Failed**" in said(stage, issue)[-1], "after its push"
        with closing(sqlite3.connect(stage.config.home / "backspace.db")) as database, database:
            database.execute("DELETE FROM journal")  # days go by: events are kept for longer
        await say(stage, issue, "/backspace continue")
        _, pull = the_one(stage)
        assert pull.draft
        assert (await end_of(stage, issue)).message == f"**Updated draft #{draft.number}**"
        assert changed(stage, pull.head_ref) == {"calc/mean.py"}
        assert pull.size.commits == 4, "the start and one of each run"


async def test_what_people_did_to_the_draft_is_respected_and_said(tmp_path: Path) -> None:
    """Red when its head, or whether it is open, is not looked at: a commit of theirs would be left out (seen)."""
    async with bot(tmp_path, short_of_turns, in_two_runs) as (stage, _):
        issue = opened_issue(stage)
        await say(stage, issue, ASKED)
        draft, pull = the_one(stage)
        branch, head = f"refs/heads/{pull.head_ref}", pull.head_sha
        git, github = stage.repository.git, stage.github
        github.close_issue(stage.repository, draft.number, "alice")
        await say(stage, issue, "/backspace continue")
        assert f"**Not started**: `#{draft.number}` was closed: reopen it" in said(stage, issue)[-1]
        github.reopen_issue(stage.repository, draft.number, "alice")
        theirs = git.run(
            *("-c", "user.name=alice", "-c", "user.email=alice@example.test", "commit-tree"),
            *(f"{branch}^{{tree}}", "-p", branch, "-m", "Mine"),
        )
        git.run("update-ref", branch, theirs.decode().strip())
        await say(stage, issue, "/backspace continue")
        assert f"**Not started**: Others have pushed to `#{draft.number}` since" in said(stage, issue)[-1]
        git.delete_ref(branch)
        await say(stage, issue, "/backspace continue")
        assert f"**Not started**: The branch `{pull.head_ref}` of `#{draft.number}` is gone" in said(stage, issue)[-1]
        git.run("update-ref", branch, head)
        await github.merge(stage.repository, draft.number, "alice")
        github.reopen_issue(stage.repository, issue, "alice")
        await say(stage, issue, "/backspace continue")
        assert f"**Not started**: `#{draft.number}` was merged: say what is still to be done." in said(stage, issue)[-1]
        assert len(github.pull_requests(stage.repository)) == 1
        assert len(branches(stage)) == 2


async def test_without_unfinished_work_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        issue = opened_issue(stage)
        await say(stage, issue, "/backspace continue", PYTHON.request, "/backspace continue")
        assert_published(stage, PYTHON)
        words = " ".join(said(stage, issue))
        assert "**Not started**: No pull request came of this thread yet" in words
        assert "was finished: say what is still to be done." in words
