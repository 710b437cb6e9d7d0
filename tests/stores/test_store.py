"""The contract of the job store, on SQLite and on Postgres."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bot.domain.errors import LeaseLost, ProviderError, UserError
from bot.domain.events import (
    Conclusion,
    DiffShown,
    JobEvent,
    JobFinished,
    JobQueued,
    Noted,
    PullRequestOpened,
    Recorded,
    ToolReturned,
)
from bot.domain.job import Approve, Cancel, FileStat, Help, Plan, Retry, Status
from bot.ports import Accepted, Claim, Entry, JobStore
from bot.stores import Retention, Store
from tests.polling import WITHIN_S, until
from tests.stores.beside import pass_time, run
from tests.stores.conftest import Open
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

DONE = JobFinished(Conclusion.SUCCESS, "Done.")


async def finished(store: Store, claim: Claim) -> None:
    await store.commit(claim, events=[DONE], finish="succeeded")


def test_a_store_keeps_the_port() -> None:
    def port(store: Store) -> JobStore:
        return store  # mypy is the judge

    assert callable(port)


# ---------------------------------------------------------------- accept


async def test_a_delivery_becomes_one_job_with_its_first_event(store: Store) -> None:
    job = a_job("a")
    assert await deliver(store, job) == Accepted(job.id, True)
    row = await store.job(job.id)
    assert row is not None
    assert (row.job, row.state, row.attempts, row.finished_at, row.cancel_by) == (job, "queued", 0, None, None)
    (first,) = await store.events(job.id)
    assert (first.seq, first.event) == (1, JobQueued("Fix it", "octocat"))
    assert abs(first.at - row.created_at) < 0.001


async def test_a_redelivery_and_a_replay_find_the_job_they_made(store: Store) -> None:
    job = a_job("a")
    await deliver(store, job)
    again = replace(job, id="another-random-id")
    assert await deliver(store, again) == Accepted(job.id, False)
    assert await deliver(store, again, guid="a new guid") == Accepted(job.id, False)
    assert len(await store.events(job.id)) == 1
    assert await store.job("another-random-id") is None


async def test_a_delivery_without_a_job_can_make_one_later(store: Store) -> None:
    assert await store.accept(guid="g", event="ping", action="", job=None) == Accepted(None, False)
    assert await store.accept(guid="g", event="ping", action="", job=None) == Accepted(None, False)
    assert await deliver(store, a_job("a"), guid="g") == Accepted("job-a", True)


async def test_fifty_identical_deliveries_at_once_make_one_job(opened: Open, database_url: str) -> None:
    """Red without the defence: dropping the unique key of jobs gives several."""
    stores = [await opened(database_url) for _ in range(2)]
    job = a_job("a")
    accepted = await asyncio.gather(*(deliver(stores[n % 2], replace(job, id=f"id-{n}")) for n in range(50)))
    assert sum(one.is_new for one in accepted) == 1
    assert len({one.job_id for one in accepted}) == 1
    assert len(await stores[0].jobs_on(7, job.issue.number)) == 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        pytest.param("key", "k\ud800", "The job's key holds a character that cannot be stored.", id="lone-surrogate"),
        pytest.param("id", "a\0b", "The job's id holds a character that cannot be stored.", id="nul"),
        pytest.param("key", "k" * 501, "The job's key is longer than 500 characters.", id="long"),
        pytest.param("installation_id", 2**63, "The installation's id is too large a number to be real.", id="2-to-63"),
        pytest.param("installation_id", 10**400, "The installation's id is too large a number to be real.", id="huge"),
    ],
)
async def test_ids_no_database_can_hold_are_refused_in_words(store: Store, field: str, value: Any, words: str) -> None:
    with pytest.raises(UserError) as refused:
        await deliver(store, replace(a_job("a"), **{field: value}))
    assert str(refused.value) == words
    with pytest.raises(UserError):
        await store.accept(guid="g\0", event="ping", action="", job=None)


async def test_awkward_text_comes_back_as_it_was(store: Store) -> None:
    awkward = "NUL \0, half a pair \ud83d, a byte \udcff, a line end \u2028, a face \U0001f600"
    job = a_job("a", prompt=awkward)
    await store.accept(guid="g", event="e\0\ud800", action="\udcff", job=job)
    claim = await store.claim("w\0\ud800")
    assert claim is not None
    assert claim.job == job
    said: list[JobEvent] = [
        ToolReturned("c", "bash", True, awkward, 0.1),
        PullRequestOpened(1, "u", False, (FileStat("caf\udce9", 1, None),)),
        DiffShown("d", awkward, ()),
    ]
    entry = Entry("tool", "k\0\ud800", {"n": 10**400, "text": awkward, "nested": [[{"a": None}]]})
    await store.commit(claim, entries=[entry], events=said)
    assert [recorded.event for recorded in await store.events(job.id, after=1)] == said
    assert [read.data for read in await store.journal(job.id)] == [entry.data]
    assert await store.request_cancel(job.id, "eve\0\ud800")


@pytest.mark.parametrize("job_id", ["unknown", "", "a\0b", "\ud800", "x" * 100_000])
async def test_unknown_jobs_are_nothing_special(store: Store, job_id: str) -> None:
    assert await store.job(job_id) is None
    assert await store.events(job_id, after=10**30) == ()
    assert await store.journal(job_id) == ()
    assert await store.claim("w", job_id=job_id) is None
    assert await store.request_cancel(job_id, "octocat") is False
    assert [recorded async for recorded in store.watch(job_id, 10**30)] == []
    assert await store.jobs_on(10**30, -1) == ()


# ---------------------------------------------------------------- claim


async def test_jobs_are_claimed_in_their_order_and_once(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=9, running_per_installation=9)
    assert await store.claim("w") is None
    for name in "cab":
        await deliver(store, a_job(name))
    claims = [await store.claim("w") for _ in range(4)]
    assert [claim and claim.job.id for claim in claims] == ["job-c", "job-a", "job-b", None]
    assert [(claim.fence, claim.attempts, claim.cancel_by) for claim in claims if claim] == [(1, 1, None)] * 3
    assert await store.claim("w", job_id="job-a") is None
    row = await store.job("job-a")
    assert row is not None
    assert row.state == "running"


async def claimers(opened: Open, database_url: str, number: int, **limits: float) -> list[Store]:
    """Separate ones on Postgres; on SQLite one process runs the jobs, so they are tasks of one store."""
    if database_url.startswith("sqlite"):
        return [await opened(database_url, **limits)] * number
    return [await opened(database_url, **limits) for _ in range(number)]


async def test_claimers_never_share_a_job(opened: Open, database_url: str) -> None:
    stores = await claimers(opened, database_url, 3, running=99, running_per_installation=99)
    for n in range(24):
        await deliver(stores[0], a_job(f"{n}"))

    async def take_all(store: Store) -> list[str]:
        taken = []
        while (claim := await store.claim("w")) is not None:
            taken.append(claim.job.id)
        return taken

    taken = await asyncio.gather(*(take_all(store) for store in stores for _ in range(2)))
    assert sorted(job_id for some in taken for job_id in some) == sorted(f"job-{n}" for n in range(24))


async def test_limits_hold_with_three_claimers(opened: Open, database_url: str) -> None:
    """Red without the defence: on Postgres without the advisory lock claimers overtake the count."""
    stores = await claimers(opened, database_url, 3, running=3, running_per_installation=2)
    for installation in (1, 2, 3):
        for n in range(4):
            await deliver(stores[0], a_job(f"{installation}-{n}", installation=installation))
    running: dict[str, int] = {}
    most: list[tuple[int, int]] = []
    three = asyncio.Event()

    async def work(store: Store) -> None:
        while len(running) < 12 or any(running.values()):
            claim = await store.claim("w")
            if claim is None:
                await asyncio.sleep(0.002)
                continue
            running[claim.job.id] = claim.job.installation_id
            counts = [list(running.values()).count(installation) for installation in (1, 2, 3)]
            most.append((sum(counts), max(counts)))
            if sum(counts) == 3:
                three.set()
            await asyncio.wait_for(three.wait(), 30)
            await asyncio.sleep(0.01)
            running[claim.job.id] = 0
            await finished(store, claim)

    await asyncio.gather(*(work(store) for store in stores for _ in range(2)))
    assert len(most) == 12
    assert max(at_once for at_once, _ in most) == 3
    assert max(here for _, here in most) <= 2


async def test_the_installation_with_the_fewest_running_jobs_is_next(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=9, running_per_installation=2)
    for n in range(4):
        await deliver(store, a_job(f"busy-{n}", installation=1))
    await deliver(store, a_job("quiet", installation=2))
    claims = [await store.claim("w") for _ in range(4)]
    assert [claim and claim.job.id for claim in claims] == ["job-busy-0", "job-quiet", "job-busy-1", None]


async def test_a_thread_runs_its_jobs_one_at_a_time_and_in_order(store: Store) -> None:
    first, second = a_job("first", issue=5), a_job("second", issue=5)
    await deliver(store, first)
    await deliver(store, second)
    claim = await store.claim("w")
    assert claim is not None
    assert await store.claim("w") is None
    assert await store.claim("w", job_id=second.id) is None
    await store.release(claim)
    again = await store.claim("w")
    assert again is not None
    assert again.job == first
    await finished(store, again)
    last = await store.claim("w")
    assert last is not None
    assert last.job == second
    assert [row.job for row in await store.jobs_on(7, 5)] == [second, first]


async def test_what_needs_only_an_answer_waits_for_no_job(opened: Open, database_url: str) -> None:
    """Red when every command has the priority of work (tried)."""
    store = await opened(database_url, running=1, answering=4)
    await deliver(store, a_job("work", issue=5))
    assert await store.claim("w") is not None
    await deliver(store, a_job("more work", issue=5))
    for name, command in (("cancel", Cancel()), ("status", Status()), ("help", Help())):
        await deliver(store, replace(a_job(name, issue=5), command=command))
    claims = [await store.claim("w") for _ in range(3)]
    assert [claim and claim.job.id for claim in claims] == ["job-cancel", "job-status", None]


async def test_one_installations_commands_leave_room_for_anothers_cancel(opened: Open, database_url: str) -> None:
    """Red when answers are given out by their age alone, and when one installation may have all places (seen)."""
    store = await opened(database_url, answering=4)
    for n in range(4):
        await deliver(store, replace(a_job(f"help-{n}", installation=1), command=Help()))
    assert [claim and claim.job.id for claim in [await store.claim("w") for _ in range(3)]][1:] == ["job-help-1", None]
    for name, installation in (("status", 1), ("cancel", 2)):
        await deliver(store, replace(a_job(name, installation=installation), command=Cancel()))
    assert [claim and claim.job.id for claim in [await store.claim("w") for _ in range(2)]] == ["job-cancel", None]


async def test_what_is_not_built_yet_is_answered_while_a_job_runs(opened: Open, sqlite_url: str) -> None:
    """Red with the priority of work: no word until the running job ends (seen)."""
    store = await opened(sqlite_url, running=1)
    await deliver(store, a_job("work", issue=5))
    assert await store.claim("w") is not None
    for command in (Plan("x"), Retry(), Approve()):
        await deliver(store, replace(a_job(command.kind, issue=5), command=command))
    on_a_pull_request = a_job("pull", issue=6)
    issue = replace(on_a_pull_request.issue, is_pull_request=True)
    await deliver(store, replace(on_a_pull_request, issue=issue))
    claims = [await store.claim("w") for _ in range(4)]
    assert [claim and claim.job.id for claim in claims] == ["job-plan", "job-retry", "job-approve", "job-pull"]


async def test_an_answer_keeps_no_work_from_starting(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=1, running_per_installation=1)
    await deliver(store, replace(a_job("help", issue=5), command=Help()))
    await deliver(store, a_job("work", issue=5))
    claims = [await store.claim("w") for _ in range(2)]
    assert [claim and claim.job.id for claim in claims] == ["job-help", "job-work"]


async def test_a_cancelled_claim_takes_no_job_with_it(store: Store) -> None:
    await deliver(store, a_job("a"))
    for _ in range(5):
        task = asyncio.create_task(store.claim("w"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    claim = await store.claim("w")
    assert claim is not None


# ---------------------------------------------------------------- commit


async def test_entries_events_and_state_become_durable_together(store: Store) -> None:
    claim = await claimed(store, "a")
    entries = [Entry("model", "turn 1", {"text": "Hello"}), Entry("tool", "call", {"ok": True})]
    recorded = await store.commit(claim, entries=entries, events=[Noted("one"), Noted("two")])
    assert [(one.seq, one.event) for one in recorded] == [(2, Noted("one")), (3, Noted("two"))]
    assert await store.commit(claim, entries=[Entry("effect", "pull request", {})]) == ()
    await finished(store, claim)
    assert [entry.key for entry in await store.journal("job-a")] == ["turn 1", "call", "pull request"]
    assert (await store.journal("job-a"))[:2] == tuple(entries)
    assert [one.seq for one in await store.events("job-a")] == [1, 2, 3, 4]
    assert [one.event for one in await store.events("job-a", after=3)] == [DONE]
    row = await store.job("job-a")
    assert row is not None
    assert row.state == "succeeded"
    assert row.finished_at is not None
    with pytest.raises(LeaseLost):
        await store.commit(claim, events=[Noted("afterwards")])
    with pytest.raises(ValueError, match="cannot finish as queued"):
        await store.commit(claim, finish="queued")


async def test_a_worker_that_lost_its_lease_writes_nothing(opened: Open, database_url: str) -> None:
    """Red without the defence: with the fence taken out of `_MINE` the zombie's words are in the log."""
    store = await opened(database_url)
    zombie = await claimed(store, "a")
    await store.commit(zombie, entries=[Entry("model", "1", {})])
    await pass_time(database_url)
    owner = await store.claim("another")
    assert owner is not None
    assert (owner.fence, owner.attempts) == (2, 2)
    with pytest.raises(LeaseLost):
        await store.commit(zombie, entries=[Entry("effect", "2", {})], events=[Noted("boo")], finish="failed")
    with pytest.raises(LeaseLost):
        await store.renew(zombie)
    with pytest.raises(LeaseLost):
        await store.release(zombie)
    await store.commit(owner, events=[Noted("mine")])
    assert [one.event for one in await store.events("job-a", after=1)] == [Noted("mine")]
    assert [entry.key for entry in await store.journal("job-a")] == ["1"]


