"""`backspace eval` as its users meet it."""

import asyncio
import io
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from bot.evaluation.command import run_eval
from bot.standins.messages import LoopbackMessages, by_turn, use
from bot.standins.serving import serve
from tests.evaluation.folders import mean_task
from tests.test_cli import backspace


def test_a_scripted_run_of_a_shipped_task_says_that_it_is_one_and_prints_a_table(tmp_path: Path) -> None:
    """The operator's key and limits are there, and are not used."""
    theirs = {"ANTHROPIC_API_KEY": "k" * 40, "BACKSPACE_TURNS": "1", "BACKSPACE_MINUTES": "1"}
    done = backspace("eval", "--task", "python-ledger", cwd=tmp_path, **theirs)
    assert done.returncode == 0, done.stderr
    assert (
        "Scripted: each task's gold change is replayed call by call. This measures the bot, not a model." in done.stderr
    )
    assert "  python-ledger: solved: the hidden tests pass, the tree of the gold change\n" in done.stderr
    header, row, total, *_ = done.stdout.splitlines()
    assert header.split() == ["task", "turns", "tokens", "dollars", "seconds"]
    assert row.split()[:2] == ["python-ledger", "solved"]
    assert row.endswith("as in gold")
    assert total.split()[0] == "all"
    assert "1/1 solved (100 %, 95 % interval 21 to 100 %)" in done.stdout


@pytest.mark.slow
def test_the_result_as_json_is_all_there_is_on_standard_output(tmp_path: Path) -> None:
    """With `--live --model rules` the rule agent works: it needs no key, and cannot mend a mean."""
    done = backspace("eval", str(mean_task(tmp_path)), "--live", "--model", "rules", "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["player"], told["solved"], told["counted"]) == ("rules", 0, 1)
    assert told["interval_95"] == [0.0, 0.7935]
    (row,) = told["tasks"]
    assert (row["task"], row["verdict"], row["same_tree"]) == ("mean", "unsolved", None)
    assert "Live: rules does the work." in done.stderr


async def test_a_live_run_asks_the_configured_model_and_counts_what_it_says_it_cost(tmp_path: Path) -> None:
    """The operator's key and address are used; the stand-in's own ledger is what the table has to equal."""
    words = {"outcome": "changes", "title": "Mend the mean", "summary": "Off by one.", "testing": "None."}
    model = LoopbackMessages(
        by_turn(
            use("edit", file_path="calc/mean.py", old_string="(len(numbers) - 1)", new_string="len(numbers)"),
            use("submit", **words),
            lambda seen: use("submit", **words, diff_id=seen.find(r"diff_id: ([0-9a-f]{12})")),
        ),
        api_key="k" * 40,
    )
    async with serve(model.asgi()) as url:
        arguments = ("eval", str(mean_task(tmp_path)), "--live", "--model", "claude-sonnet-5-5", "--json")
        env = {"ANTHROPIC_API_KEY": "k" * 40, "ANTHROPIC_BASE_URL": url, "BACKSPACE_BUDGET_USD": "0.75"}
        done = await asyncio.to_thread(backspace, *arguments, cwd=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert "Live: claude-sonnet-5-5 does the work, for $0.75 a task at most." in done.stderr
    told = json.loads(done.stdout)
    assert {charge.model for charge in model.ledger} == {"claude-sonnet-5-5"}
    assert told["tasks"][0]["turns"] == len(model.ledger) == 3
    assert told["usd"] == pytest.approx(sum(charge.dollars for charge in model.ledger), abs=1e-6)


class Impatient(io.StringIO):
    """A terminal at which somebody ends the command as soon as it tells of the first task."""

    def write(self, text: str) -> int:
        if "a-broken-one" in text:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


async def test_a_run_that_is_ended_tells_what_was_known_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Red when the signal is not met, which ends pytest itself then: seen."""
    mean_task(tmp_path / "tasks")
    shutil.copytree(tmp_path / "tasks/mean", tmp_path / "tasks/a-broken-one")
    (tmp_path / "tasks/a-broken-one/gold.patch").write_text("no patch")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    console = Console(file=(printed := Impatient()), width=200)
    code = await run_eval(
        {"LOG_LEVEL": "critical"},
        folder=tmp_path / "tasks",
        clones=None,
        names=(),
        live=False,
        model=None,
        jobs=1,
        as_data=True,
        console=console,
    )
    assert code == 130
    assert printed.getvalue().endswith("Interrupted: 1 of 2 tasks had ended.\n")
    assert [row["task"] for row in json.loads(capsys.readouterr().out)["tasks"]] == ["a-broken-one"]
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--live", "--model", "claude-opus-5-5"), "ANTHROPIC_API_KEY is missing", id="no-key-for-a-model"),
        pytest.param(
            ("--model", "rules"), "--model goes with --live: without it a script plays the model.", id="model"
        ),
        pytest.param(("--task", "x"), "There is no task x: the tasks are c-csv, c-ring-buffer, ", id="no-task"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = backspace("eval", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
