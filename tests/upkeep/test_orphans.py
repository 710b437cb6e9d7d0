"""Sandboxes whose job is over are ended, where they outlive a bot that was killed: real store, loopback Modal."""

import asyncio
from pathlib import Path

import pytest

from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobFinished
from bot.ports import Census, Listed, Over, Sandbox, SandboxProvider
from bot.sandboxes.images import DEFAULT, published_name
from bot.sandboxes.modal import Modal
from bot.stores import Store, open_store
from bot.upkeep.orphans import Orphans
from tests.polling import WITHIN_S
from tests.standins.modal.published import Published
from tests.standins.modal.sandboxes import Sandboxes
from tests.standins.modal.server import ModalStandIn
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio


async def test_only_sandboxes_of_jobs_that_are_over_are_ended(tmp_path: Path, modal_server: ModalStandIn) -> None:
    """Red when only running jobs count as alive: one that goes on in the same sandbox is queued meanwhile. Seen."""
    modal_server.part(Published).publish(published_name(DEFAULT))
    store = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    await deliver(store, a_job("queued"))
    await claimed(store, "running")
    over = await claimed(store, "over")
    await store.commit(over, events=[JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")
    provider = Modal(bot="orphans", token=("ak-test", "as-test"))
    opened = [await provider.open(f"job-{name}") for name in ("queued", "running", "running-base", "over", "over-base")]
    await Orphans(store, provider).look()
    left = [one.tags["job"] for one in modal_server.part(Sandboxes).living()]
    assert left == ["job-queued", "job-running", "job-running-base"]
    for sandbox in opened:
        await sandbox.close()
    await provider.aclose()
    await store.close()


class Beginning:
    """A store in which a job begins, its sandbox too, while the answer about the live jobs is on its way."""

    def __init__(self, store: Store, sandboxes: SandboxProvider) -> None:
        self._store, self._sandboxes = store, sandboxes
        self.opened = list[Sandbox]()

    async def census(self) -> Census:
        return await self._store.census()

    async def latest(self, *, finished: int) -> tuple[Listed, ...]:
        return await self._store.latest(finished=finished)

    async def unfinished(self) -> frozenset[str]:
        answer = await self._store.unfinished()
        await claimed(self._store, "begins")
        self.opened.append(await self._sandboxes.open("job-begins"))
        return answer


async def test_a_job_that_begins_in_the_middle_of_a_look_keeps_its_sandbox(
    tmp_path: Path, modal_server: ModalStandIn
) -> None:
    """Red when the live jobs are asked for before the sandboxes are listed: seen."""
    modal_server.part(Published).publish(published_name(DEFAULT))
    store = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    provider = Modal(bot="orphans", token=("ak-test", "as-test"))
    beginning = Beginning(store, provider)
    await Orphans(beginning, provider).look()
    assert [one.tags["job"] for one in modal_server.part(Sandboxes).living()] == ["job-begins"]
    await beginning.opened[0].close()
    await provider.aclose()
    await store.close()


class Away:
    """A provider that cannot be reached, and that the bot stops at."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    async def reap(self, over: Over) -> int:
        self._stop.set()
        raise ProviderError("modal", "it is away", retryable=True)


async def test_a_provider_in_trouble_does_not_end_the_bot(tmp_path: Path) -> None:
    """Red when its failure is not caught: seen."""
    store, stop = await open_store(f"sqlite:///{tmp_path / 'bot.db'}"), asyncio.Event()
    await asyncio.wait_for(Orphans(store, Away(stop)).run(stop), WITHIN_S)
    assert stop.is_set()
    await store.close()


class Stuck:
    """A provider that does not answer, and that the bot stops at."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    async def reap(self, over: Over) -> int:
        self._stop.set()
        await asyncio.Event().wait()
        return 0


async def test_the_bot_stops_at_once_in_the_middle_of_a_look(tmp_path: Path) -> None:
    """Red when `stop` is asked for between looks only: seen."""
    store, stop = await open_store(f"sqlite:///{tmp_path / 'bot.db'}"), asyncio.Event()
    await asyncio.wait_for(Orphans(store, Stuck(stop)).run(stop), WITHIN_S)
    await store.close()