async def test_each_record_extends_the_lease(opened: Open, sqlite_url: str) -> None:
    """Red when a commit leaves the lease as it is: the job is another's in the middle of its work (seen)."""
    store = await opened(sqlite_url, lease_s=180.0)
    claim = await claimed(store, "a")
    for _ in range(2):
        await pass_time(sqlite_url, 120.0)
        await store.commit(claim, events=[Noted("at work")])
    assert await store.claim("another") is None


async def test_an_end_that_another_tells_by_now_is_not_ticked_off(opened: Open, sqlite_url: str) -> None:
    """R5. Red when `told` asks for no fence: the one who tells it dies, and nobody tells it again (seen)."""
    store = await opened(sqlite_url)
    await store.commit(await claimed(store, "a"), events=[JobFinished(Conclusion.FAILURE, "No.")], finish="failed")
    await pass_time(sqlite_url)
    frozen = await store.untold("frozen")
    await pass_time(sqlite_url)
    assert frozen is not None
    assert await store.untold("another") is not None
    with pytest.raises(LeaseLost):
        await store.told(frozen)
    assert (await store.census()).untold == 1


async def test_a_renewed_lease_is_kept(opened: Open, database_url: str) -> None:
    store = await opened(database_url, lease_s=180.0)
    claim = await claimed(store, "a")
    for _ in range(3):
        await pass_time(database_url, 120.0)
        assert await store.renew(claim) is None
        assert await store.claim("thief") is None


