"""A worker process for tests that stop it like a suspended machine: `python -m tests.faults.worker LEASE_S [METHOD]`.

Settings come from the environment. With METHOD the process stops itself (SIGSTOP) when it is about to make that call of
`ports.GitHub` for the first time, and says `frozen` before. It ends on SIGTERM.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from bot.config import Config
from bot.domain.job import Repo
from bot.ports import GitHub, GitHubApp
from bot.ports.github import Hold, OnWait
from bot.stores import QueueLimits, open_store
from bot.wiring import configure_logging, github_app, models, runner

MANY = 1_000_000  # a machine that stalls past a short lease counts as a death each time


class Freeze:
    """Stops this process before the first call of `method`."""

    def __init__(self, method: str) -> None:
        self._method = method

    def before(self, name: str) -> None:
        if name == self._method:
            self._method = ""
            say("frozen")
            os.kill(os.getpid(), signal.SIGSTOP)


class FreezingGitHub:
    def __init__(self, github: GitHub, freeze: Freeze) -> None:
        self._github, self._freeze = github, freeze

    def progress(self) -> "FreezingGitHub":
        return FreezingGitHub(self._github.progress(), self._freeze)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            self._freeze.before(name)
            return await getattr(self._github, name)(*args, **named)

        return call


class FreezingApp:
    def __init__(self, app: GitHubApp, freeze: Freeze) -> None:
        self._app, self._freeze = app, freeze

    @asynccontextmanager
    async def repository(
        self, installation_id: int, repo: Repo, *, hold: Hold | None = None, on_wait: OnWait | None = None
    ) -> AsyncIterator[GitHub]:
        async with self._app.repository(installation_id, repo, hold=hold, on_wait=on_wait) as github:
            yield cast(GitHub, FreezingGitHub(github, self._freeze))

    async def login(self) -> str:
        return await self._app.login()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(lease_s: float, method: str) -> None:
    config = Config.from_env(os.environ, role="worker")
    configure_logging("info", "json")
    store = await open_store(config.database_url, limits=QueueLimits(lease_s=lease_s, deaths=MANY))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        async with models(config) as model_named:
            app = FreezingApp(github_app(config, store), Freeze(method))
            running = runner(config, store, model_named, app=app)
            say("ready")
            await running.run(stop)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
