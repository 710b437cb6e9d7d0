"""kill -9 around every effect that a job has which goes on in the pull request of another."""

import re
from pathlib import Path

import pytest

from bot.standins.messages import Answer, Observed, answer, use
from tests.repositories import CHECK, commit, write
from tests.storm.effects import Kill, When
from tests.storm.scene import COUNT, EDIT, FILES, PREPARE, WORDS, WRITE, Claude, expected_tree, texts
from tests.storm.storm import storm

pytestmark = pytest.mark.anyio

PUBLISHING = ("create_commit", "advance_ref", "update_pull_request", "mark_ready")
SIDES: tuple[When, When] = ("before", "after")
KILLS = [Kill(f"github {name} #{nth}", side) for name in PUBLISHING for nth, side in enumerate(SIDES, 1)]


class Halting(Claude):
    """Leaves half of the work when it begins anew, and does the rest when it goes on."""

    def __call__(self, seen: Observed) -> Answer:
        if "# Work so far" not in str(seen.messages[0]):
            first = (EDIT, use("bash", command=COUNT)) if seen.turn == 0 else (use("bash", command="true"),)
            return answer(*first)
        if seen.turn == 0:
            return answer(WRITE, use("bash", command=PREPARE))
        shown = [found[1] for text in texts(seen) if (found := re.search(r"diff_id: ([0-9a-f]{12})", text))]
        return answer(use("submit", **WORDS, **({"diff_id": shown[-1]} if shown else {})))


def short_of_turns(root: Path) -> Path:
    write(root, FILES | {CHECK: FILES[CHECK] + b"budget: {turns: 3}\n"})
    return commit(root)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_job_that_goes_on_leaves_one_commit_and_one_pull_request_wherever_it_is_killed(tmp_path: Path) -> None:
    """Every attempt but the last dies around one of the writes that publish; GitHub delivers everything again."""
    async with storm(tmp_path / "storm", duplicates=True, make=short_of_turns, claude=Halting()) as here:
        await here.run()
        (draft,) = here.github.pull_requests(here.repository)
        assert draft.pull is not None
        left = draft.pull.head_sha
        assert draft.pull.draft
        (issue,) = [one for one in here.repository.issues.values() if one.pull is None]
        outcome = await here.run(KILLS, on=issue, ask="/backspace continue")
        assert sorted(map(str, outcome.deaths)) == sorted(map(str, KILLS))
        rows = await here.store.jobs_on(here.repository.id, issue.number)
        assert [row.state for row in rows] == ["succeeded", "failed"]
        (opened,) = here.github.pull_requests(here.repository)
        assert opened is draft
        assert (draft.pull.draft, draft.title) == (False, "Fix the value")
        assert here.repository.git.commit(draft.pull.head_sha).parents == (left,)
        tree = here.github.tree(here.repository, draft.pull.head_ref)
        assert {path: tree[path] for path in tree if path != CHECK} == {
            path: entry for path, entry in expected_tree().items() if path != CHECK
        }
        runs = here.github.check_runs(here.repository)
        assert all(run.status == "completed" for run in runs)
        assert [run.conclusion for run in runs if run.head_sha == draft.pull.head_sha] == ["success"]
        said = [one.body for one in here.github.comments(here.repository, issue.number) if one.author.type == "Bot"]
        assert [f"**Updated #{draft.number}**" in body for body in said] == [False, True]
