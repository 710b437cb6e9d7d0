"""The `backspace` command."""

import asyncio
import gc
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from dotenv import dotenv_values
from rich.console import Console

from bot import __version__
from bot.commands import images
from bot.config import HOME, Config, ConfigFault, Role
from bot.domain.errors import BotError, UserError
from bot.local import command as run_command
from bot.recordings import commands as recorded_commands

if TYPE_CHECKING:
    from bot.ports import Listed

app = typer.Typer(
    name="backspace",
    help="Comment [bold]/backspace[/] on a GitHub issue, get a pull request. Settings come from the environment, "
    "or from [bold]~/.backspace/.env[/]; the README lists them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(images.app, name="images")
app.add_typer(run_command.app)
app.add_typer(recorded_commands.app)
errors = Console(stderr=True)
OWN = Path(__file__).resolve().parent.parent


def tell_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tiny-backspace {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=tell_version, help="As `version`.")
    ] = False,
) -> None: ...


def environment() -> Mapping[str, str]:
    """The environment over `.env` in the current directory, over the one in BACKSPACE_HOME.

    A git checkout other than this program's own sets nothing up: its `.env` is somebody else's. Raises ConfigFault.
    """
    try:
        theirs = in_foreign_checkout(Path.cwd())
        here = {} if theirs else dotenv_values(".env")
        home = os.path.expanduser(os.environ.get("BACKSPACE_HOME") or here.get("BACKSPACE_HOME") or HOME)
        files = {**dotenv_values(Path(home, ".env")), **here}
    except (OSError, UnicodeDecodeError):
        raise ConfigFault([".env cannot be read: it should be UTF-8 text that this user may read."]) from None
    if theirs and os.path.lexists(".env"):
        said = f".env is not read here, in a git checkout: settings come from the environment and {home}/.env."
        errors.print(said, style="dim", markup=False, highlight=False, soft_wrap=True)
    return {**{k: v for k, v in files.items() if v is not None}, **os.environ}


def in_foreign_checkout(folder: Path, own: Path = OWN) -> bool:
    roots = (root for root in (folder, *folder.parents) if os.path.lexists(root / ".git"))
    return next(roots, own) != own


def configured(role: Role = "both") -> Config:
    try:
        return Config.from_env(environment(), role=role)
    except ConfigFault as fault:
        not_started(fault)


def not_started(fault: ConfigFault) -> NoReturn:
    tell_faults(fault)
    raise typer.Exit(2) from None


def tell_faults(fault: ConfigFault) -> None:
    errors.print("[red]Not started.[/] These settings need a hand (environment, or ~/.backspace/.env):")
    for line in fault.faults:
        errors.print(f"- {line}", markup=False, highlight=False, soft_wrap=True)


def fail(error: BotError) -> NoReturn:
    """Exit code 2 for what the person at the terminal can put right, 1 for what failed elsewhere."""
    errors.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(2 if isinstance(error, UserError) else 1) from None


