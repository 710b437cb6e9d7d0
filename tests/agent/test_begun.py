"""A run that begins with an earlier one's tree: it is there before the first request, and again in a new sandbox."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.ports import ExportedFile
from tests.agent.bench import TASK, bench, run
from tests.agent.test_tree import moved
from tests.fakes import Crash, MemoryJournal, ScriptedModel, diff_id_in, results, steps, submit, use

TASK_BEGUN = replace(
    TASK,
    begun=(
        ExportedFile("docs/notes.txt", None, None),
        ExportedFile("half.txt", "100644", b"half\n"),
        ExportedFile("run.sh", "100755", b"#!/bin/sh\n"),
    ),
    so_far="# Work so far\nHalf of it.",
)
SCRIPT = steps(
    [use("read", file_path="half.txt")],
    [use("edit", file_path="half.txt", old_string="half", new_string="whole")],
    [submit()],
    lambda seen: [submit(diff_id=diff_id_in(seen))] if "diff_id: " in "".join(results(seen)) else [submit()],
)
WHOLE = {"docs/notes.txt": (None, None), "half.txt": ("100644", b"whole\n"), "run.sh": ("100755", b"#!/bin/sh\n")}


async def test_the_submitted_change_is_the_earlier_part_and_the_new_one(tmp_path: Path) -> None:
    model = ScriptedModel(SCRIPT)
    outcome = await run(await bench(tmp_path), model, task=TASK_BEGUN)
    assert outcome.patch is not None
    assert {change.path: (change.mode, change.content) for change in outcome.patch.changes} == WHOLE
    assert "# Work so far\nHalf of it." in results(model.asked[0])


async def test_a_sandbox_lost_at_any_record_gets_the_earlier_part_again(tmp_path: Path) -> None:
    """Red when the tree a run begins with is not in its journal: the file is not there to be read (seen)."""
    whole = MemoryJournal()
    await run(await bench(tmp_path / "straight"), ScriptedModel(SCRIPT), journal=whole, task=TASK_BEGUN)
    for crash_after in range(1, whole.records):
        on, before = await bench(tmp_path / str(crash_after)), MemoryJournal(crash_after=crash_after)
        with pytest.raises(Crash):
            await run(on, ScriptedModel(SCRIPT), journal=before, task=TASK_BEGUN)
        await moved(on, "second")
        after = MemoryJournal(before.entries())
        after.contents = before.contents
        outcome = await run(on, ScriptedModel(SCRIPT), journal=after, task=TASK_BEGUN)
        assert outcome.patch is not None, f"crash after record {crash_after}: {outcome.message}"
        assert {change.path: (change.mode, change.content) for change in outcome.patch.changes} == WHOLE
