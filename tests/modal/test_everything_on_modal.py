"""Door, job and sandbox on a Modal that is on this machine."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.modal.town import SLOW, WITHIN_S, succeeded, town
from tests.repositories import python_bug
from tests.standins.modal.containers import Containers
from tests.standins.modal.functions import Functions
from tests.standins.modal.published import Published
from tests.standins.modal.sandboxes import Sandboxes
from tests.stores.postgres import Postgres, running_postgres

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]  # containers take their time on a busy machine


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.mark.slow
async def test_a_job_whose_container_is_killed_finds_its_sandbox_on_modal_again(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Everything on Modal: door, job and sandbox. The job's sandbox outlives its first container, and not the job."""
    there_is = town(
        tmp_path, make=python_bug, script=SLOW, database_url=postgres.new_database(), **{"SANDBOX": "modal"}
    )
    async with there_is as there:
        there.modal.part(Published).publish("tiny-backspace:default")
        issue = await there.in_the_middle()
        (first,) = there.containers("work")
        there.modal.part(Containers).kill(first)
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()
        there.assert_opened(issue, row)
        assert len(there.messages.requests) == 4, "no answer of the model was paid for twice"
        sandboxes = there.modal.part(Sandboxes)
        of_job = [one for one in sandboxes.all.values() if one.tags["job"] == row.job.id]
        assert len(of_job) == 1, "the second container took the sandbox of the first"
        assert [list(one.definition.secret_ids) for one in sandboxes.all.values()] == [[]] * len(sandboxes.all)
        assert list(sandboxes.living()) == []
        (call,) = [call for call in there.modal.part(Functions).calls.values() if first.task_id in call.takers]
        async with asyncio.timeout(WITHIN_S):
            assert succeeded(await there.modal.part(Functions).over(call)), there.logs()
