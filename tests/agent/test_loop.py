"""The whole run: from the first words to an accepted submit, a limit or a failure."""

import asyncio
import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.acting import CHECKED_ANEW
from bot.agent.limits import Limits
from bot.agent.prompt import LOST_TREE, NUDGE
from bot.agent.transcript import fold
from bot.domain.conversation import Conversation, Json, Reply, Usage, UserTurn
from bot.domain.errors import ModelError
from bot.domain.events import (
    Conclusion,
    ContextRead,
    DiffShown,
    ModelAnswered,
    Noted,
    ToolCalled,
    ToolReturned,
    Verified,
)
from bot.ports import Entry
from tests.agent.bench import HELLO, TASK, Bench, bench, run
from tests.fakes import Crash, MemoryJournal, Script, ScriptedModel, diff_id_in, results, say, steps, submit, use

EDIT: Json = {"file_path": "hello.py", "old_string": "hullo", "new_string": "hello"}


def fix_it() -> Script:
    return steps(
        [say("Looking."), use("read", file_path="hello.py"), use("grep", pattern="hullo")],
        [use("edit", **EDIT)],
        [use("bash", command="python3 hello.py")],
        [submit()],
        lambda seen: [submit(diff_id=diff_id_in(seen))],
    )


async def test_a_change_is_made_reviewed_and_accepted(tmp_path: Path) -> None:
    on, journal = await bench(tmp_path, check="python3 hello.py"), MemoryJournal()
    outcome = await run(on, ScriptedModel(fix_it()), journal=journal)

    assert (outcome.kind, outcome.conclusion) == ("submitted", Conclusion.SUCCESS)
    assert outcome.message == "The change is ready and its check passes: `python3 hello.py`."
    assert outcome.patch is not None
    assert [(change.path, change.content) for change in outcome.patch.changes] == [("hello.py", b'print("hello")\n')]
    assert outcome.submission is not None
    assert outcome.submission.title == "Say hello"
    assert (outcome.turns, outcome.tool_calls, outcome.nudges) == (5, 6, 0)
    assert outcome.usage == Usage(fresh=5000, output=500)
    assert outcome.usd is None, "the price of an unknown model is unknown, not nothing"


@pytest.mark.parametrize(
    ("asked", "answered", "dollars"),
    [
        ("gpt-6-sol", "gateway/gpt-6-sol:extended", 0.003),
        ("gateway/sol", "gpt-6-sol", 0.003),
        ("claude-opus-5", "claude-haiku-5-5", 0.0075),
        ("claude-haiku-5-5", "claude-opus-5", 0.0075),
        ("gpt-6-sol", "gpt-6-sol-2026-10-01", 0.003),
    ],
)
async def test_a_reply_under_another_name_costs_what_was_asked_for_or_more(
    on: Bench, asked: str, answered: str, dollars: float
) -> None:
    """1,000 tokens in and 100 out. Red when only the name of the reply counts: seen."""
    model = ScriptedModel(
        steps([submit(outcome="no_change")]),
        name=asked,
        says_it_is=answered,
    )
    assert (await run(on, model)).usd == pytest.approx(dollars)


async def test_watchers_see_every_step_in_order(tmp_path: Path) -> None:
    on, journal = await bench(tmp_path, check="python3 hello.py"), MemoryJournal()
    await run(on, ScriptedModel(fix_it()), journal=journal)

    assert [type(event) for event in journal.events] == [
        ContextRead,
        *[ModelAnswered, ToolCalled, ToolCalled, ToolReturned, ToolReturned],
        *[ModelAnswered, ToolCalled, ToolReturned],
        *[ModelAnswered, ToolCalled, ToolReturned],
        *[ModelAnswered, ToolCalled, ToolReturned, DiffShown, Verified],
        *[ModelAnswered, ToolCalled, ToolReturned],
    ]
    assert [event.title for event in journal.of(ToolCalled)] == [
        "read hello.py",
        "search hullo",
        "edit hello.py",
        "run python3 hello.py",
        "submit changes",
        "submit changes",
    ]
    assert journal.of(ToolReturned)[3].output.split(",")[0] == "exit 0"