async def test_a_job_that_killed_three_workers_is_closed_with_a_word(opened: Open, database_url: str) -> None:
    store = await opened(database_url)
    await deliver(store, a_job("a"))
    for attempt in (1, 2, 3):
        claim = await store.claim("w")
        assert claim is not None
        assert claim.attempts == attempt
        await pass_time(database_url)
    assert await store.claim("w") is None
    row = await store.job("job-a")
    assert row is not None
    assert row.state == "failed"
    last = (await store.events("job-a"))[-1].event
    assert isinstance(last, JobFinished)
    assert last.conclusion is Conclusion.FAILURE
    assert last.message.startswith("The bot's worker died each time it worked on this (3 times)")


async def test_an_orderly_release_is_no_death(opened: Open, database_url: str) -> None:
    store = await opened(database_url)
    await deliver(store, a_job("a"))
    for _ in range(6):
        claim = await store.claim("w")
        assert claim is not None
        await store.release(claim)


async def test_failed_tries_dead_workers_and_orderly_stops_are_counted_apart(opened: Open, database_url: str) -> None:
    """Red when every claim counts as a try: six of them are here (seen)."""
    store = await opened(database_url)
    claim = await claimed(store, "a")
    for tries in (1, 2):
        await store.release(claim)
        claim = await again(store)
        await pass_time(database_url)  # its worker has died
        claim = await again(store)
        assert claim.retries == tries - 1
        await store.retry(claim, after_s=0.0)
        claim = await again(store)
        assert claim.retries == tries
    assert claim.attempts == 7


