"""`backspace eval` from its arguments to its exit code."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from bot.config import RULES, SETTINGS, Config
from bot.domain.errors import UserError
from bot.evaluation.material import Material
from bot.evaluation.rows import Row, as_json, exit_code, summary, table
from bot.evaluation.run import BUDGETS, Player, evaluate, gold_player
from bot.evaluation.swebench import instances
from bot.evaluation.tasks import SHIPPED, Task, chosen, own_tasks
from bot.interrupting import INTERRUPTED, interrupted
from bot.settings.models import MODEL_SETTINGS
from bot.wiring import configure_logging, connected, sandbox_provider

SCRIPTED = "Scripted: each task's gold change is replayed call by call. This measures the bot, not a model."

KNOWN = frozenset(setting.name for setting in SETTINGS)
# A task's bot has a GitHub, a database and an address of its own.
OF_THE_STAGE = ("GITHUB_", "BACKSPACE_HOME", "BACKSPACE_OPERATOR", "DATABASE_", "PUBLIC_URL", "HOST", "PORT", "HEALTH_")
LIMITS = (*BUDGETS, "BACKSPACE_TURNS", "BACKSPACE_MINUTES")
OF_A_MODEL = frozenset((*(setting.name for setting in MODEL_SETTINGS), *LIMITS))  # what a script must not meet


async def run_eval(
    env: Mapping[str, str],
    *,
    folder: Path | None,
    clones: Path | None,
    names: Sequence[str],
    live: bool,
    model: str | None,
    jobs: int,
    as_data: bool,
    console: Console,
) -> int:
    """Progress goes to `console`, the table or the JSON to standard output. The exit codes are those of `exit_code`;
    130 when somebody ended it, with what was known by then.

    Raises UserError and ConfigFault before any task is run.
    """
    tasks = chosen(tasks_in(folder or SHIPPED, clones=clones), names)
    settings, player, who = _played(env, live=live, model=model)
    config = Config.from_env(settings, role="local")
    configure_logging(config.log_level, "console")
    sandboxes = sandbox_provider(config)
    if problem := sandboxes.problem():
        raise UserError(problem)
    console.print(who, markup=False, highlight=False, soft_wrap=True)
    known: list[Row] = []

    def told(row: Row) -> None:
        known.append(row)
        console.print(f"  {row.task}: {row.verdict}: {row.said}", markup=False, highlight=False, soft_wrap=True)

    async with connected(sandboxes):
        work = evaluate(tasks, player=player, settings=settings, sandboxes=sandboxes, jobs=jobs, told=told)
        ended_early = await interrupted(evaluating := asyncio.create_task(work))
    rows = tuple(known) if ended_early else evaluating.result()
    _tell(rows, ",".join(config.models) if live else "script", as_data=as_data)
    if not ended_early:
        return exit_code(rows)
    console.print(f"Interrupted: {len(rows)} of {len(tasks)} tasks had ended.", highlight=False)
    return INTERRUPTED


def _tell(rows: Sequence[Row], player: str, *, as_data: bool) -> None:
    if as_data:
        sys.stdout.write(json.dumps(as_json(rows, player=player), indent=2) + "\n")
    else:
        out = Console()
        out.print(table(rows))
        out.print(f"\n{summary(rows)}", highlight=False)


def tasks_in(folder: Path, *, clones: Path | None) -> tuple[Task, ...]:
    """Raises UserError for a folder without a task."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name one that holds tasks.")
    tasks = (*own_tasks(folder), *instances(folder, clones=clones))
    if not tasks:
        raise UserError(f"{folder} holds no task: neither */task.yml nor SWE-bench instances as .json or .jsonl.")
    return tasks


def _played(env: Mapping[str, str], *, live: bool, model: str | None) -> tuple[dict[str, str], Player, str]:
    """The bot's settings, who plays the model, and the words that say so. Raises UserError, ConfigFault."""
    kept = {name: value for name, value in env.items() if name in KNOWN and not name.startswith(OF_THE_STAGE)}
    settings = {"LOG_LEVEL": "warning", **kept}
    if not live:
        if model:
            raise UserError("--model goes with --live: without it a script plays the model.")
        without_model = {name: value for name, value in settings.items() if name not in OF_A_MODEL}
        return without_model | {"BACKSPACE_MODEL": RULES}, gold_player, SCRIPTED
    if model:
        settings["BACKSPACE_MODEL"] = model
    config = Config.from_env(settings, role="local")
    most = "" if config.models == (RULES,) else f", for ${config.budget_usd:.2f} a task at most"
    return settings, _configured, f"Live: {', then '.join(config.models)} does the work{most}."


@asynccontextmanager
async def _configured(made: Material) -> AsyncIterator[Mapping[str, str]]:
    """The bot's own settings reach the model."""
    yield {}
