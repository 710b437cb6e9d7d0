"""`backspace run`: the agent on a copy of a local checkout; a patch or a branch is the result."""

import asyncio
import getpass
import hashlib
import os
import secrets
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.outcome import stopped
from bot.agent.prompt import Task
from bot.agent.review import Review
from bot.agent.transcript import fold
from bot.agent.tree import put_back
from bot.config import RULES, Config
from bot.domain.errors import BotError, UserError
from bot.domain.events import BasePinned, Conclusion, JobFinished, JobQueued, JobStarted, SandboxReady
from bot.domain.setup import SetupReport
from bot.intake.reading import subjects_of
from bot.journey import check_instructions, path_rules
from bot.local.done import Done
from bot.local.git import check_branch, has_uncommitted, head_of, last_subjects, make_branch, toplevel
from bot.local.record import LocalRecord, View
from bot.ports import Remote, Sandbox, SandboxProvider, Workspace
from bot.publish.mirror import Mirror
from bot.publish.policy import problems
from bot.recordings.commands import runs_folder
from bot.recordings.run import Heading
from bot.repo_config import PATH, Budget, RepoConfig, lowered, repo_config
from bot.report.characters import visible
from bot.sandboxes.images import image_for
from bot.setup.plan import SetupWish, setup_plan
from bot.setup.premises import Premises
from bot.setup_wiring import setup_rules
from bot.wiring import MINUTES, TURNS, known_secrets, models, sandbox_provider

LOCAL_REPOSITORY = 0  # no GitHub repository has this id
INTERRUPTED = "Interrupted; this is the change so far."
UNTOUCHED = "Interrupted before anything was changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for at the terminal. `branch` and `image` may be ""."""

    prompt: str
    repo: Path
    branch: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """All that has to hold before anything costs money."""

    config: Config
    wish: Wish
    repo: Path
    workspace: Workspace
    rules: RepoConfig
    provider: SandboxProvider
    budget: Budget
    uncommitted: bool
    subjects: tuple[str, ...]


def local_config(env: Mapping[str, str], model: str | None, budget: float | None = None) -> Config:
    """The settings that matter without GitHub; without a key and without a wish, the rule agent works.

    Raises UserError, ConfigFault.
    """
    wanted = model or env.get("BACKSPACE_MODEL") or ("" if env.get("ANTHROPIC_API_KEY") else RULES)
    settings = {k: v for k, v in env.items() if not k.startswith("GITHUB_")}
    if wanted:
        settings["BACKSPACE_MODEL"] = wanted
    if budget is not None:
        settings["BACKSPACE_BUDGET_USD"] = str(budget)
    return Config.from_env(settings, role="local")


async def made_ready(config: Config, wish: Wish) -> Ready:
    """Raises UserError for what has to be put right first, and ProviderError."""
    provider = sandbox_provider(config)
    problem = provider.problem()
    if problem:
        raise UserError(problem)
    repo = await toplevel(wish.repo)
    sha = await head_of(repo)
    if wish.branch:
        await check_branch(repo, wish.branch)
    mirror = Mirror(config.home / "mirrors", environment=os.environ)
    workspace = await mirror.pin(Remote(str(repo), ""), repo_id=LOCAL_REPOSITORY, sha=sha)
    rules = repo_config(await workspace.base_file(PATH))
    await check_instructions(rules, workspace)
    return Ready(
        config=config,
        wish=wish,
        repo=repo,
        workspace=workspace,
        rules=rules,
        provider=provider,
        budget=lowered(Budget(usd=config.budget_usd, turns=TURNS, minutes=MINUTES), rules.budget),
        uncommitted=await has_uncommitted(repo),
        subjects=subjects_of(await last_subjects(repo, sha)),
    )


