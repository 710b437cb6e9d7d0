"""One task through the whole bot: signed webhook, worker, sandbox, agent, pull request; then the hidden tests."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from bot.agent.entries import usage_of
from bot.domain.conversation import Json
from bot.domain.errors import BotError, ProviderError
from bot.domain.events import JobEvent, JobFinished, ModelAnswered, Verified
from bot.evaluation.judging import Judge
from bot.evaluation.material import BrokenTask, Material, differences, material
from bot.evaluation.replay import replay, script
from bot.evaluation.rows import Row
from bot.evaluation.tasks import Task
from bot.ports import SandboxProvider
from bot.publish.leftovers import SCRATCH
from bot.publish.mirror import Mirror
from bot.settings.limits import MOST_MINUTES
from bot.stage import Stage, staged
from bot.standins.messages import LoopbackMessages
from bot.standins.serving import serve

ASKER = "alice"
SCRIPT_KEY = "key-of-a-script-on-loopback"
SCRIPT_MODEL = "claude-opus-5-5"
BUDGETS = ("BACKSPACE_BUDGET_USD", "BACKSPACE_REPO_USD_PER_DAY", "BACKSPACE_INSTALLATION_USD_PER_DAY")
FREE_USD = "1000"  # a replay costs nothing: no limit of dollars stops it
ENDS_WITHIN_S = 2 * 60.0 * MOST_MINUTES
LOOK_EVERY_S = 0.05

Player = Callable[[Material], AbstractAsyncContextManager[Mapping[str, str]]]
"""Who plays the model in a task: the settings by which the bot reaches it, for as long as the block lasts."""


@asynccontextmanager
async def gold_player(made: Material) -> AsyncIterator[Mapping[str, str]]:
    """A script that makes the gold change, behind the strict Messages API and the real SDK."""
    plan = replay(differences(made.git, made.base_sha, made.gold_tree))
    played = script(plan, title=made.task.title[:70], summary="The task's own gold change, replayed.")
    async with serve(LoopbackMessages(played, api_key=SCRIPT_KEY).asgi()) as url:
        model = {"ANTHROPIC_API_KEY": SCRIPT_KEY, "ANTHROPIC_BASE_URL": url, "BACKSPACE_MODEL": SCRIPT_MODEL}
        yield model | dict.fromkeys(BUDGETS, FREE_USD)


async def evaluate(
    tasks: Sequence[Task],
    *,
    player: Player,
    settings: Mapping[str, str],
    sandboxes: SandboxProvider,
    jobs: int = 1,
    told: Callable[[Row], None] = lambda row: None,
) -> tuple[Row, ...]:
    """A row for each task, in their order; `jobs` run at a time. Whatever happens to one, the others go on.

    `settings` are the bot's, under those of the player. `told` hears of each row as it comes.
    """
    free = asyncio.Semaphore(jobs)

    async def one(task: Task) -> Row:
        async with free:
            run = asyncio.ensure_future(run_task(task, player=player, settings=settings, sandboxes=sandboxes))
            try:
                await asyncio.wait([run])
            finally:
                if not run.done():  # somebody ends the whole: the task's sandboxes and servers close first
                    run.cancel()
                    await asyncio.wait([run])
            error = asyncio.CancelledError("a part of the bot ended") if run.cancelled() else run.exception()
            row = _crashed(task, error) if error else run.result()
            told(row)
            return row

    async with asyncio.TaskGroup() as all_of_them:
        running = [all_of_them.create_task(one(task)) for task in tasks]
    return tuple(ended.result() for ended in running)


async def run_task(task: Task, *, player: Player, settings: Mapping[str, str], sandboxes: SandboxProvider) -> Row:
    """Raises ProviderError and what else may go wrong in the machinery; a task's own fault is a row."""
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}eval-") as root:
        folder = Path(root)
        try:
            making = asyncio.create_task(asyncio.to_thread(material, task, folder / "task.git"))
            try:
                made = await asyncio.shield(making)
            finally:
                await asyncio.wait({making})  # no thread is ended from outside, and this one writes into the folder
            judge = Judge(made, sandboxes=sandboxes, mirror=Mirror(folder / "mirror"))
            if missing := await judge.missing():
                said = f"the sandbox has no {' and no '.join(missing)}"
                return Row(task=task.name, verdict="skipped", said=said)
            before = await judge.judge(made.git, made.base_sha)
            if not before.ran:
                return Row(task=task.name, verdict="skipped", said=before.said)
            if before.passed:
                raise BrokenTask("its tests pass on the base already, so they show nothing")
            async with (
                player(made) as model,
                staged(folder / "stage", source=made.git.path, settings={**settings, **model}) as stage,
            ):
                return await _asked(stage, made, judge)
        except BrokenTask as fault:
            return Row(task=task.name, verdict="broken", said=str(fault).removeprefix(f"{task.name}: "))


