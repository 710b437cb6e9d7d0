"""Worker processes that die on command: `python -m tests.storm.worker` starts one for each line it reads.

All of the bot is imported once and each worker is a fork, so that a start costs milliseconds; a worker is a process of
its own all the same, and SIGKILL takes it and nothing else. A line in is a `Spec` as JSON; the answers are
`{"pid": ...}` and, at its end, `{"status": ...}` (negative: the signal).
"""

import asyncio
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.config import Config
from bot.github.installation import App
from bot.github.pace import NO_LIMITS
from bot.ports import JobStore, Model
from bot.stores import QueueLimits, open_store
from bot.wiring import configure_logging, models, runner, sandbox_provider
from tests.storm.effects import Effects, Kill, watched_app, watched_model, watched_provider, watched_store

USED = (  # imported late by the bot, and by its clients
    *("bot.journey", "bot.worker", "bot.runner", "bot.purse", "bot.models.anthropic", "bot.sandboxes.bubblewrap"),
    *("bot.stores.sqlite", "bot.stores.postgres", "anyio._backends._asyncio", "httpcore", "httpcore2", "truststore"),
)
LEASE_S = 20.0
MANY = 1_000_000  # deaths: a storm kills one job more often than R17 forgives
HASTE = 50  # pauses before another try are so many times shorter


@dataclass(frozen=True, slots=True)
class Spec:
    settings: Mapping[str, str]
    job_id: str
    log: str
    kills: tuple[Kill, ...] = ()

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: str) -> "Spec":
        given = json.loads(line)
        kills = tuple(Kill(**kill) for kill in given["kills"])
        return cls(given["settings"], given["job_id"], given["log"], kills)


async def work(spec: Spec) -> None:
    """One worker as `backspace serve --worker-only` is one, until the job is finished."""
    config = Config.from_env(spec.settings)
    effects = Effects(Path(spec.log), spec.kills)
    store = await open_store(config.database_url, limits=QueueLimits(lease_s=LEASE_S, deaths=MANY))
    stop = asyncio.Event()
    async with models(config) as model_named:

        def named(name: str) -> Model:
            return watched_model(model_named(name), effects)

        app = App(config.app_id, config.private_key, api_url=config.github_api_url, limits=NO_LIMITS, sleep=hasty)
        running = runner(
            config,
            watched_store(store, effects),
            named,
            app=watched_app(app, effects),
            sandboxes=watched_provider(sandbox_provider(config), effects),
        )
        task = asyncio.create_task(running.run(stop))
        await finished(store, spec.job_id, task)
        stop.set()
        await task
    await store.close()


async def finished(store: JobStore, job_id: str, runner: "asyncio.Task[None]") -> None:
    """Until the job's row is terminal and its task has ended, the token's revocation included."""
    while not runner.done():
        row = await store.job(job_id)
        at_work = any(task.get_name() == f"job {job_id}" for task in asyncio.all_tasks())
        if row is not None and row.finished_at is not None and not at_work:
            return
        await asyncio.sleep(0.01)


async def hasty(seconds: float) -> None:
    await asyncio.sleep(seconds / HASTE)


def start(spec: Spec) -> int:
    """The process id of a new worker."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        stderr = os.open(f"{spec.log}.stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(stderr, 2)
        os.dup2(stderr, 1)
        configure_logging("INFO", "json")
        asyncio.run(work(spec))
        status = 0
    except (Exception, KeyboardInterrupt):
        traceback.print_exc()
    finally:
        os._exit(status)


def say(**words: int) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    for module in USED:
        importlib.import_module(module)
    while line := sys.stdin.readline():
        pid = start(Spec.of(line))
        say(pid=pid)
        _, status = os.waitpid(pid, 0)
        say(status=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
