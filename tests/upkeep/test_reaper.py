"""Ends that nobody told: jobs closed as poison, and jobs whose last report did not get through."""

import asyncio
import errno
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.events import Conclusion, JobFinished, JobStarted
from bot.ports import AccessChanged, Claim
from bot.publish.branch import start_branch
from bot.recorder import Recorder
from bot.report.leaks import Leaks
from bot.report.links import Links
from bot.report.wording import branch_name, start_commit_message
from bot.reporter import Reporter
from bot.standins.github.faults import Delay, Reply
from bot.standins.github.state import CheckRun
from bot.stores import Store
from bot.stores.claims import UNREADABLE
from bot.upkeep.reaper import TELLING_S, Reaper
from tests.github.scene import Scene, scene
from tests.polling import WITHIN_S, until
from tests.stores.beside import pass_time, run
from tests.stores.conftest import Open, database_url, opened, sqlite_url

__all__ = ["database_url", "opened", "sqlite_url"]  # fixtures

pytestmark = pytest.mark.anyio

LINKS = Links(page="https://bot.example/jobs/k7f3?t=w", check=None, repository="https://github.com/acme/widget")
LEAKS = Leaks(())
DIED = "**Failed**: GitHub was away."


@pytest.fixture
async def github(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path / "github") as made:
        yield made


def reaper(store: Store, github: Scene, name: str = "reaper") -> Reaper:
    return Reaper(store, github.app(), links=lambda _: LINKS, leaks=LEAKS, owner=name)


async def begun(store: Store, github: Scene) -> Claim:
    """A job at work: its branch is there, a check run and a comment say that it runs."""
    job = github.job()
    await store.accept(guid="g", event="issue_comment", action="created", job=job)
    claim = await store.claim("worker")
    assert claim is not None
    async with github.app().repository(job.installation_id, job.repo) as door:
        reporter = Reporter(job, github=door, links=LINKS, leaks=LEAKS)
        journal = await Recorder.open(store, claim, leaks=LEAKS, on_recorded=reporter.notice)
        await journal.record(JobStarted(1, "claude-opus-5-5", 3.0))
        await start_branch(
            job,
            branch=branch_name(job),
            message=start_commit_message(job),
            base_sha=github.head,
            base_tree=github.repository.git.commit(github.head).tree,
            github=door,
            journal=journal,
        )
        async with reporter:
            await reporter.close()
    assert [run.status for run in checks(github)] == ["in_progress"]
    return claim


def checks(github: Scene) -> Sequence[CheckRun]:
    return github.loopback.check_runs(github.repository)


def said(github: Scene) -> list[str]:
    return [c.body for c in github.loopback.comments(github.repository, 1) if c.author.type == "Bot"]


async def test_a_job_closed_as_poison_is_told_in_the_thread(opened: Open, database_url: str, github: Scene) -> None:
    """R3, R8, R17. Red when nobody looks for ends that nobody told: the check stays open for ever (tried)."""
    store = await opened(database_url, deaths=1)
    await begun(store, github)
    await pass_time(database_url)
    assert await store.claim("another") is None
    assert (await store.census()).untold == 1
    await reaper(store, github).tell_all()
    (comment,) = said(github)
    assert "The bot's worker died each time it worked on this (1 times), so the job was closed." in comment
    assert [(run.status, run.conclusion) for run in checks(github)] == [("completed", "failure")]
    assert set(github.loopback.refs(github.repository)) == {"refs/heads/main"}, "its empty branch is gone"
    assert (await store.census()).untold == 0
    requests = len(github.loopback.requests)
    await reaper(store, github).tell_all()
    assert len(github.loopback.requests) == requests, "nothing is told twice"


async def test_a_job_whose_command_only_another_version_knows_is_told_that_it_was_closed(
    opened: Open, sqlite_url: str, github: Scene
) -> None:
    """Red when what cannot be read whole is ticked off in silence: the check stays open for ever (seen)."""
    store = await opened(sqlite_url)
    await begun(store, github)
    await run(sqlite_url, """UPDATE jobs SET spec = replace(spec, '"kind":"start"', '"kind":"explain"')""")
    await pass_time(sqlite_url)
    assert await store.claim("another") is None
    await reaper(store, github).tell_all()
    (comment,) = said(github)
    assert UNREADABLE in comment
    assert [run.conclusion for run in checks(github)] == ["failure"]


