"""What ends jobs from outside, and the facts beside them, on SQLite and on Postgres."""

import asyncio
from dataclasses import replace

import pytest

from bot.domain.errors import LeaseLost
from bot.domain.events import Conclusion, JobFinished, JobStarted
from bot.domain.job import Cancel, Help
from bot.ports import Accepted, AccessChanged, AccessState, Notice, RequestDeleted, ThreadStopped
from bot.stores import Retention, Store
from tests.stores.conftest import Open
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

CLOSED = ThreadStopped(installation_id=1, repo_id=7, issue=5, at=100.0, by="alice (the issue was closed)")
SUSPENDED = AccessChanged(installation_id=1, repo_ids=(), state="suspended", at=100.0, by="alice (suspended)")
STARTED = JobStarted(1, "rules", 3.0)


async def heed(store: Store, notice: Notice, *, guid: str = "n") -> tuple[str, ...]:
    return await store.heed(guid=guid, event="issues", action="closed", notice=notice)


async def cancelled(store: Store) -> list[str]:
    return [row.job.id for row in await store.jobs_on(7, 5) if row.cancel_by is not None]


async def test_closing_the_issue_ends_what_is_queued_and_what_is_running(store: Store) -> None:
    await claimed(store, "elsewhere")
    for name in ("running", "queued"):
        await deliver(store, a_job(name, issue=5))
    claim = await store.claim("w", job_id="job-running")
    assert claim is not None
    assert set(await heed(store, CLOSED)) == {"job-running", "job-queued"}
    assert await store.renew(claim) == CLOSED.by
    waiting = await store.claim("w", job_id="job-queued")
    assert waiting is not None, "a cancelled job waits for nobody"
    assert waiting.cancel_by == CLOSED.by
    elsewhere = await store.job("job-elsewhere")
    assert elsewhere is not None
    assert elsewhere.cancel_by is None


async def test_closing_the_issue_ends_the_rest_of_a_job_that_was_put_back(store: Store) -> None:
    await deliver(store, a_job("a", issue=5))
    claim = await store.claim("w")
    assert claim is not None
    await store.retry(claim, after_s=60.0)
    await heed(store, CLOSED)
    assert await store.claim("w") is not None


async def test_a_close_ends_nothing_that_was_asked_for_after_it(store: Store) -> None:
    """Red without the comparison of instants (tried): a close that comes late ends a job of the reopened issue."""
    await deliver(store, replace(a_job("before", issue=5), asked_at=100.0))
    await deliver(store, replace(a_job("after", issue=5), asked_at=101.0))
    await heed(store, CLOSED)
    assert await cancelled(store) == ["job-before"]


async def test_a_repeated_notice_is_heeded_once(store: Store) -> None:
    """Red without the look at the delivery's id (tried)."""
    assert await heed(store, CLOSED) == ()
    await deliver(store, a_job("again", issue=5))
    assert await heed(store, CLOSED) == ()
    assert await heed(store, CLOSED, guid="m") == ("job-again",)


async def test_a_removed_label_ends_only_what_a_label_started(store: Store) -> None:
    await deliver(store, a_job("comment", issue=5))
    await deliver(store, replace(a_job("label", issue=5), comment_id=None))
    await heed(store, replace(CLOSED, asked_by="label"))
    assert await cancelled(store) == ["job-label"]


async def test_a_label_that_was_removed_before_it_is_heard_of_starts_nothing(store: Store) -> None:
    """Red without the mark: seen."""
    await heed(store, replace(CLOSED, asked_by="label"))
    await heed(store, replace(CLOSED, asked_by="label", at=50.0), guid="older")
    label = replace(a_job("label", issue=5), comment_id=None)
    assert await deliver(store, replace(label, asked_at=99.0)) == Accepted(
        None, False, "The label that asked for it was removed."
    )
    assert (await deliver(store, replace(a_job("comment", issue=5), asked_at=99.0))).is_new
    again = await deliver(store, replace(label, id="job-again", key="again", asked_at=101.0), guid="again")
    assert again.is_new, "the label is there again"


