"""A job ends when its request is taken back in the thread, or the App is taken away, wherever the job is just then."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.ports import JobRow
from bot.stage import Stage, staged
from bot.standins.github import shapes
from bot.standins.messages import LoopbackMessages, Script
from bot.standins.serving import serve
from tests.repositories import PYTHON, python_bug
from tests.test_journey import KEY, endless, finished, until_events

pytestmark = pytest.mark.anyio

WAIT = "/backspace --new wait for ever"  # a job of its own, also where one is at work


@asynccontextmanager
async def stage(
    tmp_path: Path, *, script: Script = endless, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    source = tmp_path / "source"
    source.mkdir()
    async with serve(LoopbackMessages(script, api_key=KEY).asgi()) as url:
        model = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url, "BACKSPACE_MODEL": "claude-opus-5-5"}
        async with staged(
            tmp_path / "stage", source=python_bug(source), settings={**model, **(settings or {})}
        ) as whole:
            yield whole


async def at_work(stage: Stage, *, by_label: bool = False) -> tuple[int, int]:
    """An issue with a job that does not end by itself, and the comment that asked for it (0: a label did)."""
    issue = stage.github.open_issue(stage.repository, "alice", "Never ends", "Wait for ever.").number
    asked = 0
    if by_label:
        stage.github.label(stage.repository, issue, "alice", "backspace")
    else:
        asked = stage.github.comment(stage.repository, issue, "alice", WAIT).id
    await stage.github.deliver()
    await until_events(stage, issue, "tool_called")
    return issue, asked


def said(stage: Stage, issue: int) -> list[str]:
    return [c.body for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]


def assert_cancelled(stage: Stage, row: JobRow, issue: int, why: str) -> None:
    assert row.state == "cancelled"
    assert any(f"**Cancelled** by @alice ({why})." in body for body in said(stage, issue))
    runs = stage.github.check_runs(stage.repository)
    assert all(run.conclusion == "neutral" for run in runs)
    assert any("@alice" in (run.summary or "") and why in (run.summary or "") for run in runs), "the check says who"
    assert list(stage.github.refs(stage.repository)) == ["refs/heads/main"]


async def test_deleting_the_request_ends_its_job(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        issue, asked = await at_work(scene)
        scene.github.delete_comment(scene.repository, asked, "alice")
        await finished(scene, issue)
        (row,) = await scene.jobs(issue)
        assert_cancelled(scene, row, issue, "the request was deleted")


async def test_removing_the_label_ends_the_job_it_started(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        issue, _ = await at_work(scene, by_label=True)
        scene.github.unlabel(scene.repository, issue, "alice", "backspace")
        await finished(scene, issue)
        (row,) = await scene.jobs(issue)
        assert_cancelled(scene, row, issue, "the label was removed")


async def test_closing_the_issue_ends_the_running_job_and_the_one_behind_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        issue, _ = await at_work(scene)
        scene.github.comment(scene.repository, issue, "alice", WAIT)
        await scene.github.deliver()
        scene.github.close_issue(scene.repository, issue, "alice")
        await finished(scene, issue)
        behind, running = await scene.jobs(issue)
        assert behind.state == "cancelled"
        assert not any("Not started" in body for body in said(scene, issue)), "it was cancelled, not refused"
        assert_cancelled(scene, running, issue, "the issue was closed")


async def test_merging_the_bots_pull_request_closes_the_issue_and_cancels_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, script=PYTHON.script) as scene:
        issue = scene.github.open_issue(scene.repository, "alice", "It is broken", "").number
        scene.github.comment(scene.repository, issue, "alice", PYTHON.request)
        await finished(scene, issue)
        (opened,) = scene.github.pull_requests(scene.repository)
        await scene.github.merge(scene.repository, opened.number, "alice")
        await scene.github.deliver()
        assert any(d.event == "issues" and d.action == "closed" for d in scene.github.deliveries)
        (row,) = await scene.jobs(issue)
        assert (row.state, row.cancel_by) == ("succeeded", None)


async def test_where_the_app_was_uninstalled_a_job_ends_without_another_word(tmp_path: Path) -> None:
    """Red when the worker does not ask whether it is shut out (tried): it goes on asking GitHub."""
    async with stage(tmp_path) as scene:
        issue, _ = await at_work(scene)
        (installation,) = scene.github.world.installations.values()
        told = {
            "action": "deleted",
            "installation": shapes.installation(scene.github.world, installation),
            "sender": shapes.user(scene.github.world, scene.github.user("alice")),
        }
        scene.github.uninstall(installation)
        before = len(scene.github.requests)
        scene.github.hooks.post(installation, "installation", "deleted", told)
        await finished(scene, issue)
        (row,) = await scene.jobs(issue)
        assert (row.state, row.cancel_by) == ("cancelled", "alice (the App was uninstalled)")
        late = {(r.method, r.path) for r in scene.github.requests[before:] if r.status >= 400}
        assert late <= {("DELETE", "/api/v3/installation/token")}, "nothing fails but the end of a token that has ended"


async def test_past_the_hourly_limit_a_request_is_refused_in_words(tmp_path: Path) -> None:
    async with stage(tmp_path, script=PYTHON.script, settings={"BACKSPACE_JOBS_PER_HOUR": "1"}) as scene:
        issue = scene.github.open_issue(scene.repository, "alice", "It is broken", "").number
        for _ in range(2):
            scene.github.comment(scene.repository, issue, "alice", PYTHON.request)
            await finished(scene, issue)
        refused, first = await scene.jobs(issue)
        assert (first.state, refused.state) == ("succeeded", "failed")
        assert said(scene, issue)[-1].endswith(
            "**Not started**: The limit of jobs that may start here in an hour (1) is reached: ask again later. "
            "The bot's operator can raise BACKSPACE_JOBS_PER_HOUR."
        )
