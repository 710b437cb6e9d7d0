"""The composition root: a Config becomes a web app, a worker, or both in one process."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import structlog

from bot.config import Config, Role
from bot.domain.errors import UserError
from bot.github.addresses import git_url
from bot.log_stream import LogStream
from bot.model_wiring import models as models
from bot.ports import DayBudgets, GitHubApp, LastingSandboxes, Model, SandboxProvider
from bot.probing import prober
from bot.sandbox_wiring import connected as connected
from bot.sandbox_wiring import sandbox_provider as sandbox_provider
from bot.stopping import all_ended
from bot.stores import QueueLimits, Store, open_store
from bot.vitals import Vitals

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from bot.domain.job import Job
    from bot.github.installation import App
    from bot.report.leaks import Leaks
    from bot.report.links import Links
    from bot.runner import Runner
    from bot.upkeep.orphans import Orphans
    from bot.upkeep.reaper import Reaper
    from bot.upkeep.sweeper import Sweeper
    from bot.waiting import WaitingRoom

RUNNER_WITHIN_S = 30.0  # it looks for a job every few seconds
ENDS_WITHIN_S = 15.0  # what the runner gives its jobs, and some more


def configure_logging(level: str, log_format: str) -> None:
    """structlog on standard error; every line carries what was bound (job, delivery), never a payload or token."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LogStream())),
    )


async def opened_store(config: Config) -> Store:
    """Raises UserError, ProviderError."""
    per_installation = min(config.concurrency, config.concurrency_per_installation)
    limits = QueueLimits(running=config.concurrency, running_per_installation=per_installation)
    return await open_store(config.database_url, limits=limits)


def web_app(
    config: Config, store: Store, vitals: Vitals | None = None, on_accept: Callable[[str], None] | None = None
) -> "ASGIApp":
    """`vitals`: of the worker in this process, where there is one. `on_accept` hears of jobs."""
    from bot.web import health, live, operator
    from bot.web.app import create_app

    routes = [
        *live.routes(store, github_url=git_url(config.github_api_url), has_operator=bool(config.operator_token)),
        *operator.routes(store, operator_token=config.operator_token, on_cancel=on_accept),
        *health.routes(store, vitals or Vitals(), operator_token=config.operator_token),
    ]
    return create_app(store=store, webhook_secrets=config.webhook_secrets, extra_routes=routes, on_accept=on_accept)


def known_secrets(config: Config) -> "Leaks":
    """Of this process: what is configured, and, once an App made by `github_app` knows it too, the tokens it mints."""
    from bot.report.leaks import Leaks

    return Leaks(config.secrets)


def github_app(config: Config, store: Store, leaks: "Leaks | None" = None) -> "App":
    """Nothing leaves it that holds one of the bot's secrets. `store` keeps for how long GitHub lets nothing through."""
    from bot.github.installation import App, published_limits

    leaks = leaks or known_secrets(config)
    return App(
        config.app_id,
        config.private_key,
        api_url=config.github_api_url,
        limits=published_limits(config.github_api_url, processes=config.workers),
        check=leaks.check,
        secrets=leaks,
        marks=store,
    )


def runner(
    config: Config,
    store: Store,
    model_named: Callable[[str], Model],
    *,
    app: GitHubApp | None = None,
    sandboxes: SandboxProvider | None = None,
    vitals: Vitals | None = None,
    leaks: "Leaks | None" = None,
) -> "Runner":
    """`app` and `sandboxes` stand in for the configured ones; `leaks`: those of `app`, so that its tokens are known.

    Raises UserError when sandboxes cannot start here: better no worker than one that fails every job.
    """
    from bot.github.pictures import Pictures
    from bot.intake.pictures import Shelves
    from bot.journey import Workshop
    from bot.publish.mirror import Mirror
    from bot.purse import purse_of
    from bot.repo_config import Budget
    from bot.runner import Runner
    from bot.setup_wiring import setup_rules
    from bot.worker import Worker

    sandboxes, leaks = sandboxes or sandbox_provider(config), leaks or known_secrets(config)
    problem = sandboxes.problem()
    if problem:
        raise UserError(problem)
    structlog.get_logger().info("worker", sandbox=sandboxes.name, model=", ".join(config.models))
    a_day = DayBudgets(repo_usd=config.repo_usd_per_day, installation_usd=config.installation_usd_per_day)
    workshop = Workshop(
        mirror=Mirror(config.home / "mirrors", environment=os.environ),
        sandboxes=sandboxes,
        model_named=model_named,
        models=config.models,
        budget=Budget(usd=config.budget_usd, turns=config.turns, minutes=config.minutes),
        setup=setup_rules(config),
        pictures=Pictures(Shelves(git_url(config.github_api_url))).fetch,
        purse_of=lambda claim, wish: purse_of(store, claim, a_day, repo_wish_usd=wish),
    )
    app = app or github_app(config, store, leaks)
    worker = Worker(
        store=store, app=app, workshop=workshop, leaks=leaks, links=links(config), jobs_per_hour=config.jobs_per_hour
    )
    return Runner(store, worker.run_job, owner=owner(), vitals=vitals)