async def _asked(stage: Stage, made: Material, judge: Judge) -> Row:
    task, github, repository = made.task, stage.github, stage.repository
    issue = github.open_issue(repository, ASKER, task.title, task.body)
    started = time.monotonic()
    github.comment(repository, issue.number, ASKER, f"/backspace {task.prompt}")
    await github.deliver()
    job_id = await _ended(stage, issue.number)
    seconds = time.monotonic() - started
    events = [recorded.event for recorded in await stage.store.events(job_id)]
    calls = [entry.data for entry in await stage.store.journal(job_id) if entry.kind == "model"]
    opened = next((pull.pull for pull in github.pull_requests(repository) if pull.pull), None)
    if opened is None:
        said = next((event.message for event in events if isinstance(event, JobFinished)), "no pull request")
        return _row(task, events, calls, seconds, solved=False, said=said.strip().split("\n")[0])
    judgement = await judge.judge(repository.git, opened.head_sha)
    tree = repository.git.text("rev-parse", f"{opened.head_sha}^{{tree}}")
    same = tree == made.gold_tree
    said = f"{judgement.said}{', the tree of the gold change' if same else ''}"
    return _row(task, events, calls, seconds, solved=judgement.passed, said=said, same_tree=same)


async def _ended(stage: Stage, issue: int) -> str:
    """The job's id, once the thread shows its end. Raises ProviderError."""
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            while True:
                rows = await stage.jobs(issue)
                if not rows:
                    said = "; ".join(f"{d.event}: {d.status_code} {d.response_body}" for d in stage.github.deliveries)
                    raise ProviderError("eval", f"the bot did not take the request ({said})")
                if all(row.finished_at is not None for row in rows):
                    return rows[0].job.id
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise ProviderError("eval", f"the job did not end within {ENDS_WITHIN_S / 60:.0f} minutes") from None


def _row(
    task: Task,
    events: Sequence[JobEvent],
    calls: Sequence[Json],
    seconds: float,
    *,
    solved: bool,
    said: str,
    same_tree: bool | None = None,
) -> Row:
    """`calls`: the journal's entries of model calls; those whose reply was lost cost money too."""
    usages = [usage_of(call["usage"]) for call in calls]
    priced = [call["usd"] for call in calls if call["usd"] is not None]
    receipts = [event.receipt for event in events if isinstance(event, Verified)]
    return Row(
        task=task.name,
        verdict="solved" if solved else "unsolved",
        said=said,
        turns=sum(isinstance(event, ModelAnswered) for event in events),
        tokens=sum(usage.input + usage.output for usage in usages),
        usd=sum(priced) if len(priced) == len(calls) else None,
        seconds=seconds,
        same_tree=same_tree,
        checks={run.where: run.exit_code for run in receipts[-1].runs} if receipts else {},
    )


def _crashed(task: Task, error: BaseException) -> Row:
    said = str(error) if isinstance(error, BotError) else f"{type(error).__name__}: {error}"
    return Row(task=task.name, verdict="crashed", said=" ".join(said.split())[:300])
