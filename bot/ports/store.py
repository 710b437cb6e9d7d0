"""The durable store of jobs, and a claimed job's own journal."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bot.domain.conversation import Json
from bot.domain.events import JobEvent, Recorded
from bot.domain.job import Job
from bot.ports.notices import Notice, Standing


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a job's journal, by which a later attempt goes on where this one stopped.

    `contents` are bytes to be kept beside it, by their SHA-256; a journal that is read back names them in `data` only.
    """

    kind: Literal["model", "tool", "effect"]
    key: str
    data: Json
    contents: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """`job_id` is None for a delivery that makes no job; `is_new` False when the job existed already.

    `reason` says why a job that was asked for is not made.
    """

    job_id: str | None
    is_new: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease ends (`lease_s` after the last renewal or commit, by the store's
    clock); `fence` proves it at every commit.

    `attempts` counts every claim, whatever ended the one before; `retries` those that a provider's failure ended.
    """

    job: Job
    fence: int
    attempts: int
    cancel_by: str | None
    lease_s: float = 30.0
    retries: int = 0


class Lease(Protocol):
    """A claim that is kept alive beside the work."""

    @property
    def claim(self) -> Claim: ...

    @property
    def cancelled_by(self) -> str | None:
        """Who asked for the job's end, as far as is known here. None, and the task cancelled: the process goes down."""
        ...

    async def hold(self) -> None:
        """Before each effect outside the store, which has no fence. Raises LeaseLost when the job may be another's."""
        ...


JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    job: Job
    state: JobState
    attempts: int
    created_at: float
    finished_at: float | None
    cancel_by: str | None


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What came in on the thread of a running job. `requests` wait behind it, oldest first; `deleted` and `edited` are
    keys of requests whose comment is not what it was."""

    requests: tuple[Job, ...] = ()
    deleted: frozenset[str] = frozenset()
    edited: frozenset[str] = frozenset()


class Queue(Protocol):
    """Who works on what. `renew`, `release` and `retry` raise LeaseLost when the fence is stale."""

    async def claim(self, owner: str, *, job_id: str | None = None) -> Claim | None:
        """The next job that may run. A call that is cancelled gives back what it took."""
        ...

    async def renew(self, claim: Claim) -> str | None:
        """Extends the lease; answers who asked to cancel, if anybody."""
        ...

    async def release(self, claim: Claim) -> None:
        """Back to the queue, as if it had not been claimed: the worker stops, and the job did nothing wrong."""
        ...

    async def cancelled(self, claim: Claim) -> str | None:
        """Returns who asked to cancel, as soon as somebody does; None when the store closes first. One waiter a job."""
        ...

    async def wait_for_work(self, timeout_s: float) -> None:
        """Returns when a job may be claimable, at the latest after `timeout_s`."""
        ...


class EventLog(Protocol):
    """Jobs and what happened to them, for those who only look."""

    async def job(self, job_id: str) -> JobRow | None:
        """None also for a job that another version of the bot wrote and this one cannot read; lists leave it out."""
        ...

    async def events(self, job_id: str, after: int = 0) -> tuple[Recorded, ...]: ...
    def watch(self, job_id: str, after: int = 0) -> AsyncIterator[Recorded]:
        """Events as they are committed, by any process; ends after the terminal one."""
        ...


class JobStore(Queue, Standing, EventLog, Protocol):
    """Durable before it returns. `commit` raises LeaseLost when the fence is stale."""

    async def accept(self, *, guid: str, event: str, action: str, job: Job | None) -> Accepted: ...
    async def heed(self, *, guid: str, event: str, action: str, notice: Notice) -> tuple[str, ...]:
        """Keeps the delivery and does what it says, once; answers the jobs it cancels."""
        ...

    async def retry(self, claim: Claim, *, after_s: float) -> None:
        """Back to the queue after a provider's failure, which is counted; claimable in `after_s` seconds."""
        ...

    async def commit(
        self,
        claim: Claim,
        *,
        entries: Sequence[Entry] = (),
        events: Sequence[JobEvent] = (),
        finish: JobState | None = None,
        reported: bool = False,
    ) -> tuple[Recorded, ...]:
        """`reported`: GitHub shows this end; else `Upkeep` has it."""
        ...

    async def meanwhile(self, claim: Claim, *, known: Sequence[str]) -> Meanwhile:
        """`known`: keys of the requests whose comments the job has read."""
        ...

    async def pass_on(
        self, claim: Claim, job_id: str, *, end: JobEvent, entries: Sequence[Entry], events: Sequence[JobEvent]
    ) -> tuple[Recorded, ...] | None:
        """A waiting job ends with `end`, and in the same commit the claimed one gets entries and events.

        None, and nothing is written, when that job waits no more.
        """
        ...

    async def request_cancel(self, job_id: str, by: str) -> bool:
        """False when the job is finished or unknown."""
        ...

    async def jobs_on(self, repo_id: int, issue: int) -> tuple[JobRow, ...]:
        """Jobs of one thread, newest first: all that are unfinished or were worked on, and some that were not."""
        ...

    async def seconds_since_entry(self, repo_id: int, issue: int, key: str) -> float | None:
        """Since a job of this thread last wrote an entry of that key; None when none did."""
        ...

    async def journal(self, job_id: str) -> tuple[Entry, ...]: ...
    async def content(self, job_id: str, sha256: str) -> bytes | None:
        """What an entry of the job's journal kept beside it; None when it is not there (any more)."""
        ...

    async def prove(self) -> None:
        """Raises ProviderError when nothing can be made durable now; a proof holds for a second."""
        ...

    async def close(self) -> None: ...


class Journal(Protocol):
    """A claimed job's own log, as the story and the agent see it."""

    def entries(self) -> tuple[Entry, ...]:
        """What earlier attempts and this one have written."""
        ...

    async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
        """Entries and events become durable together, before this returns; `before` in their order, and then `entry`.

        Raises LeaseLost.
        """
        ...

    async def content(self, sha256: str) -> bytes | None:
        """What an entry of this or an earlier attempt kept beside the journal."""
        ...
