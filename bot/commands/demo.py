"""`backspace demo`: a signed webhook becomes a pull request on a loopback GitHub, and is checked byte for byte."""

import asyncio
import hashlib
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.syntax import Syntax

from bot.config import RULES, Config
from bot.domain.errors import UserError
from bot.domain.events import DiffShown
from bot.interrupting import INTERRUPTED, interrupted
from bot.ports import JobRow
from bot.publish.leftovers import SCRATCH
from bot.settings.models import MODEL_SETTINGS
from bot.settings.sandboxes import SANDBOX_SETTINGS
from bot.stage import Stage, staged
from bot.standins.github.state import Issue
from bot.watch import watch
from bot.wiring import configure_logging

MAINTAINER = "alice"
STRANGER = "mallory"  # without write access: what she asks for is refused
PASSED_ON = (
    "BACKSPACE_MODEL",
    "BACKSPACE_BUDGET_USD",
    "BACKSPACE_TURNS",
    "BACKSPACE_MINUTES",
    "BACKSPACE_REPO_USD_PER_DAY",
    "BACKSPACE_INSTALLATION_USD_PER_DAY",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "SANDBOX",
    "SANDBOX_MEMORY_GB",
    "SANDBOX_DISK_GB",
    "SANDBOX_READONLY_PATHS",
    "LOG_LEVEL",
)
ALONG = {  # what a choice needs is passed on with it, and not without: tokens alone choose no sandbox far away
    "BACKSPACE_MODEL": tuple(setting.name for setting in MODEL_SETTINGS),
    "ANTHROPIC_PLATFORM": tuple(setting.name for setting in MODEL_SETTINGS),
    "SANDBOX": tuple(setting.name for setting in SANDBOX_SETTINGS),
}
NO_KEY = "ANTHROPIC_API_KEY is missing"  # of the configuration's faults the one that is none here
ACCEPTED_WITHIN_S = 10.0  # GitHub itself gives up on a webhook after so long
CONTENT = """\
# Hello from Tiny Backspace

This file was asked for in a comment, written in a sandbox without network or credentials,
and published as a pull request.
"""


async def run_demo(env: Mapping[str, str], *, repo: Path | None, keep: bool, console: Console) -> int:
    """0 only if the pull request holds exactly what the comment asked for; 130 when somebody ended it before.

    Raises UserError, ConfigFault.
    """
    source = source_of(repo)
    settings = demo_settings(env)
    config = Config.from_env(settings, role="local")
    configure_logging(config.log_level, "console")
    console.print(which_model(config), soft_wrap=True)
    showing = asyncio.create_task(_shown(source, settings, keep=keep, console=console))
    return INTERRUPTED if await interrupted(showing) else showing.result()


async def _shown(source: Path, settings: Mapping[str, str], *, keep: bool, console: Console) -> int:
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}demo-") as root:
        console.print(f"Importing {source.name} into a loopback GitHub and starting the bot...", highlight=False)
        async with staged(Path(root), source=source, settings=settings, name=_repository_name(source)) as stage:
            stage.github.add_user(STRANGER)
            code = await _journey(stage, console)
            if keep:
                await _until_interrupted(stage, console)
            else:
                console.print("[bold]make demo ARGS=--keep[/] stays up: comment, label and watch in the browser.")
            return code


def source_of(repo: Path | None) -> Path:
    """The repository to work on: the one named, or the checkout this program runs from."""
    source = (repo or Path(__file__).parent.parent.parent).resolve()
    if not source.is_dir():
        raise UserError(f"{source} is not a folder: name a git repository with --repo.")
    return source


def _repository_name(source: Path) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in source.name).strip(".-")
    return name.removesuffix(".git")[:100] or "widget"


def demo_settings(env: Mapping[str, str]) -> dict[str, str]:
    """Of the operator's settings those that hold here too: model and budgets, sandbox, log level."""
    given = {name: value for name, value in env.items() if value.strip()}
    names = {*PASSED_ON, *(name for choice, needs in ALONG.items() if choice in given for name in needs)}
    settings = {"LOG_LEVEL": "warning"} | {name: given[name] for name in sorted(names & given.keys())}
    _, faults = Config.read(settings, role="local")
    if any(fault.startswith(NO_KEY) for fault in faults):
        settings["BACKSPACE_MODEL"] = RULES
    return settings


def which_model(config: Config) -> str:
    """Who does the work, and why; rich markup."""
    if config.model != RULES:
        budget = f"for ${config.budget_usd:.2f} at most"
        key = ", with your ANTHROPIC_API_KEY," if config.anthropic_api_key and "claude" in config.model else ""
        return f"[bold]{escape(config.model)}[/] does the work{key} {budget}."
    why = "BACKSPACE_MODEL=rules" if config.anthropic_api_key else "No ANTHROPIC_API_KEY"
    return (
        f"[bold]{why}[/], so the [bold]rule agent[/] does the work: it needs no model, and applies patches and recipes "
        "written in the request."
    )


