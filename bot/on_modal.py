"""The bot where no process lives long, as on Modal: the door, one job, and the upkeep, each started on its own.

The store alone says what is to be done. A hint that a job waits only saves time: who gets it claims the job, or finds
that it may not run now, and `tend` gives the hint again.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bot.config import RULES, Config, ConfigFault, Role
from bot.domain.errors import ProviderError, UserError
from bot.stores import Store
from bot.wiring import (
    configure_logging,
    connected,
    github_app,
    known_secrets,
    models,
    opened_store,
    orphans,
    reaper,
    runner,
    sandbox_provider,
    sweeper,
    waiting_room,
    web_app,
)

if TYPE_CHECKING:
    from starlette.applications import Starlette

Environment = Mapping[str, str]
Spawn = Callable[[str], Awaitable[object]]  # starts `work` for a job's id

DEFAULTS = {"SANDBOX": "modal", "LOG_FORMAT": "json", "BACKSPACE_HOME": f"{tempfile.gettempdir()}/backspace"}
NEEDS_POSTGRES = (
    "DATABASE_URL must name a Postgres on Modal (postgresql://USER:PASSWORD@HOST/NAME): the containers share no disk, "
    "so SQLite would lose jobs."
)
HINT_S = 10.0  # for Modal to take one hint
CLAIM_WITHIN_S = 45.0  # a lease and a half: whoever held the job before, and died, has lost it by then
LOOKS_EVERY_S = 1.0

log = structlog.get_logger()


def configured(env: Environment, role: Role) -> Config:
    """Raises ConfigFault.

    Each job is a process of its own here, and so is the upkeep: each keeps to its part of GitHub's limits.
    """
    config = Config.from_env({**DEFAULTS, **env}, role=role)
    if config.database_url.startswith("sqlite"):
        raise ConfigFault([NEEDS_POSTGRES])
    configure_logging(config.log_level, config.log_format)
    return replace(config, workers=max(config.workers, 1 + config.concurrency_per_installation))


def without_model(env: Environment) -> Config:
    """For the upkeep, which asks no model and so gets no key. Raises ConfigFault."""
    return configured({**env, "BACKSPACE_MODEL": RULES}, "worker")


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Store]:
    config.home.mkdir(parents=True, exist_ok=True)
    store = await opened_store(config)
    try:
        yield store
    finally:
        await store.close()


class Hints:
    """Given beside whatever else is done. Modal may be slow or away: that is logged, and nothing waits for it."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._given: set[asyncio.Task[None]] = set()

    def give(self, job_id: str) -> None:
        """Returns at once and raises nothing."""
        task = asyncio.create_task(self._give(job_id), name=job_id)
        self._given.add(task)
        task.add_done_callback(self._ended)

    async def settled(self) -> None:
        """Every hint that was given is taken or lost."""
        if self._given:
            await asyncio.wait(self._given)

    async def _give(self, job_id: str) -> None:
        async with asyncio.timeout(HINT_S):
            await self._spawn(job_id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._given.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("hint lost: the job starts within a minute", job=task.get_name(), error=repr(error))


def door(env: Environment, *, spawn: Spawn) -> "Starlette":
    """The web application, which opens its store when it starts. Raises ConfigFault."""
    from starlette.applications import Starlette

    config = configured(env, "web")

    @asynccontextmanager
    async def open_for(application: Starlette) -> AsyncIterator[None]:
        hints = Hints(spawn)
        async with opened(config) as store:
            application.mount("/", web_app(config, store, on_accept=hints.give))
            yield
            await hints.settled()

    return Starlette(lifespan=open_for)


async def work(env: Environment, job_id: str, *, spawn: Spawn) -> None:
    """One job to its end, if it may run now. Whatever becomes of it, those that may run then are hinted at.

    Where no job can begin, another try at once cannot help: that is logged and said to those who wait, and `tend` hints
    again. Raises ProviderError; and CancelledError when the container goes down: the job is back in the queue then.
    """
    try:
        await _work(env, job_id, spawn)
    except (ConfigFault, UserError) as error:
        log.error("no job can begin", job=job_id, error="; ".join(str(error).splitlines()))
        with suppress(ConfigFault, UserError):  # the same again, in what telling needs too
            config = without_model(env)
            async with opened(config) as store:
                await waiting_room(config, store, github_app(config, store)).look(stuck=True)


async def _work(env: Environment, job_id: str, spawn: Spawn) -> None:
    """Raises ConfigFault and UserError before it claims the job only."""
    config = configured(env, "worker")
    provider = connected(sandbox_provider(config))
    async with opened(config) as store, models(config) as model_named, provider as sandboxes:
        leaks = known_secrets(config)
        app = github_app(config, store, leaks)
        one = runner(config, store, model_named, app=app, sandboxes=sandboxes, leaks=leaks)
        try:
            if not await _worked(one.run_one, store, job_id):
                await waiting_room(config, store, app).look()
        finally:
            await asyncio.shield(hint_at_due(store, spawn))


async def _worked(run_one: Callable[[str], Awaitable[bool]], store: Store, job_id: str) -> bool:
    """Whether the job was claimed here. One that runs may be what a container left that died, until its lease ends.

    One that was cancelled is left to whoever runs it: they know already.
    """
    ends = asyncio.get_running_loop().time() + CLAIM_WITHIN_S
    while not await run_one(job_id):
        row = await store.job(job_id)
        is_not_ours = row is None or row.state != "running" or row.cancel_by is not None
        if is_not_ours or asyncio.get_running_loop().time() >= ends:
            return False
        await asyncio.sleep(LOOKS_EVERY_S)
    return True


async def tend(env: Environment, *, spawn: Spawn) -> None:
    """Every minute: hints that were lost, ends and waits nobody was told, sandboxes whose job is over."""
    config = without_model(env)
    async with opened(config) as store, connected(sandbox_provider(config)) as sandboxes:
        hinted = await hint_at_due(store, spawn)
        if problem := sandboxes.problem():
            log.error("sandboxes cannot start", problem=problem)
        for one in orphans(store, sandboxes):  # first: GitHub may take its time, and these cost money
            try:
                await one.look()
            except ProviderError as error:
                log.warning("nobody looked for orphaned sandboxes", error=str(error))
        leaks = known_secrets(config)
        app = github_app(config, store, leaks)
        await reaper(config, store, app, leaks).tell_all()
        await waiting_room(config, store, app).look()
        await hint_at_due(store, spawn, but=hinted)  # a job held back for its comment was free meanwhile


async def sweep(env: Environment, *, spawn: Spawn) -> None:
    """Every ten minutes: deliveries that did not arrive are asked for again."""
    config = without_model(env)
    async with opened(config) as store:
        await sweeper(store, github_app(config, store)).sweep()
        await hint_at_due(store, spawn)


async def survey(env: Environment, *, spawn: Spawn) -> None:
    """Every hour: commands that no delivery told of are found in the threads, and what is old is deleted."""
    config = without_model(env)
    async with opened(config) as store:
        await store.prune()
        await sweeper(store, github_app(config, store)).survey()
        await hint_at_due(store, spawn)


async def hint_at_due(store: Store, spawn: Spawn, *, but: Collection[str] = ()) -> tuple[str, ...]:
    """Which jobs are due. Raises ProviderError when the store fails."""
    hints, due = Hints(spawn), await store.due()
    for job_id in due:
        if job_id not in but:
            hints.give(job_id)
    await hints.settled()
    return due