async def again(store: Store) -> Claim:
    claim = await store.claim("worker")
    assert claim is not None
    return claim


async def test_a_job_that_was_put_back_rests_unless_somebody_cancels_it(store: Store, database_url: str) -> None:
    """Red when a cancelled job never rests: all its tries are used up at once while GitHub is away (seen)."""
    claim = await claimed(store, "a")
    await store.retry(claim, after_s=60)
    assert await store.claim("w") is None
    await pass_time(database_url)
    await store.retry(await again(store), after_s=60)
    assert await store.claim("w") is None
    await store.request_cancel("job-a", "octocat")
    await store.retry(await again(store), after_s=60)
    await store.request_cancel("job-a", "hubot")
    assert await store.claim("w") is None
    await pass_time(database_url)
    assert (await again(store)).cancel_by == "octocat"


async def test_a_clock_that_is_set_back_keeps_no_dead_workers_job(opened: Open, database_url: str) -> None:
    """Red when a lease may end however late: nobody takes the job for as long as the clock was set back (seen)."""
    store = await opened(database_url)
    await claimed(store, "a")
    await pass_time(database_url, -3_600.0)
    assert (await store.census()).queued == 1
    assert await store.claim("w") is not None
    assert await store.claim("w") is None


# ---------------------------------------------------------------- cancel


