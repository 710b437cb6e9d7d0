"""The setup phase in one sandbox: its commands with the network of a list, then a tree as the base has it."""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from bot.agent.output import cleaned, last_lines, visible
from bot.domain.errors import LimitReached, ProviderError, UserError
from bot.domain.events import JobEvent, ToolCalled, ToolReturned
from bot.domain.hosts import LONGEST, NOT_PUBLIC
from bot.domain.setup import SetupReport, SetupRun
from bot.ports import ExportedFile, Sandbox, Workspace
from bot.setup.commands import Way
from bot.setup.plan import SetupPlan

TOOL = "setup"  # of the events: what is shown beside the agent's own tools
OUTPUT_BYTES = 1_000_000
LOOK_S = 60.0  # for a command of ours
OFFLINE = "The setup has no network here: the operator switched it off."
MOST_NAMED = 20  # paths in a report
MOST_ASIDE = 1_000  # new folders; more is no setup but a mess
LIST_NEW = (
    *("git", "ls-files", "-z", "--others", "--directory", "--no-empty-directory"),
    "--exclude-per-directory=.gitignore",
)
IGNORE_ALL = (  # a clone becomes plain files: git ignores nothing inside a repository of its own
    *("xargs", "-0", "-r", "sh", "-c"),
    'for place; do rm -rf "$place/.git" && printf "*\\n" > "$place/.gitignore" || exit 1; done',
    "sh",
)

LIST_MADE = ("git", "ls-files", "-z", "--others", "--ignored", "--directory", "--exclude-per-directory=.gitignore")
INSTALLED = {".venv", "venv", "node_modules", "vendor", "deps", ".bundle", ".yarn", ".pnpm-store"}  # of no source here
BUILT_FOR = "$HOME/.built-for"  # in the sandbox, kept with it: the commit whose sources something was built from

Tell = Callable[[JobEvent], Awaitable[None]]


class UnfitTree(Exception):
    """The setup left a work tree that cannot be put right; the words say why."""


async def set_up(sandbox: Sandbox, workspace: Workspace, plan: SetupPlan, *, tell: Tell) -> SetupReport:
    """Run the plan until a command fails. Afterwards there is no network, and no process, of it.

    Raises UnfitTree, ProviderError when the sandbox is lost.
    """
    problem = await _allowed(sandbox, plan.names)
    ran: list[SetupRun] = []
    skipped: list[str] = []
    try:
        end = time.monotonic() + plan.seconds
        for ways in plan.steps:
            way = await _first_possible(sandbox, ways)
            if way is None:
                skipped.append(ways[0].command)
                continue
            ran.append(await _run(sandbox, way.command, plan, end - time.monotonic(), tell))
            if not ran[-1].ok:
                break
    finally:
        blocked = await sandbox.end_network()
    if not plan.names and any(not run.ok for run in ran):
        problem = OFFLINE
    report = SetupReport(ran=tuple(ran), skipped=tuple(skipped), blocked=tuple(map(_host, blocked)), problem=problem)
    return await tidied(sandbox, workspace, report)


async def tidied(sandbox: Sandbox, workspace: Workspace, report: SetupReport) -> SetupReport:
    """The base's files are as in the base again, so that no change of the setup can pass for the agent's.

    New folders stay, with a `.gitignore` of their own that ignores all of them, as virtual environments have one; other
    new files go. Raises UnfitTree when that cannot be had, ProviderError.
    """
    aside = await _set_aside(sandbox)
    try:
        patch = await workspace.take_patch(sandbox)
        if patch.changes:
            files = [
                ExportedFile(change.path, change.was_mode, await workspace.base_file(change.path))
                if change.was_mode
                else ExportedFile(change.path, None, None)
                for change in patch.changes
            ]
            await workspace.put_changes(sandbox, files)
            if (await workspace.take_patch(sandbox)).changes:
                raise UnfitTree("it changed files that could not be put back")
    except (UserError, LimitReached) as error:
        raise UnfitTree(str(error)) from None
    changed = tuple(visible(change.path) for change in patch.changes)
    return replace(report, put_back=changed[:MOST_NAMED], aside=aside[:MOST_NAMED])