async def test_an_answer_on_its_way_and_a_finished_job_are_left_alone(store: Store) -> None:
    claim = await claimed(store, "done")
    await store.commit(claim, events=[JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")
    await deliver(store, replace(a_job("help", issue=5), command=Help()))
    assert await heed(store, replace(CLOSED, issue=claim.job.issue.number)) == ()
    assert await heed(store, CLOSED, guid="m") == ()


async def test_another_installations_notice_ends_nothing(store: Store) -> None:
    await deliver(store, a_job("a", issue=5))
    assert await heed(store, replace(CLOSED, installation_id=2)) == ()


async def test_the_first_who_ends_a_job_is_named(store: Store) -> None:
    await deliver(store, a_job("a", issue=5))
    await store.request_cancel("job-a", "bob")
    assert await heed(store, CLOSED) == ()
    row = await store.job("job-a")
    assert row is not None
    assert row.cancel_by == "bob"


async def test_deleting_the_request_ends_its_job_and_no_other(store: Store) -> None:
    for name in ("a", "b"):
        await deliver(store, a_job(name, issue=5))
    assert await heed(store, RequestDeleted(key="key-a", by="alice (deleted)")) == ("job-a",)
    assert await cancelled(store) == ["job-a"]


async def test_deleting_a_cancel_keeps_the_cancel(store: Store) -> None:
    """Red without the priority: seen. A comment may have been edited into one that asks for no work."""
    await deliver(store, replace(a_job("a", issue=5), command=Cancel()))
    assert await heed(store, RequestDeleted(key="key-a", by="alice (deleted)")) == ()


async def test_a_request_that_arrives_after_its_own_deletion_starts_nothing(store: Store) -> None:
    """Red without the mark (tried): deliveries do not keep their order."""
    await heed(store, RequestDeleted(key="key-a", by="alice (deleted)"))
    assert await deliver(store, a_job("a")) == Accepted(None, False, "The comment that asked for it was deleted.")
    assert await deliver(store, a_job("b")) == Accepted("job-b", True)
    assert await store.job("job-a") is None


async def test_a_request_and_its_deletion_at_the_same_moment_leave_nothing_to_do(
    opened: Open, database_url: str
) -> None:
    """Red on Postgres when neither waits for the other (tried)."""
    stores = [await opened(database_url) for _ in range(2)]
    for n in range(60):
        name = f"r{n}"
        await asyncio.gather(
            deliver(stores[0], a_job(name)),
            heed(stores[1], RequestDeleted(key=f"key-{name}", by="alice (deleted)"), guid=f"gone-{name}"),
        )
        row = await stores[0].job(f"job-{name}")
        assert row is None or row.cancel_by == "alice (deleted)"


@pytest.mark.parametrize(
    ("state", "words", "for_good"), [("suspended", "is suspended here", False), ("removed", "not installed here", True)]
)
async def test_an_installation_that_is_gone_ends_its_jobs_and_starts_none(
    store: Store, state: AccessState, words: str, for_good: bool
) -> None:
    running = await claimed(store, "running")
    await deliver(store, a_job("queued"))
    await deliver(store, a_job("elsewhere", installation=2))
    assert set(await heed(store, replace(SUSPENDED, state=state))) == {"job-running", "job-queued"}
    assert await store.renew(running) == SUSPENDED.by
    accepted = await deliver(store, a_job("late"))
    assert (accepted.job_id, accepted.is_new) == (None, False)
    assert words in accepted.reason
    shut = await store.shut_out(1, 7)
    assert shut is not None
    assert words in shut.why
    assert shut.for_good is for_good
    assert await deliver(store, a_job("other", installation=2)) == Accepted("job-other", True)
    assert await store.shut_out(2, 7) is None


async def test_a_known_job_is_found_although_the_app_is_gone(store: Store) -> None:
    await deliver(store, a_job("a"))
    await heed(store, SUSPENDED)
    assert await deliver(store, a_job("a"), guid="again") == Accepted("job-a", False)


async def test_a_woken_installation_works_again(store: Store) -> None:
    await heed(store, SUSPENDED)
    await heed(store, replace(SUSPENDED, state="active", at=101.0), guid="m")
    assert await deliver(store, a_job("a")) == Accepted("job-a", True)


async def test_old_news_of_an_installation_changes_nothing(store: Store) -> None:
    """Red without the comparison of instants (tried)."""
    await heed(store, replace(SUSPENDED, state="active", at=101.0))
    await deliver(store, a_job("a"))
    assert await heed(store, SUSPENDED, guid="m") == ()
    assert await store.shut_out(1, 7) is None


async def test_an_uninstalled_app_stays_so(store: Store) -> None:
    await heed(store, replace(SUSPENDED, state="removed"))
    await heed(store, replace(SUSPENDED, state="active", at=999.0), guid="m")
    assert await store.shut_out(1, 7) is not None


async def test_a_repository_that_was_taken_away_ends_its_own_jobs_and_can_come_back(store: Store) -> None:
    await deliver(store, a_job("here"))
    await deliver(store, a_job("there", repo=8))
    removed = replace(SUSPENDED, repo_ids=(7, 9), state="removed")
    assert await heed(store, removed) == ("job-here",)
    shut = await store.shut_out(1, 7)
    assert shut is not None
    assert not shut.for_good
    assert await store.shut_out(1, 8) is None
    await store.set_access(replace(removed, state="active", at=101.0))
    assert await store.shut_out(1, 7) is None


async def test_the_hour_counts_what_was_started_and_what_comes_first(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=9, running_per_installation=9)
    done = await claimed(store, "done")
    await store.commit(done, events=[STARTED, JobFinished(Conclusion.SUCCESS, "Done.")], finish="succeeded")
    refused = await claimed(store, "refused")
    await store.commit(refused, events=[JobFinished(Conclusion.ACTION_REQUIRED, "No.")], finish="failed")
    first, second = await claimed(store, "first"), await claimed(store, "second")
    await deliver(store, a_job("waiting"))
    await deliver(store, replace(a_job("help"), command=Help()))
    await claimed(store, "elsewhere")
    assert (await store.started_this_hour(first), await store.started_this_hour(second)) == (1, 2)
    with pytest.raises(LeaseLost):
        await store.commit(done)


async def test_marks_are_kept_and_moved(store: Store) -> None:
    assert await store.mark("swept") is None
    for value in (3.5, 2.5):
        await store.set_mark("swept", value)
        assert await store.mark("swept") == value
    await store.prune(Retention(delivery_days=0))
    assert await store.mark("swept") is None


async def test_the_store_knows_which_deliveries_it_keeps(store: Store) -> None:
    await deliver(store, a_job("a"), guid="a")
    await heed(store, CLOSED, guid="b")
    assert await store.stored(["a", "b", "c"]) == {"a", "b"}
    assert await store.stored([]) == frozenset()


async def test_who_waits_is_known_with_the_run_before_and_is_told_once(store: Store) -> None:
    for name in ("first", "second", "third"):
        await deliver(store, a_job(name, issue=5))
    await deliver(store, replace(a_job("help", issue=5), command=Help()))
    assert await store.claim("w", job_id="job-first") is not None
    assert await store.waiting(60.0) == (), "nobody has waited that long"
    waiting = await store.waiting(0.0)
    assert [(one.job.id, one.behind) for one in waiting] == [("job-second", "job-first"), ("job-third", "job-second")]
    await store.set_mark(waiting[0].mark, 0.0)
    assert [one.job.id for one in await store.waiting(0.0)] == ["job-third"]
    await store.request_cancel("job-third", "alice")
    assert await store.waiting(0.0) == ()


async def test_nobody_starts_a_job_while_its_wait_is_told(store: Store) -> None:
    """Red when `hold_back` leaves the job's time alone (tried): two comments would be made. Red when a cancelled job is
    claimed all the same (seen): its comment would come after its end, and say for ever that it waits."""
    await deliver(store, a_job("a"))
    assert await store.hold_back("job-a", 60.0)
    assert not await store.hold_back("job-a", 60.0)
    await store.request_cancel("job-a", "alice")
    assert await store.claim("w") is None
    await store.let_go("job-a")
    assert await store.claim("w") is not None
    assert not await store.hold_back("job-a", 60.0), "it runs"
    await store.let_go("job-a")
