"""`backspace run`: the agent on a copy of a local checkout; the patch is the result."""

import asyncio
import getpass
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.prompt import Task
from bot.agent.review import Review
from bot.config import RULES, Config
from bot.domain.errors import UserError
from bot.domain.events import JobEvent, ModelAnswered, ModelSwitched, Noted, Steered, ToolCalled, ToolReturned, Verified
from bot.domain.setup import SetupReport
from bot.journey import check_instructions, path_rules
from bot.ports import Entry, Remote, SandboxProvider, Workspace
from bot.publish.mirror import Mirror
from bot.publish.policy import problems
from bot.repo_config import PATH, Budget, lowered, repo_config
from bot.report.receipts import verdict
from bot.sandboxes.images import image_for
from bot.setup.plan import SetupWish, setup_plan
from bot.setup.premises import Premises
from bot.setup_wiring import setup_rules
from bot.wiring import MINUTES, TURNS, models, sandbox_provider

LOCAL_REPOSITORY = 0  # no GitHub repository has this id


class Spoken:
    """A journal that lives as long as the command and tells each step on the console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._entries: list[Entry] = []

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    async def content(self, sha256: str) -> bytes | None:
        return None

    async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
        self._entries += before
        if entry is not None:
            self._entries.append(entry)
        for event in events:
            line = spoken(event)
            if line:
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def spoken(event: JobEvent) -> str:
    """One line for a terminal, or "" for what is not worth one."""
    match event:
        case ToolCalled(title=title):
            return f"  {title}"
        case ToolReturned(ok=False, output=output):
            return f"    {output.split(chr(10), 1)[0]}"
        case ModelAnswered(turn=turn, usd=usd):
            return f"turn {turn}" + (f", ${usd:.2f}" if usd else "")
        case Noted(text=text) | ModelSwitched(text=text) | Steered(text=text):
            return f"  {text}"
        case Verified(receipt=receipt):
            return f"  {receipt.command or 'checks'}: {verdict(receipt)}"
        case _:
            return ""


async def run_locally(config: Config, prompt: str, *, repo: Path, console: Console) -> int:
    """Prints the patch on standard output, everything else on `console`. `repo` is an absolute path.

    0: there is a patch. 1: there is none. 3: stopped at a limit (the patch so far is printed).
    Raises UserError and ProviderError.
    """
    provider = sandbox_provider(config)
    problem = provider.problem()
    if problem:
        raise UserError(problem)
    sha = await head_of(repo)
    remote = Remote(str(repo), "")
    workspace = await Mirror(config.home / "mirrors", environment=os.environ).pin(
        remote, repo_id=LOCAL_REPOSITORY, sha=sha
    )
    console.print(f"{config.model} works on {repo.name} at {sha[:12]}", markup=False, highlight=False)
    if await has_uncommitted(repo):
        console.print("Uncommitted changes are left out: the agent gets the last commit.", highlight=False)
    outcome = await _worked(config, workspace, provider, prompt, repo=repo, console=console)
    stopped = "Stopped: " if outcome.kind == "stopped" else ""
    console.print(f"{stopped}{outcome.message}", markup=False, highlight=False, soft_wrap=True)
    if outcome.submission is not None and outcome.submission.summary:
        console.print(outcome.submission.summary, markup=False, highlight=False, soft_wrap=True)
    if outcome.patch is not None:
        sys.stdout.write(outcome.patch.diff)
    if outcome.kind == "stopped":
        return 3
    return 0 if outcome.patch is not None and outcome.patch.changes else 1


def local_config(env: Mapping[str, str], model: str | None) -> Config:
    """The settings that matter without GitHub; without a key and without a wish, the rule agent works.

    Raises UserError, ConfigFault.
    """
    wanted = model or env.get("BACKSPACE_MODEL") or ("" if env.get("ANTHROPIC_API_KEY") else RULES)
    settings = {k: v for k, v in env.items() if not k.startswith("GITHUB_")}
    if wanted:
        settings["BACKSPACE_MODEL"] = wanted
    return Config.from_env(settings, role="local")


async def _worked(
    config: Config, workspace: Workspace, provider: SandboxProvider, prompt: str, *, repo: Path, console: Console
) -> Outcome:
    rules = repo_config(await workspace.base_file(PATH))
    await check_instructions(rules, workspace)
    wish = SetupWish(commands=rules.setup, network=rules.network, required=rules.setup_required)
    kept_for = int.from_bytes(hashlib.sha256(str(repo).encode()).digest()[:6])
    image = rules.image or image_for(await workspace.base_paths())
    plan = await setup_plan(workspace, wish, setup_rules(config), repo_id=kept_for, provider=provider.name, image=image)
    premises, journal = Premises(provider, workspace, plan, image), Spoken(console)
    name = f"local-{os.getpid()}"  # several may run at once
    budget = lowered(Budget(usd=config.budget_usd, turns=TURNS, minutes=MINUTES), rules.budget)
    paths = await workspace.base_paths()

    async with models(config) as model_named, premises.first(name, journal) as (sandbox, setup):
        review = Review(
            workspace,
            sandbox,
            gate=lambda patch: problems(patch, path_rules(rules), base_paths=paths),
            check_command=rules.test,
            open_base=lambda: premises.another(f"{name}-base"),
        )
        return await work(
            _task(repo.name, workspace.base_sha, prompt, instructions=rules.instructions or "", setup=setup),
            model=model_named(config.model),
            fallbacks=[model_named(name) for name in config.models[1:]],
            sandbox=sandbox,
            review=review,
            journal=journal,
            limits=Limits(turns=budget.turns, usd=budget.usd, minutes=budget.minutes),
        )


def _task(name: str, sha: str, prompt: str, *, instructions: str, setup: SetupReport) -> Task:
    return Task(
        repo=name,
        branch="HEAD",
        base_sha=sha,
        issue_number=0,
        issue_title="",
        issue_text="",
        issue_author="",
        issue_trusted=True,
        request=prompt,
        requested_by=getpass.getuser(),
        today=datetime.now(UTC).date().isoformat(),
        instructions=instructions,
        setup=setup,
    )


async def head_of(repo: Path) -> str:
    """The commit HEAD is on. Raises UserError when there is none."""
    code, out = await _git(repo, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if code != 0:
        raise UserError(f"{repo} is not a git checkout with a commit: name one with --repo.")
    return out.decode().strip()


async def has_uncommitted(repo: Path) -> bool:
    """Whether there are changes, or new files that are not ignored, beside the commit HEAD is on."""
    _, out = await _git(repo, "status", "--porcelain")
    return bool(out)


async def _git(repo: Path, *arguments: str) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *("git", "-C", str(repo), *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out