async def test_what_the_model_is_asked_only_grows(on: Bench) -> None:
    model = ScriptedModel(fix_it())
    await run(on, model)
    for earlier, later in zip(model.asked, model.asked[1:], strict=False):
        assert later.turns[: len(earlier.turns)] == earlier.turns
        assert (later.system, later.tools) == (earlier.system, earlier.tools)


async def test_the_conversation_after_one_more_record_has_the_earlier_one_as_prefix(on: Bench) -> None:
    journal = MemoryJournal()
    await run(on, ScriptedModel(fix_it()), journal=journal)
    entries = journal.entries()
    turns = [fold(entries[:length]).turns for length in range(len(entries) + 1)]
    assert turns[-1]
    for earlier, later in itertools.pairwise(turns):
        assert later[: len(earlier)] == earlier


# ---------------------------------------------------------------- crashes


async def test_a_crash_after_any_record_ends_in_the_same_tree_without_asking_twice(tmp_path: Path) -> None:
    whole = MemoryJournal()
    straight = await run(await bench(tmp_path / "straight"), ScriptedModel(fix_it()), journal=whole)
    assert straight.patch is not None
    for crash_after in range(1, whole.records + 1):
        on = await bench(tmp_path / str(crash_after))
        before, first = MemoryJournal(crash_after=crash_after), ScriptedModel(fix_it())
        with pytest.raises(Crash):
            await run(on, first, journal=before)
        after, second = MemoryJournal(before.entries()), ScriptedModel(fix_it())
        outcome = await run(on, second, journal=after)

        assert outcome.patch is not None
        assert outcome.patch.diff_id == straight.patch.diff_id, f"crash after record {crash_after}"
        asked = [len(conversation.turns) for conversation in (*first.asked, *second.asked)]
        assert asked == [1, 3, 5, 7, 9], f"crash after record {crash_after}"


@pytest.mark.parametrize("records", [2, 3])
async def test_a_crash_at_every_few_records_still_gets_there(on: Bench, records: int) -> None:
    """With each attempt one step further; a request that is written down and not sent is none."""
    model = ScriptedModel(fix_it())
    entries: tuple[Entry, ...] = ()
    for _ in range(60):
        journal = MemoryJournal(entries, crash_after=records)
        try:
            outcome = await run(on, model, journal=journal)
            break
        except Crash:
            entries = journal.entries()
    assert outcome.patch is not None
    assert on.read("hello.py") == b'print("hello")\n'
    assert len(model.asked) == 5


async def test_a_command_that_a_crash_interrupted_is_not_run_again(on: Bench) -> None:
    journal = MemoryJournal(crash_after=3)  # header; request; reply with the command's start
    script = steps(
        [use("bash", command="echo once >> log.txt")],
        lambda seen: [submit(outcome="blocked", summary="".join(results(seen)))],
    )
    with pytest.raises(Crash):
        await run(on, ScriptedModel(script), journal=journal)
    outcome = await run(on, ScriptedModel(script), journal=MemoryJournal(journal.entries()))
    assert outcome.submission is not None
    assert outcome.submission.summary == "interrupted: its effects are unknown; check before repeating."
    assert not (on.sandbox.root / "log.txt").exists()


async def test_checks_that_a_crash_cut_begin_anew_and_watchers_are_told(tmp_path: Path) -> None:
    """Red when the second run of the checks is silent: seen."""
    on = await bench(tmp_path, check=f"echo x >> {tmp_path / 'runs'}")
    script = steps(
        [use("bash", command="echo 1 > new.txt")],
        [submit()],
        lambda seen: [submit(diff_id=diff_id_in(seen))],
    )
    journal = MemoryJournal(crash_after=5)  # right after the first submit's start
    with pytest.raises(Crash):
        await run(on, ScriptedModel(script), journal=journal)
    told = MemoryJournal(journal.entries())
    outcome = await run(on, ScriptedModel(script), journal=told)
    assert outcome.kind == "submitted", outcome.message
    assert [event.text for event in told.of(Noted)] == [CHECKED_ANEW]
    assert (tmp_path / "runs").read_text() == "x\n" * 2


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(b'print("hello")\n', "edited hello.py: 1 replacement, the first at line 1", id="it-happened"),
        pytest.param(HELLO["hello.py"], "edited hello.py: 1 replacement, the first at line 1", id="it-did-not-happen"),
        pytest.param(
            b'# other\nprint("hullo")\n',
            "hello.py changed while the call was interrupted; read it before repeating.",
            id="somebody-else-was-there",
        ),
    ],
)
async def test_an_interrupted_edit_is_settled_by_the_files_hash(on: Bench, found: bytes, said: str) -> None:
    journal = MemoryJournal(crash_after=4)
    script = steps([use("edit", **EDIT)], lambda seen: [submit(outcome="blocked", summary="".join(results(seen)))])
    with pytest.raises(Crash):
        await run(on, ScriptedModel(script), journal=journal)
    (on.sandbox.root / "hello.py").write_bytes(found)
    outcome = await run(on, ScriptedModel(script), journal=MemoryJournal(journal.entries()))
    assert outcome.submission is not None
    assert outcome.submission.summary == said