async def test_a_reaper_that_stood_still_writes_nothing_afterwards(
    opened: Open, sqlite_url: str, github: Scene
) -> None:
    """R5: after 45 s another may tell this end. Red when no write asks for the time: seen."""
    store = await opened(sqlite_url)
    await ended(store, await begun(store, github))
    await pass_time(sqlite_url)
    times = itertools.chain([0.0], itertools.repeat(TELLING_S + 1))  # it begins, and freezes
    links, app = (lambda _: LINKS), github.app()
    frozen = Reaper(store, app, links=links, leaks=LEAKS, owner="frozen", now=lambda: next(times))
    before = [request for request in github.loopback.requests if request.method != "GET"]
    await frozen.tell_all()
    after = [r.path for r in github.loopback.requests if r.method != "GET" and r not in before]
    assert [path for path in after if path.startswith("/repos/")] == []
    assert [run.status for run in checks(github)] == ["in_progress"]
    assert (await store.census()).untold == 1


async def ended(store: Store, claim: Claim, *, reported: bool = False) -> None:
    await store.commit(claim, events=[JobFinished(Conclusion.FAILURE, DIED)], finish="failed", reported=reported)


async def test_an_end_that_did_not_get_through_is_tried_again_later(
    opened: Open, database_url: str, github: Scene
) -> None:
    store = await opened(database_url)
    await ended(store, await begun(store, github))
    await pass_time(database_url)
    github.loopback.faults.add(Reply(503), path="", times=200)
    await reaper(store, github).tell_all()
    assert (await store.census()).untold == 1
    assert await store.untold("another") is None, "for a minute nobody tries again"
    github.loopback.faults.clear()
    await pass_time(database_url)
    await reaper(store, github).tell_all()
    (comment,) = said(github)
    assert DIED in comment
    assert [run.conclusion for run in checks(github)] == ["failure"]
    assert (await store.census()).untold == 0


async def test_an_end_is_told_once_github_takes_the_apps_signature_again(
    opened: Open, sqlite_url: str, github: Scene
) -> None:
    """R8. The key was replaced, or the clock is off. Red when that counts as final: the check stays open (seen)."""
    store = await opened(sqlite_url)
    await ended(store, await begun(store, github))
    await pass_time(sqlite_url)
    github.loopback.faults.add(Reply(401), path="/access_tokens", times=200)
    await reaper(store, github).tell_all()
    assert (await store.census()).untold == 1
    github.loopback.faults.clear()
    await pass_time(sqlite_url)
    await reaper(store, github).tell_all()
    assert [run.conclusion for run in checks(github)] == ["failure"]


async def test_nobody_waits_for_an_end_that_github_s_limits_hold_up(
    opened: Open, sqlite_url: str, github: Scene
) -> None:
    """Red when the reaper waits for the limit: 45 s for each end of that installation (seen)."""
    store = await opened(sqlite_url)
    await ended(store, await begun(store, github))
    await pass_time(sqlite_url)
    github.loopback.faults.add(Reply(429, {"retry-after": "600"}), path="/repos/")
    async with asyncio.timeout(WITHIN_S):
        await reaper(store, github).tell_all()
    assert (await store.census()).untold == 1


async def test_nobody_is_told_where_the_repository_is_gone(opened: Open, database_url: str, github: Scene) -> None:
    store = await opened(database_url)
    await ended(store, await begun(store, github))
    await pass_time(database_url)
    github.loopback.faults.add(Reply(404), path="", times=200)
    await reaper(store, github).tell_all()
    assert (await store.census()).untold == 0


