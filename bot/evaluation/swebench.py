"""A folder in the layout of SWE-bench: instances as JSON or JSON lines, and clones of the repositories they name."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.domain.errors import UserError
from bot.evaluation.tasks import Task, title_of

PROMPT = "Solve this issue. Add no tests for it: those that judge the change exist already."
CLONES = "repositories"


def _names(value: object) -> object:
    """The published files hold lists of test names as JSON in a string."""
    return json.loads(value) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Instance(BaseModel):
    """The fields that are used; others, such as hints and versions, are let be. `test_cmd` is not SWE-bench's own but
    that of its successors: a command, or several that run one after the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance_id: str = Field(pattern=r"^[\w.-]+$")
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    base_commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    problem_statement: str
    patch: str
    test_patch: str = ""
    fail_to_pass: Names = Field(default=(), alias="FAIL_TO_PASS")
    pass_to_pass: Names = Field(default=(), alias="PASS_TO_PASS")
    test_cmd: str | tuple[str, ...] = ""


def instances(folder: Path, *, clones: Path | None = None) -> tuple[Task, ...]:
    """The instances of every .json and .jsonl file in `folder`; none where there is no such file.

    `clones` holds a clone of each repository as owner__name, owner/name or name (default: the folder `repositories`
    beside the files). Raises UserError for an instance that cannot be read and for a clone that is not there.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jsonl"))
    return tuple(_task(one, clones or folder / CLONES) for file in files for one in _read(file))


def _read(file: Path) -> tuple[Instance, ...]:
    try:
        text = file.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.split("\n") if line.strip()] if file.suffix == ".jsonl" else None
        found = rows if rows is not None else json.loads(text)
        return tuple(Instance.model_validate(row) for row in ([found] if isinstance(found, Mapping) else found))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "an instance"
        raise UserError(f"{file} is not in the layout of SWE-bench: {where}: {first['msg'].lower()}.") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file} cannot be read as JSON: {error}.") from None


def _task(one: Instance, clones: Path) -> Task:
    return Task(
        name=one.instance_id,
        source=_clone(one.repo, clones),
        commit=one.base_commit,
        title=title_of(one.problem_statement),
        body=one.problem_statement,
        prompt=PROMPT,
        test=_command(one),
        gold=one.patch.encode(),
        tests=one.test_patch.encode(),
        must_pass=(*one.fail_to_pass, *one.pass_to_pass),
    )


def _clone(repo: str, clones: Path) -> Path:
    owner, _, name = repo.partition("/")
    for spelling in (f"{owner}__{name}", f"{owner}/{name}", name):
        for path in (clones / spelling, clones / f"{spelling}.git"):
            if path.is_dir():
                return path.resolve()
    raise UserError(f"There is no clone of {repo} in {clones}: make one there, or name another folder with --clones.")


def _command(one: Instance) -> str:
    """The instance's own, or pytest on the files the hidden tests are in."""
    if one.test_cmd:
        return one.test_cmd if isinstance(one.test_cmd, str) else " && ".join(one.test_cmd)
    named = [line[6:] for line in one.test_patch.split("\n") if line.startswith("+++ b/")]
    return shlex.join(["python3", "-m", "pytest", "-rA", "-p", "no:cacheprovider", *named])