async def test_a_new_sandbox_means_the_changes_are_made_again(tmp_path: Path) -> None:
    def script(seen: Conversation) -> list[Json]:
        fresh = [text for text in results(seen) if text == LOST_TREE]
        number = sum(not isinstance(turn, UserTurn) for turn in seen.turns)
        if number == 0 or fresh:
            return [use("edit", **EDIT)]
        return [submit(diff_id=diff_id_in(seen))] if "diff_id: " in results(seen)[0] else [submit()]

    for crash_after in range(1, 12):
        on, journal = await bench(tmp_path / str(crash_after)), MemoryJournal(crash_after=crash_after)
        try:
            await run(on, ScriptedModel(script), journal=journal)
        except Crash:
            await on.sandbox.close()
        else:
            break
        other = on.another_sandbox("sandbox-2")
        await on.workspace.fill(other)
        on.sandbox, on.review = other, on.review_of(other)
        outcome = await run(on, ScriptedModel(script), journal=MemoryJournal(journal.entries()))
        assert outcome.kind == "submitted", f"crash after record {crash_after}"
        assert on.read("hello.py") == b'print("hello")\n'
    assert crash_after > 8


# ---------------------------------------------------------------- endings


async def test_an_answer_without_a_change_needs_no_pull_request(tmp_path: Path) -> None:
    model = ScriptedModel(lambda seen: [submit(outcome="no_change", summary="It is fine.")])
    outcome = await run(await bench(tmp_path), model)
    assert (outcome.kind, outcome.conclusion, outcome.patch) == ("no_change", Conclusion.NEUTRAL, None)
    assert outcome.submission is not None
    assert outcome.submission.summary == "It is fine."


async def test_a_blocked_agent_leaves_no_patch_whatever_it_did(tmp_path: Path) -> None:
    model = ScriptedModel(steps([use("edit", **EDIT)], [submit(outcome="blocked", summary="No idea.")]))
    outcome = await run(await bench(tmp_path), model)
    assert (outcome.kind, outcome.conclusion, outcome.patch) == ("blocked", Conclusion.ACTION_REQUIRED, None)


async def test_text_alone_is_nudged_twice_and_then_is_the_answer(tmp_path: Path) -> None:
    model = ScriptedModel(lambda seen: [say("Forty-two.")])
    outcome = await run(await bench(tmp_path), model)
    assert (outcome.kind, outcome.nudges, outcome.turns) == ("answered", 2, 3)
    assert outcome.submission is not None
    assert outcome.submission.summary == "Forty-two."
    assert [results(asked)[-1] for asked in model.asked[1:]] == [NUDGE, NUDGE]


async def test_a_change_that_is_never_submitted_becomes_a_draft(tmp_path: Path) -> None:
    outcome = await run(await bench(tmp_path), ScriptedModel(steps([use("edit", **EDIT)], [say("Done.")])))
    assert (outcome.kind, outcome.conclusion) == ("stopped", Conclusion.NEUTRAL)
    assert outcome.message == "The agent ended without submitting its change."
    assert outcome.patch is not None


