"""A folder of tasks: a repository, what somebody asks for, the change that answers it, and the tests that judge."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.domain.errors import UserError

SHIPPED = Path(__file__).parent / "tasks"  # what `backspace eval` runs when no folder is named
FILE = "task.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request with a known good answer.

    `source`: a folder of files, or a git repository, then at `commit` (None: its HEAD). An issue with `title` and
    `body` is opened, and a comment asks for `prompt`. `gold` and `tests` are git patches on that base: the change that
    answers the request, and tests that nobody sees before the change is there. `test`, a shell command, judges with
    them in place: every name in `must_pass` has to be among the tests it reports as passed, or, without names, it has
    to end with 0. `check`: the command the bot itself shall verify with, where the repository does not say. `needs`:
    programs without which the task says nothing.
    """

    name: str
    source: Path
    commit: str | None = None
    title: str
    body: str = ""
    prompt: str
    test: str
    gold: bytes
    tests: bytes = b""
    check: str = ""
    needs: tuple[str, ...] = ()
    must_pass: tuple[str, ...] = ()


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class _Written(BaseModel):
    """What `task.yml` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = Field(min_length=1)
    test: str = Field(min_length=1)
    title: str = ""
    body: str = ""
    repository: str = "repository"
    commit: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    check: str = ""
    needs: Words = ()
    must_pass: Words = ()


def own_tasks(folder: Path) -> tuple[Task, ...]:
    """The tasks below `folder`, by name, or the one that it is itself; none where there is no `task.yml`.

    Raises UserError for one that cannot be read.
    """
    files = [folder / FILE] if (folder / FILE).is_file() else sorted(folder.glob(f"*/{FILE}"))
    return tuple(_task(file) for file in files)


def chosen(tasks: Iterable[Task], names: Iterable[str]) -> tuple[Task, ...]:
    """Those named, or all when none is. Raises UserError for a name that is not there."""
    known = {task.name: task for task in tasks}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"There is no task {', '.join(unknown)}: the tasks are {', '.join(known) or 'none'}.")
    return tuple(known[name] for name in dict.fromkeys(names)) or tuple(known.values())


def _task(file: Path) -> Task:
    folder = file.parent
    written = _written(file)
    source = (folder / written.repository).resolve()
    if not source.is_dir():
        raise UserError(f"{file}: there is no folder {written.repository} with the task's repository.")
    gold, tests = folder / "gold.patch", folder / "tests.patch"
    if not gold.is_file():
        raise UserError(f"{gold} is missing: it holds the change that solves the task.")
    return Task(
        name=folder.name,
        source=source,
        commit=written.commit,
        title=written.title or title_of(written.prompt),
        body=written.body,
        prompt=written.prompt.strip(),
        test=written.test,
        gold=gold.read_bytes(),
        tests=tests.read_bytes() if tests.is_file() else b"",
        check=written.check,
        needs=written.needs,
        must_pass=written.must_pass,
    )


def title_of(text: str) -> str:
    """The first line with words, as an issue's title."""
    return next((line.strip("# ").strip()[:200] for line in text.split("\n") if line.strip("# ").strip()), "Please")


def _written(file: Path) -> _Written:
    try:
        return _Written.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read as YAML: {' '.join(str(error).split())[:200]}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{file}: {where} is wrong: {first['msg'].lower()}.") from None
