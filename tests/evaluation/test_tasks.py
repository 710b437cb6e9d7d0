"""Folders of tasks: our own layout and that of SWE-bench."""

import json
import re
from pathlib import Path

import pytest

from bot.domain.errors import UserError
from bot.evaluation.command import tasks_in
from bot.evaluation.material import BrokenTask, differences, material
from bot.evaluation.swebench import instances
from bot.evaluation.tasks import SHIPPED, Task, chosen, own_tasks
from tests.evaluation.folders import NAME, TEST, clone_with_a_later_fix, instance, mean_task
from tests.repositories import CHECK, write


def test_thirteen_tasks_ship_with_the_bot() -> None:
    tasks = own_tasks(SHIPPED)
    assert len(tasks) == 13
    assert {task.name.split("-")[0] for task in tasks} >= {"python", "javascript", "c", "monorepo", "without"}
    assert all(task.tests for task in tasks)


@pytest.mark.parametrize("task", [pytest.param(task, id=task.name) for task in own_tasks(SHIPPED)])
def test_a_shipped_tasks_gold_change_leaves_the_hidden_tests_alone(task: Task, tmp_path: Path) -> None:
    """Both are patches on the base: a path in both would be judged in the tests' form only."""
    made = material(task, tmp_path / "task.git")
    changed = {path for d in differences(made.git, made.base_sha, made.gold_tree) for path in (d.was, d.path)}
    assert changed
    assert not changed & {file.path for file in made.hidden}


def test_a_task_is_read_as_it_is_written(tmp_path: Path) -> None:
    (task,) = own_tasks(mean_task(tmp_path, said=f"needs: gcc\nmust_pass: ['{NAME}']\n"))
    assert (task.name, task.title) == ("mean", "the mean of three numbers is wrong")
    assert (task.needs, task.must_pass) == (("gcc",), (NAME,))
    assert own_tasks(tmp_path / "mean") == (task,), "a folder may be a task itself"


def test_the_task_that_the_documentation_shows_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```yaml\n(title:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "clones" / "ledger").mkdir(parents=True)
    (task,) = own_tasks(mean_task(tmp_path, files={"task.yml": shown.encode()}))
    assert task.source == tmp_path / "clones" / "ledger"
    assert (task.title, task.needs, task.check) == ("Sharing 10 cents fails", ("gcc", "make"), "make test")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({"task.yml": b"prompt: x\n"}, "task.yml: test is wrong: field required.", id="no-test"),
        pytest.param({"task.yml": b"prompt: [\n"}, "task.yml cannot be read as YAML: ", id="no-yaml"),
        pytest.param(
            {"task.yml": b"prompt: x\ntest: y\nbase: z\n"}, "task.yml: base is wrong: extra", id="unknown-key"
        ),
        pytest.param(
            {"task.yml": b"prompt: x\ntest: y\nrepository: elsewhere\n"},
            "task.yml: there is no folder elsewhere with the task's repository.",
            id="no-repository",
        ),
    ],
)
def test_a_task_that_cannot_be_read_is_one_sentence(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(UserError) as raised:
        own_tasks(mean_task(tmp_path, files=files))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_task_without_its_gold_change_and_a_folder_without_tasks_are_said(tmp_path: Path) -> None:
    mean_task(tmp_path)
    (tmp_path / "mean" / "gold.patch").unlink()
    with pytest.raises(UserError, match=r"gold\.patch is missing"):
        tasks_in(tmp_path, clones=None)
    with pytest.raises(UserError, match="holds no task"):
        tasks_in(tmp_path / "mean" / "repository", clones=None)
    with pytest.raises(UserError, match="is not a folder"):
        tasks_in(tmp_path / "nowhere", clones=None)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    tasks = own_tasks(mean_task(tmp_path))
    assert chosen(tasks, []) == tasks
    with pytest.raises(UserError, match=r"There is no task median: the tasks are mean\."):
        chosen(tasks, ["median"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param(
            "gold.patch",
            b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
            "mean: the gold change does not apply to the base: ",
            id="gold",
        ),
        pytest.param("tests.patch", b"not a patch\n", "mean: the hidden tests do not apply to the base: ", id="tests"),
    ],
)
def test_a_patch_that_does_not_apply_breaks_its_task(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (task,) = own_tasks(mean_task(tmp_path, files={name: content}))
    with pytest.raises(BrokenTask) as raised:
        material(task, tmp_path / "task.git")
    assert str(raised.value).startswith(said)


def test_the_check_a_task_names_is_told_to_the_bot_unless_the_repository_has_its_own(tmp_path: Path) -> None:
    folder = mean_task(tmp_path, said="check: \"grep 'x: y' *\"\n")
    (task,) = own_tasks(folder)
    made = material(task, tmp_path / "one.git")
    assert made.git.run("cat-file", "blob", f"{made.base_sha}:{CHECK}") == b"test: 'grep ''x: y'' *'\n"
    write(folder / "mean" / "repository", {CHECK: b"test: own\n"})
    made = material(task, tmp_path / "other.git")
    assert made.git.run("cat-file", "blob", f"{made.base_sha}:{CHECK}") == b"test: own\n"


def test_an_instance_is_its_commit_and_nothing_that_came_later(tmp_path: Path) -> None:
    """Red when the clone's HEAD is fetched instead of the commit (tried)."""
    clone = tmp_path / "repositories" / "acme__calc"
    sha = clone_with_a_later_fix(clone)
    (tmp_path / "all.jsonl").write_text(instance(sha, tmp_path / "scratch"))
    (task,) = instances(tmp_path)
    assert (task.name, task.commit, task.title) == ("acme__calc-1", sha, "mean() is wrong")
    assert (task.test, task.must_pass) == (TEST, (NAME,))
    assert "hints" not in task.body
    made = material(task, tmp_path / "task.git")
    assert made.base_sha == sha
    assert made.git.text("rev-list", "--all") == sha


def test_instances_are_read_from_json_too_and_pytest_judges_where_nothing_else_is_said(tmp_path: Path) -> None:
    clone = tmp_path / "clones" / "calc.git"
    clone.mkdir(parents=True)
    row = json.loads(instance("0" * 40, tmp_path / "scratch", test_cmd=""))
    (tmp_path / "one.json").write_text(json.dumps([row, {**row, "instance_id": "acme__calc-2"}]))
    one, other = instances(tmp_path, clones=tmp_path / "clones")
    assert (one.source, other.name) == (clone, "acme__calc-2")
    assert one.test == "python3 -m pytest -rA -p no:cacheprovider tests/test_mean.py"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "cannot be read as JSON", id="no-json"),
        pytest.param('{"repo": "a/b"}', "is not in the layout of SWE-bench: instance_id: field required.", id="fields"),
        pytest.param("7", "cannot be read as JSON", id="no-list"),
    ],
)
def test_a_file_that_holds_no_instances_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError) as raised:
        instances(tmp_path)
    assert said in str(raised.value)


def test_a_clone_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text(instance("0" * 40, tmp_path / "scratch"))
    with pytest.raises(UserError, match=r"There is no clone of acme/calc in .*repositories: make one there"):
        instances(tmp_path)
