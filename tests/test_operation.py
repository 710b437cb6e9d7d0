"""A day's money and the operator's word, over the whole way: comment, agent, check run, thread."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from bot.domain.events import Conclusion
from bot.standins.messages import Answer, Observed
from tests.midnight import A_DAY_S, one_day
from tests.polling import WITHIN_S
from tests.repositories import PYTHON, python_bug
from tests.test_journey import asked, bot, end_of, endless, finished, until_events

__all__ = ["one_day"]  # a fixture

pytestmark = pytest.mark.anyio

TOKEN = "operator-" + "t" * 24


@pytest.mark.usefixtures("one_day")
async def test_a_used_up_day_ends_a_job_with_a_draft_of_what_there_is(tmp_path: Path) -> None:
    """R14. Another job of the repository uses up the day while this one works."""

    def script(observed: Observed) -> Answer:
        if observed.turn == 3:
            spend(tmp_path / "stage" / "home" / "backspace.db", stage.repository.id, 29.98)
        return PYTHON.script(observed)

    async with bot(tmp_path, python_bug, script) as (stage, messages):
        issue = await asked(stage, PYTHON.request)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.TIMED_OUT
        assert len(messages.requests) == 4
        (opened,) = stage.github.pull_requests(stage.repository)
        assert opened.pull is not None
        assert opened.pull.draft
        (said,) = [c.body for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
        assert (
            "**Stopped: acme/widget has used $30.00 of its $30.00 for today (UTC); ask again tomorrow or raise " in said
        )
        assert "BACKSPACE_REPO_USD_PER_DAY" in said.replace("\\", "")
        assert {run.conclusion for run in stage.github.check_runs(stage.repository)} >= {"timed_out"}


def spend(database: Path, repo_id: int, usd: float) -> None:
    row = ("another", int(time.time() // A_DAY_S), repo_id, 1, round(usd * 1_000_000_000), 0)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?)", row).close()


async def test_the_operator_stops_a_running_job_and_the_thread_says_so(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, endless, BACKSPACE_OPERATOR_TOKEN=TOKEN) as (stage, _):
        issue = stage.github.open_issue(stage.repository, "alice", "Never ends", "")
        stage.github.comment(stage.repository, issue.number, "alice", "/backspace wait for ever")
        await stage.github.deliver()
        await until_events(stage, issue.number, "tool_called")
        (row,) = await stage.jobs(issue.number)
        async with httpx.AsyncClient(base_url=stage.config.public_url, timeout=WITHIN_S) as client:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            assert (await client.post(f"/jobs/{row.job.id}/cancel")).status_code == 404
            assert (await client.post(f"/jobs/{row.job.id}/cancel", headers=headers)).status_code == 200
            await finished(stage, issue.number)
            (row,) = await stage.jobs(issue.number)
            assert row.state == "cancelled"
            ready = await client.get("/readyz")
        said = [c.body for c in stage.github.comments(stage.repository, issue.number) if c.author.type == "Bot"]
        assert any("**Cancelled** by the operator." in body for body in said)
        assert [run.conclusion for run in stage.github.check_runs(stage.repository)] == ["neutral"]
        assert set(ready.json()["parts"]) >= {"database", "queue"}
