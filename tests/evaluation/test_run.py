"""Tasks through the whole bot: webhook, worker, sandbox, agent and pull request, with the real SDK."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from bot.domain.errors import ProviderError
from bot.evaluation.command import tasks_in
from bot.evaluation.material import Material
from bot.evaluation.rows import Row, exit_code, summary
from bot.evaluation.run import SCRIPT_KEY, SCRIPT_MODEL, Player, evaluate, gold_player
from bot.evaluation.tasks import SHIPPED, Task, own_tasks
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.standins.messages import Answer, Fault, LoopbackMessages, MaxTokens, Observed, Script, answer, use
from bot.standins.serving import serve
from tests.evaluation.folders import FILES, RIGHT, TEST, TEST_FILES, clone_with_a_later_fix, instance, mean_task
from tests.repositories import WINDOWS, write

SETTINGS = {"LOG_LEVEL": "critical"}


def player_of(script: Script, heard: list[LoopbackMessages], faults: Mapping[int, Fault] | None = None) -> Player:
    @asynccontextmanager
    async def player(made: Material) -> AsyncIterator[Mapping[str, str]]:
        heard.append(LoopbackMessages(script, api_key=SCRIPT_KEY, faults=faults))
        async with serve(heard[-1].asgi()) as url:
            yield {"ANTHROPIC_API_KEY": SCRIPT_KEY, "ANTHROPIC_BASE_URL": url, "BACKSPACE_MODEL": SCRIPT_MODEL}

    return player


GIVES_UP = {"outcome": "blocked", "title": "No", "summary": "I cannot.", "testing": "None."}


def give_up(seen: Observed) -> Answer:
    return answer(use("submit", **GIVES_UP))


async def rows_of(tasks: tuple[Task, ...], player: Player = gold_player, jobs: int = 1) -> tuple[Row, ...]:
    return await evaluate(tasks, player=player, settings=SETTINGS, sandboxes=Bubblewrap(), jobs=jobs)


class Slow(Bubblewrap):
    """Its sandboxes never come, and who leaves off waiting has something to tidy up."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.tidy = asyncio.Event(), False

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> NoReturn:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            self.tidy = True
        raise AssertionError


async def test_who_ends_it_waits_for_the_task_at_work_also_while_others_wait_for_their_turn(tmp_path: Path) -> None:
    """Red when the first of them to end is enough: seen."""
    tasks = own_tasks(mean_task(tmp_path))
    sandboxes = Slow()
    work = evaluate((*tasks, *tasks), player=gold_player, settings=SETTINGS, sandboxes=sandboxes)
    evaluating = asyncio.create_task(work)
    await sandboxes.waiting.wait()
    evaluating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await evaluating
    assert sandboxes.tidy


RED_AND_GREEN = [task for task in own_tasks(SHIPPED) if task.name != "without-tests"]
QUICK = {"shell-backup"}  # python-ledger is in test_command.py


@pytest.mark.parametrize(
    "task",
    [pytest.param(task, id=task.name, marks=() if task.name in QUICK else pytest.mark.slow) for task in RED_AND_GREEN],
)
async def test_a_gold_change_replayed_ends_in_its_very_tree_with_checks_red_on_base_and_green_on_head(
    task: Task,
) -> None:
    """Red when the replayed calls differ from the gold change by a byte or a mode: the trees are compared as git hashes
    (tried, with the chmod calls left out)."""
    (row,) = await rows_of((task,))
    if row.verdict == "skipped":
        pytest.skip(row.said)
    assert (row.verdict, row.same_tree) == ("solved", True), row
    assert row.checks["head"] == 0
    assert row.checks["base"] not in (0, 126, 127, None), "a failing test, not a missing program"
    assert row.turns >= 4
    assert row.usd


@pytest.mark.slow
async def test_the_task_without_tests_is_solved_and_the_receipt_says_that_nothing_was_run() -> None:
    (task,) = (task for task in own_tasks(SHIPPED) if task.name == "without-tests")
    (row,) = await rows_of((task,))
    assert (row.verdict, row.same_tree, row.checks) == ("solved", True, {})


@pytest.mark.slow
async def test_a_run_that_solves_nothing_is_none_of_twelve() -> None:
    rows = await rows_of(own_tasks(SHIPPED)[:12], player_of(give_up, []), jobs=2)
    assert {row.verdict for row in rows} == {"unsolved"}, rows
    assert all("I cannot." in row.said for row in rows), rows
    assert summary(rows) == "0/12 solved (0 %, 95 % interval 0 to 24 %)"
    assert exit_code(rows) == 3


