"""`backspace run`: the agent on a copy of a local checkout; a patch or a branch is the result."""

import asyncio
import getpass
import os
import secrets
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.outcome import stopped
from bot.agent.prompt import Task
from bot.agent.review import Review, check_timeout_s
from bot.agent.transcript import fold
from bot.agent.tree import put_back
from bot.domain.errors import BotError, UserError
from bot.domain.events import BasePinned, Conclusion, JobFinished, JobQueued, JobStarted, SandboxReady
from bot.domain.setup import SetupReport
from bot.interrupting import interrupted
from bot.journey import path_rules
from bot.local.done import Done, Exit, exit_of
from bot.local.git import make_branch
from bot.local.ready import Ready
from bot.local.record import LocalRecord, View
from bot.ports import Sandbox
from bot.publish.policy import problems
from bot.recordings.commands import runs_folder
from bot.recordings.run import Heading
from bot.report.characters import visible
from bot.report.leaks import LeakFound
from bot.wiring import known_secrets, models

INTERRUPTED = "Interrupted."


async def run_locally(ready: Ready, *, console: Console) -> Done:
    """Each step is told on `console`. Ctrl-C, and any error, ends it with the change so far.

    Raises UserError when there can be no record, CancelledError at a second Ctrl-C.
    """
    run, began, sha = secrets.token_hex(6), time.monotonic(), ready.premises.workspace.base_sha
    if ready.uncommitted:
        words = f"Uncommitted changes are left out: the agent gets the last commit, {sha[:12]}."
        console.print(words, highlight=False, soft_wrap=True)
    heading = Heading(
        run=run,
        repository=f"local/{ready.repo.name}",
        issue=0,
        title=f"{ready.repo.name} at {sha[:12]}",
        prompt=ready.wish.prompt,
        requested_by=who(),
    )
    with View(console) as view:
        file = runs_folder(ready.config) / f"{run}.jsonl"
        record = LocalRecord(file, heading, leaks=known_secrets(ready.config), tell=view.tell)
        await record.record(
            JobQueued(ready.wish.prompt, who()),
            JobStarted(1, ready.models[0], ready.budget.usd),
            BasePinned("HEAD", sha),
        )
        try:
            outcome, interrupted = await _worked(ready, record, f"local-{run}")
        except asyncio.CancelledError:
            await record.record(JobFinished(Conclusion.NEUTRAL, INTERRUPTED))
            raise
        with suppress(BotError):  # the change counts for more than its record
            await record.record(JobFinished(outcome.conclusion, outcome.message))
    code, message, branch = Exit.INTERRUPTED if interrupted else exit_of(outcome), outcome.message, ""
    try:
        branch = await _branch(ready, outcome)
    except UserError as error:
        code, message = Exit.FAILED, str(error)
    seconds = time.monotonic() - began
    return Done(exit_code=code, message=message, outcome=outcome, run=run, seconds=seconds, record=file, branch=branch)


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
    working = asyncio.create_task(_at_work(ready, journal, name))
    if await interrupted(working):
        return await _so_far(ready, journal, name, INTERRUPTED, Conclusion.NEUTRAL), True
    error = working.exception()
    if error is None:
        return working.result(), False
    if isinstance(error, LeakFound):
        return stopped(fold(journal.entries()), str(error), Conclusion.FAILURE, None), False
    return await _so_far(ready, journal, name, words_of(error), Conclusion.FAILURE), False


def words_of(error: BaseException) -> str:
    """One sentence; of a fault of ours what a report needs, and nothing that could hold a secret."""
    if isinstance(error, BotError):
        return f"{str(error).rstrip('.')}."
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(where.filename).name}, line {where.lineno}"
    return f"A fault of Tiny Backspace ended the work: {type(error).__name__} in {place}. Please report it."


async def _at_work(ready: Ready, journal: LocalRecord, name: str) -> Outcome:
    rules, began = ready.rules, time.monotonic()
    async with models(ready.config) as model_named, ready.premises.first(name, journal) as (sandbox, setup):
        await journal.record(SandboxReady(sandbox.provider, time.monotonic() - began))
        model, *fallbacks = (model_named(name) for name in ready.models)
        return await work(
            _task(ready, instructions=rules.instructions or "", setup=setup),
            model=model,
            fallbacks=fallbacks,
            sandbox=sandbox,
            review=_review(ready, sandbox, name),
            journal=journal,
            limits=Limits(turns=ready.budget.turns, usd=ready.budget.usd, minutes=ready.budget.minutes),
        )


async def _so_far(ready: Ready, journal: LocalRecord, name: str, why: str, conclusion: Conclusion) -> Outcome:
    """The change the journal knows of, in a fresh sandbox: the one it was made in went with the work."""
    progress, draft = fold(journal.entries()), None
    words = "Nothing was changed until then."
    if progress.tree.states:
        words = "The change so far cannot be handed over."
        bare = replace(ready.premises, plan=replace(ready.premises.plan, steps=(), key=""))
        try:
            async with bare.another(f"{name}-left") as fresh:
                await put_back(progress.tree, workspace=bare.workspace, sandbox=fresh, journal=journal)
                draft = await _review(ready, fresh, name).draft()
        except (BotError, OSError) as error:
            words = f"The change so far is lost: {words_of(error)}"
    return stopped(progress, f"{why} {'This is the change so far.' if draft else words}", conclusion, draft)


def _review(ready: Ready, sandbox: Sandbox, name: str) -> Review:
    return Review(
        ready.premises.workspace,
        sandbox,
        gate=lambda patch: problems(patch, path_rules(ready.rules), base_paths=ready.paths),
        check_command=ready.rules.test,
        open_base=lambda: ready.premises.another(f"{name}-base"),
        setup_reads=ready.premises.plan.reads,
        check_timeout_s=check_timeout_s(ready.budget.minutes),
    )


def who() -> str:
    """The user's name; the number of one who has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _task(ready: Ready, *, instructions: str, setup: SetupReport) -> Task:
    return Task(
        repo=ready.repo.name,
        branch="HEAD",
        base_sha=ready.premises.workspace.base_sha,
        issue_number=0,
        issue_title="",
        issue_text="",
        issue_author="",
        issue_trusted=True,
        request=ready.wish.prompt,
        requested_by=who(),
        today=datetime.now(UTC).date().isoformat(),
        instructions=instructions,
        setup=setup,
        subjects=ready.subjects,
    )
