"""`backspace run`: what was asked for at the terminal, and what is handed back."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from bot.config import ConfigFault
from bot.domain.errors import BotError, UserError
from bot.recordings.commands import write_text
from bot.report.characters import visible

if TYPE_CHECKING:
    from bot.local.done import Done, Exit

app = typer.Typer()
errors = Console(stderr=True)
INTERRUPTED = 130


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
        typer.Option(help="Write the patch to a file; `-` is standard output, as without any of the three."),
    ] = None,
    branch: Annotated[str, typer.Option(help="Make a new branch with the change; nothing is checked out.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, patch and all.")] = False,
) -> None:
    """Let the agent work on a copy of a local checkout. Your work tree and index are never touched.

    Exit code 0: there is a change; 1: it failed; 2: not started; 3: nothing was to be changed; 4: the agent could not
    go on; 5: the budget was used up; 130: interrupted. With 1, 5 and 130 there can be a change, as far as it came.
    """
    try:
        _run(prompt, file, repo.resolve(), model, budget, image, patch, branch, as_json=as_json)
    except (KeyboardInterrupt, asyncio.CancelledError):
        errors.print("Interrupted.", highlight=False)
        raise typer.Exit(INTERRUPTED) from None


def _run(
    prompt: str | None,
    file: Path | None,
    repo: Path,
    model: str | None,
    budget: float | None,
    image: str,
    patch: Path | None,
    branch: str,
    *,
    as_json: bool,
) -> None:
    from bot.cli import environment, need_git, need_home, not_started
    from bot.local.done import Done, Exit
    from bot.local.run import Wish, local_config, made_ready, run_locally
    from bot.sandbox_wiring import connected

    async def done() -> Done:
        try:
            need_git()
            if as_json and patch == Path("-"):
                raise UserError("--json and --patch - both want standard output: leave one out.")
            wish = Wish(prompt=asked(prompt, file), repo=repo, branch=branch, image=image)
            config = local_config(environment(), model, budget)
            need_home(config.home)
            ready = await made_ready(config, wish)
        except ConfigFault as fault:
            if as_json:
                _failed(" ".join(fault.faults), Exit.NOT_STARTED, as_json=True)
            not_started(fault)
        except BotError as error:
            _failed(str(error), Exit.NOT_STARTED, as_json=as_json)
        try:
            async with connected(ready.provider):
                return await run_locally(ready, console=errors)
        except BotError as error:
            _failed(str(error), Exit.FAILED, as_json=as_json)

    it = asyncio.run(done())
    try:
        _hand_back(it, patch, wants_patch=patch is not None or not (branch or as_json), as_json=as_json)
    except UserError as error:
        _failed(str(error), Exit.FAILED, as_json=False)
    raise typer.Exit(int(it.exit_code))


def _hand_back(it: "Done", patch: Path | None, *, wants_patch: bool, as_json: bool) -> None:
    """Raises UserError when the patch cannot be written."""
    diff = it.outcome.patch.diff if it.outcome.patch is not None else ""
    said = it.outcome.submission
    if said is not None and said.summary:
        errors.print(visible(said.summary), markup=False, highlight=False, soft_wrap=True)
    if it.branch:
        errors.print(f"The change is on branch {it.branch}.", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        sys.stdout.write(json.dumps(it.as_data()) + "\n")
    if patch is not None and patch != Path("-"):
        write_text(patch, diff)
    elif wants_patch:
        sys.stdout.buffer.write(diff.encode("utf-8", "surrogateescape"))


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


def _failed(message: str, code: "Exit", *, as_json: bool) -> NoReturn:
    if as_json:
        sys.stdout.write(json.dumps({"outcome": code.name.lower(), "exit_code": int(code), "message": message}) + "\n")
    errors.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int(code))