async def test_a_clock_that_was_ahead_and_is_set_back_hides_no_job(opened: Open, sqlite_url: str) -> None:
    """Red when a new job is due at its acceptance only, and when a rest may be of any length (seen)."""
    ahead = "UPDATE jobs SET created_at = created_at + {0}, run_at = run_at + {0} WHERE run_at > 0"
    store = await opened(sqlite_url)
    await deliver(store, a_job("a"))
    await run(sqlite_url, ahead.format(3_600))
    first = await store.claim("w")
    assert first is not None
    await store.retry(first, after_s=60.0)
    assert await store.claim("w") is None
    await run(sqlite_url, ahead.format(3 * 3_600))
    assert await store.due() == ("job-a",)
    assert await store.claim("w") is not None


async def test_a_cancel_request_reaches_the_worker_and_the_first_one_counts(store: Store) -> None:
    claim = await claimed(store, "a")
    assert await store.request_cancel("job-a", "hubot") is True
    assert await store.request_cancel("job-a", "octocat") is True
    assert await store.renew(claim) == "hubot"
    await store.commit(claim, events=[DONE], finish="cancelled")
    assert await store.request_cancel("job-a", "octocat") is False


async def test_a_cancel_request_is_heard_by_whoever_holds_the_job(opened: Open, database_url: str) -> None:
    """Red when the hub leaves the wishes out of its look: the time-out strikes (tried)."""
    worker, door = await opened(database_url), await opened(database_url)
    claims = [await claimed(worker, name) for name in ("a", "b")]
    hearing = [asyncio.create_task(worker.cancelled(claim)) for claim in claims]
    await asyncio.sleep(0.1)
    await door.request_cancel("job-b", "alice")
    async with asyncio.timeout(WITHIN_S):
        assert await hearing[1] == "alice"
    assert not hearing[0].done()
    await worker.close()
    assert await hearing[0] is None


