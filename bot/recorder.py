"""A claimed job's log: nothing counts as having happened before it stands in the store, and no secret stands there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace

from bot.domain.conversation import texts_in
from bot.domain.errors import AmbiguousWrite
from bot.domain.events import JobEvent, JobFinished, Recorded
from bot.domain.job import Job
from bot.ports import Claim, Entry, JobStore
from bot.report.leaks import Leaks

WHERE = {"model": "what the model wrote", "tool": "what a tool showed", "effect": "the job's records"}

OnRecorded = Callable[[Sequence[Recorded]], None]


class Recorder:
    """`ports.Journal` over the store's fenced commit, for one attempt at a job."""

    def __init__(
        self,
        store: JobStore,
        claim: Claim,
        *,
        leaks: Leaks,
        on_recorded: OnRecorded,
        entries: Sequence[Entry],
    ) -> None:
        self._store = store
        self._claim = claim
        self._leaks = leaks
        self._on_recorded = on_recorded
        self._entries = list(entries)
        self._events: list[Recorded] = []
        self._one_at_a_time = asyncio.Lock()
        self._in_doubt = False  # a write's answer was lost, and the store has not been read since

    @classmethod
    async def open(cls, store: JobStore, claim: Claim, *, leaks: Leaks, on_recorded: OnRecorded) -> "Recorder":
        """Loads what earlier attempts wrote; `on_recorded` is told the events so far, then each commit's."""
        job_id = claim.job.id
        entries, events = await store.journal(job_id), await store.events(job_id)
        recorder = cls(store, claim, leaks=leaks, on_recorded=on_recorded, entries=entries)
        recorder._tell(events)
        return recorder

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    def events(self) -> tuple[Recorded, ...]:
        return tuple(self._events)

    async def content(self, sha256: str) -> bytes | None:
        return await self._store.content(self._claim.job.id, sha256)

    async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
        """Entries and events become durable together.

        Raises LeakFound before anything is written, LeaseLost, ProviderError, AmbiguousWrite when nothing shows of it.
        """
        entries = (*before, *(() if entry is None else (entry,)))
        self._check(events, entries)
        async with self._one_at_a_time:
            await self._read_what_was_missed()
            await self._written(self._store.commit(self._claim, entries=entries, events=events), entries)

    async def pass_on(
        self, waiting: Job, *events: JobEvent, end: JobFinished, entry: Entry, unless: Callable[[Sequence[Entry]], bool]
    ) -> bool:
        """What a waiting job asks for becomes an entry of this one, and that job ends with `end`, in one commit.

        False, and nothing changes, when it waits no more, or `unless` says so of the entries so far.
        Raises LeakFound before anything is written, LeaseLost, ProviderError.
        """
        self._check(events, (entry,))
        async with self._one_at_a_time:
            await self._read_what_was_missed()
            if unless(self._entries):
                return False
            passing = self._store.pass_on(self._claim, waiting.id, end=end, entries=(entry,), events=events)
            return await self._written(passing, (entry,))

    def _check(self, events: Sequence[JobEvent], entries: Sequence[Entry]) -> None:
        for event in events:
            self._leaks.check("\n".join(texts_in(asdict(event))), "what was to be reported")
        for entry in entries:
            self._leaks.check("\n".join((entry.key, *texts_in(entry.data))), WHERE[entry.kind])
            for content in entry.contents.values():
                self._leaks.check(content, "a file of the work tree")

    async def _written(self, write: Awaitable[tuple[Recorded, ...] | None], entries: Sequence[Entry]) -> bool:
        """False: the store has refused it. Where its answer was lost, what stands there counts."""
        try:
            recorded = await write
        except AmbiguousWrite:
            self._in_doubt = True
            if not await self._read_what_was_missed():
                raise
            return True
        if recorded is None:
            return False
        self._entries.extend(replace(entry, contents={}) for entry in entries)
        self._tell(recorded)
        return True

    async def _read_what_was_missed(self) -> bool:
        """Whether there was something, after a write whose answer was lost: this claim alone writes here."""
        if not self._in_doubt:
            return False
        job_id, known = self._claim.job.id, len(self._entries)
        self._entries = list(await self._store.journal(job_id))
        events = await self._store.events(job_id, self._events[-1].seq if self._events else 0)
        self._in_doubt = False
        self._tell(events)
        return bool(events) or len(self._entries) > known

    def _tell(self, recorded: Sequence[Recorded]) -> None:
        self._events.extend(recorded)
        if recorded:
            self._on_recorded(recorded)
