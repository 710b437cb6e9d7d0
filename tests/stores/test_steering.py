"""Requests behind a running job of their thread, as messages to it: exactly one job gets each, whatever happens."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.errors import LeaseLost
from bot.domain.events import Conclusion, JobFinished, Noted, Steered
from bot.domain.job import Cancel, Start
from bot.ports import Claim, Entry, Meanwhile, Notice, RequestDeleted, RequestEdited
from bot.stores import Store
from tests.stores.beside import pass_time
from tests.stores.conftest import Open
from tests.stores.samples import a_job, deliver

pytestmark = pytest.mark.anyio

END = JobFinished(Conclusion.NEUTRAL, "**Passed on** to run job-first.")
ENTRY = Entry("effect", "steering 9", {"text": "make it blue"})
SPOKEN = Steered("octocat", "octocat said: make it blue")


async def thread(store: Store, *more: str) -> None:
    for name in ("first", *more):
        await deliver(store, a_job(name, issue=3))


async def test_what_waits_behind_a_job_is_what_came_after_it_on_its_thread(store: Store) -> None:
    await deliver(store, a_job("elsewhere", issue=4))
    await thread(store, "second", "third")
    claim = await store.claim("w", job_id="job-first")
    assert claim is not None
    await store.request_cancel("job-third", "octocat")
    found = await store.meanwhile(claim, known=())
    assert [job.id for job in found.requests] == ["job-second"]
    assert await store.hold_back("job-second", 60)
    assert await store.meanwhile(claim, known=()) == Meanwhile(), "its comment is being written"


async def test_what_was_asked_for_after_a_cancel_is_no_message_to_the_run_which_that_ends(store: Store) -> None:
    """Red when `meanwhile` looks for no cancel, and when `pass_on` asks not whether the job was cancelled: seen."""
    at = {"before": (100.0, 10), "cancel": (200.0, 20), "same": (200.0, 21), "after": (300.0, 30)}
    await thread(store)
    for name, (asked_at, comment_id) in at.items():
        command: Cancel | Start = Cancel() if name == "cancel" else Start("x")
        await deliver(store, replace(a_job(name, issue=3), command=command, asked_at=asked_at, comment_id=comment_id))
    claim = await store.claim("w", job_id="job-first")
    assert claim is not None
    assert [job.id for job in (await store.meanwhile(claim, known=())).requests] == ["job-before"]
    cancel = await store.claim("w", job_id="job-cancel")
    assert cancel is not None
    await store.request_cancel("job-first", "octocat")
    await store.commit(cancel, finish="succeeded")
    assert (await store.meanwhile(claim, known=())).requests == ()
    assert await store.pass_on(claim, "job-after", end=END, entries=[ENTRY], events=[SPOKEN]) is None
    assert await store.journal("job-first") == ()
    row = await store.job("job-after")
    assert row is not None
    assert row.state == "queued"


async def test_a_request_that_is_passed_on_has_ended_and_is_an_entry_of_the_other_job(store: Store) -> None:
    await thread(store, "second")
    claim = await store.claim("w", job_id="job-first")
    assert claim is not None
    recorded = await store.pass_on(claim, "job-second", end=END, entries=[ENTRY], events=[SPOKEN])
    assert recorded is not None
    assert [one.event for one in recorded] == [SPOKEN]
    assert await store.journal("job-first") == (ENTRY,)
    row = await store.job("job-second")
    assert row is not None
    assert (row.state, row.finished_at is not None) == ("succeeded", True)
    assert [one.event for one in await store.events("job-second")][-1] == END
    assert [one.event async for one in store.watch("job-second")][-1] == END
    assert await store.untold("reaper") is None, "nobody has to tell its end"
    assert await store.pass_on(claim, "job-second", end=END, entries=[ENTRY], events=[]) is None, "only once"
    assert await store.journal("job-first") == (ENTRY,)


async def test_a_request_that_was_told_to_wait_and_is_passed_on_has_an_end_to_tell(store: Store) -> None:
    """Red when only the one who passes it on rewrites its comment: killed, or refused, it leaves it waiting (seen)."""
    await thread(store, "second")
    claim = await store.claim("w", job_id="job-first")
    assert claim is not None
    (waiting,) = await store.waiting(0.0)
    await store.set_mark(waiting.mark, 0.0)
    assert await store.pass_on(claim, "job-second", end=END, entries=[ENTRY], events=[SPOKEN]) is not None
    untold = await store.untold("reaper")
    assert untold is not None
    assert untold.job.id == "job-second"


async def test_a_worker_that_lost_its_job_takes_no_messages(opened: Open, database_url: str) -> None:
    """Red when the fence is not asked for (the waiting job was gone, and nobody had its words)."""
    store = await opened(database_url)
    await thread(store, "second")
    stale = await store.claim("w", job_id="job-first")
    await pass_time(database_url)
    assert stale is not None
    assert await store.claim("w2", job_id="job-first") is not None
    with pytest.raises(LeaseLost):
        await store.pass_on(stale, "job-second", end=END, entries=[ENTRY], events=[])
    row = await store.job("job-second")
    assert row is not None
    assert row.state == "queued"


async def ended(store: Store, claim: Claim) -> None:
    await store.commit(claim, events=[JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")


async def passed(store: Store, claim: Claim, job_id: str) -> bool:
    try:
        return await store.pass_on(claim, job_id, end=END, entries=[ENTRY], events=[]) is not None
    except LeaseLost:
        return False


async def test_of_a_claim_and_a_message_at_once_one_has_the_request(store: Store) -> None:
    for number in range(8):
        for name in ("first", "second"):
            await deliver(store, a_job(f"{name}{number}", issue=100 + number))
        claim = await store.claim("w", job_id=f"job-first{number}")
        assert claim is not None
        was_passed, _ = await asyncio.gather(passed(store, claim, f"job-second{number}"), ended(store, claim))
        following = await store.claim("w", job_id=f"job-second{number}")
        assert (following is None) == was_passed
        if following is not None:
            await ended(store, following)


async def test_a_message_that_was_deleted_or_edited_is_known_by_its_key(store: Store) -> None:
    await thread(store, "second", "third")
    claim = await store.claim("w", job_id="job-first")
    assert claim is not None
    for name in ("second", "third"):
        await store.pass_on(claim, f"job-{name}", end=END, entries=[ENTRY], events=[Noted("x")])
    deleted, edited = RequestDeleted(key="key-second", by="o"), RequestEdited(key="key-third", by="o")
    unknown = RequestEdited(key="key-nobody", by="o")
    notices: tuple[Notice, ...] = (deleted, edited, unknown)
    for number, notice in enumerate(notices):
        await store.heed(guid=f"notice-{number}", event="issue_comment", action="edited", notice=notice)
    known = ["key-first", "key-second", "key-third", "key-nobody"]
    found = await store.meanwhile(claim, known=known)
    assert (found.deleted, found.edited) == (frozenset({"key-second"}), frozenset({"key-third"}))
