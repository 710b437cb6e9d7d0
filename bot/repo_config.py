"""What a repository asks of the bot in `.github/backspace.yml`: read from the base branch, unknown keys refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from bot.domain.errors import UserError
from bot.domain.hosts import host_pattern
from bot.intake.patterns import Patterns

PATH = ".github/backspace.yml"
MAX_BYTES = 64_000
MAX_DEPTH = 10
REQUESTER = "requester"  # among the reviewers: who asked
FAULTS_SHOWN = 10  # in one comment
NOT_BUILT_YET = ("labels", "fix_ci")


def _listed(value: object) -> object:
    """A single word counts as a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not path.isprintable():
        raise ValueError("should be a path inside the repository, such as docs/AGENT.md")
    return path


Line = Annotated[str, Field(min_length=1, max_length=1000)]
Lines = Annotated[tuple[Line, ...], BeforeValidator(_listed), Field(min_length=1, max_length=100)]


def _hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(host_pattern(name) for name in names)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class BudgetWish(_Section):
    """`usd_per_day` is for all jobs of the repository together, the rest for each."""

    usd_per_day: Annotated[float, Field(gt=0)] | None = None
    usd: Annotated[float, Field(gt=0)] | None = None
    turns: Annotated[int, Field(gt=0)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None


def _to_be_matched(lines: tuple[str, ...]) -> tuple[str, ...]:
    Patterns(lines)
    return lines


class PathsWish(_Section):
    deny: Annotated[
        tuple[Line, ...], BeforeValidator(_listed), Field(max_length=100), AfterValidator(_to_be_matched)
    ] = ()
    max_files: Annotated[int, Field(gt=0)] | None = None
    max_lines: Annotated[int, Field(gt=0)] | None = None


class RepoConfig(_Section):
    """`model` names take over in their order; those this bot has not are left out. `test` is the verification
    command; `reviewers` are logins, or `requester`; `context_authors` says whose comments the model may read;
    `instructions` is a file that is read before AGENTS.md. `setup` are commands that run before the agent, None for
    what the bot detects, `none` for nothing; `network` are hosts that they may reach beside the package registries.
    `image`: what the sandbox holds, None for what the repository's files tell."""

    model: Lines | None = None
    budget: BudgetWish = BudgetWish()
    test: Line | None = None
    paths: PathsWish = PathsWish()
    draft: bool = False
    reviewers: Annotated[tuple[Line, ...], BeforeValidator(_listed), Field(max_length=15)] = (REQUESTER,)
    context_authors: Literal["writers", "everyone"] = "writers"
    ci: Literal["auto", "hold", "run"] = "auto"
    instructions: Annotated[Line, AfterValidator(_inside)] | None = None
    setup: Lines | None = None
    setup_required: bool = False
    network: Annotated[Lines, AfterValidator(_hosts)] = ()
    image: Literal["base", "python", "node", "go", "rust", "default"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one job may use: dollars, turns of the model, minutes of wall clock."""

    usd: float
    turns: int
    minutes: float


def lowered(operator: Budget, wish: BudgetWish) -> Budget:
    """A repository can lower what the operator allows, never raise it."""
    return Budget(
        usd=min(operator.usd, operator.usd if wish.usd is None else wish.usd),
        turns=min(operator.turns, operator.turns if wish.turns is None else wish.turns),
        minutes=min(operator.minutes, operator.minutes if wish.minutes is None else wish.minutes),
    )


def repo_config(content: bytes | None) -> RepoConfig:
    """The defaults where there is no file. Raises UserError with a sentence for each fault: its key and the remedy."""
    if content is None:
        return RepoConfig()
    if len(content) > MAX_BYTES:
        raise UserError(f"`{PATH}` has {len(content)} bytes, more than the {MAX_BYTES} it may have: shorten it.")
    try:
        settings = _parsed(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"`{PATH}` is not UTF-8 text: save it as UTF-8.") from None
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
        where = f" in line {mark.line + 1}" if mark else ""
        what = _shown(problem or "it holds characters YAML does not allow")
        raise UserError(f"`{PATH}` is not valid YAML{where}: {what}.") from None
    except ValueError:
        raise UserError(f"`{PATH}` holds a value that cannot be read: use plain text and short numbers.") from None
    if settings is None:
        return RepoConfig()
    if not isinstance(settings, dict):
        raise UserError(f"`{PATH}` should hold `key: value` lines at its top.")
    faults, settings = _unbuilt(settings)
    try:
        config = RepoConfig.model_validate(settings)
    except ValidationError as error:
        faults += [_sentence(fault) for fault in error.errors(include_url=False)]
    if not faults:
        return config
    more = [f"There are {len(faults) - FAULTS_SHOWN} more."] if len(faults) > FAULTS_SHOWN else []
    raise UserError(" ".join([*faults[:FAULTS_SHOWN], *more]))


def _parsed(text: str) -> object:
    """Plain YAML: without aliases (a small file can unfold to gigabytes), deep nesting and keys that come twice."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise _invalid(event, "aliases (`*name`) are not read")
        if depth > MAX_DEPTH:
            raise _invalid(event, "it is nested too deeply")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_twins(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_twins(node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twins(item)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _invalid(key, "a key should be one word")
            if key.value in seen:
                raise _invalid(key, f"`{_shown(key.value)}` is there twice")
            seen.add(key.value)
            _refuse_twins(value)


def _unbuilt(settings: Mapping[object, object]) -> tuple[list[str], dict[object, object]]:
    """A sentence for each key that has a name already and does nothing yet, and the other keys."""
    faults = [f"`{name}` in `{PATH}` is not supported yet: remove it." for name in NOT_BUILT_YET if name in settings]
    return faults, {name: value for name, value in settings.items() if name not in NOT_BUILT_YET}


def _sentence(error: ErrorDetails) -> str:
    names = [str(part) for part in error["loc"]]
    key = _shown(".".join(names))
    if error["type"] == "extra_forbidden":
        known = _keys(names[:-1])
        near = get_close_matches(names[-1].lower(), known, n=2) or known
        return f"Unknown key `{key}` in `{PATH}`: did you mean {' or '.join(f'`{name}`' for name in near)}?"
    if error["type"] == "model_type":
        return f"`{key}` in `{PATH}` is wrong: it should hold `key: value` lines."
    problem = error["msg"].removeprefix("Value error, ")
    return f"`{key}` in `{PATH}` is wrong: {problem[:1].lower()}{problem[1:]}."


def _keys(section: list[str]) -> list[str]:
    models: Mapping[str, type[BaseModel]] = {"budget": BudgetWish, "paths": PathsWish}
    model = models.get(section[0], RepoConfig) if section else RepoConfig
    return list(model.model_fields)


def _invalid(at: yaml.Event | yaml.Node, problem: str) -> UserError:
    line = at.start_mark.line + 1 if at.start_mark else 1
    return UserError(f"`{PATH}` is not valid in line {line}: {problem}.")


def _shown(text: str) -> str:
    """Words from the file, on one line and out of Markdown's way."""
    return "".join(letter if letter.isprintable() and letter != "`" else "?" for letter in text[:200])