@contextmanager
def worded() -> Iterator[None]:
    """What the person at the terminal can put right ends the command in words."""
    try:
        yield
    except ConfigFault as fault:
        not_started(fault)
    except BotError as error:
        fail(error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None


def need_git() -> None:
    if shutil.which("git") is None:
        raise UserError("git is not installed: apt-get install git.")


def need_home(home: Path) -> None:
    """Makes the folder. Raises UserError when it cannot be written to."""
    remedy = "set BACKSPACE_HOME to a folder that this user may write to."
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{home} cannot be made ({error.strerror}): {remedy}") from None
    if not os.access(home, os.W_OK | os.X_OK):
        raise UserError(f"{home} cannot be written to: {remedy}")


@app.command()
def serve(
    web_only: Annotated[bool, typer.Option(help="Only the webhook door and the live pages.")] = False,
    worker_only: Annotated[bool, typer.Option(help="Only the worker; another process has the door.")] = False,
) -> None:
    """Run the bot: webhook door, live pages and worker in one process."""
    if web_only and worker_only:
        errors.print("Give --web-only or --worker-only, not both.")
        raise typer.Exit(2)
    role: Role = "web" if web_only else "worker" if worker_only else "both"
    config = configured(role)
    gc.disable()  # until all is loaded: what follows is no garbage, and to look for some takes a tenth of the start
    from bot.wiring import configure_logging, run_alone

    configure_logging(config.log_level, config.log_format)
    with worded():
        if role != "web":
            need_git()
        need_home(config.home)
        run_alone(config, role)


@app.command()
def demo(
    repo: Annotated[Path | None, typer.Option(help="The git repository to work on. Default: this checkout.")] = None,
    keep: Annotated[bool, typer.Option(help="Stay up afterwards: comment, label and watch in the browser.")] = False,
) -> None:
    """See it work, on this machine, without any account: a comment becomes a pull request on a loopback GitHub.

    With ANTHROPIC_API_KEY Claude does the work; without, the rule agent does.
    """
    from bot.commands.demo import run_demo

    with worded():
        need_git()
        raise typer.Exit(
            asyncio.run(run_demo(environment(), repo=repo and repo.resolve(), keep=keep, console=Console()))
        )


@app.command(name="eval")
def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Tasks: */task.yml, or SWE-bench instances. Default: those that ship with this."),
    ] = None,
    live: Annotated[bool, typer.Option(help="Let the configured model work, for money; else a script does.")] = False,
    model: Annotated[str | None, typer.Option(help="With --live: a model, or `rules`.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task; may be given several times.")] = None,
    clones: Annotated[Path | None, typer.Option(help="Clones for SWE-bench. Default: FOLDER/repositories.")] = None,
    jobs: Annotated[int, typer.Option(help="How many tasks run at once.", min=1, max=16)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")] = False,
) -> None:
    """Run tasks through the whole bot and score the pull requests with hidden tests.

    Exit code 0: all were solved; 3: some were not; 4: a task is broken or crashed, or none could be run; 2: not
    started; 1: a service failed; 130: interrupted, with what was known by then.
    """
    from bot.evaluation.command import run_eval

    with worded():
        need_git()
        run = run_eval(
            environment(),
            folder=folder and folder.resolve(),
            clones=clones and clones.resolve(),
            names=task or (),
            live=live,
            model=model,
            jobs=jobs,
            as_data=as_json,
            console=errors,
        )
        raise typer.Exit(asyncio.run(run))


@app.command()
def replay(
    payload: Annotated[Path, typer.Argument(help="A recorded webhook payload (JSON).", exists=True, dir_okay=False)],
    event: Annotated[str, typer.Option(help="The event's name, such as issue_comment.")],
    url: Annotated[str | None, typer.Option(help="Default: PUBLIC_URL/webhook.")] = None,
) -> None:
    """Sign a recorded payload with the webhook secret and post it to the bot."""
    import uuid

    from bot.commands.replay import recorded
    from bot.commands.replay import replay as post

    config = configured("web")
    with worded():
        answer = asyncio.run(
            post(
                recorded(payload),
                event=event,
                url=url or f"{config.public_url}/webhook",
                secret=config.webhook_secrets[0],
                delivery_id=str(uuid.uuid4()),
            )
        )
    Console().print(f"{answer.status_code} {answer.text}", markup=False, highlight=False)
    raise typer.Exit(0 if answer.is_success else 1)


@app.command()
def watch(url: Annotated[str, typer.Argument(help="The live page's address, as the thread links it.")]) -> None:
    """Follow a job in the terminal."""
    from bot.watch import watch as follow

    raise typer.Exit(asyncio.run(follow(url, console=Console())))


@app.command()
def jobs(
    finished: Annotated[int, typer.Option(help="How many of those that ended to list.", min=0, max=1000)] = 20,
) -> None:
    """List the queued and running jobs and the last that ended, with what they cost."""
    from bot.commands.operating import table

    with worded():
        listed = asyncio.run(_listed(configured("tool"), finished))
    if listed:
        Console().print(table(listed))
    else:
        errors.print("No jobs yet.")


async def _listed(config: Config, finished: int) -> "tuple[Listed, ...]":
    from bot.wiring import opened_store

    store = await opened_store(config)
    try:
        return await store.latest(finished=finished)
    finally:
        await store.close()


@app.command()
def cancel(
    job_id: Annotated[str, typer.Argument(help="The job's id, as the comment and the live page show it.")],
    url: Annotated[str | None, typer.Option(help="Where the bot is reached. Default: PUBLIC_URL.")] = None,
) -> None:
    """Stop a job, queued or running, with BACKSPACE_OPERATOR_TOKEN."""
    from bot.commands.operating import cancel as ask

    config = configured("tool")
    with worded():
        said = asyncio.run(ask(job_id, url=url or config.public_url, token=config.operator_token))
    Console().print(said, markup=False, highlight=False)


@app.command()
def doctor() -> None:
    """Try each setting for real and say what to do about what fails."""
    from bot.commands.doctor import findings, show

    with worded():
        config, faults = Config.read(environment())
    with errors.status("Trying each setting..."):
        found = asyncio.run(findings(config, faults=faults))
    raise typer.Exit(show(found, Console()))


@app.command()
def version() -> None:
    """Print the version."""
    tell_version(True)
