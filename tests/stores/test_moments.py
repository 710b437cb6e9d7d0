"""Two replicas on one Postgres that do at the same moment what only one of them may. SQLite has one writer."""

import asyncio
from dataclasses import replace

from tests.stores.beside import slowed
from tests.stores.conftest import Open
from tests.stores.postgres import Postgres
from tests.stores.samples import a_job, deliver
from tests.stores.test_notices import CLOSED, heed


async def test_a_label_and_its_removal_at_the_same_moment_leave_nothing_to_do(opened: Open, postgres: Postgres) -> None:
    """Red when neither waits for the other, whichever of the two asks for no lock: seen."""
    url = postgres.new_schema()
    doors = [await opened(url) for _ in range(2)]
    await slowed(url, "INSERT", seconds=0.3)
    label = replace(a_job("label", issue=5), comment_id=None, asked_at=99.0)
    asking = asyncio.create_task(deliver(doors[0], label))
    await asyncio.sleep(0.1)
    await heed(doors[1], replace(CLOSED, asked_by="label"))
    await asking
    row = await doors[0].job(label.id)
    assert row is None or row.cancel_by == CLOSED.by


async def test_two_claims_at_the_same_moment_keep_the_limit(opened: Open, postgres: Postgres) -> None:
    """Red without the queue's lock: the two count the same jobs, and take two (seen)."""
    url = postgres.new_schema()
    replicas = [await opened(url, running=1) for _ in range(2)]
    for installation in (1, 2):
        await deliver(replicas[0], a_job(f"{installation}", installation=installation))
    await slowed(url, "UPDATE OF attempts", seconds=0.3)
    claims = await asyncio.gather(*(store.claim("worker") for store in replicas))
    assert len([claim for claim in claims if claim]) == 1
