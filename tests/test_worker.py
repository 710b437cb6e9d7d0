"""When a provider fails: how often a job is tried again, and what does not count as a try."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.rules import RuleModel
from bot.agent.steering import SEALED
from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion, JobFinished, JobStarted, Noted
from bot.domain.job import Cancel, Job, Repo, Start
from bot.journey import Workshop
from bot.last_word import RESTS_S, RESTS_WITH_WORK_S
from bot.lease import KeptLease, boot_time
from bot.ports import AccessChanged, AccessState, DayBudgets, Entry, GitHub, GitHubApp, SandboxProvider
from bot.ports.github import Hold, OnWait
from bot.publish.mirror import Mirror
from bot.purse import purse_of
from bot.repo_config import Budget
from bot.report.leaks import Leaks
from bot.report.links import Links
from bot.report.wording import branch_name
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.sandboxes.served import ServedSandbox
from bot.standins.github.faults import Reply
from bot.stores import Store
from bot.worker import Worker
from tests.fakes import Crash, MemoryJournal
from tests.github.scene import scene
from tests.polling import WITHIN_S
from tests.publish.test_pull_request import SMALL, Dying, patch_on, whole_job
from tests.stores.beside import pass_time, run
from tests.stores.conftest import Open, database_url, opened, sqlite_url
from tests.stores.samples import a_job, deliver

__all__ = ["database_url", "opened", "sqlite_url"]  # fixtures

pytestmark = pytest.mark.anyio

A_DAY = DayBudgets(repo_usd=1, installation_usd=1)


class Away:
    """A GitHub that cannot be reached, and says when to come back."""

    @asynccontextmanager
    async def repository(
        self, installation_id: int, repo: Repo, *, hold: Hold | None = None, on_wait: OnWait | None = None
    ) -> AsyncIterator[GitHub]:
        raise ProviderError("github", "no answer", retryable=True, retry_after_s=0.001)
        yield

    async def login(self) -> str:
        raise ProviderError("github", "no answer", retryable=True)


class Limited(Away):
    """A GitHub that lets its next request wait, for ten minutes."""

    @asynccontextmanager
    async def repository(
        self, installation_id: int, repo: Repo, *, hold: Hold | None = None, on_wait: OnWait | None = None
    ) -> AsyncIterator[GitHub]:
        assert on_wait is not None
        await on_wait(600.0)
        raise ProviderError("github", "waited here", retryable=True, retry_after_s=0.001)
        yield


def links(_: Job) -> Links:
    return Links(page="https://bot.example/jobs/1", check=None, repository="https://github.com/octo-org/widgets")


class NoneLeft(Bubblewrap):
    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> ServedSandbox:
        raise OSError(errno.EMFILE, "Too many open files")


def a_worker(
    store: Store, root: Path, app: GitHubApp | None = None, sandboxes: SandboxProvider | None = None
) -> Worker:
    workshop = Workshop(
        mirror=Mirror(root / "mirrors", environment={}),
        sandboxes=sandboxes or Bubblewrap(),
        model_named=lambda _: RuleModel(),
        models=("rules",),
        budget=Budget(usd=1, turns=9, minutes=1),
        purse_of=lambda claim, wish: purse_of(store, claim, A_DAY, repo_wish_usd=wish),
    )
    return Worker(store=store, app=app or Away(), workshop=workshop, leaks=Leaks(()), links=links, jobs_per_hour=9)


async def taken(store: Store) -> KeptLease:
    asked_at = boot_time()
    async with asyncio.timeout(WITHIN_S):
        while True:
            if (claim := await store.claim("worker")) is not None:
                return KeptLease(store, claim, claimed_at=asked_at)
            await asyncio.sleep(0.01)


async def test_a_provider_that_fails_is_tried_three_times_however_often_the_worker_was_restarted(
    opened: Open, database_url: str, tmp_path: Path
) -> None:
    """Red when the retries are counted by `attempts`: the first failure ends the job (seen)."""
    store = await opened(database_url)
    await deliver(store, a_job("a"))
    for _ in range(2):
        await taken(store)
        await pass_time(database_url)  # kill -9
    for _ in range(2):
        await store.release((await taken(store)).claim)  # SIGTERM
    worker = a_worker(store, tmp_path)
    for tries in range(1, len(RESTS_S) + 1):
        await worker.run_job(await taken(store))
        row = await store.job("job-a")
        assert row is not None
        assert (row.state, tries) == ("queued", tries)
    await worker.run_job(await taken(store))
    row = await store.job("job-a")
    assert row is not None
    assert row.state == "failed"
    end = (await store.events("job-a"))[-1].event
    assert end == JobFinished(
        Conclusion.FAILURE, "**Failed**: github: no answer (tried 3 times). Asking again later can help."
    )
    assert (await store.census()).untold == 1, "the reaper tells it when GitHub is back"


async def test_work_that_was_handed_in_waits_longer_for_github(opened: Open, sqlite_url: str, tmp_path: Path) -> None:
    store = await opened(sqlite_url)
    await deliver(store, a_job("a"))
    claim = (await taken(store)).claim
    await store.commit(claim, entries=[Entry("effect", SEALED, {})])
    await store.release(claim)
    worker = a_worker(store, tmp_path)
    for _ in range(len(RESTS_WITH_WORK_S) + 1):
        await worker.run_job(await taken(store))
    end = (await store.events("job-a"))[-1].event
    assert end == JobFinished(
        Conclusion.FAILURE, "**Failed**: github: no answer (tried 9 times). Asking again later can help."
    )


async def test_a_command_waits_for_githubs_limit_in_the_queue_and_work_where_it_is(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when an answer waits in its place: eight of them keep every other installation's cancel away (seen)."""
    store = await opened(sqlite_url)
    worker = a_worker(store, tmp_path, Limited())
    for name, command, told in (("work", Start("x"), []), ("cancel", Cancel(), ["rate limited"])):
        await deliver(store, replace(a_job(name), command=command))
        await worker.run_job(await taken(store))
        noted = [r.event.text for r in await store.events(f"job-{name}") if isinstance(r.event, Noted)]
        assert [text.split(": ")[1] for text in noted] == told
        await store.request_cancel("job-work", "alice")  # out of the way
    for _ in RESTS_S:
        await pass_time(sqlite_url, 600.0)
        await worker.run_job(await taken(store))
    end = (await store.events("job-cancel"))[-1].event
    assert isinstance(end, JobFinished)
    assert "waited here (tried 3 times)" in end.message, "the last try waits in its place"