async def test_a_cancelled_job_waits_for_nobody(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=1)
    await deliver(store, a_job("first", issue=5))
    await deliver(store, a_job("second", issue=5))
    assert await store.claim("w") is not None
    assert await store.claim("w") is None
    await store.request_cancel("job-second", "octocat")
    claim = await store.claim("w")
    assert claim is not None
    assert (claim.job.id, claim.cancel_by) == ("job-second", "octocat")


# ---------------------------------------------------------------- watch


async def test_a_watcher_sees_what_was_and_what_comes_and_then_the_end(opened: Open, database_url: str) -> None:
    worker, reader = await opened(database_url), await opened(database_url)
    claim = await claimed(worker, "a")
    seen: list[Recorded] = []

    async def watch() -> None:
        async for recorded in reader.watch("job-a"):
            seen.append(recorded)

    watching = asyncio.create_task(watch())
    for n in range(20):
        await worker.commit(claim, events=[Noted(f"{n}")])
        await asyncio.sleep(0.005)
    await finished(worker, claim)
    await asyncio.wait_for(watching, WITHIN_S)
    assert tuple(seen) == await worker.events("job-a")
    assert [recorded.seq for recorded in seen] == list(range(1, 23))


async def test_a_watcher_comes_back_to_its_place(store: Store) -> None:
    claim = await claimed(store, "a")
    await store.commit(claim, events=[Noted("one"), Noted("two")])
    await finished(store, claim)
    assert [recorded.seq async for recorded in store.watch("job-a", 2)] == [3, 4]
    assert [recorded.seq async for recorded in store.watch("job-a", 4)] == []
    assert [recorded.seq async for recorded in store.watch("job-a", -5)] == [1, 2, 3, 4]


async def test_three_hundred_watchers_see_everything_and_slow_ones_too(opened: Open, database_url: str) -> None:
    worker, reader = await opened(database_url), await opened(database_url)
    claim = await claimed(worker, "a")

    all_is_said = asyncio.Event()

    async def watch(*, slow: bool) -> list[int]:
        seen = []
        async for recorded in reader.watch("job-a"):
            seen.append(recorded.seq)
            if slow and recorded.seq == 1:
                await all_is_said.wait()
        return seen

    watching = [asyncio.create_task(watch(slow=n % 10 == 0)) for n in range(300)]
    for start in range(0, 600, 100):
        await worker.commit(claim, events=[Noted(f"{start + n}") for n in range(100)])
    await finished(worker, claim)
    all_is_said.set()
    everything = list(range(1, 603))
    assert all(seen == everything for seen in await asyncio.wait_for(asyncio.gather(*watching), 2 * WITHIN_S))


async def test_watchers_and_idle_workers_are_let_go_when_the_store_closes(opened: Open, database_url: str) -> None:
    store = await opened(database_url)
    await claimed(store, "a")

    seen: list[int] = []

    async def watch() -> None:
        async for recorded in store.watch("job-a"):
            seen.append(recorded.seq)

    watching, waiting = asyncio.create_task(watch()), asyncio.create_task(store.wait_for_work(600))
    await until(lambda: seen == [1])
    await store.close()
    await asyncio.wait_for(asyncio.gather(watching, waiting), WITHIN_S)
    assert seen == [1]
    assert [recorded async for recorded in store.watch("job-a")] == []
    for call in (store.claim("w"), store.job("job-a"), deliver(store, a_job("b"))):
        with pytest.raises(ProviderError, match="the store is closed"):
            await call
    await store.close()


# ---------------------------------------------------------------- waiting for work