async def test_one_bad_task_does_not_end_the_others(tmp_path: Path) -> None:
    """Broken on its own, a program that is missing, machinery that fails, and one that is solved: a row each."""
    tasks = []
    for name, said in (("broken", ""), ("needy", "needs: [gcc, cobol]\n"), ("crashing", ""), ("fine", "")):
        files = {"tests.patch": b""} if name == "broken" else {}
        (task,) = own_tasks(mean_task(tmp_path / name, said=said, files=files))
        tasks.append(replace(task, name=name))

    @asynccontextmanager
    async def sometimes(made: Material) -> AsyncIterator[Mapping[str, str]]:
        if made.task.name == "crashing":
            raise ProviderError("model", "the address is taken")
        async with gold_player(made) as settings:
            yield settings

    heard: list[str] = []
    rows = await evaluate(
        tasks,
        player=sometimes,
        settings=SETTINGS,
        sandboxes=Bubblewrap(),
        jobs=2,
        told=lambda row: heard.append(row.task),
    )
    assert [row.verdict for row in rows] == ["broken", "skipped", "crashed", "solved"]
    assert rows[0].said == "its tests pass on the base already, so they show nothing"
    assert rows[1].said == "the sandbox has no cobol"
    assert rows[2].said == "model: the address is taken"
    assert sorted(heard) == ["broken", "crashing", "fine", "needy"]
    assert exit_code(rows) == 4


async def test_a_task_whose_tests_cannot_run_here_is_skipped_before_it_costs_anything(tmp_path: Path) -> None:
    heard: list[LoopbackMessages] = []
    (task,) = own_tasks(mean_task(tmp_path))
    (row,) = await rows_of((replace(task, test="no-such-runner -q"),), player_of(give_up, heard))
    assert (row.verdict, heard) == ("skipped", [])
    assert row.said == "the sandbox cannot run its tests: bash: line 1: no-such-runner: command not found"


async def test_a_reply_that_was_lost_costs_what_the_provider_charges_for_it(tmp_path: Path) -> None:
    """Red when only the replies that were used are counted (tried)."""
    heard: list[LoopbackMessages] = []
    (task,) = own_tasks(mean_task(tmp_path))
    (row,) = await rows_of((task,), player_of(give_up, heard, {1: MaxTokens()}))
    assert (row.turns, len(heard[0].ledger)) == (1, 2)
    assert row.usd == pytest.approx(sum(charge.dollars for charge in heard[0].ledger), abs=1e-6)


async def test_whoever_ends_the_run_waits_until_the_tasks_have_cleaned_up(tmp_path: Path) -> None:
    """Red without the wait after the cancel (tried)."""
    begun, cleaned = asyncio.Event(), []

    @asynccontextmanager
    async def slow(made: Material) -> AsyncIterator[Mapping[str, str]]:
        begun.set()
        try:
            await asyncio.sleep(60)
            yield {}
        finally:
            await asyncio.sleep(0.1)
            cleaned.append(made.task.name)

    run = asyncio.ensure_future(rows_of(own_tasks(mean_task(tmp_path)), slow))
    await begun.wait()
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    assert cleaned == ["mean"]


async def test_hidden_tests_and_the_gold_change_reach_neither_the_model_nor_the_repository(tmp_path: Path) -> None:
    """Red when the hidden tests are part of the base (tried)."""
    heard: list[LoopbackMessages] = []
    (task,) = own_tasks(mean_task(tmp_path))
    look = answer(use("bash", command="ls -R; cat /task* task.yml; git log --stat"))
    (row,) = await rows_of((task,), player_of(lambda seen: give_up(seen) if seen.turn else look, heard))
    assert row.verdict == "unsolved"
    asked = str(heard[0].requests)
    assert "mean.py" in asked
    assert "test_mean" not in asked
    assert "/ len(numbers)" not in asked