async def run_locally(ready: Ready, *, console: Console) -> Done:
    """Each step is told on `console`. Ctrl-C ends it with the change so far.

    Raises UserError when the branch cannot be made, ProviderError, LeakFound.
    """
    run, began, sha = secrets.token_hex(6), time.monotonic(), ready.workspace.base_sha
    if ready.uncommitted:
        words = f"Uncommitted changes are left out: the agent gets the last commit, {sha[:12]}."
        console.print(words, highlight=False, soft_wrap=True)
    heading = Heading(
        run=run,
        repository=f"local/{ready.repo.name}",
        issue=0,
        title=f"{ready.repo.name} at {sha[:12]}",
        prompt=ready.wish.prompt,
        requested_by=getpass.getuser(),
    )
    with View(console) as view:
        file = runs_folder(ready.config) / f"{run}.jsonl"
        record = LocalRecord(file, heading, leaks=known_secrets(ready.config), tell=view.tell)
        await record.record(
            JobQueued(ready.wish.prompt, getpass.getuser()),
            JobStarted(1, ready.config.model, ready.budget.usd),
            BasePinned("HEAD", sha),
        )
        try:
            outcome, interrupted = await _worked(ready, record, f"local-{run}")
        except BotError as error:
            await record.record(JobFinished(Conclusion.FAILURE, str(error)))
            raise
        await record.record(JobFinished(outcome.conclusion, outcome.message))
    branch = await _branch(ready, outcome)
    seconds = time.monotonic() - began
    return Done(run=run, outcome=outcome, interrupted=interrupted, seconds=seconds, record=file, branch=branch)


async def _branch(ready: Ready, outcome: Outcome) -> str:
    if not ready.wish.branch or outcome.patch is None or not outcome.patch.changes:
        return ""
    said = outcome.submission
    title = visible(said.title) if said and said.title else "Change the agent did not finish"
    body = visible(said.summary).strip() if said else ""
    await make_branch(ready.repo, ready.wish.branch, outcome.patch, message=f"{title}\n\n{body}".strip() + "\n")
    return ready.wish.branch


async def _worked(ready: Ready, journal: LocalRecord, name: str) -> tuple[Outcome, bool]:
    """How it ended, and whether somebody pressed Ctrl-C."""
    config, workspace, rules = ready.config, ready.workspace, ready.rules
    paths = await workspace.base_paths()
    wish = SetupWish(commands=rules.setup, network=rules.network, required=rules.setup_required)
    kept_for = int.from_bytes(hashlib.sha256(str(ready.repo).encode()).digest()[:6])
    image = ready.wish.image or rules.image or image_for(paths)
    plan = await setup_plan(
        workspace, wish, setup_rules(config), repo_id=kept_for, provider=ready.provider.name, image=image
    )
    premises, began = Premises(ready.provider, workspace, plan, image), time.monotonic()

    async with models(config) as model_named, premises.first(name, journal) as (sandbox, setup):
        await journal.record(SandboxReady(sandbox.provider, time.monotonic() - began))

        def review_of(sandbox: Sandbox) -> Review:
            return Review(
                workspace,
                sandbox,
                gate=lambda patch: problems(patch, path_rules(rules), base_paths=paths),
                check_command=rules.test,
                open_base=lambda: premises.another(f"{name}-base"),
            )

        working = asyncio.create_task(
            work(
                _task(ready, instructions=rules.instructions or "", setup=setup),
                model=model_named(config.model),
                fallbacks=[model_named(name) for name in config.models[1:]],
                sandbox=sandbox,
                review=review_of(sandbox),
                journal=journal,
                limits=Limits(turns=ready.budget.turns, usd=ready.budget.usd, minutes=ready.budget.minutes),
            )
        )
        if await _interrupted(working):
            bare = replace(premises, plan=replace(plan, steps=(), key=""))
            async with bare.another(f"{name}-left") as fresh:  # the first is lost with the call that was broken off
                progress = fold(journal.entries())
                await put_back(progress.tree, workspace=workspace, sandbox=fresh, journal=journal)
                draft = await review_of(fresh).draft()
            return stopped(progress, INTERRUPTED if draft else UNTOUCHED, Conclusion.NEUTRAL, draft), True
        return working.result(), False


async def _interrupted(working: asyncio.Task[Outcome]) -> bool:
    """Waits for the work. The first Ctrl-C ends only that; one after it ends the command."""
    loop, command = asyncio.get_running_loop(), asyncio.current_task()
    pressed: list[bool] = []

    def press() -> None:
        task = command if pressed else working
        pressed.append(True)
        if task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, press)
    try:
        await asyncio.wait({working})
    finally:
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError, BotError):
                await working
    return working.cancelled()


def _task(ready: Ready, *, instructions: str, setup: SetupReport) -> Task:
    return Task(
        repo=ready.repo.name,
        branch="HEAD",
        base_sha=ready.workspace.base_sha,
        issue_number=0,
        issue_title="",
        issue_text="",
        issue_author="",
        issue_trusted=True,
        request=ready.wish.prompt,
        requested_by=getpass.getuser(),
        today=datetime.now(UTC).date().isoformat(),
        instructions=instructions,
        setup=setup,
        subjects=ready.subjects,
    )