async def _journey(stage: Stage, console: Console) -> int:
    base = stage.github.tree(stage.repository, stage.repository.default_branch)
    path = _free_path(base)
    issue = stage.github.open_issue(
        stage.repository, MAINTAINER, "Say hello", "A file that says where it came from would make this friendlier."
    )
    prompt = f"/backspace Add the file `{path}` with exactly this content:\n\n```markdown {path}\n{CONTENT}```"
    started = time.monotonic()
    stage.github.comment(stage.repository, issue.number, MAINTAINER, prompt)
    url = f"{stage.github.base_url}/{stage.repository.full_name}"
    console.print(f"\n{MAINTAINER} comments on {url}/issues/{issue.number}", highlight=False)
    console.print(prompt, style="cyan", markup=False, highlight=False, soft_wrap=True)
    row = await _accepted(stage, issue)
    console.print(f"\nLive page: {stage.page(row)}\n", highlight=False, soft_wrap=True)
    await watch(stage.page(row), console=console)
    await _settled(stage, row)
    return await _verdict(stage, row, base, path, time.monotonic() - started, console)


def _free_path(base: Mapping[str, object]) -> str:
    names = ("HELLO-BACKSPACE.md", *(f"HELLO-BACKSPACE-{n}.md" for n in range(2, 1000)))
    return next(name for name in names if name not in base)


async def _accepted(stage: Stage, issue: Issue) -> JobRow:
    """The job the comment made. Raises UserError when the bot did not take it."""
    await stage.github.deliver()
    deadline = time.monotonic() + ACCEPTED_WITHIN_S
    while time.monotonic() < deadline:
        if rows := await stage.jobs(issue.number):
            return rows[0]
        await asyncio.sleep(0.05)
    said = "; ".join(f"{d.event}: {d.status_code} {d.response_body}" for d in stage.github.deliveries)
    raise UserError(f"The bot did not take the delivery: {said or 'none was sent'}.")


async def _settled(stage: Stage, row: JobRow) -> None:
    """Until the thread shows the end, not only the event log."""
    while True:
        now = await stage.store.job(row.job.id)
        if now is None or now.finished_at is not None:
            return
        await asyncio.sleep(0.05)


async def _verdict(
    stage: Stage, row: JobRow, base: Mapping[str, tuple[str, str]], path: str, seconds: float, console: Console
) -> int:
    """Shows the pull request and compares its tree with the one the comment asked for."""
    opened = next(iter(stage.github.pull_requests(stage.repository)), None)
    if opened is None or opened.pull is None:
        console.print("\n[red]No pull request was opened.[/] The timeline above says why.")
        return 1
    url = f"{stage.github.base_url}/{stage.repository.full_name}/pull/{opened.number}"
    console.print(f"\n[bold]#{opened.number} {opened.title}[/]  {url}", highlight=False, soft_wrap=True)
    console.print(Markdown(_without_html(opened.body or "")))
    shown = [r.event.diff for r in await stage.store.events(row.job.id) if isinstance(r.event, DiffShown)]
    _show_diff(shown[-1] if shown else "", console)
    blob = CONTENT.encode()
    sha = hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest()
    exact = stage.github.tree(stage.repository, opened.pull.head_ref) == {**base, path: ("100644", sha)}
    mark = "[green]exactly what the comment asked for[/]" if exact else "[red]not what the comment asked for[/]"
    said = f"From comment to pull request: {seconds:.1f} s. The pull request's tree is {mark}."
    console.print(said, highlight=False, soft_wrap=True)
    return 0 if exact else 1


def _show_diff(diff: str, console: Console) -> None:
    """In colour on a terminal; in a pipe its very lines, of which none is broken."""
    if console.is_terminal:
        console.print(Syntax(diff, "diff", background_color="default", word_wrap=True))
    else:
        console.print(diff, markup=False, highlight=False, soft_wrap=True)


def _without_html(body: str) -> str:
    return re.sub(r"</?sub>", "", body)


async def _until_interrupted(stage: Stage, console: Console) -> None:
    url = f"{stage.github.base_url}/{stage.repository.full_name}"
    console.print(f"\nStill up: comment, label and watch at {url} (Ctrl-C ends it).", highlight=False)
    console.print(f"Act as {MAINTAINER}, who has write access, or as {STRANGER}, who has none.", highlight=False)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        console.print("Bye.")
