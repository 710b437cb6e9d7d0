"""`submit`: the change that was shown is the change that leaves, after its checks."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.agent.ground import shell
from bot.agent.review import Accepted, History, Review, Shown, Unfit, check_timeout_s, submission_of
from bot.domain.conversation import Json
from bot.domain.errors import ProviderError
from bot.ports import ExecResult, Sandbox
from bot.report.receipts import receipt_section
from bot.setup.commands import manifests
from tests.agent.bench import Bench, bench
from tests.fakes import DirectorySandbox


def words(**given: Any) -> Json:
    return {"outcome": "changes", "title": "Say hello", "summary": "s", "testing": "t", **given}


def write(on: Bench, path: str, text: str) -> None:
    (on.sandbox.root / path).write_text(text)


async def shown(review: Review, history: History | None = None, *, check: str = "", **given: Any) -> Shown:
    result = await review.submit(words(**given), history=history or History(), check=check)
    assert isinstance(result, Shown), result
    return result


def after(seen: Shown, rejections: int = 0) -> History:
    return History(shown={seen.patch.diff_id: seen.receipt}, rejections=rejections)


async def test_the_first_submit_shows_diff_checks_and_id(on: Bench) -> None:
    write(on, "hello.py", 'print("hello")\n')
    seen = await shown(on.review, check="python3 hello.py")
    lines = seen.text.split("\n")
    assert lines[0] == "hello.py | +1 -1"
    assert '+print("hello")' in lines
    assert "Checks: python3 hello.py" in lines
    assert lines[-2:] == [
        f"diff_id: {seen.patch.diff_id}",
        "If this is what you want, call submit again with this diff_id; else fix it first.",
    ]
    assert [(run.where, run.exit_code) for run in seen.receipt.runs] == [("base", 0), ("head", 0)]


async def test_the_base_is_checked_once_in_a_run(tmp_path: Path) -> None:
    on = await bench(tmp_path)
    count = f"echo x >> {tmp_path / 'runs'}"
    write(on, "hello.py", "1\n")
    seen = await shown(on.review, check=count)
    write(on, "hello.py", "2\n")
    again = await shown(on.review, after(seen), check=count)
    assert again.receipt.runs[0] == seen.receipt.runs[0]
    assert (tmp_path / "runs").read_text() == "x\n" * 3


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        pytest.param("no-such-tool --all", "no-such-tool: command not found", id="no-such-command"),
        pytest.param("echo No module named pytest; exit 1", "No module named pytest", id="no-such-module"),
    ],
)
async def test_a_check_that_neither_tree_can_run_was_not_run(on: Bench, check: str, reason: str) -> None:
    write(on, "hello.py", "1\n")
    seen = await shown(on.review, check=check)
    assert seen.receipt.runs == ()
    assert seen.receipt.reason.startswith("the sandbox cannot run it (")
    assert reason in seen.receipt.reason
    assert not seen.checks_failed
    assert f"Checks: {check}: the sandbox cannot run it" in seen.text


async def test_a_change_that_removes_what_the_check_needs_fails_it(tmp_path: Path) -> None:
    on = await bench(tmp_path, {"check.sh": b"true\n"})
    (on.sandbox.root / "check.sh").unlink()
    seen = await shown(on.review, check="bash check.sh")
    assert seen.checks_failed


class WithoutBase(DirectorySandbox):
    async def exec(self, argv: Sequence[str], **more: Any) -> ExecResult:
        if list(argv) == shell("python3 hello.py") and "hullo" in (self.root / "hello.py").read_text():
            raise ProviderError("directory", "the sandbox is lost")
        return await super().exec(argv, **more)


async def test_where_the_base_cannot_be_checked_the_head_stands_for_itself(tmp_path: Path) -> None:
    on = await bench(tmp_path, of_checks=WithoutBase)
    write(on, "hello.py", "1 / 0\n")
    seen = await shown(on.review, check="python3 hello.py")
    assert [run.where for run in seen.receipt.runs] == ["head"]
    assert seen.checks_failed


async def test_where_there_is_room_for_one_more_sandbox_only_base_and_head_take_turns(tmp_path: Path) -> None:
    """Red when each is asked for once: seen."""
    on = await bench(tmp_path)
    write(on, "hello.py", 'print("hello")\n')
    place = asyncio.Lock()

    @asynccontextmanager
    async def one_at_a_time() -> AsyncIterator[Sandbox]:
        if place.locked():
            raise ProviderError("e2b", "too many sandboxes run at once", retryable=True)
        async with place:
            fresh = DirectorySandbox(Path(tempfile.mkdtemp(dir=tmp_path)) / "tree", name="fresh")
            await on.workspace.fill(fresh)
            yield fresh

    review = Review(on.workspace, on.sandbox, gate=lambda _: (), check_command=None, open_base=one_at_a_time)
    seen = await shown(review, check="python3 hello.py")
    assert [(run.where, run.exit_code) for run in seen.receipt.runs] == [("base", 0), ("head", 0)]


async def test_what_only_the_agent_has_built_does_not_make_a_check_pass(tmp_path: Path) -> None:
    """Red when the head is checked in the sandbox that the agent worked in: seen."""
    on = await bench(tmp_path, {".gitignore": b"built\n", "a.txt": b"a\n"})
    write(on, "a.txt", "b\n")
    write(on, "built", "")
    seen = await shown(on.review, check="test -f built")
    assert [(run.where, run.exit_code) for run in seen.receipt.runs] == [("base", 1), ("head", 1)]
    assert "nothing that you installed or built, and no file that git ignores, is there." in seen.text


async def test_a_change_to_what_a_setup_reads_is_named_in_the_receipt(tmp_path: Path) -> None:
    on = await bench(tmp_path, setup_reads=manifests)
    write(on, "hello.py", "1\n")
    assert (await shown(on.review, check="true")).receipt.reason == ""
    write(on, "requirements.txt", "tomli\n")
    seen = await shown(on.review, check="true")
    said = "Both ran with the setup of the base, and the change alters what a setup reads: requirements.txt."
    assert seen.receipt.reason == said
    assert said in seen.text.split("\n")
    assert receipt_section(seen.receipt).endswith(f"\n\n{said}")


async def test_tests_of_another_kind_that_were_not_run_are_named_in_the_receipt(tmp_path: Path) -> None:
    """Red when one kind of tests hides the others: seen."""
    files = {"package.json": b'{"scripts": {"test": "jest"}}', "tests/test_a.py": b"", "a.txt": b""}
    for check, named in ((None, True), ("true", False)):
        on = await bench(tmp_path / str(named), files, check=check)
        write(on, "a.txt", "1\n")
        seen = await shown(on.review, check="true")
        expected = (
            "Found, and not run: python3 -m pytest -q, npm test. `test` in .github/backspace.yml says what is run."
        )
        assert seen.receipt.reason == (expected if named else "")


async def test_the_same_change_with_its_id_is_accepted(on: Bench) -> None:
    write(on, "hello.py", 'print("hello")\n')
    seen = await shown(on.review)
    accepted = await on.review.submit(words(diff_id=seen.patch.diff_id), history=after(seen))
    assert isinstance(accepted, Accepted)
    assert accepted.patch is not None
    assert accepted.patch.diff_id == seen.patch.diff_id


async def test_a_change_after_the_review_is_shown_again_and_not_accepted(on: Bench) -> None:
    """Red when the id of the tree as it is now is not compared: the second, unseen change would leave."""
    write(on, "hello.py", 'print("hello")\n')
    seen = await shown(on.review)
    write(on, "extra.txt", "not reviewed\n")
    again = await shown(on.review, after(seen), diff_id=seen.patch.diff_id)
    assert again.text.startswith(f"The change is not the one shown as {seen.patch.diff_id}.")
    assert "+not reviewed" in again.text


async def test_an_id_that_was_never_shown_is_not_enough(on: Bench) -> None:
    write(on, "hello.py", 'print("hello")\n')
    diff_id = (await on.review.patch()).diff_id
    await shown(on.review, diff_id=diff_id)


async def test_what_the_gate_refuses_is_said_and_never_accepted(tmp_path: Path) -> None:
    """Red when the gate is asked only at the first submit."""
    on = await bench(tmp_path, problems=["secrets.env may not leave: remove it."])
    write(on, "hello.py", 'print("hello")\n')
    seen = await shown(on.review)
    write(on, "secrets.env", "x\n")
    refused = await on.review.submit(words(diff_id=seen.patch.diff_id), history=after(seen))
    assert refused == Unfit(
        "This change may not leave the sandbox:\n- secrets.env may not leave: remove it.\n"
        "Undo or change that, then submit again."
    )


async def test_no_change_at_all_is_not_a_change(on: Bench) -> None:
    assert await on.review.submit(words(), history=History()) == Unfit(
        "There is no change: nothing differs from the base. Make one, or submit with outcome no_change or blocked."
    )


async def test_no_change_is_only_believed_of_an_unchanged_tree(on: Bench) -> None:
    accepted = await on.review.submit(words(outcome="no_change"), history=History())
    assert isinstance(accepted, Accepted)
    assert accepted.patch is None
    write(on, "left.txt", "x\n")
    assert await on.review.submit(words(outcome="no_change"), history=History()) == Unfit(
        "The work tree has changes (left.txt). Undo them, or submit with outcome changes."
    )


# ---------------------------------------------------------------- checks


async def test_a_check_that_the_change_breaks_is_run_on_the_base_and_turned_away(on: Bench) -> None:
    write(on, "hello.py", "1 / 0\n")
    seen = await shown(on.review, check="python3 hello.py")
    assert [(run.where, run.exit_code) for run in seen.receipt.runs] == [("base", 0), ("head", 1)]
    assert seen.checks_failed
    assert "ZeroDivisionError" in seen.text
    assert seen.text.endswith("The checks fail because of this change. Fix it and submit again.")
    again = await on.review.submit(words(diff_id=seen.patch.diff_id), history=after(seen, 1), check="python3 hello.py")
    assert isinstance(again, Shown)


async def test_after_three_rejections_a_failing_change_may_go_out_as_a_draft(on: Bench) -> None:
    write(on, "hello.py", "1 / 0\n")
    history = History()
    for rejections in (1, 2, 3):
        seen = await shown(on.review, history, check="python3 hello.py", diff_id="")
        history = after(seen, rejections)
    assert "the pull request then opens as a draft that says so" in seen.text
    accepted = await on.review.submit(words(diff_id=seen.patch.diff_id), history=history, check="python3 hello.py")
    assert isinstance(accepted, Accepted)
    assert accepted.receipt == seen.receipt


async def test_a_check_that_fails_already_on_the_base_does_not_stand_in_the_way(on: Bench) -> None:
    write(on, "hello.py", 'print("hello")\n')
    seen = await shown(on.review, check="exit 7")
    assert not seen.checks_failed
    assert "The base fails too, so this does not stand in the way." in seen.text
    accepted = await on.review.submit(words(diff_id=seen.patch.diff_id), history=after(seen), check="exit 7")
    assert isinstance(accepted, Accepted)


async def test_a_change_that_makes_a_red_base_worse_is_turned_away_with_the_numbers(tmp_path: Path) -> None:
    """Red when any failing base excuses any failing head: seen."""
    on = await bench(tmp_path, {"left": b"1 failed, 9 passed"})
    write(on, "left", "3 failed, 7 passed")
    seen = await shown(on.review, check="cat left; exit 1")
    assert seen.checks_failed
    assert re.search(r"^base: exit 1, \S+ s \(1 failed\)\nhead: exit 1, \S+ s \(3 failed\)$", seen.text, re.M)


async def test_a_check_leaves_nothing_in_the_agents_tree(tmp_path: Path) -> None:
    on = await bench(tmp_path, {"a.txt": b"a\n", "b.txt": b"b\n", "c.txt": b"c\n", "run.sh": b"echo\n"})
    write(on, "a.txt", "changed\n")
    (on.sandbox.root / "run.sh").chmod(0o755)
    mess = "echo x > new.txt; echo x > a.txt; rm b.txt; ln -sf a.txt c.txt; chmod 644 run.sh; mkdir -p d; echo x > d/e"
    before = await on.review.patch()
    seen = await shown(on.review, check=mess)
    assert seen.patch == before
    assert await on.review.patch() == before


async def test_a_check_that_runs_too_long_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    class Hurried(DirectorySandbox):
        async def exec(self, argv: Sequence[str], *, timeout_s: float, **more: Any) -> ExecResult:
            """The base has the time it needs, however slow the machine is."""
            is_base = b"hullo" in (self.root / "hello.py").read_bytes()
            return await super().exec(argv, timeout_s=60 if is_base else timeout_s, **more)

    on = await bench(tmp_path, of_checks=Hurried)
    write(on, "hello.py", 'print("hello")\n')
    check = "grep -q hullo hello.py || sleep 60"
    result = await on.review.submit(words(), history=History(), check=check, seconds_left=1.0)
    assert isinstance(result, Shown)
    assert result.checks_failed
    assert result.receipt.runs[-1].timed_out
    assert re.search(r"^head: timed out after \d+ s", result.text, re.M)


def test_one_run_of_the_check_may_take_half_of_the_job() -> None:
    assert [check_timeout_s(minutes) for minutes in (5, 30, 90)] == [600, 900, 2700]


def test_a_title_is_one_line_of_at_most_seventy_characters() -> None:
    assert submission_of(words(title="a\n b" + "c" * 100)).title == "a b" + "c" * 66 + "…"
