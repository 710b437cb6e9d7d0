"""Who has to wait is told so in the thread, once, and the job goes on in the same comment."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import httpx
import pytest

from bot.domain.job import Issue, Job, Person, Repo, Start
from bot.github.installation import App
from bot.github.pace import NO_LIMITS
from bot.report.links import Links
from bot.report.tracking import waiting_comment
from bot.stores import QueueLimits, Store, open_store
from bot.stores.notices import WAITING_A_LOOK
from bot.waiting import WaitingRoom
from tests.github.wire import private_key
from tests.polling import WITHIN_S, until
from tests.stores.beside import pass_time
from tests.stores.samples import a_job, claimed, deliver
from tests.test_journey import finished
from tests.test_taken_back import WAIT, at_work, said, stage

pytestmark = pytest.mark.anyio


def test_the_words_of_waiting() -> None:
    asker = Person(42, "octocat")
    job = Job(
        id="m2x9",
        key="k",
        watch_key="w",
        delivery="d",
        installation_id=1,
        repo=Repo(7, "acme", "widget"),
        default_branch="main",
        issue=Issue(number=1, title="t", body="b", author=asker),
        command=Start("fix it"),
        requested_by=asker,
    )
    links = Links(page="https://bot/jobs/m2x9?t=w", check=None, repository="https://github.com/acme/widget")
    assert waiting_comment(job, behind="k7f3", stuck=True, links=links) == (
        "<!-- backspace:job:m2x9 -->\n"
        "**Queued** behind run k7f3 · run m2x9 · [live log](https://bot/jobs/m2x9?t=w)\n\n"
        "`/backspace cancel`"
    )
    assert "\n**Queued** until another job has ended · run m2x9" in waiting_comment(
        job, behind=None, stuck=False, links=links
    )
    assert (
        "\n**Queued**: the bot cannot begin any job right now. Whoever runs it finds the reason in its server's log; "
        "this job then starts by itself · run m2x9 · "
    ) in waiting_comment(job, behind=None, stuck=True, links=links)


async def test_a_second_request_says_behind_which_it_waits_and_then_goes_on_in_that_comment(tmp_path: Path) -> None:
    """Red without the waiting room: nothing is said."""
    async with stage(tmp_path) as scene:
        issue, asked = await at_work(scene)
        second = scene.github.comment(scene.repository, issue, "alice", WAIT)
        await scene.github.deliver()
        behind, first = await scene.jobs(issue)
        queued = f"**Queued** behind run {first.job.id} · run {behind.job.id} · "
        await until(lambda: any(queued in body for body in said(scene, issue)))
        assert [r.content for r in second.reactions] == ["eyes"]
        scene.github.delete_comment(scene.repository, asked, "alice")
        await scene.github.deliver()
        await until(lambda: any("**Working on it**" in body and behind.job.id in body for body in said(scene, issue)))
        scene.github.close_issue(scene.repository, issue, "alice")
        await finished(scene, issue)
        assert len(said(scene, issue)) == 2, "one comment a job"


async def test_a_request_that_is_taken_back_while_it_waits_says_so_where_it_waited(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        issue, _ = await at_work(scene)
        second = scene.github.comment(scene.repository, issue, "alice", WAIT)
        await scene.github.deliver()
        await until(lambda: any("**Queued** behind run" in body for body in said(scene, issue)))
        scene.github.delete_comment(scene.repository, second.id, "alice")
        await scene.github.deliver()
        await until(lambda: any("**Cancelled** by @alice" in body for body in said(scene, issue)))
        _, first = await scene.jobs(issue)
        assert first.state == "running"
        assert not any("**Queued**" in body for body in said(scene, issue))
        assert any("**Cancelled** by @alice (the request was deleted)." in body for body in said(scene, issue))
        scene.github.close_issue(scene.repository, issue, "alice")
        await finished(scene, issue)


async def test_a_stranger_who_waits_hears_nothing_before_the_turn_comes(tmp_path: Path) -> None:
    async with stage(tmp_path) as scene:
        scene.github.set_role(scene.repository, "mallory", "read")
        issue, _ = await at_work(scene)
        scene.github.comment(scene.repository, issue, "mallory", WAIT)
        await scene.github.deliver()
        await until(lambda: any("/permission" in r.path and "mallory" in r.path for r in scene.github.requests))
        assert len(said(scene, issue)) == 1
        scene.github.close_issue(scene.repository, issue, "alice")
        await finished(scene, issue)
        assert len(said(scene, issue)) == 1


Answers = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def waiting_room(store: Store, answers: Answers) -> WaitingRoom:
    app = App(1, private_key(), transport=httpx.MockTransport(answers), limits=NO_LIMITS)
    return WaitingRoom(store, app, links=lambda _: Links(page="p", check=None, repository="r"))


async def test_a_job_that_may_begin_at_once_does_not_wait_unless_the_bot_can_begin_none(tmp_path: Path) -> None:
    """Where a container is only starting for it, it was told to wait for others, and held back meanwhile (seen)."""
    asked: list[str] = []

    async def gone(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(404, json={"message": "Not Found"})

    store = await open_store(f"sqlite:///{tmp_path}/bot.db")
    await deliver(store, a_job("a"))
    await pass_time(f"sqlite:///{tmp_path}/bot.db")
    await waiting_room(store, gone).look()
    assert asked == []
    await waiting_room(store, gone).look(stuck=True)
    assert asked != []
    await store.close()


async def test_those_who_cannot_be_told_hide_nobody_who_waits_behind_them(tmp_path: Path) -> None:
    """Red when the store looks at the same oldest twenty each time: nobody asks for installation 2 (seen)."""
    asked: list[str] = []

    async def gone(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(404, json={"message": "Not Found"})

    store = await open_store(f"sqlite:///{tmp_path}/bot.db", limits=QueueLimits(running=1, lease_s=600))
    await claimed(store, "first")
    for number in range(WAITING_A_LOOK):
        await deliver(store, a_job(f"gone-{number}"))
    await deliver(store, a_job("last", installation=2))
    await pass_time(f"sqlite:///{tmp_path}/bot.db")
    room = waiting_room(store, gone)
    for _ in range(2):
        await room.look()
    assert "/app/installations/2/access_tokens" in asked
    await store.close()


async def test_the_waiting_room_closes_at_once_although_github_does_not_answer(tmp_path: Path) -> None:
    """And frees the job it was about to tell of. Red when `stop` is asked for between looks only (seen)."""
    asked, stop = asyncio.Event(), asyncio.Event()

    async def silent(request: httpx.Request) -> httpx.Response:
        asked.set()
        return await asyncio.Future()

    store = await open_store(f"sqlite:///{tmp_path}/bot.db", limits=QueueLimits(lease_s=600))
    first = await claimed(store, "first")
    await deliver(store, a_job("a", issue=first.job.issue.number))
    await pass_time(f"sqlite:///{tmp_path}/bot.db")
    room = asyncio.create_task(waiting_room(store, silent).run(stop))
    async with asyncio.timeout(WITHIN_S):
        await asked.wait()
    await store.commit(first, finish="failed")
    assert await store.claim("worker") is None, "its comment is being made"
    stop.set()
    async with asyncio.timeout(WITHIN_S):
        await room
    assert await store.claim("worker") is not None
    await store.close()