async def woken_within(store: Store, timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await store.wait_for_work(timeout_s)
    return loop.time() - began < timeout_s * 0.8


async def sleeps_on(store: Store) -> bool:
    """A look that was under way may still wake it, once."""
    return not (await woken_within(store, 0.2) and await woken_within(store, 0.2))


async def test_an_idle_worker_wakes_for_work_and_for_nothing_else(opened: Open, database_url: str) -> None:
    worker, door = await opened(database_url, running=1), await opened(database_url)
    assert await sleeps_on(worker)
    waiting = asyncio.create_task(woken_within(worker, WITHIN_S))
    await asyncio.sleep(0.1)
    await deliver(door, a_job("a"))
    assert await waiting
    assert await woken_within(worker, WITHIN_S), "work that is there already"
    claim = await worker.claim("w")
    assert claim is not None
    await deliver(door, a_job("b"))
    assert await sleeps_on(worker), "the limit is reached"
    waiting = asyncio.create_task(woken_within(worker, WITHIN_S))
    await asyncio.sleep(0.1)
    await finished(worker, claim)
    assert await waiting, "a place is free"


async def test_an_idle_worker_wakes_when_a_lease_ends(opened: Open, database_url: str) -> None:
    store = await opened(database_url, lease_s=0.2)
    await claimed(store, "a")
    assert await woken_within(store, WITHIN_S)
    assert await store.claim("w") is not None


# ---------------------------------------------------------------- upkeep


async def test_old_rows_go_in_batches_and_live_ones_stay(opened: Open, database_url: str) -> None:
    store = await opened(database_url, running=9, running_per_installation=9)
    for name in ("old", "older"):
        claim = await claimed(store, name)
        await store.commit(claim, entries=[Entry("tool", f"{n}", {}) for n in range(25)], events=[Noted("x")] * 25)
        await finished(store, claim)
    live = await claimed(store, "live")
    await store.commit(live, entries=[Entry("tool", "1", {})], events=[Noted("x")])
    await asyncio.sleep(0.01)

    assert await store.prune() == 0
    assert await store.prune(Retention(journal_days=0, batch=10)) == 50
    assert await store.journal("job-old") == ()
    assert len(await store.events("job-old")) == 27
    gone = await store.prune(Retention(journal_days=0, job_days=0, delivery_days=0, batch=10))
    assert gone == 2 * 27 + 2 + 3
    assert await store.job("job-old") is None
    assert len(await store.events("job-live")) == 2
    assert len(await store.journal("job-live")) == 1
    await finished(store, live)


async def test_a_delivery_replayed_when_its_job_is_long_deleted_makes_none_again(store: Store) -> None:
    """Red when past_requests is not asked: seen."""
    await finished(store, await claimed(store, "a"))
    await store.prune(Retention(journal_days=0, job_days=0, delivery_days=0))
    assert await store.job("job-a") is None
    accepted = await deliver(store, replace(a_job("a"), id="job-again"), guid="guid-new")
    assert accepted == Accepted(None, False, "It was carried out long ago.")


async def test_contents_are_kept_once_beside_the_journal_and_only_while_the_job_lives(store: Store) -> None:
    claim = await claimed(store, "a")
    other = await claimed(store, "b")
    await store.commit(claim, entries=[Entry("tool", "1", {"n": 1}, {"f" * 64: b"\0one\xff"})])
    await store.commit(claim, entries=[Entry("tool", "2", {"n": 2}, {"f" * 64: b"\0one\xff", "e" * 64: b""})])
    assert [entry.contents for entry in await store.journal("job-a")] == [{}, {}]
    assert await store.content("job-a", "f" * 64) == b"\0one\xff"
    assert await store.content("job-a", "e" * 64) == b""
    assert await store.content("job-b", "f" * 64) is None
    assert await store.prune() == 0
    await finished(store, claim)
    assert await store.prune() == 2
    assert await store.content("job-a", "f" * 64) is None
    with pytest.raises(LeaseLost):
        await store.commit(replace(other, fence=7), entries=[Entry("tool", "1", {}, {"d" * 64: b"x"})])
    assert await store.content("job-b", "d" * 64) is None
