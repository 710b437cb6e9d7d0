"""A publication that is broken off while GitHub answers: what GitHub did is recorded all the same."""

import asyncio

import httpx
import pytest

from bot.domain.events import BranchMoved, PullRequestOpened
from bot.domain.job import Patch
from bot.github.rest import RestGitHub
from bot.publish.pull_request import find_published
from bot.publish.whole import ANSWERED_S, whole
from bot.runner import GRACE_S
from tests.fakes import Crash, MemoryJournal
from tests.github.scene import Scene
from tests.publish.test_pull_request import (
    BRANCH,
    Dying,
    draft_of,
    github,
    go_on,
    here,
    more,
    small,
    whole_job,
)

__all__ = ["github", "here", "more", "small"]  # fixtures

pytestmark = pytest.mark.anyio

WRITES = ["token", "commit", "ref", "blob", "tree", "new head", "advance", "pull", "review"]


class Slow(httpx.AsyncBaseTransport):
    """A real connection; the answer to write number `which` has come and waits for `go`."""

    def __init__(self, which: int) -> None:
        self._real, self._left = httpx.AsyncHTTPTransport(verify=False), which  # plain HTTP
        self.done, self.go = asyncio.Event(), asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._real.handle_async_request(request)
        if request.method in ("POST", "PATCH"):
            self._left -= 1
            if self._left == 0:
                self.done.set()
                await self.go.wait()
        return response

    async def aclose(self) -> None:
        await self._real.aclose()


async def test_a_cancel_waits_for_the_answer_that_is_on_its_way_and_for_nothing_after_it(
    here: Scene, small: Patch
) -> None:
    """R3, R15. Red when `whole` shields nothing: seen."""
    for last, moves, opened in (("ref", 0, 0), ("advance", 2, 0), ("pull", 2, 1)):
        transport, journal, branch = Slow(WRITES.index(last) + 1), MemoryJournal(), f"backspace/1-{last}"
        job = asyncio.create_task(whole_job(here, journal, small, branch, through=transport))
        await transport.done.wait()
        job.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not job.done()
        transport.go.set()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert (len(journal.of(BranchMoved)), len(journal.of(PullRequestOpened))) == (moves, opened)
        assert here.asked("POST", "/pulls") == opened
    assert here.asked("POST", "/requested_reviewers") == 0


async def test_a_second_cancel_ends_the_effect_before_the_caller_goes_on() -> None:
    """Red when it leaves the effect to itself: that goes on, unobserved (seen)."""
    began, said = asyncio.Event(), []

    async def effect() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("ended")

    job = asyncio.create_task(whole(effect()))
    await began.wait()
    for _ in range(2):
        job.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await job
    assert said == ["ended"]


def test_an_effect_is_over_before_the_lease_of_a_job_is_given_back() -> None:
    assert ANSWERED_S < GRACE_S


async def test_a_push_that_a_killed_worker_made_is_found_again(here: Scene, github: RestGitHub, small: Patch) -> None:
    """R4: nothing of the last effect was recorded."""
    journal = MemoryJournal()
    with pytest.raises(Crash):
        await whole_job(here, journal, small, BRANCH, through=Dying(WRITES.index("advance") + 1))
    for _ in range(2):
        await find_published(stats=small.stats, github=github, journal=journal)
    assert [move.created for move in journal.of(BranchMoved)] == [True, False]
    assert journal.of(PullRequestOpened) == []


async def test_a_push_to_the_draft_of_an_earlier_job_is_found_again(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    left, journal = await draft_of(here, github, small), MemoryJournal(crash_after=2)
    with pytest.raises(Crash):  # its commit is journalled, and then pushed by hand
        await go_on(here, github, journal, more, left)
    head = journal.entries()[-1].data["sha"]
    await github.advance_ref(BRANCH, head)
    await find_published(stats=more.stats, github=github, journal=journal)
    (opened,) = journal.of(PullRequestOpened)
    assert (opened.number, opened.created) == (left.number, False)
    assert [move.head_sha for move in journal.of(BranchMoved)] == [left.head_sha, head]
