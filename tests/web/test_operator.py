"""Cancelling with the operator's token: who can, what it says, and that nobody else learns anything."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobFinished
from bot.report.answers import OPERATOR, cancelled
from bot.stores import Store, open_store
from bot.web.operator import routes
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

TOKEN = "operator-" + "t" * 24
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    yield opened
    await opened.close()


@asynccontextmanager
async def web(store: Any, *, token: str = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=list(routes(store, operator_token=token)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bot") as client:
        yield client


async def test_a_queued_and_a_running_job_can_be_cancelled(store: Store) -> None:
    await deliver(store, a_job("waits"))
    claim = await claimed(store, "runs")
    async with web(store) as client:
        for job_id in ("job-waits", "job-runs"):
            answer = await client.post(f"/jobs/{job_id}/cancel", headers=RIGHT)
            assert (answer.status_code, answer.json()) == (200, {"job": job_id, "cancelling": True})
    assert await store.renew(claim) == OPERATOR
    assert cancelled(OPERATOR) == "**Cancelled** by the operator."


async def test_an_ended_job_says_so(store: Store) -> None:
    claim = await claimed(store, "ended")
    await store.commit(claim, events=[JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")
    async with web(store) as client:
        answer = await client.post("/jobs/job-ended/cancel", headers=RIGHT)
    assert (answer.status_code, answer.json()) == (409, {"error": "The job has ended already."})


WRONG: list[Any] = [
    pytest.param([], id="none"),
    pytest.param([("Authorization", "Bearer")], id="empty"),
    pytest.param([("Authorization", TOKEN)], id="no-scheme"),
    pytest.param([("Authorization", f"Basic {TOKEN}")], id="basic"),
    pytest.param([("Authorization", f"Bearer {TOKEN[:-1]}")], id="shorter"),
    pytest.param([("Authorization", f"Bearer {TOKEN}x")], id="longer"),
    pytest.param([("Authorization", f"Bearer {TOKEN[:-1]}\xfc".encode("latin-1"))], id="not-ascii"),
    pytest.param([("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")], id="twice"),
    pytest.param([("Cookie", f"token={TOKEN}")], id="cookie"),
]


@pytest.mark.parametrize("headers", WRONG)
async def test_without_the_token_there_is_nothing_here(store: Store, headers: list[tuple[str, Any]]) -> None:
    """The same answer as for a job that does not exist. Red when the token is not compared (tried)."""
    await deliver(store, a_job("waits"))
    async with web(store) as client:
        answer = await client.post("/jobs/job-waits/cancel", headers=headers)
        unknown = await client.post("/jobs/nobody/cancel", headers=RIGHT)
    assert (answer.status_code, answer.content) == (unknown.status_code, unknown.content) == (404, unknown.content)
    row = await store.job("job-waits")
    assert row is not None
    assert row.cancel_by is None


async def test_a_token_in_the_address_opens_nothing(store: Store) -> None:
    await deliver(store, a_job("waits"))
    async with web(store) as client:
        assert (await client.post(f"/jobs/job-waits/cancel?token={TOKEN}")).status_code == 404
        assert (await client.post("/jobs/job-waits%00/cancel", headers=RIGHT)).status_code == 404


async def test_without_a_configured_token_there_is_no_such_route(store: Store) -> None:
    await deliver(store, a_job("waits"))
    async with web(store, token="") as client:
        for headers in ({}, {"Authorization": "Bearer "}, RIGHT):
            assert (await client.post("/jobs/job-waits/cancel", headers=headers)).status_code == 404


async def test_a_database_that_is_away_is_told() -> None:
    class Away:
        async def request_cancel(self, job_id: str, by: str) -> bool:
            raise ProviderError("store", "hunter2")

    async with web(Away()) as client:
        answer = await client.post("/jobs/k7f3/cancel", headers=RIGHT)
    assert answer.status_code == 503
    assert "hunter2" not in answer.text
