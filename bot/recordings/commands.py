"""`backspace export` and `backspace replay-run`: a run as a file, and played back from it."""

import asyncio
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bot.config import Config
from bot.domain.errors import UserError
from bot.domain.events import JobFinished

if TYPE_CHECKING:
    from bot.recordings.run import Recording

app = typer.Typer()
errors = Console(stderr=True)
NO_CONVERSATION = (
    "There is no conversation in it: `backspace run` keeps none, and the bot forgets a job's three days after its end."
)
RUN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A job's id, a run's id, or a file made by this command.")],
    html: Annotated[bool, typer.Option("--html", help="One HTML file that needs no script and no network.")] = False,
    conversation: Annotated[
        bool, typer.Option(help="With what was said between model and tools: much of the repository's text.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
) -> None:
    """Write a run as one file: JSON lines to keep and play back, or a page to share. Secrets are left out."""
    from bot.cli import configured, worded

    with worded():
        text = asyncio.run(_exported(configured("tool"), run, html=html, conversation=conversation))
        if output is None:
            sys.stdout.buffer.write(text.encode())
        else:
            write_text(output, text)


@app.command(name="replay-run")
def replay_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A job's id, a run's id, or a file of `backspace export`.")],
    speed: Annotated[float, typer.Option(help="How many times as fast as it was.", min=0.1, max=1000)] = 4.0,
    instant: Annotated[bool, typer.Option("--instant", help="All of it at once.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="On the live page, in a browser.")] = False,
    port: Annotated[int, typer.Option(help="With --serve.", min=1, max=65535)] = 8787,
) -> None:
    """Play a recorded run back, in the terminal or on the live page. A file needs no settings and no services."""
    from bot.cli import configured, worded
    from bot.recordings.playback import play

    with worded():
        file, pace = Path(run), None if instant else speed
        is_file = file.is_file()
        recording = read(file) if is_file else asyncio.run(_recording(configured("tool"), run, conversation=False))
        playing = _served(recording, pace, port) if serve else play(recording, speed=pace, console=Console())
        asyncio.run(playing)
        if not serve and not (recording.events and isinstance(recording.events[-1].event, JobFinished)):
            errors.print("The record ends here: when it was written, the run had not ended.", highlight=False)


def read(path: Path) -> "Recording":
    """Raises UserError."""
    from bot.recordings.run import recording_in

    try:
        with path.open(encoding="utf-8") as lines:
            return recording_in(lines, name=str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not the record of a run: it is not UTF-8 text.") from None


def runs_folder(config: Config) -> Path:
    """Where `backspace run` keeps the record of each run."""
    return config.home / "runs"


async def _exported(config: Config, run: str, *, html: bool, conversation: bool) -> str:
    """Raises UserError, LeakFound, ProviderError."""
    from bot.recordings.run import lines_of, recording_in
    from bot.web.shared import shared_page
    from bot.wiring import known_secrets

    leaks = known_secrets(config)
    found = await _recording(config, run, conversation=conversation)
    if conversation and not found.conversation:
        errors.print(NO_CONVERSATION, highlight=False, soft_wrap=True)
    clean = "".join(lines_of(found, leaks))
    if not html:
        return clean
    recording = recording_in(clean.splitlines(keepends=True), name=run)
    site = recording.heading.site or "https://github.com"
    return shared_page(recording.heading.job(""), recording.events, github_url=site)


async def _recording(config: Config, run: str, *, conversation: bool) -> "Recording":
    is_id = RUN.fullmatch(run.removesuffix(".jsonl")) is not None
    kept = runs_folder(config) / f"{run.removesuffix('.jsonl')}.jsonl"
    file = _file(run, kept if is_id else None)
    if file is not None:
        found = read(file)
        heading = replace(found.heading, events=len(found.events))
        return replace(found, heading=heading, conversation=found.conversation if conversation else ())
    if not is_id:
        raise UserError(f"{run!a} is no job, no run and no file that ends in .jsonl.")
    from bot.github.addresses import git_url
    from bot.recordings.run import recording_of
    from bot.wiring import opened_store

    store = await opened_store(config)
    try:
        row = await store.job(run)
        if row is None:
            raise UserError(
                f"There is no job or run {run}: `backspace jobs` lists the jobs, {kept.parent} holds the runs."
            )
        entries = await store.journal(run) if conversation else None
        return recording_of(row.job, await store.events(run), site=git_url(config.github_api_url), entries=entries)
    finally:
        await store.close()


def _file(run: str, kept: Path | None) -> Path | None:
    """The record that `run` names: a file by its path, or the one that was `kept`. None for a job's id."""
    if run.endswith(".jsonl") and (Path(run).exists() or kept is None or not kept.is_file()):
        return Path(run)
    return kept if kept is not None and kept.is_file() else None


def write_text(path: Path, text: str) -> None:
    """Raises UserError."""
    try:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None


async def _served(recording: "Recording", speed: float | None, port: int) -> None:
    from bot.recordings.playback import Playback, serve_playback

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def say(address: str) -> None:
        errors.print(f"Open {address} (Ctrl-C ends it).", markup=False, highlight=False, soft_wrap=True)

    await serve_playback(Playback(recording, speed=speed), port=port, page=say, stop=stop)
