"""The calls of one reply: which run side by side, which wait, and how often the journal is written."""

import asyncio
from pathlib import Path

import pytest

from bot.agent.acting import GRACE_SECONDS
from bot.domain.errors import ProviderError
from bot.domain.events import ToolReturned
from bot.sandboxes.served import GRACE_S
from tests.agent.bench import Bench, bench, run
from tests.fakes import DirectorySandbox, MemoryJournal, ScriptedModel, results, steps, submit, use

BLOCKED = [submit(outcome="blocked")]


class Watched(DirectorySandbox):
    """Counts how many files are read at once; a file named slow takes its time, one named gone loses the sandbox."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.now = self.most = 0
        self.order: list[str] = []

    async def read_file(self, path: str, *, max_bytes: int) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(f"begin {path}")
        try:
            await asyncio.sleep(0.05 if "slow" in path else 0.005)
            if "gone" in path:
                raise ProviderError("sandbox", "lost", retryable=True)
            return await super().read_file(path, max_bytes=max_bytes)
        finally:
            self.order.append(f"end {path}")
            self.now -= 1


async def watched(tmp_path: Path, *names: str) -> tuple[Bench, Watched]:
    on = await bench(tmp_path, {name: name.encode() for name in names})
    sandbox = Watched(on.sandbox.root)
    on.sandbox, on.review = sandbox, on.review_of(sandbox)
    return on, sandbox


async def test_calls_that_only_look_run_side_by_side_and_are_answered_in_their_order(tmp_path: Path) -> None:
    names = ["slow", *(f"file{number}" for number in range(19))]
    on, sandbox = await watched(tmp_path, *names)
    model = ScriptedModel(steps([use("read", file_path=name) for name in names], BLOCKED))
    await run(on, model)
    assert sandbox.most == 8
    assert results(model.asked[1])[:20] == [f"1\t{name}" for name in names]
    assert sandbox.order.index("end slow") > sandbox.order.index("end file0")


async def test_a_call_that_changes_something_waits_for_those_before_it_and_holds_those_after_it(tmp_path: Path) -> None:
    on, sandbox = await watched(tmp_path, "slow", "a", "b")
    reply = [
        use("read", file_path="slow"),
        use("read", file_path="a"),
        use("write", file_path="a", content="new"),
        use("read", file_path="a"),
        use("bash", command="printf more >> a"),
        use("glob", pattern="*"),
        use("read", file_path="a"),
    ]
    model = ScriptedModel(steps(reply, BLOCKED))
    await run(on, model)
    said = results(model.asked[1])
    assert said[:4] == ["1\tslow", "1\ta", "replaced a", "1\tnew"]
    assert said[5:7] == ["a\nb\nslow", "1\tnewmore"]
    assert sandbox.most == 2


async def test_a_sandbox_lost_in_one_of_several_reads_is_a_lost_sandbox(tmp_path: Path) -> None:
    on, _ = await watched(tmp_path, "gone", "slow", "a")
    model = ScriptedModel(steps([use("read", file_path=name) for name in ("slow", "gone", "a")], BLOCKED))
    with pytest.raises(ProviderError, match="lost"):
        await run(on, model)


async def test_one_read_that_cannot_be_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    on, _ = await watched(tmp_path, "a", "b")
    calls = [use("read", file_path="a"), use("read", file_path=7), use("read", file_path="nowhere")]
    journal = MemoryJournal()
    model = ScriptedModel(steps([*calls, use("read", file_path="b")], BLOCKED))
    await run(on, model, journal=journal)
    said = results(model.asked[1])
    assert (said[0], said[3]) == ("1\ta", "1\tb")
    assert [event.ok for event in journal.of(ToolReturned)][:4] == [True, False, False, True]


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([use("bash", command="true")], id="a command"),
        pytest.param([use("read", file_path="a"), use("glob", pattern="*"), use("grep", pattern="a")], id="looking"),
        pytest.param([use("teleport")], id="no such tool"),
    ],
)
async def test_a_turn_is_two_commits(tmp_path: Path, calls: list[dict[str, object]]) -> None:
    """The reply with the start of its calls; their results with what the model is told."""
    on = await bench(tmp_path, {"a": b"a"})
    commits = []
    for turns in (1, 2):
        journal = MemoryJournal()
        await run(on, ScriptedModel(steps(*[calls] * turns, BLOCKED)), journal=journal)
        commits.append(journal.records)
    assert commits[1] - commits[0] == (1 if calls[0]["name"] == "teleport" else 2)


async def test_an_edit_is_looked_up_only_after_its_reply_is_durable(tmp_path: Path) -> None:
    """The sandbox may be lost by looking, and with it a reply that was paid for. Red without the flush (seen)."""
    on, _ = await watched(tmp_path, "gone")
    journal = MemoryJournal()
    with pytest.raises(ProviderError):
        await run(
            on, ScriptedModel(steps([use("edit", file_path="gone", old_string="g", new_string="b")])), journal=journal
        )
    assert journal.entries()[-1].key == "reply 1"


def test_a_run_that_is_over_waits_for_its_command_as_long_as_the_sandbox_does() -> None:
    """A call that is cut short ends the sandbox, and with it the work, where the machine stalls. Red with 5 s: seen."""
    assert GRACE_SECONDS > GRACE_S