async def note_base(sandbox: Sandbox, workspace: Workspace) -> None:
    """Before `keep`: with something built among what is kept, such as an extension in C, it is of this base alone."""
    made = await sandbox.exec(LIST_MADE, timeout_s=LOOK_S, max_output_bytes=OUTPUT_BYTES)
    if made.exit_code != 0 or made.truncated or any(map(_is_built, made.stdout.split(b"\0"))):
        note = ("sh", "-c", f'printf %s "$1" > "{BUILT_FOR}"', "sh", workspace.base_sha)
        if (await sandbox.exec(note, timeout_s=LOOK_S)).exit_code != 0:
            raise ProviderError(sandbox.provider, "what the setup built could not be noted")


async def is_of_base(sandbox: Sandbox, workspace: Workspace) -> bool:
    """Whether what was kept can be used with this base."""
    noted = await sandbox.exec(("sh", "-c", f'! test -e "{BUILT_FOR}" || cat "{BUILT_FOR}"'), timeout_s=LOOK_S)
    return noted.exit_code == 0 and noted.stdout in (b"", workspace.base_sha.encode())


def _is_built(path: bytes) -> bool:
    names = path.decode("utf-8", "replace").rstrip("/").split("/")
    return bool(path) and not any(name in INSTALLED or name.endswith(".egg-info") for name in names)


async def _allowed(sandbox: Sandbox, names: Sequence[str]) -> str:
    """Why there is no network, or ""."""
    if not names:
        return ""
    try:
        await sandbox.allow_network(names)
    except ProviderError as error:
        return f"There was no network: {error.message}."
    return ""


async def _first_possible(sandbox: Sandbox, ways: Sequence[Way]) -> Way | None:
    for way in ways:
        if not way.needs:
            return way
        test = "python3 -m pip --version" if way.needs == "pip" else f"command -v {way.needs}"
        if (await sandbox.exec(["sh", "-c", test], timeout_s=LOOK_S)).exit_code == 0:
            return way
    return None


async def _run(sandbox: Sandbox, command: str, plan: SetupPlan, seconds: float, tell: Tell) -> SetupRun:
    call = f"setup-{secrets.token_hex(4)}"
    await tell(ToolCalled(call, TOOL, f"run {visible(command)}"))
    result = await sandbox.exec(
        ["sh", "-c", 'exec sh -c "$1" 2>&1', "sh", command],
        env=plan.environment,
        timeout_s=max(1.0, seconds),
        max_output_bytes=OUTPUT_BYTES,
    )
    tail = last_lines(cleaned(result.stdout + result.stderr))
    run = SetupRun(
        command=command,
        exit_code=result.exit_code,
        seconds=round(result.seconds, 1),
        tail=visible(tail),
        timed_out=result.timed_out,
    )
    await tell(ToolReturned(call, TOOL, run.ok, f"{ended(run)}\n{run.tail}".strip(), run.seconds))
    return run


def ended(run: SetupRun) -> str:
    if run.timed_out:
        return f"timed out after {run.seconds:.0f} s"
    return f"exit {'none' if run.exit_code is None else run.exit_code}, {run.seconds:.1f} s"


async def _set_aside(sandbox: Sandbox) -> tuple[str, ...]:
    """New folders that git does not ignore get a file that ignores them; their names. What the sandbox says here is
    used in the sandbox only: `tidied` looks at the result from outside."""
    listed = await sandbox.exec(LIST_NEW, timeout_s=LOOK_S, max_output_bytes=OUTPUT_BYTES)
    if listed.exit_code != 0 or listed.truncated:
        raise UnfitTree("git cannot list what it made")
    folders = [name for name in listed.stdout.split(b"\0") if name.endswith(b"/")]
    if len(folders) > MOST_ASIDE:
        raise UnfitTree(f"it made {len(folders)} new folders that git does not ignore")
    if folders:
        names = b"".join(b"./" + name + b"\0" for name in folders)
        done = await sandbox.exec(IGNORE_ALL, stdin=names, timeout_s=LOOK_S)
        if done.exit_code != 0:
            raise UnfitTree("folders it made cannot be set aside")
    return tuple(visible(name.decode("utf-8", "replace")) for name in folders)


def _host(text: str) -> str:
    """A refused host's name as it may be shown: what else a command asked for is said in our words."""
    plain = text.isascii() and all(letter.isalnum() or letter in ".-_:* " for letter in text)
    return text if plain and len(text.removesuffix(NOT_PUBLIC)) <= LONGEST + 6 else "an odd name"
