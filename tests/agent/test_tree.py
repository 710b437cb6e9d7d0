"""The tree beside the journal: a new sandbox goes on where the lost one stopped."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.agent.ground import digest
from bot.agent.prompt import LOST_TREE, SAME_TREE_AGAIN
from bot.agent.transcript import fold
from bot.agent.tree import KEPT_BYTES, KeptTree, difference
from bot.domain.conversation import AssistantTurn, Conversation, Json
from bot.domain.events import Noted
from bot.ports import BaseFile, ExecResult, ExportedFile
from tests.agent.bench import Bench, bench, run
from tests.fakes import (
    Answer,
    Crash,
    DirectorySandbox,
    MemoryJournal,
    Script,
    ScriptedModel,
    diff_id_in,
    results,
    steps,
    submit,
    use,
)

A, B = digest(b"a"), digest(b"b")
COUNT = "echo ran >> count.txt"
RESULT = {
    "hello.py": b'print("hello")\n',
    "count.txt": b"ran\n",
    "docs/notes.txt": None,
    "new/run.sh": b"#!/bin/sh\n",
}


def replies(seen: Conversation) -> int:
    return sum(isinstance(turn, AssistantTurn) for turn in seen.turns)


def again_if_interrupted(seen: Conversation) -> list[Json]:
    """A careful model: what was interrupted is looked at, and repeated when it was told that nothing remains."""
    told = any("interrupted" in text and "nothing that it did is there" in text for text in results(seen))
    return [use("bash", command=COUNT)] if told else [submit()]


def script() -> Script:
    """Replies by what the newest results say, so that a repeated command moves nothing."""
    first = steps(
        [
            use("edit", file_path="hello.py", old_string="hullo", new_string="hello"),
            use("write", file_path="new/run.sh", content="#!/bin/sh\n"),
        ],
        [use("bash", command="chmod +x new/run.sh && rm docs/notes.txt"), use("read", file_path="hello.py")],
        [use("bash", command=COUNT)],
    )

    def play(seen: Conversation) -> Answer:
        number, said = replies(seen), "".join(results(seen))
        if "diff_id: " in said:
            return [submit(diff_id=diff_id_in(seen))]
        if number == 2 and "nothing that it did is there" in said:
            return [use("bash", command="chmod +x new/run.sh && rm docs/notes.txt"), use("bash", command=COUNT)]
        if number < 3:
            return first(seen)
        return again_if_interrupted(seen)

    return play


async def moved(on: Bench, name: str) -> None:
    """The sandbox dies with everything inside; another one holds the base."""
    await on.sandbox.close()
    other = on.another_sandbox(name)
    await on.workspace.fill(other)
    on.sandbox, on.review = other, on.review_of(other)


async def resumed(on: Bench, before: MemoryJournal, model: ScriptedModel, **more: int) -> MemoryJournal:
    after = MemoryJournal(before.entries(), **more)
    after.contents = before.contents
    await run(on, model, journal=after)
    return after


async def test_a_new_sandbox_after_a_crash_goes_on_with_the_same_tree(tmp_path: Path) -> None:
    """After every third record; `tests/storm` has them all. Red when the tree is not kept with the result (tried)."""
    whole = MemoryJournal()
    assert (await run(await bench(tmp_path / "straight"), ScriptedModel(script()), journal=whole)).patch is not None
    for crash_after in range(2, whole.records, 3):
        on, before = await bench(tmp_path / str(crash_after)), MemoryJournal(crash_after=crash_after)
        first, second = ScriptedModel(script()), ScriptedModel(script())
        with pytest.raises(Crash):
            await run(on, first, journal=before)
        await moved(on, "second")
        after = await resumed(on, before, second)

        patch = await on.review.patch()
        assert {change.path: change.content for change in patch.changes} == RESULT, f"crash after record {crash_after}"
        assert {change.path: change.mode for change in patch.changes}["new/run.sh"] == "100755"
        assert not any(text == LOST_TREE for seen in second.asked for text in results(seen))
        asked = [replies(seen) for seen in (*first.asked, *second.asked)]
        assert asked == list(range(len(asked))), f"crash after record {crash_after}: no reply is paid for twice"
        assert fold(after.entries()).accepted


async def test_the_model_is_told_what_a_new_sandbox_does_not_have(on: Bench) -> None:
    before = MemoryJournal(crash_after=5)
    with pytest.raises(Crash):
        await run(on, ScriptedModel(script()), journal=before)
    await moved(on, "second")
    second = ScriptedModel(script())
    after = await resumed(on, before, second)
    assert SAME_TREE_AGAIN in results(second.asked[0])
    assert [note.text for note in after.of(Noted)] == [
        "A new sandbox holds the work tree as it was; the agent goes on."
    ]


async def test_a_content_that_is_gone_means_a_new_start_from_the_base(on: Bench) -> None:
    before = MemoryJournal(crash_after=5)
    with pytest.raises(Crash):
        await run(on, ScriptedModel(script()), journal=before)
    before.contents.clear()
    await moved(on, "second")
    second = ScriptedModel(steps([submit(outcome="blocked")]))
    await resumed(on, before, second)
    assert LOST_TREE in results(second.asked[0])
    assert on.read("hello.py") == b'print("hullo")\n'


async def test_a_tree_that_is_too_large_is_named_once_and_means_a_new_start(tmp_path: Path) -> None:
    big = f"head -c {KEPT_BYTES + 1} /dev/zero > big"
    play = steps([use("bash", command=big)], [use("bash", command="true")], [submit(outcome="blocked")])
    on, before = await bench(tmp_path), MemoryJournal(crash_after=7)
    with pytest.raises(Crash):
        await run(on, ScriptedModel(play), journal=before)
    assert [note.text for note in before.of(Noted)] == [
        "The work tree cannot be kept (The changes are larger than 20000000 bytes): if the bot is interrupted now, the "
        "agent starts again from the base."
    ]
    await moved(on, "second")
    second = ScriptedModel(play)
    await resumed(on, before, second)
    assert LOST_TREE in results(second.asked[0])


class Telling(DirectorySandbox):
    """A sandbox that tells a number for its tree; its bot dies once it has looked at the tree `lives` times."""

    lives = 0

    async def exec(self, argv: Sequence[str], **more: Any) -> ExecResult:
        result = await super().exec(argv, **more)
        files = sorted(path for path in self.root.rglob("*") if path.is_file() and ".git" not in path.parts)
        whole = repr([(str(path), path.read_bytes()) for path in files])
        return replace(result, tree=int.from_bytes(hashlib.sha256(whole.encode()).digest()[:6], "big"))

    async def export_changes(self, base: Mapping[str, BaseFile], *, max_bytes: int) -> tuple[ExportedFile, ...]:
        changes = await super().export_changes(base, max_bytes=max_bytes)
        self.lives -= 1
        if self.lives == 0:
            raise Crash
        return changes


async def telling(root: Path, *, lives: int = 0) -> Bench:
    on = await bench(root)
    on.sandbox = sandbox = Telling(root / "telling")
    await on.workspace.fill(sandbox)
    sandbox.lives = lives
    on.review = on.review_of(on.sandbox)
    return on


def recorded(journal: MemoryJournal) -> dict[str, list[str] | None]:
    """By call: the paths that its result records anew; None where nobody looked."""
    ends = [entry for entry in journal.entries() if entry.key.startswith("result ")]
    return {
        entry.key.split(" ")[1]: [path for path, *_ in entry.data["tree"]["set"]] if "tree" in entry.data else None
        for entry in ends
    }


async def test_a_tree_that_is_still_the_same_is_not_looked_at_again(tmp_path: Path) -> None:
    play = steps(
        [use("bash", command="cat hello.py"), use("bash", command="ls")],
        [use("bash", command=COUNT), use("bash", command="cat count.txt")],
        [use("write", file_path="new.txt", content="x"), use("bash", command="cat new.txt"), use("bash", command="ls")],
        [submit(outcome="blocked")],
    )
    journal = MemoryJournal()
    await run(await telling(tmp_path), ScriptedModel(play), journal=journal)
    assert recorded(journal) == {
        "1.0": [],  # nobody knew it yet
        "1.1": None,
        "2.0": ["count.txt"],
        "2.1": None,
        "3.0": ["new.txt"],
        "3.1": [],  # what `write` left has no number
        "3.2": None,
        "4.0": None,
    }


async def test_what_an_interrupted_command_did_is_recorded_with_the_next_one(tmp_path: Path) -> None:
    """Though that one changes nothing. Red where a number is trusted that no record holds: seen."""
    play = steps(
        [use("bash", command="ls")],
        [use("bash", command=COUNT)],
        [use("bash", command="cat count.txt")],
        [submit(outcome="blocked")],
    )
    on, before = await telling(tmp_path, lives=2), MemoryJournal()
    with pytest.raises(Crash):
        await run(on, ScriptedModel(play), journal=before)
    assert recorded(before) == {"1.0": []}
    assert (on.sandbox.root / "count.txt").read_bytes() == b"ran\n"
    after = await resumed(on, before, ScriptedModel(play))
    assert recorded(after) == {"1.0": [], "2.0": None, "3.0": ["count.txt"], "4.0": None}


def file(path: str, content: bytes | None, mode: str = "100644") -> ExportedFile:
    return ExportedFile(path, None if content is None else mode, content)


def test_a_step_names_only_what_is_new_and_stores_each_content_once() -> None:
    first = difference(KeptTree(), [file("x", b"a"), file("y", b"a"), file("z", None)])
    assert first.data == {
        "set": [["x", "100644", A], ["y", "100644", A], ["z", None, None]],
        "same": [],
        "bytes": 1,
    }
    assert first.contents == {A: b"a"}
    tree = KeptTree().after(first.data)

    second = difference(tree, [file("x", b"a", "100755"), file("y", b"b")])
    assert second.data == {"set": [["x", "100755", A], ["y", "100644", B]], "same": ["z"], "bytes": 1}
    assert second.contents == {B: b"b"}
    tree = tree.after(second.data)
    assert tree.states == {"x": ("100755", A), "y": ("100644", B)}
    assert (tree.size, tree.stored) == (2, frozenset({A, B}))
    assert difference(tree, [file("x", b"a", "100755"), file("y", b"b")]).data == {"set": [], "same": [], "bytes": 0}


def test_what_a_job_keeps_is_bounded_in_all_and_not_only_at_once() -> None:
    tree = KeptTree(size=KEPT_BYTES)
    assert "gap" not in difference(tree, [file("empty", b"")]).data
    step = difference(tree, [file("x", b"a")])
    assert step.data == {"gap": "its changes are larger than 20 MB in all"}
    assert step.contents == {}
    assert step.warning
    told = tree.after(step.data)
    assert difference(told, [file("x", b"a")]).warning == ""
    assert told.after(difference(told, []).data).gap == "", "a tree that fits again is recorded again"
