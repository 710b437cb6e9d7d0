"""A process of its own that uses a store, for tests that kill, stop or starve it.

It prints a line for each thing that is done, and the words of the ProviderError that ends it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from itertools import count

from bot.domain.errors import LeaseLost, ProviderError
from bot.domain.events import Noted
from bot.stores import Store, open_store
from tests.stores.samples import a_job, deliver


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def accept(store: Store, prefix: str) -> None:
    """Accept jobs without end, four at a time."""
    numbers = count()

    async def one_after_the_other() -> None:
        for number in numbers:
            accepted = await deliver(store, a_job(f"{prefix}-{number}"))
            say(accepted.job_id or "nothing")

    await asyncio.gather(*(one_after_the_other() for _ in range(4)))


async def accept_one(store: Store, prefix: str) -> None:
    await deliver(store, a_job(prefix))
    say("accepted")


async def fill(store: Store, ballast: str) -> None:
    """Accept until the disk is full, make room, and accept again."""
    try:
        for number in count():
            await deliver(store, a_job(f"{number}", prompt="x" * 20_000))
    except ProviderError as error:
        say(str(error))
    os.unlink(ballast)
    await deliver(store, a_job("afterwards"))
    for stored in range(number):
        assert await store.job(f"job-{stored}") is not None
    say("accepted" if await store.job("job-afterwards") is not None else "lost")


async def hold(store: Store, job_id: str) -> None:
    """Claim a job and keep it."""
    claim = await store.claim("holder", job_id=job_id)
    assert claim is not None
    say("claimed")
    await asyncio.sleep(60)


async def freeze(store: Store, job_id: str) -> None:
    """Claim a job, write to it, stand still like a suspended machine, and write again."""
    claim = await store.claim("frozen", job_id=job_id)
    assert claim is not None
    await store.commit(claim, events=[Noted("before")])
    say("claimed")
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        await store.commit(claim, events=[Noted("after")])
        say("never lost the lease")
    except LeaseLost as error:
        say(str(error))


ACTS: dict[str, Callable[[Store, str], Awaitable[None]]] = {
    "accept": accept,
    "accept-one": accept_one,
    "fill": fill,
    "hold": hold,
    "freeze": freeze,
}


async def main(act: str, url: str, argument: str) -> None:
    try:
        store = await open_store(url)
        await ACTS[act](store, argument)
        await store.close()
    except ProviderError as error:
        say(str(error))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
