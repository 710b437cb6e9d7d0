"""`/backspace continue`: a job that was stopped left a draft; the next one goes on with its tree."""

from pathlib import Path

import pytest

from bot.domain.events import Conclusion
from bot.standins.messages import Answer, Observed, by_turn, think, use
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
THEN = by_turn(
    [
        think(),
        use("edit", file_path="calc/mean.py", old_string="(len(numbers))", new_string="len(numbers)"),
        use(
            "bash", command="test -x calc/mean.py && rm notes.txt && git checkout -q .gitignore; chmod -x calc/mean.py"
        ),
    ],
    *submit(title="Divide the sum by the count"),
)


def in_two_runs(seen: Observed) -> Answer:
    return THEN(seen) if "# Work so far" in seen.task else AT_FIRST(seen)


def short_of_turns(root: Path) -> Path:
    """The repository with the wrong mean, whose jobs have three turns each."""
    python_bug(root)
    write(root, {CHECK: (root / CHECK).read_bytes() + b"budget: {turns: 3}\n"})
    return committed(root)


async def test_unfinished_work_is_gone_on_with(tmp_path: Path) -> None:
    """The draft, its words, and then one change with all of both runs on the base the first one had."""
    async with bot(tmp_path, short_of_turns, in_two_runs) as (stage, messages):
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "Please see to it.").number
        stage.github.comment(stage.repository, issue, "alice", ASKED)
        await finished(stage, issue)
        (draft,) = stage.github.pull_requests(stage.repository)
        assert draft.pull is not None
        assert draft.pull.draft
        assert f"/backspace continue --budget 3` on #{issue} goes on with it." in (draft.body or "")
        assert any("`/backspace continue --budget 3`" in body for body in said(stage, issue))
        stage.github.comment(stage.repository, issue, "alice", "/backspace continue --budget 3")
        await finished(stage, issue)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.SUCCESS, end.message
        new = next(one for one in stage.github.pull_requests(stage.repository) if one.number != draft.number)
        assert new.pull is not None
        assert not new.pull.draft
        base = stage.github.tree(stage.repository, "main")
        changed = {
            path
            for path, entry in stage.github.tree(stage.repository, new.pull.head_ref).items()
            if base.get(path) != entry
        }
        assert changed == {"calc/mean.py"}
        assert f"This goes on with the work of #{draft.number} and takes its place." in (new.body or "")
        assert f"Fixes #{issue}" in (new.body or "")
        first = "".join(block["text"] for block in messages.requests[-1]["messages"][0]["content"])
        assert "the mean is wrong, please mend it" in first
        assert "- .gitignore (deleted)\n- calc/mean.py\n- notes.txt" in first


async def test_where_others_pushed_to_the_draft_nothing_is_gone_on_with(tmp_path: Path) -> None:
    """Red when the head is not looked at: their commit would be silently left out (seen)."""
    async with bot(tmp_path, short_of_turns, in_two_runs) as (stage, _):
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "").number
        stage.github.comment(stage.repository, issue, "alice", ASKED)
        await finished(stage, issue)
        (draft,) = stage.github.pull_requests(stage.repository)
        assert draft.pull is not None
        branch = f"refs/heads/{draft.pull.head_ref}"
        theirs = stage.repository.git.run(
            *("-c", "user.name=alice", "-c", "user.email=alice@example.test", "commit-tree"),
            *(f"{branch}^{{tree}}", "-p", branch, "-m", "Mine"),
        )
        stage.repository.git.run("update-ref", branch, theirs.decode().strip())
        stage.github.comment(stage.repository, issue, "alice", "/backspace continue")
        await finished(stage, issue)
        assert "**Not started**: Others have pushed to" in said(stage, issue)[-1]
        assert len(stage.github.pull_requests(stage.repository)) == 1


async def test_without_unfinished_work_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        issue = stage.github.open_issue(stage.repository, "alice", "It is broken", "").number
        stage.github.comment(stage.repository, issue, "alice", "/backspace continue")
        await finished(stage, issue)
        stage.github.comment(stage.repository, issue, "alice", PYTHON.request)
        await finished(stage, issue)
        stage.github.comment(stage.repository, issue, "alice", "/backspace continue")
        await finished(stage, issue)
        assert_published(stage, PYTHON)
        words = " ".join(said(stage, issue))
        assert "**Not started**: No pull request came of this thread yet" in words
        assert "was finished: say what is still to be done." in words
