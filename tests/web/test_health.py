"""What the health answers say, to whom, and what they keep to themselves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobFinished
from bot.ports import Census, DayBudgets
from bot.stores import Store, open_store
from bot.vitals import Vitals
from bot.web.health import NOBODY_WORKS_S, exposition, idle, routes
from tests.midnight import one_day
from tests.stores.beside import pass_time
from tests.stores.samples import a_job, claimed, deliver

__all__ = ["one_day"]  # a fixture

pytestmark = pytest.mark.anyio

TOKEN = "operator-" + "t" * 24
CALM = Census(queued=0, running=0, oldest_queued_s=None, finished={}, untold=0, usd_today=0.0)


class AwayStore:
    """A database that is away, and says so with its address."""

    async def prove(self) -> None:
        raise ProviderError("store", "cannot reach postgresql://bot:hunter2@db.internal")

    async def census(self) -> Census:
        raise ProviderError("store", "cannot reach postgresql://bot:hunter2@db.internal")

    async def latest(self, *, finished: int) -> tuple[Any, ...]:
        raise ProviderError("store", "cannot reach postgresql://bot:hunter2@db.internal")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    yield opened
    await opened.close()


@asynccontextmanager
async def web(store: Any, vitals: Vitals | None = None, *, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=list(routes(store, vitals or Vitals(), operator_token=token, within_s=60)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bot") as client:
        yield client


async def test_the_process_is_healthy_while_its_database_is_away() -> None:
    async with web(AwayStore()) as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_web_process_answers_for_database_and_queue(store: Store) -> None:
    async with web(store) as client:
        answer = await client.get("/readyz")
    fine = {"ok": True, "age_s": 0.0}
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "parts": {"database": fine, "queue": fine}})


async def test_a_queue_that_nobody_serves_says_how_long_its_oldest_job_waits(store: Store, tmp_path: Path) -> None:
    await deliver(store, a_job("waits"))
    await pass_time(f"sqlite:///{tmp_path / 'bot.db'}", NOBODY_WORKS_S + 60)
    async with web(store) as client:
        queue = (await client.get("/readyz")).json()["parts"]["queue"]
    assert queue["age_s"] > NOBODY_WORKS_S


async def test_a_database_that_is_away_is_red_and_its_address_stays_here() -> None:
    """R18. Red when the error's own words are shown (tried)."""
    async with web(AwayStore()) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "parts": {"database": {"ok": False, "age_s": None, "problem": "The database cannot be written."}},
    }


async def test_one_part_that_does_not_work_makes_the_process_unready(store: Store) -> None:
    now = [0.0]
    vitals = Vitals(now=lambda: now[0])
    for part in ("runner", "github"):
        vitals.expect(part, within_s=60.0)
    vitals.worked("runner")
    async with web(store, vitals) as client:
        answer = (await client.get("/readyz")).json()
        assert answer["parts"]["github"] == {
            "ok": False,
            "age_s": None,
            "problem": "GitHub has not answered as it should since the start.",
        }
        vitals.worked("github")
        assert (await client.get("/readyz")).status_code == 200
        now[0] = 61.0
        vitals.worked("github")
        late = await client.get("/readyz")
    assert late.status_code == 503
    assert late.json()["parts"]["runner"]["problem"] == "The runner has not worked for 61 seconds."


@pytest.mark.parametrize(
    ("running", "waits_s", "problem"),
    [
        pytest.param(0, 601.0, "Jobs wait, and no worker takes them.", id="nobody-works"),
        pytest.param(1, 601.0, None, id="somebody-works"),
        pytest.param(0, 599.0, None, id="waits-shortly"),
        pytest.param(0, None, None, id="nothing-waits"),
    ],
)
def test_a_queue_that_nobody_serves_is_red(running: int, waits_s: float | None, problem: str | None) -> None:
    census = Census(queued=1, running=running, oldest_queued_s=waits_s, finished={}, untold=0, usd_today=0.0)
    assert idle(census) == problem


@pytest.mark.usefixtures("one_day")
async def test_metrics_count_the_queue_the_ends_and_the_money(store: Store) -> None:
    await deliver(store, a_job("waits"))
    claim = await claimed(store, "ends")
    await store.reserve(claim, usd=1.0, spent_usd=0.25, budgets=DayBudgets(repo_usd=30, installation_usd=100))
    await store.commit(claim, events=[JobFinished(Conclusion.TIMED_OUT, "Stopped.")], finish="failed")
    vitals = Vitals()
    vitals.leases_lost = 2
    async with web(store, vitals) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert 0 <= float(samples.pop("backspace_oldest_queued_seconds")) < 60
    assert samples == {
        "backspace_database_up": "1",
        'backspace_jobs{state="queued"}': "1",
        'backspace_jobs{state="running"}': "0",
        'backspace_jobs_finished{conclusion="timed_out"}': "1",
        "backspace_jobs_untold": "1",
        "backspace_model_usd_today": "0.25",
        "backspace_leases_lost_total": "2",
        "backspace_gaps_total": "0",
    }


async def test_with_an_operators_token_metrics_are_the_operators(store: Store) -> None:
    async with web(store, token=TOKEN) as client:
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}):
            assert (await client.get("/metrics", headers=wrong)).status_code == 404
        assert (await client.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"})).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_metrics_answer_while_the_database_is_away() -> None:
    async with web(AwayStore()) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "backspace_database_up 0\n" in answer.text
    assert "hunter2" not in answer.text


def test_the_exposition_is_what_prometheus_reads() -> None:
    assert exposition(CALM, Vitals()).startswith(
        "# HELP backspace_database_up Whether the database answered.\n"
        "# TYPE backspace_database_up gauge\n"
        "backspace_database_up 1\n"
        "# HELP backspace_jobs Jobs that are queued or running.\n"
        "# TYPE backspace_jobs gauge\n"
        'backspace_jobs{state="queued"} 0\n'
        'backspace_jobs{state="running"} 0\n'
    )