async def test_a_change_that_only_looks_right_is_not_solved(tmp_path: Path) -> None:
    """The hidden tests judge, in their own form: the agent's file of the same name is replaced."""
    (task,) = own_tasks(mean_task(tmp_path))
    submit = {"outcome": "changes", "title": "Mend it", "summary": "Done.", "testing": "Yes."}
    calls = (
        use("write", file_path="tests/__init__.py", content=""),
        use("write", file_path="tests/test_mean.py", content="import unittest\n"),
    )

    def cheat(seen: Observed) -> Answer:
        if not seen.turn:
            return answer(*calls)
        if seen.turn == 1:
            return answer(use("submit", **submit))
        return answer(use("submit", **submit, diff_id=seen.find(r"diff_id: ([0-9a-f]{12})")))

    (row,) = await rows_of((task,), player_of(cheat, []))
    assert (row.verdict, row.same_tree) == ("unsolved", False)
    assert row.said.startswith("the hidden tests fail: ")


async def test_an_instance_of_swe_bench_is_solved_by_its_named_tests(tmp_path: Path) -> None:
    sha = clone_with_a_later_fix(tmp_path / "repositories" / "calc")
    (tmp_path / "all.jsonl").write_text(instance(sha, tmp_path / "scratch"))
    (row,) = await rows_of(tasks_in(tmp_path, clones=None))
    assert (row.verdict, row.same_tree) == ("solved", True), row
    assert row.said == "1 of 1 named tests pass, the tree of the gold change"


AWKWARD = {
    **FILES,
    **TEST_FILES,
    "windows.txt": WINDOWS,
    "latin.txt": b"caf\xe9 and more\nlast\n",
    "run.sh": b"#!/bin/sh\necho old\n",
    "picture.bin": bytes(range(256)) * 8,
    "old name.txt": b"".join(b"line %d\n" % n for n in range(40)),
    "gone/file.txt": b"x\n",
    "becomes-a-folder": b"a file\n",
    "becomes-a-file/deep/inside.txt": b"z\n",
    "ünïcode/ñ.txt": "é\n".encode(),
    "no-end.txt": b"one\ntwo",
}


async def test_any_repository_commit_patch_and_test_command_can_be_replayed(tmp_path: Path) -> None:
    """Renames, modes, links, binary files, Windows lines, Latin-1, a file that becomes a folder; at a commit."""
    source = tmp_path / "task" / "clone"
    write(source, AWKWARD)
    git = ["git", "-C", str(source), "-c", "user.name=Ada", "-c", "user.email=ada@example.test"]
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}

    def said(*arguments: str) -> bytes:
        return subprocess.run([*git, *arguments], check=True, capture_output=True, env=env).stdout

    said("init", "-q", "-b", "main")
    said("add", "-A")
    said("commit", "-qm", "Start")
    base = said("rev-parse", "HEAD").decode().strip()
    _make_the_gold_change(source)
    said("add", "-A")
    gold = said("diff", "--cached", "--binary", "-M", "HEAD")
    said("commit", "-qm", "What nobody may see")
    words = f"prompt: tidy up\ntest: {TEST}\ncheck: {TEST}\nrepository: clone\ncommit: {base}\n"
    write(tmp_path / "task", {"task.yml": words.encode(), "gold.patch": gold})
    (row,) = await rows_of(tasks_in(tmp_path / "task", clones=None))
    assert (row.verdict, row.same_tree) == ("solved", True), row
    assert row.checks == {"base": 1, "head": 0}


def _make_the_gold_change(source: Path) -> None:
    write(
        source,
        {
            "calc/mean.py": RIGHT,
            "windows.txt": WINDOWS.replace(b"second", b"2nd"),
            "latin.txt": b"caf\xe9s and more\nlast\n",
            "picture.bin": bytes(reversed(range(256))) * 8,
            "no-end.txt": b"one\ntwo\nthree",
            "new/empty.txt": b"",
            "ünïcode/ñ.txt": "è\n".encode(),
        },
    )
    (source / "run.sh").chmod(0o755)
    (source / "moved").mkdir()
    (source / "old name.txt").rename(source / "moved" / "new name.txt")
    text = (source / "moved" / "new name.txt").read_bytes()
    (source / "moved" / "new name.txt").write_bytes(text.replace(b"line 7\n", b"line seven\n"))
    (source / "gone" / "file.txt").unlink()
    (source / "becomes-a-folder").unlink()
    shutil.rmtree(source / "becomes-a-file")
    write(source, {"becomes-a-folder/inside.txt": b"y\n", "becomes-a-file": b"a file\n"})
    (source / "link").symlink_to("calc/mean.py")