def reaper(
    config: Config, store: Store, app: GitHubApp, leaks: "Leaks | None" = None, vitals: Vitals | None = None
) -> "Reaper":
    from bot.publish import mirror
    from bot.publish.leftovers import sweep
    from bot.upkeep.reaper import Reaper

    def swept() -> int:
        mirrors = config.home / "mirrors"
        return sweep([Path(tempfile.gettempdir()), *mirrors.glob("*/ready")]) + mirror.clear(mirrors)

    leaks = leaks or known_secrets(config)
    name = f"{owner()}:reaper"
    return Reaper(store, app, links=links(config), leaks=leaks, owner=name, sweep=swept, vitals=vitals)


def orphans(store: Store, sandboxes: SandboxProvider) -> "tuple[Orphans, ...]":
    """None where a sandbox ends with the bot."""
    from bot.upkeep.orphans import Orphans

    return (Orphans(store, sandboxes),) if isinstance(sandboxes, LastingSandboxes) else ()


def sweeper(store: Store, app: "App", vitals: Vitals | None = None) -> "Sweeper":
    from bot.upkeep.sweeper import Sweeper
    from bot.web.door import random_job_id, random_watch_key

    return Sweeper(app=app, store=store, new_id=random_job_id, new_watch_key=random_watch_key, vitals=vitals)


def waiting_room(config: Config, store: Store, app: "App") -> "WaitingRoom":
    from bot.waiting import WaitingRoom

    return WaitingRoom(store, app, links=links(config))


def owner() -> str:
    """Who holds a lease, for people who look into the store."""
    return f"{socket.gethostname()}:{os.getpid()}"


def links(config: Config) -> "Callable[[Job], Links]":
    """Where a reader of a job's report can go."""
    from bot.report.links import Links

    site = git_url(config.github_api_url)

    def of(job: "Job") -> Links:
        page = f"{config.public_url}/jobs/{job.id}?t={job.watch_key}"
        return Links(page=page, check=None, repository=f"{site}/{job.repo.full_name}")

    return of


@asynccontextmanager
async def working(
    config: Config, store: Store, stop: asyncio.Event | None = None, vitals: Vitals | None = None
) -> AsyncIterator[None]:
    """A worker that runs beside the block; at its end, or when `stop` is set, running jobs go back to the queue.

    A part that breaks ends the block too, and raises here: a door must not take in jobs that nobody does.
    """
    stop, block = stop or asyncio.Event(), asyncio.current_task()

    def ended(_: "asyncio.Task[None]") -> None:
        if block is not None and not stop.is_set():
            block.cancel()

    vitals = vitals or Vitals()
    vitals.expect("runner", within_s=RUNNER_WITHIN_S)
    leaks = known_secrets(config)
    app = github_app(config, store, leaks)  # one for all: requests of one installation take turns
    async with connected(sandbox_provider(config)) as sandboxes, models(config) as model_named:
        parts = (
            runner(config, store, model_named, app=app, sandboxes=sandboxes, vitals=vitals, leaks=leaks),
            prober(config, vitals, app=app, model_named=model_named, sandboxes=sandboxes),
            reaper(config, store, app, leaks, vitals),
            sweeper(store, app, vitals),
            waiting_room(config, store, app),
        )
        tasks = [asyncio.create_task(part.run(stop), name=type(part).__name__) for part in parts]
        tasks += [asyncio.create_task(part.run(stop), name="Orphans") for part in orphans(store, sandboxes)]
        for task in tasks:
            task.add_done_callback(ended)
        try:
            yield
        finally:
            stop.set()
            await all_ended(tasks, within_s=ENDS_WITHIN_S)


def run_alone(config: Config, role: Role) -> None:
    """`run` as all that the process does. A worker's subprocesses stay with asyncio's own loop."""
    if role == "web":
        import uvloop

        uvloop.run(run(config, role))
    else:
        asyncio.run(run(config, role))


async def run(config: Config, role: Role) -> None:
    """Until SIGTERM or SIGINT. The door and the worker stop side by side."""
    stop, vitals = asyncio.Event(), Vitals()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config.home.mkdir(parents=True, exist_ok=True)
    store = await opened_store(config)
    try:
        async with AsyncExitStack() as parts:
            if role != "web":
                await parts.enter_async_context(working(config, store, stop, vitals))
            gc.freeze()  # what is loaded stays: to look through it, again and often, took a fifth of a delivery's time
            gc.set_threshold(10_000)
            gc.enable()
            await (_answer_health if role == "worker" else _serve)(config, store, stop, vitals)
    finally:
        await store.close()


async def _serve(config: Config, store: Store, stop: asyncio.Event, vitals: Vitals) -> None:
    from bot.web.server import serve_until

    app = web_app(config, store, vitals)
    structlog.get_logger().info("listening", address=f"http://{config.host}:{config.port}", public=config.public_url)
    await serve_until(stop, app, host=config.host, port=config.port)


async def _answer_health(config: Config, store: Store, stop: asyncio.Event, vitals: Vitals) -> None:
    """All that a worker without the door has to say, where a port for it is set."""
    if not config.health_port:
        await stop.wait()
        return
    from bot.web import health
    from bot.web.server import serve_until

    app = health.application(store, vitals, operator_token=config.operator_token)
    await serve_until(stop, app, host=config.host, port=config.health_port, setting="HOST or HEALTH_PORT")
