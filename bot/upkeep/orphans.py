"""Ends sandboxes whose job is over: where they outlive the bot, one that was killed leaves them running."""

import asyncio
from collections.abc import Collection

import structlog

from bot.domain.errors import ProviderError
from bot.ports import LastingSandboxes, Overview
from bot.stopping import until

SECONDS_BETWEEN_LOOKS = 120.0

log = structlog.get_logger()


class Orphans:
    """One a worker process; several may look at once."""

    def __init__(self, store: Overview, sandboxes: LastingSandboxes) -> None:
        self._store, self._sandboxes = store, sandboxes

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; a look that takes long then is left off."""
        await until(stop, self._keep_looking())

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self.look()
            except ProviderError as error:
                log.warning("nobody looked for orphaned sandboxes", error=str(error))
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def look(self) -> None:
        """Raises ProviderError."""
        if ended := await self._sandboxes.reap(self._over):
            log.info("orphaned sandboxes ended", sandboxes=ended)

    async def _over(self, names: Collection[str]) -> set[str]:
        """Those whose job has ended; a job that waits has its sandbox for when it goes on."""
        return over(names, alive=await self._store.unfinished())


def over(names: Collection[str], *, alive: Collection[str]) -> set[str]:
    """A second sandbox of a job, named after it with a dash and a word, lives as long as the job."""
    return {name for name in names if not any(name == job or name.startswith(f"{job}-") for job in alive)}
