"""The recorder on the real store: durable before it returns, fenced, and closed to secrets."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot.domain.errors import AmbiguousWrite, LeaseLost, ProviderError
from bot.domain.events import Conclusion, JobFinished, Noted, Recorded, Steered, ToolReturned
from bot.ports import Claim, Entry, JobStore
from bot.recorder import Recorder
from bot.report.leaks import LeakFound, Leaks
from bot.stores import open_store
from tests.report.samples import job

pytestmark = pytest.mark.anyio
SECRET = "sk-ant-REDACTED"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    opened = await open_store(f"sqlite:///{tmp_path}/backspace.db")
    yield opened
    await opened.close()


async def claimed(store: JobStore) -> Claim:
    await store.accept(guid="g1", event="issue_comment", action="created", job=job())
    claim = await store.claim("worker")
    assert claim is not None
    return claim


async def test_events_and_entries_are_durable_and_told(store: JobStore) -> None:
    told: list[Recorded] = []
    claim = await claimed(store)
    recorder = await Recorder.open(store, claim, leaks=Leaks([SECRET]), on_recorded=told.extend)
    entry = Entry("tool", "c1", {"output": "x"})
    await recorder.record(Noted("one"), Noted("two"), entry=entry)
    kinds = [recorded.event.kind for recorded in told]
    assert kinds == ["job_queued", "noted", "noted"]
    assert await store.events("k7f3") == tuple(told) == recorder.events()
    assert recorder.entries() == (entry,)


async def test_a_later_attempt_starts_with_what_earlier_ones_wrote(store: JobStore) -> None:
    claim = await claimed(store)
    first = await Recorder.open(store, claim, leaks=Leaks([]), on_recorded=lambda _: None)
    await first.record(Noted("one"), entry=Entry("model", "1", {"n": 1}))
    told: list[Sequence[Recorded]] = []
    second = await Recorder.open(store, claim, leaks=Leaks([]), on_recorded=told.append)
    assert second.entries() == first.entries()
    assert told == [first.events()]


@pytest.mark.parametrize(
    ("event", "entry"),
    [
        pytest.param(ToolReturned("c", "bash", True, f"key={SECRET}", 0.1), None, id="event"),
        pytest.param(Noted("harmless"), Entry("tool", "c", {"out": [{"text": f"a {SECRET}"}]}), id="entry"),
        pytest.param(Noted("harmless"), Entry("tool", SECRET, {}), id="key-of-an-entry"),
        pytest.param(Noted(SECRET[::-1]), None, id="reversed"),
    ],
)
async def test_a_secret_is_never_recorded(store: JobStore, event: Noted | ToolReturned, entry: Entry | None) -> None:
    """S3; red when `_commit` checks nothing (tried)."""
    claim = await claimed(store)
    recorder = await Recorder.open(store, claim, leaks=Leaks([SECRET]), on_recorded=lambda _: None)
    with pytest.raises(LeakFound) as refused:
        await recorder.record(event, entry=entry)
    assert SECRET not in str(refused.value)
    assert [recorded.event.kind for recorded in await store.events("k7f3")] == ["job_queued"]
    assert await store.journal("k7f3") == ()


async def test_after_the_lease_is_lost_nothing_is_written(store: JobStore) -> None:
    claim = await claimed(store)
    told: list[Recorded] = []
    recorder = await Recorder.open(store, claim, leaks=Leaks([]), on_recorded=told.extend)
    await store.release(claim)
    with pytest.raises(LeaseLost):
        await recorder.record(Noted("too late"))
    assert [recorded.event.kind for recorded in told] == ["job_queued"]


class Lossy:
    """The real store; the answer to the next `lost` writes is lost, and then `away` reads fail."""

    def __init__(self, store: JobStore, *, lost: int = 1, away: int = 0) -> None:
        self._store, self._lost, self._away = store, lost, away

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def journal(self, job_id: str) -> tuple[Entry, ...]:
        if self._lost == 0 and self._away:
            self._away -= 1
            raise ProviderError("store", "no answer", retryable=True)
        return await self._store.journal(job_id)

    async def commit(self, *args: Any, **kwargs: Any) -> Any:
        return self._unless_lost(await self._store.commit(*args, **kwargs))

    async def pass_on(self, *args: Any, **kwargs: Any) -> Any:
        return self._unless_lost(await self._store.pass_on(*args, **kwargs))

    def _unless_lost(self, answer: Any) -> Any:
        if self._lost:
            self._lost -= 1
            raise AmbiguousWrite("store", "no answer", retryable=True)
        return answer


STEERED, ENTRY = Steered("bob", "bob said: make it blue"), Entry("effect", "steering 9", {"text": "make it blue"})


async def test_a_write_whose_answer_was_lost_is_read_again_and_told_once(store: JobStore) -> None:
    """R4. Red when what stands in the store is not read: the words that were passed on are never read (seen)."""
    told: list[Recorded] = []
    claim, waiting = await claimed(store), replace(job(), id="m2x9", key="another")
    await store.accept(guid="g2", event="issue_comment", action="created", job=waiting)
    for lossy in (Lossy(store), Lossy(store, away=1)):
        recorder = await Recorder.open(cast(JobStore, lossy), claim, leaks=Leaks([]), on_recorded=told.extend)
        told.clear()
        try:
            await recorder.record(Noted("one"), entry=Entry("tool", "c", {}))
        except ProviderError:
            await recorder.record(Noted("two"))
        assert recorder.entries() == await store.journal("k7f3")
        assert tuple(told) == recorder.events()[-len(told) :] == (await store.events("k7f3"))[-len(told) :]
    recorder = await Recorder.open(cast(JobStore, Lossy(store)), claim, leaks=Leaks([]), on_recorded=lambda _: None)
    end = JobFinished(Conclusion.NEUTRAL, "**Passed on** to run k7f3.")
    assert await recorder.pass_on(waiting, STEERED, end=end, entry=ENTRY, unless=lambda _: False)
    assert recorder.entries()[-1] == ENTRY
    assert not await recorder.pass_on(waiting, STEERED, end=end, entry=ENTRY, unless=lambda _: False), "only once"


async def test_a_write_that_was_lost_altogether_is_said_to_be(store: JobStore) -> None:
    claim = await claimed(store)

    class Deaf(Lossy):
        async def commit(self, *args: Any, **kwargs: Any) -> Any:
            return self._unless_lost(())

    recorder = await Recorder.open(cast(JobStore, Deaf(store)), claim, leaks=Leaks([]), on_recorded=lambda _: None)
    with pytest.raises(AmbiguousWrite):
        await recorder.record(Noted("one"))
    assert [recorded.event.kind for recorded in recorder.events()] == ["job_queued"]
