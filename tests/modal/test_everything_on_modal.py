"""Door, job and sandbox on a Modal that is on this machine."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from modal_proto import api_pb2

from tests.modal.town import SLOW, WITHIN_S, succeeded, town
from tests.repositories import python_bug
from tests.standins.modal.containers import Container, Containers
from tests.standins.modal.functions import Functions
from tests.standins.modal.published import Published
from tests.standins.modal.sandboxes import Sandboxes
from tests.stores.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]  # containers take their time on a busy machine


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", [pytest.param(Containers.kill, id="killed"), pytest.param(Containers.take_away, id="taken-away")]
)
async def test_a_job_whose_container_ends_goes_on_in_its_sandbox_and_leaves_none_behind(
    tmp_path: Path, postgres: Postgres, end: Callable[[Containers, Container], Awaitable[None]]
) -> None:
    """Door, job and sandbox on Modal. The sandbox of a container that is gone, however it went, is found by the next.

    Red (taken-away) when a call that is broken off ends the sandbox, and when it is closed instead of left: seen.
    """
    settings = {"SANDBOX": "modal"}
    there_is = town(tmp_path, make=python_bug, script=SLOW, database_url=postgres.new_database(), **settings)
    async with there_is as there:
        there.modal.part(Published).publish("tiny-backspace:default")
        issue = await there.in_the_middle()
        (first,) = there.containers("work")
        await end(there.modal.part(Containers), first)
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()
        there.assert_opened(issue, row)
        assert len(there.messages.requests) == 4, "no answer of the model was paid for twice"
        sandboxes = there.modal.part(Sandboxes)
        of_job = [one for one in sandboxes.all.values() if one.tags["job"] == row.job.id]
        assert len(of_job) == 1, "the next goes on in it"
        assert [list(one.definition.secret_ids) for one in sandboxes.all.values()] == [[]] * len(sandboxes.all)
        assert list(sandboxes.living()) == []
        call = [call for call in there.modal.part(Functions).calls.values() if call.function_id == first.function_id][
            -1
        ]
        async with asyncio.timeout(WITHIN_S):
            assert succeeded(await there.modal.part(Functions).over(call)), there.logs()


@pytest.mark.slow
async def test_the_upkeep_ends_a_sandbox_whose_job_is_over(tmp_path: Path, postgres: Postgres) -> None:
    """Red when `tend` looks for none: seen."""
    settings = {"SANDBOX": "modal"}
    there_is = town(tmp_path, make=python_bug, script=SLOW, database_url=postgres.new_database(), **settings)
    async with there_is as there:
        there.modal.part(Published).publish("tiny-backspace:default")
        sandboxes, functions = there.modal.part(Sandboxes), there.modal.part(Functions)
        issue = await there.in_the_middle()
        (live,) = sandboxes.living()
        left = api_pb2.SandboxCreateV2Request.FromString(live.request.SerializeToString())
        left.definition.name = "left-behind"
        for tag in left.tags:
            if tag.tag_name == "job":
                tag.tag_value = "longdeadjobs"
        await asyncio.wrap_future(functions.elsewhere(sandboxes.SandboxCreateV2(left)))
        assert len(list(sandboxes.living())) == 2
        assert succeeded(await functions.ran("tend")), there.logs()
        assert all(one.tags["job"] != "longdeadjobs" for one in sandboxes.living())
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()
        assert [one for one in sandboxes.all.values() if one.tags["job"] == row.job.id] == [live], "that at work stayed"