async def test_a_machine_at_its_limits_is_a_reason_to_try_again(opened: Open, sqlite_url: str, tmp_path: Path) -> None:
    """R18; red without `machine_limits`: the thread is told of a bug in the bot (seen)."""
    store = await opened(sqlite_url)
    async with scene(tmp_path) as here:
        await deliver(store, here.job())
        await a_worker(store, tmp_path, here.app(), NoneLeft()).run_job(await taken(store))
        row = await store.job(here.job().id)
    assert row is not None
    assert row.state == "queued"


@pytest.mark.parametrize(("state", "untold"), [("suspended", 1), ("removed", 0)])
async def test_where_the_app_may_not_work_the_end_is_told_later_but_for_an_app_that_is_gone(
    opened: Open, sqlite_url: str, tmp_path: Path, state: AccessState, untold: int
) -> None:
    """R8. Red when a suspended App counts as one that is gone: its check stays open when it is woken up (seen)."""
    store = await opened(sqlite_url)
    await deliver(store, a_job("a"))
    lease = await taken(store)
    await store.set_access(AccessChanged(installation_id=1, repo_ids=(), state=state, at=1.0, by="alice (x)"))
    await a_worker(store, tmp_path).run_job(lease)
    row = await store.job("job-a")
    assert row is not None
    assert row.state == "cancelled"
    assert (await store.census()).untold == untold


async def test_a_cancel_of_a_killed_job_names_the_pull_request_of_which_there_is_no_record(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """R3, R4. Red when `_wind_up` does not ask `find_published`: the thread says nothing of it (seen)."""
    store, journal = await opened(sqlite_url), MemoryJournal()
    async with scene(tmp_path) as here:
        job, patch = here.job(), patch_on(here.head, tmp_path, SMALL)
        await deliver(store, job)
        killed = (await taken(store)).claim
        with pytest.raises(Crash):
            await whole_job(here, journal, patch, branch_name(job), through=Dying(8))  # the answer to POST /pulls
        begun = JobStarted(1, model="m", budget_usd=1)
        await store.commit(killed, events=[begun, *journal.events], entries=journal.entries())
        await store.release(killed)
        await store.request_cancel(job.id, "alice")
        await a_worker(store, tmp_path, here.app()).run_job(await taken(store))
        (comment,) = here.loopback.comments(here.repository, 1)
        assert "**Cancelled** by @alice. Its change is in #2 already." in comment.body
        heads = {run.head_sha: run.conclusion for run in here.loopback.check_runs(here.repository)}
        assert heads == {here.loopback.refs(here.repository)[f"refs/heads/{branch_name(job)}"]: "neutral"}


async def test_a_cancel_ends_what_was_asked_for_before_it_and_nothing_after(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when `_answer` does not look at when a job was asked for: seen."""
    asked = {"first": (100.0, 10), "cancel": (200.0, 20), "same-second": (200.0, 21), "later": (300.0, 30)}
    store = await opened(sqlite_url)
    async with scene(tmp_path) as here:
        for name, (at, comment_id) in asked.items():
            command: Cancel | Start = Cancel() if name == "cancel" else Start("x")
            job = replace(here.job(key=name), id=name, delivery=name, command=command)
            await deliver(store, replace(job, asked_at=at, comment_id=comment_id))
        claim = await store.claim("worker", job_id="cancel")
        assert claim is not None
        await a_worker(store, tmp_path, here.app()).run_job(KeptLease(store, claim, claimed_at=boot_time()))
        rows = await store.jobs_on(here.repo.id, 1)
        assert [row.job.id for row in rows if row.cancel_by] == ["first"]
        assert here.loopback.comments(here.repository, 1)[-1].body.endswith("\nStopping run first.")


async def test_a_cancel_that_could_not_be_answered_names_what_it_stopped_when_that_is_over(
    opened: Open, sqlite_url: str, tmp_path: Path
) -> None:
    """Red when the second try looks for unfinished jobs again: "Nothing is running on this thread." (seen)."""
    store = await opened(sqlite_url)
    async with scene(tmp_path) as here:
        work = replace(here.job(), command=Start("x"))
        await deliver(store, work)
        running = await taken(store)
        cancel = replace(here.job(key="c"), id="c", delivery="c", command=Cancel(), asked_at=work.asked_at + 1)
        await deliver(store, cancel)
        limited = Reply(429, headers={"retry-after": "600"})
        here.loopback.faults.add(limited, method="POST", path=r"/issues/1/comments$")
        await a_worker(store, tmp_path, here.app()).run_job(await taken(store))
        assert here.loopback.comments(here.repository, 1) == []
        await store.commit(running.claim, finish="cancelled", reported=True)
        await run(sqlite_url, "UPDATE jobs SET run_at = 0", "DELETE FROM marks")
        await a_worker(store, tmp_path, here.app()).run_job(await taken(store))
        (said,) = here.loopback.comments(here.repository, 1)
    assert said.body.endswith(f"\nStopping run {work.id}.")