async def test_a_nudge_can_save_the_run(tmp_path: Path) -> None:
    script = steps([use("edit", **EDIT)], [say("Done.")], [submit()], lambda seen: [submit(diff_id=diff_id_in(seen))])
    outcome = await run(await bench(tmp_path), ScriptedModel(script))
    assert (outcome.kind, outcome.nudges) == ("submitted", 1)


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        pytest.param(Limits(turns=6), "the limit of 6 turns is reached.", id="turns"),
        pytest.param(Limits(input_tokens=10_000), "10,000 of 10,000 input tokens are used.", id="input-tokens"),
        pytest.param(Limits(output_tokens=1000), "1,000 of 1,000 output tokens are used.", id="output-tokens"),
        pytest.param(Limits(usd=0.8), "$0.78 of $0.80 is used.", id="dollars"),
    ],
)
async def test_a_budget_wraps_up_and_then_stops_with_a_draft(tmp_path: Path, limits: Limits, reason: str) -> None:
    def script(seen: Conversation) -> list[Json]:
        if any("This is your last reply" in text for text in results(seen)):
            return [submit(title="What there is")]
        number = len(seen.turns)
        return [use("bash", command=f"echo {number} > counted.txt")]

    usage = Usage(fresh=10_000, output=1_000) if limits.usd < 1 else None  # $0.06
    model = ScriptedModel(script, name="claude-opus-5-5", usage=usage)
    outcome = await run(await bench(tmp_path), model, limits=limits)
    assert (outcome.kind, outcome.conclusion) == ("stopped", Conclusion.TIMED_OUT)
    assert outcome.message == reason
    assert outcome.patch is not None
    assert outcome.submission is not None
    assert outcome.submission.title == "What there is"


async def test_notes_come_at_half_at_four_fifths_and_near_the_last_turn(tmp_path: Path) -> None:
    journal = MemoryJournal()
    model = ScriptedModel(lambda seen: [use("bash", command=f"echo {len(seen.turns)}")])
    await run(await bench(tmp_path), model, journal=journal, limits=Limits(turns=20))
    assert [note.text for note in journal.of(Noted)] == [
        "50% of a budget is used: 10 of 20 turns.",
        "80% of a budget is used: 16 of 20 turns.",
        "3 turns left. Finish with submit.",
        "Wrapping up: the limit of 20 turns is reached.",
    ]


async def test_the_wall_clock_ends_a_command_and_the_run(tmp_path: Path) -> None:
    since: list[float] = []  # when the end was near

    def clock() -> float:
        return 29.99 * 60 + time.monotonic() - since[0] if since else 0.0

    def near_the_end(_: Conversation) -> list[Json]:
        since.append(time.monotonic())
        return [use("bash", command="sleep 60")]

    model = ScriptedModel(steps([use("edit", **EDIT)], near_the_end))
    outcome = await run(await bench(tmp_path), model, limits=Limits(minutes=30), clock=clock)
    assert (outcome.kind, outcome.conclusion) == ("stopped", Conclusion.TIMED_OUT)
    assert outcome.patch is not None


async def test_the_wall_clock_ends_a_reply_that_does_not_come(tmp_path: Path) -> None:
    class Silent(ScriptedModel):
        async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
            await asyncio.sleep(60)
            return await super().ask(conversation, max_tokens=max_tokens)

    outcome = await run(await bench(tmp_path), Silent(lambda seen: []), limits=Limits(minutes=0.3 / 60))
    assert (outcome.kind, outcome.conclusion, outcome.patch) == ("stopped", Conclusion.TIMED_OUT, None)


async def test_three_replies_with_calls_that_cannot_run_end_the_run(tmp_path: Path) -> None:
    model = ScriptedModel(
        steps([use("teleport")], [use("edit", file_path="hello.py", old_string="x")], [use("read", file_path=7)])
    )
    outcome = await run(await bench(tmp_path), model)
    assert outcome.message == "3 replies in a row held a tool call that cannot be run."
    assert outcome.conclusion == Conclusion.FAILURE
    said = [results(asked)[0] for asked in model.asked[1:]]
    assert said == [
        "there is no tool 'teleport'; the tools are bash, read, write, edit, glob, grep, submit.",
        "edit: new_string is missing.",
    ]


async def test_the_same_call_with_the_same_result_is_noted_and_then_stopped(tmp_path: Path) -> None:
    journal = MemoryJournal()
    outcome = await run(
        await bench(tmp_path), ScriptedModel(lambda seen: [use("bash", command="false")]), journal=journal
    )
    assert outcome.message == "the same tool call gave the same result 6 times."
    assert [note.text for note in journal.of(Noted)] == [
        "The same call gave the same result 4 times. Try something else."
    ]