async def test_an_end_is_told_when_the_suspension_is_lifted(opened: Open, sqlite_url: str, github: Scene) -> None:
    """R8. Red when a suspended App counts as one that was uninstalled, in the reaper or in the reporter: the check
    stays open for ever (seen)."""
    store = await opened(sqlite_url)
    await ended(store, await begun(store, github))
    (installation,) = github.loopback.world.installations.values()
    installation.suspended_at = github.loopback.world.now()
    await pass_time(sqlite_url, 600)
    await reaper(store, github).tell_all()  # nobody was told of the suspension yet
    assert (await store.census()).untold == 1
    requests = len(github.loopback.requests)
    word = AccessChanged(installation_id=installation.id, repo_ids=(), state="suspended", at=1.0, by="alice")
    await store.set_access(word)
    await pass_time(sqlite_url, 600)
    await reaper(store, github).tell_all()
    assert (await store.census()).untold == 1
    assert len(github.loopback.requests) == requests, "what is known is not asked"
    installation.suspended_at = None
    await store.set_access(replace(word, state="active", at=2.0))
    await pass_time(sqlite_url, 600)
    await reaper(store, github).tell_all()
    assert [run.conclusion for run in checks(github)] == ["failure"]
    assert (await store.census()).untold == 0


async def test_an_end_that_was_reported_is_left_alone(opened: Open, database_url: str, github: Scene) -> None:
    store = await opened(database_url)
    await ended(store, await begun(store, github), reported=True)
    await pass_time(database_url)
    requests = len(github.loopback.requests)
    await reaper(store, github).tell_all()
    assert len(github.loopback.requests) == requests


async def test_two_reapers_tell_an_end_once(opened: Open, database_url: str, github: Scene) -> None:
    stores = [await opened(database_url) for _ in range(1 if "sqlite" in database_url else 2)]
    claim = await begun(stores[0], github)
    await ended(stores[0], claim)
    await pass_time(database_url)
    await asyncio.gather(*(reaper(stores[n % len(stores)], github, f"r{n}").tell_all() for n in range(4)))
    assert len(said(github)) == 1
    assert len(checks(github)) == 1
    tellings = [row for row in github.loopback.requests if row.method == "POST" and "access_tokens" in row.path]
    assert len(tellings) == 2, "the job's own token, and one reaper's"


async def test_it_looks_and_prunes_until_it_is_stopped(opened: Open, database_url: str, github: Scene) -> None:
    store = await opened(database_url)
    await ended(store, await begun(store, github))
    await run(database_url, "UPDATE deliveries SET received_at = 0")
    await pass_time(database_url)
    stop = asyncio.Event()
    made = Reaper(store, github.app(), links=lambda _: LINKS, leaks=LEAKS, owner="r", looks_every_s=0.05)
    task = asyncio.create_task(made.run(stop))

    async def is_done() -> bool:
        return (await store.census()).untold == 0 and await store.stored(["g"]) == frozenset()

    await until(is_done)
    stop.set()
    await task


async def test_a_machine_without_descriptors_ends_no_looking(opened: Open, sqlite_url: str, github: Scene) -> None:
    """R18; red when only our own errors are caught: seen."""
    swept: list[int] = []

    def sweep() -> int:
        swept.append(1)
        raise OSError(errno.EMFILE, "Too many open files", "/tmp")

    store, stop, now = await opened(sqlite_url), asyncio.Event(), itertools.count(0.0, 3600.0)
    made = Reaper(
        store,
        github.app(),
        links=lambda _: LINKS,
        leaks=LEAKS,
        owner="r",
        looks_every_s=0.01,
        sweep=sweep,
        now=lambda: next(now),
    )
    task = asyncio.create_task(made.run(stop))
    await until(lambda: len(swept) >= 2)
    stop.set()
    await task


async def test_it_leaves_at_once_while_github_is_slow(opened: Open, sqlite_url: str, github: Scene) -> None:
    """R3: the next one tells this end. Red when it finishes telling before it stops (tried)."""
    store = await opened(sqlite_url)
    await ended(store, await begun(store, github))
    await pass_time(sqlite_url, 600)
    slow = github.loopback.faults.add(Delay(600), path="/issues/1/comments", times=9)
    stop = asyncio.Event()
    task = asyncio.create_task(reaper(store, github).run(stop))
    await until(lambda: slow.left < 9)
    stop.set()
    async with asyncio.timeout(WITHIN_S):
        await task
    assert (await store.census()).untold == 1
