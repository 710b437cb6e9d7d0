"""`backspace run`: what was asked for at the terminal, and what is handed back."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console

from bot.config import RULES, ConfigFault
from bot.domain.errors import BotError, UserError
from bot.recordings.commands import write_text
from bot.report.characters import visible

if TYPE_CHECKING:
    from bot.local.done import Done

app = typer.Typer()
errors = Console(stderr=True)
STDOUT = Path("-")


@app.command()
def run(
    prompt: Annotated[str | None, typer.Argument(help="What to do; `-` reads it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read what to do from a file.")] = None,
    repo: Annotated[Path, typer.Option(help="A git checkout; its HEAD commit is what the agent gets.")] = Path(),
    model: Annotated[str | None, typer.Option(help="A model, several that take over in turn, or `rules`.")] = None,
    budget: Annotated[float | None, typer.Option(help="The most it may cost, in US dollars.", min=0.01)] = None,
    image: Annotated[str, typer.Option(help="The sandbox's image. Default: as the files ask for.")] = "",
    patch: Annotated[
        Path | None,
        typer.Option(
            help="Write the patch to a file. Without --patch, --branch and --json it goes to standard output."
        ),
    ] = None,
    branch: Annotated[str, typer.Option(help="Make a new branch with the change; nothing is checked out.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, patch and all.")] = False,
) -> None:
    """Let the agent work on a copy of a local checkout. Your work tree and index are never touched.

    Exit code 0: there is a change; 1: it failed; 2: not started; 3: nothing was to be changed; 4: the agent could not
    go on; 5: the budget was used up; 130: interrupted. With 1, 5 and 130 there can be a change, as far as it came.
    """
    wanted = Wanted(prompt, file, repo.resolve(), model, budget, image, patch, branch, as_json)
    raise typer.Exit(int(_ended(wanted).exit_code))


class Wanted(NamedTuple):
    """The arguments as they were given."""

    prompt: str | None
    file: Path | None
    repo: Path
    model: str | None
    budget: float | None
    image: str
    patch: Path | None
    branch: str
    as_json: bool


def _ended(wanted: Wanted) -> "Done":
    """The whole run. Whatever ends it, `--json` is one object on standard output."""
    from bot.local.done import Done, Exit

    try:
        it = handed_back(asyncio.run(_done(wanted)), wanted)
        if it.run:
            words = f"run {it.run}: `backspace export {it.run} --html > run.html` makes a page of it."
            errors.print(words, style="dim", markup=False, highlight=False, soft_wrap=True)
    except (KeyboardInterrupt, asyncio.CancelledError):
        it = Done(exit_code=Exit.INTERRUPTED, message="Interrupted.")
        errors.print(it.message, highlight=False)
    except Exception as error:
        if wanted.as_json:
            _as_json(Done(exit_code=Exit.FAILED, message=f"A fault of Tiny Backspace: {type(error).__name__}."))
        raise
    return _as_json(it) if wanted.as_json else it


async def _done(wanted: Wanted) -> "Done":
    from bot.cli import environment, need_git, need_home, tell_faults
    from bot.local.done import Done, Exit
    from bot.local.ready import Wish, local_config, made_ready, rules_for_want_of_a_key
    from bot.local.run import run_locally
    from bot.sandbox_wiring import connected

    try:
        need_git()
        if wanted.as_json and wanted.patch == STDOUT:
            raise UserError("--json and --patch - both want standard output: leave one out.")
        wish = Wish(
            prompt=asked(wanted.prompt, wanted.file),
            repo=wanted.repo,
            model=wanted.model or "",
            branch=wanted.branch,
            image=wanted.image,
            patch=None if wanted.patch == STDOUT else wanted.patch,
        )
        env = environment()
        config = local_config(env, wanted.model, wanted.budget)
        need_home(config.home)
        ready = await made_ready(config, wish)
        if ready.models[0] == RULES and rules_for_want_of_a_key(env, wanted.model):
            missing = f"No ANTHROPIC_API_KEY in the environment or in {config.home}/.env"
            words = f"{missing}, so the rule agent works: it applies patches and recipes written in the request."
            errors.print(words, markup=False, highlight=False, soft_wrap=True)
    except ConfigFault as fault:
        tell_faults(fault)
        return Done(exit_code=Exit.NOT_STARTED, message=" ".join(fault.faults))
    except BotError as error:
        _say(str(error))
        return Done(exit_code=Exit.NOT_STARTED, message=str(error))
    try:
        async with connected(ready.premises.sandboxes):
            return await run_locally(ready, console=errors)
    except BotError as error:
        _say(str(error))
        return Done(exit_code=Exit.FAILED, message=str(error))


def handed_back(it: "Done", wanted: Wanted) -> "Done":
    """The change where it was wanted, else on standard output: it was paid for."""
    from bot.local.done import Exit

    said = it.outcome.submission if it.outcome else None
    if said is not None and said.summary:
        errors.print(visible(said.summary), markup=False, highlight=False, soft_wrap=True)
    if it.branch:
        errors.print(f"The change is on branch {it.branch}.", markup=False, highlight=False, soft_wrap=True)
    elif it.outcome is not None and it.message != it.outcome.message:
        _say(it.message)
    if wanted.patch is not None and wanted.patch != STDOUT and it.outcome is not None:
        try:
            write_text(wanted.patch, it.diff)
        except UserError as error:
            it = replace(it, exit_code=Exit.FAILED, message=f"{error} The patch is on standard output.")
            _say(it.message)
        else:
            return it
    if not wanted.as_json and not (it.branch and wanted.patch is None):
        return _put_out(it.diff.encode("utf-8", "surrogateescape"), it)
    return it


def _put_out(data: bytes, it: "Done") -> "Done":
    """On standard output; where that takes nothing any more, the change is kept beside the run's record."""
    from bot.local.done import Exit

    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # or the rest fails again when the command ends
        message = f"Standard output cannot be written: {error.strerror}."
        if it.diff and it.record:
            write_text(it.record.with_suffix(".patch"), it.diff)
            message += f" The patch is in {it.record.with_suffix('.patch')}."
        _say(message)
        return it if it.exit_code is Exit.INTERRUPTED else replace(it, exit_code=Exit.FAILED, message=message)
    return it


def _as_json(it: "Done") -> "Done":
    return _put_out(f"{json.dumps(it.as_data())}\n".encode(), it)


def _say(message: str) -> None:
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)


def asked(prompt: str | None, file: Path | None) -> str:
    """What to do, from the one place that was named. Raises UserError."""
    if (prompt is None) == (file is None):
        raise UserError("Say what to do: as an argument, as `-` for standard input, or in a file with --file.")
    try:
        text = file.read_text(encoding="utf-8") if file is not None else sys.stdin.read() if prompt == "-" else prompt
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError("What to do cannot be read: it should be UTF-8 text.") from None
    if not text or not text.strip():
        raise UserError("There is nothing to do: the prompt is empty.")
    return text.strip()