async def test_an_edit_that_keeps_failing_in_the_same_way_is_told_to_read_first(tmp_path: Path) -> None:
    journal = MemoryJournal()
    wrong = [use("edit", file_path="hello.py", old_string="nowhere", new_string="x")]
    other = [use("edit", file_path="README.md", old_string="nowhere", new_string="x")]
    script = steps(other, wrong, wrong, [use("bash", command="true")], wrong, [submit(outcome="blocked")])
    await run(await bench(tmp_path), ScriptedModel(script), journal=journal)
    (told,) = [note.text for note in journal.of(Noted)]
    assert told.startswith("The same edit failed in the same way 3 times. Use read on the file first")


# ---------------------------------------------------------------- replies that are odd


async def test_a_failed_change_stops_the_changes_after_it_but_not_the_reads(tmp_path: Path) -> None:
    model = ScriptedModel(
        steps(
            [
                use("edit", file_path="hello.py", old_string="nowhere", new_string="x"),
                use("write", file_path="new.txt", content="x"),
                use("read", file_path="hello.py"),
            ],
            [submit(outcome="blocked")],
        )
    )
    on = await bench(tmp_path)
    await run(on, model)
    said = results(model.asked[1])
    assert said[1:] == ["not run: an earlier call in this reply failed.", '1\tprint("hullo")']
    assert not (on.sandbox.root / "new.txt").exists()


async def test_calls_of_a_reply_that_did_not_end_as_tool_use_are_answered_but_not_run(on: Bench) -> None:
    model = ScriptedModel(lambda seen: [use("write", file_path="new.txt", content="x")], stop_reason="something_new")
    await run(on, model, limits=Limits(turns=1))
    assert results(model.asked[1])[0] == "not run: the reply did not end as a tool call."
    assert not (on.sandbox.root / "new.txt").exists()


async def test_lost_replies_are_asked_again_and_paid_for(tmp_path: Path) -> None:
    lost = ModelError("anthropic", "Claude is overloaded (HTTP 529).", retryable=True, status=529, remedy="retry")
    cut = ModelError("anthropic", "cut", remedy="longer", usage=Usage(fresh=10, output=7))
    answers = iter([lost, lost, cut])
    whole = fix_it()
    model = ScriptedModel(lambda seen: next(answers, None) or whole(seen))
    journal = MemoryJournal()
    outcome = await run(await bench(tmp_path), model, journal=journal)
    assert outcome.kind == "submitted"
    assert outcome.usage == Usage(fresh=5010, output=507)
    assert model.max_tokens == [16_000, 16_000, 16_000, *[32_000] * 5]
    assert journal.of(Noted)[0].text == "Claude is overloaded (HTTP 529). Attempt 2 of 6 follows in 1 s."


async def test_a_model_that_stays_away_stops_the_run_and_keeps_the_change(tmp_path: Path) -> None:
    refused = ModelError("anthropic", "The key was refused (HTTP 401).", status=401, remedy="next")
    outcome = await run(await bench(tmp_path), ScriptedModel(steps([use("edit", **EDIT)], refused)))
    assert (outcome.kind, outcome.conclusion) == ("stopped", Conclusion.FAILURE)
    assert outcome.message == "The key was refused (HTTP 401)."
    assert outcome.patch is not None


async def test_a_pause_is_resumed_without_a_word(tmp_path: Path) -> None:
    model = ScriptedModel(lambda seen: [say("...")], stop_reason="pause_turn")
    await run(await bench(tmp_path), model, limits=Limits(turns=5))
    assert [len(asked.turns) for asked in model.asked][:5] == [1, 2, 3, 4, 6]


async def test_a_free_model_costs_nothing(tmp_path: Path) -> None:
    outcome = await run(await bench(tmp_path), ScriptedModel(fix_it(), usage=Usage(), name="rules"))
    assert outcome.usd == 0.0


async def test_a_request_by_a_stranger_to_the_repository_is_told_apart(tmp_path: Path) -> None:
    model = ScriptedModel(lambda seen: [submit(outcome="blocked")])
    await run(await bench(tmp_path), model, task=replace(TASK, issue_trusted=False))
    assert 'rank="has no write access"' in "".join(results(model.asked[0]))
