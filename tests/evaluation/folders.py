"""Small task folders, made by git."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.repositories import CHECK, MEAN, MEAN_TEST, commit, write

RIGHT = MEAN.replace(b"(len(numbers) - 1)", b"len(numbers)")
TEST_FILES = {"tests/__init__.py": b"", "tests/test_mean.py": MEAN_TEST}
FILES = {"calc/__init__.py": b"", "calc/mean.py": MEAN, ".gitignore": b"__pycache__/\n"}
TEST = "python3 -m unittest -v"
NAME = "test_mean_of_three (tests.test_mean.MeanTest.test_mean_of_three)"


def patch(folder: Path, before: dict[str, bytes], after: dict[str, bytes | None]) -> bytes:
    """What git says when `after` (None: removed) is put over `before`; `folder` is for this alone."""
    folder.mkdir()
    write(folder, before)
    commit(folder)
    write(folder, {path: content for path, content in after.items() if content is not None})
    for path, content in after.items():
        if content is None:
            (folder / path).unlink()
    git = ["git", "-C", str(folder)]
    subprocess.run([*git, "add", "-A"], check=True)
    return subprocess.run([*git, "diff", "--cached", "--binary", "HEAD"], check=True, capture_output=True).stdout


def mean_task(folder: Path, *, said: str = "", files: Mapping[str, bytes] | None = None) -> Path:
    """`folder` with one task in it, `mean`: the fix is gold, the test is hidden. `files` are put over its own."""
    task = folder / "mean"
    write(task / "repository", FILES)
    own = {
        "task.yml": f"prompt: the mean of three numbers is wrong\ntest: {TEST}\n{said}".encode(),
        "gold.patch": patch(folder / "gold", FILES, {"calc/mean.py": RIGHT}),
        "tests.patch": patch(folder / "tests", FILES, dict(TEST_FILES)),
    }
    write(task, {**own, **(files or {})})
    return folder


def clone_with_a_later_fix(folder: Path) -> str:
    """A repository whose history goes on after the bug; answers the commit with the bug."""
    write(folder, {**FILES, CHECK: f"test: {TEST}\n".encode()})
    commit(folder)
    git = ["git", "-C", str(folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.test"]
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    write(folder, {"calc/mean.py": RIGHT})
    subprocess.run([*git, "commit", "-qam", "The fix nobody may see"], check=True)
    return found


def instance(base_commit: str, scratch: Path, **more: object) -> str:
    """One line of a SWE-bench file about that repository."""
    with_check = {**FILES, CHECK: f"test: {TEST}\n".encode()}
    scratch.mkdir()
    row = {
        "instance_id": "acme__calc-1",
        "repo": "acme/calc",
        "base_commit": base_commit,
        "problem_statement": "mean() is wrong\n\nThe mean of 1, 2 and 3 should be 2.",
        "patch": patch(scratch / "gold", with_check, {"calc/mean.py": RIGHT}).decode(),
        "test_patch": patch(scratch / "tests", with_check, dict(TEST_FILES)).decode(),
        "FAIL_TO_PASS": json.dumps([NAME]),
        "PASS_TO_PASS": "[]",
        "hints_text": "divide by the count",
        "version": "1.0",
        "test_cmd": TEST,
        **more,
    }
    return json.dumps(row) + "\n"
