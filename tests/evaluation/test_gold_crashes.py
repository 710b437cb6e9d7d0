"""A task's own gold change, replayed through real parts, while the worker dies at a record: another one ends the same.

The script is the one of `backspace eval`. Its command leaves a mark outside of the tree, so that a second run shows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bot.agent.loop import Outcome
from bot.evaluation.material import Material, differences, material
from bot.evaluation.replay import replay, script
from bot.evaluation.tasks import SHIPPED, own_tasks
from bot.ports import Sandbox
from bot.standins.messages import Answer, Observed, Script, answer, think, use
from bot.standins.messages.script import Json, Use
from tests.agent.test_crashes import DEATHS, assert_asked_and_paid_once, machine

LOOK = "cat .git/ran"
MARK = "echo ran >> .git/ran && "
REQUESTS = 5  # read, edit, bash, submit, and submit of the shown diff


def careful(gold: Script) -> Script:
    """The gold script with a mark in its command; what was interrupted is looked after, and repeated where undone."""

    def played(seen: Observed) -> Answer:
        newest = seen.results[-1] if seen.results else None
        if newest and newest.text.startswith("interrupted"):
            return answer(think(), use("bash", command=LOOK))
        parts = gold(replace(seen, messages=_without_interruption(seen.messages))).parts
        return answer(*(_marked(part) if isinstance(part, Use) else part for part in parts))

    return played


def _marked(call: Use) -> Use:
    return use("bash", command=MARK + call.input["command"]) if call.name == "bash" else call


def _without_interruption(messages: Sequence[Json]) -> tuple[Json, ...]:
    """The conversation as if what was interrupted, and a look that found nothing done, had never been."""
    kept: list[Json] = []
    for turn in _turns(messages):
        said = str(turn)
        is_vain = "interrupted: " in said or (LOOK in said and "\\nran" not in said)
        kept += [] if is_vain else turn
    return tuple(kept)


def _turns(messages: Sequence[Json]) -> Iterator[list[Json]]:
    """Each answer of the model with what it was told then."""
    starts = [0, *(at for at, message in enumerate(messages) if message["role"] == "assistant"), len(messages)]
    for start, stop in pairwise(starts):
        yield list(messages[start:stop])


def ledger_task(tmp_path: Path) -> Material:
    (task,) = own_tasks(SHIPPED / "python-ledger")
    return material(task, tmp_path / "task.git")


def gold_script(made: Material) -> Script:
    plan = replay(differences(made.git, made.base_sha, made.gold_tree))
    return careful(script(plan, title="Share every cent", summary="The gold change, replayed."))


def assert_is_gold(made: Material, outcome: Outcome | None, where: str) -> None:
    assert outcome is not None, where
    assert outcome.kind == "submitted", f"{where}: {outcome.message}"
    assert outcome.patch is not None, where
    files = []
    for change in outcome.patch.changes:
        assert change.content is not None
        assert change.mode is not None
        files.append((change.path, change.mode, made.git.write_blob(change.content)))
    assert made.git.write_tree(made.base_sha, files) == made.gold_tree, where


async def times_run(sandbox: Sandbox) -> int:
    found = await sandbox.exec(["sh", "-c", LOOK], timeout_s=30)
    return found.stdout.count(b"ran")


async def records_of_a_whole_run(tmp_path: Path, made: Material) -> int:
    async with machine(tmp_path, "straight", made.git.path, made.base_sha, gold_script(made)) as on:
        async with on.sandbox() as sandbox:
            outcome, records = await on.attempt(sandbox)
            assert await times_run(sandbox) == 1
        assert_is_gold(made, outcome, "nobody died")
        assert len(on.asked) == REQUESTS
        await assert_asked_and_paid_once(on, "nobody died", before=False)
    return records


async def died_and_went_on(at: Path, made: Material, *, dies_at: int, before: bool, keeps: bool) -> None:
    where = f"the worker died {'before' if before else 'after'} record {dies_at}"
    async with machine(at, f"died{dies_at}", made.git.path, made.base_sha, gold_script(made)) as on:
        async with on.sandbox() as sandbox:
            assert (await on.attempt(sandbox, dies_at=dies_at, before=before))[0] is None, where
            outcome = (await on.attempt(sandbox))[0] if keeps else None
            ran = await times_run(sandbox)
            assert ran == 1 if keeps else ran <= 1, f"{where}: the command ran {ran} times"
        if not keeps:
            async with on.sandbox() as another:
                outcome = (await on.attempt(another))[0]
                assert await times_run(another) <= 1, where
        assert_is_gold(made, outcome, where)
        await assert_asked_and_paid_once(on, where, before=before)


async def test_a_worker_that_dies_after_an_answer_or_a_result_leaves_a_gold_replay_to_another(tmp_path: Path) -> None:
    """After the reply with the edits, and after the command's result; the slow test below has all records."""
    made = ledger_task(tmp_path)
    for dies_at in (4, 10):
        await died_and_went_on(tmp_path, made, dies_at=dies_at, before=False, keeps=True)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "keeps"), DEATHS)
async def test_a_worker_may_die_at_any_record_of_a_gold_replay(tmp_path: Path, before: bool, keeps: bool) -> None:
    """The gold tree, no reply asked for twice, no command run twice, all that was paid counted once.

    Red when a command that had begun is run again: seen.
    """
    made = ledger_task(tmp_path)
    for dies_at in range(1, await records_of_a_whole_run(tmp_path, made) + 1):
        await died_and_went_on(tmp_path, made, dies_at=dies_at, before=before, keeps=keeps)
