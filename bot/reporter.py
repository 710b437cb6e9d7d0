"""Keeps the tracking comment and the check run of one job as the event log says, at a pace GitHub bears."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import structlog

from bot.domain.errors import LeaseLost, NotFound, ProviderError, Suspended
from bot.domain.events import BranchMoved, JobFinished, Recorded, Steered
from bot.domain.job import Job
from bot.ports import CheckRun, GitHub
from bot.report.check_run import check_run, superseded
from bot.report.leaks import LeakFound, Leaks
from bot.report.links import Links
from bot.report.pace import seconds_until_due
from bot.report.tracking import marker, tracking_comment

FINAL_ATTEMPTS = 6
FIRST_WAIT_S = 1.0  # doubled with each attempt; a longer `retry-after` is kept to
LONGEST_WAIT_S = 120.0

_log = structlog.get_logger(__name__)


class Reporter:
    """`async with Reporter(...) as reporter`, and `reporter.notice` as the recorder's `on_recorded`.

    A failure to report is logged and tried again with the next update; it never reaches the job. `close` (also the
    end of the block) sends the last state, tried `final_attempts` times; once where a provider's failure ends it: the
    job comes back then. After LeaseLost or a cancellation the block sends nothing more: the job has another owner then.
    """

    def __init__(
        self,
        job: Job,
        *,
        github: GitHub,
        links: Links,
        leaks: Leaks,
        final_attempts: int = FINAL_ATTEMPTS,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._job = job
        self._links = links
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._final_attempts = final_attempts
        self._github = github
        self._comment = _Comment(job, leaks=leaks)
        self._check = _Check(job, links=links, leaks=leaks)
        self._events: list[Recorded] = []
        self._changed = asyncio.Event()
        self._awaited = asyncio.Event()  # somebody spoke to the agent and looks whether it arrived
        self._closing = asyncio.Event()
        self._sent_at: float | None = None
        self._not_before = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._told = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_up())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LeaseLost | asyncio.CancelledError):
            await self.abandon()
        elif isinstance(error, ProviderError):
            await self._rest()
        else:
            await self.close()

    def notice(self, recorded: Sequence[Recorded]) -> None:
        """Takes over new events; returns at once."""
        self._events.extend(recorded)
        if any(isinstance(one.event, Steered) for one in recorded):
            self._awaited.set()
        self._changed.set()

    async def close(self) -> bool:
        """Sends the last state and ends; False when GitHub shows it not yet. May be called twice."""
        task, self._task = self._task, None
        if task is None:
            return self._told
        self._closing.set()
        self._changed.set()
        await task
        self._not_before = float("-inf")  # that was for progress; the last state waits for its own turn
        for attempt in range(self._final_attempts):
            wait = self._not_before - self._monotonic()
            if wait > 0:
                await self._sleep(min(wait, LONGEST_WAIT_S))
            failure = await self._update(self._github)
            # A refusal is tried once more, as what somebody deleted is made again; then it is gone for good.
            if failure is None or (not failure.retryable and attempt > 0):
                self._told = not isinstance(failure, Suspended)
                break
            if attempt + 1 < self._final_attempts:
                await self._sleep(FIRST_WAIT_S * 2**attempt)
        else:
            _log.error("the last state could not be reported", job=self._job.id)
        return self._told

    async def _rest(self) -> None:
        """One try that waits for no limit: the next attempt says it where this one cannot."""
        if self._task is not None:
            self._closing.set()
            self._changed.set()
            await self._task
            self._task = None
            await self._update(self._github.progress())

    async def abandon(self) -> None:
        """Sends nothing more, and ends."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_up(self) -> None:
        began = self._monotonic()
        while not self._closing.is_set():
            await self._changed.wait()
            self._changed.clear()
            now = self._monotonic()
            since = float("inf") if self._sent_at is None else now - self._sent_at
            wait_s = seconds_until_due(seconds_since_last=since, age_s=now - began, finished=self._is_finished())
            await self._pause(wait_s, self._closing, self._awaited)
            await self._pause(self._not_before - self._monotonic(), self._closing)
            if not self._closing.is_set() and await self._update(self._github.progress()) is not None:
                self._changed.set()

    def _is_finished(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1].event, JobFinished)

    async def _pause(self, seconds: float, *ends: asyncio.Event) -> None:
        """Sleeps, but no longer than until one of these is set."""
        if seconds <= 0:
            return
        waits = [asyncio.ensure_future(self._sleep(seconds)), *(asyncio.create_task(end.wait()) for end in ends)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _update(self, github: GitHub) -> ProviderError | None:
        """Check first, as the comment links to it. Answers a failure, rather one that a later try may cure."""
        events = tuple(self._events)
        if not events:
            return None
        self._sent_at = self._monotonic()
        self._awaited.clear()
        of_check = await self._attempt("check run", self._check.show(events, now=self._now(), github=github))
        links = replace(self._links, check=self._check.url)
        body = tracking_comment(self._job, events, now=self._now(), links=links)
        of_comment = await self._attempt("comment", self._comment.show(body, github=github))
        failures = [failure for failure in (of_comment, of_check) if failure is not None]
        return max(failures, key=lambda failure: failure.retryable, default=None)

    async def _attempt(self, what: str, action: Awaitable[None]) -> ProviderError | None:
        try:
            await action
        except ProviderError as error:
            _log.warning("report failed", job=self._job.id, what=what, provider=error.provider, status=error.status)
            self._not_before = max(self._not_before, self._monotonic() + (error.retry_after_s or 0.0))
            return error
        except LeakFound:
            _log.error("report withheld: it holds a secret", job=self._job.id, what=what)
        return None


class _Comment:
    """The one tracking comment, found by its marker or made, edited when its text changes."""

    def __init__(self, job: Job, *, leaks: Leaks) -> None:
        self._job = job
        self._leaks = leaks
        self._id: int | None = None
        self._shown = ""

    async def show(self, body: str, *, github: GitHub) -> None:
        if body == self._shown:
            return
        self._leaks.check(body, "the tracking comment")
        if self._id is None:
            found = await github.find_comment(self._job.issue.number, marker(self._job.id))
            if found is None:
                self._id = (await github.create_comment(self._job.issue.number, body)).id
                self._shown = body
                return
            self._id = found.id
        try:
            await github.update_comment(self._id, body)
        except NotFound:
            self._id = None  # somebody deleted it: the next update makes another
            raise
        self._shown = body


class _Check:
    """The check run on the branch's newest head; earlier heads' runs are closed as superseded."""

    def __init__(self, job: Job, *, links: Links, leaks: Leaks) -> None:
        self._job = job
        self._links = links
        self._leaks = leaks
        self._head = ""
        self._id: int | None = None
        self._shown: CheckRun | None = None
        self._closed: set[str] = set()

    @property
    def url(self) -> str | None:
        return None if self._id is None else f"{self._links.repository}/runs/{self._id}"

    async def show(self, events: Sequence[Recorded], *, now: float, github: GitHub) -> None:
        heads = list(dict.fromkeys(r.event.head_sha for r in events if isinstance(r.event, BranchMoved)))
        if not heads:
            return
        check = check_run(events, now=now)
        self._leaks.check(f"{check.title}\n{check.summary}\n{check.text}", "the check run")
        if heads[-1] != self._head:
            await self._move(heads[-1], check, github)
        elif check != self._shown and self._id is not None:
            await github.update_check_run(self._id, check)
        self._shown = check
        for head in heads[:-1]:
            await self._supersede(head, github)

    async def _move(self, head: str, check: CheckRun, github: GitHub) -> None:
        found = await github.find_check_run(head, self._job.id)
        if found is None:
            found = await github.create_check_run(head, check, external_id=self._job.id, details_url=self._links.page)
        else:
            await github.update_check_run(found, check)
        self._head, self._id = head, found

    async def _supersede(self, head: str, github: GitHub) -> None:
        if head in self._closed:
            return
        found = await github.find_check_run(head, self._job.id)
        if found is not None:
            await github.update_check_run(found, superseded())
        self._closed.add(head)
