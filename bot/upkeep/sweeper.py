"""Finds what did not arrive: failed deliveries are asked for again, unanswered commands are read from the threads."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from math import inf

import structlog

from bot.domain.errors import NotFound, ProviderError, Suspended, UserError
from bot.domain.job import Issue, Job, Repo
from bot.intake.notices import ACTIONS
from bot.intake.triggers import Trigger, job_of
from bot.ports import (
    AccessChanged,
    AppHooks,
    DeliveryAttempt,
    Installation,
    JobStore,
    RecentComment,
    RepositoryFacts,
    Survey,
)
from bot.stopping import until
from bot.upkeep.found import mention, unanswered
from bot.vitals import Vitals

SECONDS_BEFORE_THE_FIRST = 3.0  # the door beside may still be opening
SECONDS_BETWEEN_SWEEPS = 600.0
SECONDS_A_REPOSITORY = 36.0  # between surveys, each of which asks one request of every repository: 100 an hour in all
LONGEST_BETWEEN_SURVEYS_S = 3600.0
KEPT_S = 3 * 86_400.0  # GitHub redelivers nothing older
OLDEST_COMMAND_S = 7 * 86_400.0  # a request nobody answered for longer is not started out of the blue
MARGIN_S = 600.0  # for clocks that differ, and lists that lag
MOST_A_SWEEP = 1_000
FIRST_WAIT_S = 600.0  # before a delivery that failed again is asked for once more; doubled each time
LONGEST_WAIT_S = 6 * 3600.0
GUIDS_A_LOOK = 500
SHUT = (403, 404, 410, 451)  # one repository is blocked, gone or taken down, which says nothing of the others

GONE = "deliveries are gone: GitHub keeps those of three days; commands in comments are looked for in the threads"
UNREAD = "commands are not looked for: nobody is answered who asked more than a week ago"
SWEEPS, SURVEYS = "sweep", "survey"  # their names among the vitals
SWEPT = "swept"  # mark: everything that was delivered before is settled
SURVEYED = "surveyed:{installation}"  # mark: every command that was written before is known

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to ask for again, oldest first; and the first instant of what has not arrived yet, or now."""

    redeliver: tuple[DeliveryAttempt, ...]
    settled_until: float


def matters(attempt: DeliveryAttempt) -> bool:
    return attempt.action in ACTIONS.get(attempt.event, ())


def verdict(
    attempts: Iterable[DeliveryAttempt], *, stored: Collection[str], now: float, most: int = MOST_A_SWEEP
) -> Verdict:
    """`stored`: ids of deliveries that arrived, whatever GitHub heard of it. Attempts of one id belong together: they
    are as old as the first of all; where the list shows that one no more, they are too old.
    """
    by_guid: dict[str, list[DeliveryAttempt]] = {}
    for attempt in attempts:
        if matters(attempt) and attempt.guid not in stored:
            by_guid.setdefault(attempt.guid, []).append(attempt)
    missed = [
        sorted(group, key=lambda attempt: attempt.delivered_at)
        for group in by_guid.values()
        if not any(attempt.succeeded for attempt in group)
    ]
    young = sorted(
        (group for group in missed if not group[0].redelivery and now - group[0].delivered_at < KEPT_S),
        key=lambda group: group[0].delivered_at,
    )
    due = [group[-1] for group in young if now - group[-1].delivered_at >= _wait(len(group))][:most]
    return Verdict(tuple(due), min((group[0].delivered_at for group in young), default=now))


def survey_rest_s(repositories: int) -> float:
    """How long before an installation with so many repositories is looked through again: at the next sweep, if few."""
    return min(repositories * SECONDS_A_REPOSITORY, LONGEST_BETWEEN_SURVEYS_S)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _wait(attempts: int) -> float:
    """Seconds since the last attempt before the next: none after the first, then longer and longer."""
    if attempts <= 1:
        return 0.0
    return min(FIRST_WAIT_S * 2.0 ** min(attempts - 2, 16), LONGEST_WAIT_S)


class Sweeper:
    """Beside every worker. Two may sweep at once: what is delivered twice is one job."""

    def __init__(
        self,
        *,
        app: AppHooks,
        store: JobStore,
        new_id: Callable[[], str],
        new_watch_key: Callable[[], str],
        first_after_s: float = SECONDS_BEFORE_THE_FIRST,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        vitals: Vitals | None = None,
    ) -> None:
        self._app = app
        self._vitals = vitals or Vitals()
        for part in (SWEEPS, SURVEYS):
            self._vitals.expect(part, within_s=inf)
        self._first_after_s = first_after_s
        self._store = store
        self._new_id = new_id
        self._new_watch_key = new_watch_key
        self._now = now
        self._monotonic = monotonic
        self._surveys_again_at: dict[int, float] = {}  # by installation

    async def run(self, stop: asyncio.Event) -> None:
        """At start and then every ten minutes, until `stop` is set; what is large is surveyed once an hour."""
        await until(stop, self._keep_sweeping())

    async def _keep_sweeping(self) -> None:
        """The list of deliveries does not wait for a survey, which of a large installation takes long."""
        await asyncio.sleep(self._first_after_s)
        async with asyncio.TaskGroup() as looks:
            looks.create_task(self._again_and_again(self.sweep, SWEEPS))
            looks.create_task(self._again_and_again(lambda: self.survey(only_due=True), SURVEYS))

    async def _again_and_again(self, look: Callable[[], Awaitable[int]], part: str) -> None:
        while True:
            try:
                await look()
                self._vitals.worked(part)
            except (ProviderError, UserError) as error:
                log.warning(f"{part} not finished", error=str(error))
            await asyncio.sleep(SECONDS_BETWEEN_SWEEPS)

    async def sweep(self) -> int:
        """Asks for what did not arrive; answers how much that was. Raises ProviderError: the next sweep goes on."""
        now = self._now()
        since = self._since(await self._store.mark(SWEPT), now=now, oldest=now - KEPT_S, words=GONE)
        attempts = [attempt async for attempt in self._app.deliveries(since=since) if matters(attempt)]
        found = verdict(attempts, stored=await self._stored(attempts), now=now)
        for attempt in found.redeliver:
            await self._redeliver(attempt)
        await self._store.set_mark(SWEPT, found.settled_until)
        if found.redeliver:
            log.info("deliveries asked for again", count=len(found.redeliver))
        return len(found.redeliver)

    def _since(self, mark: float | None, *, now: float, oldest: float, words: str) -> float:
        """What a clock that was ahead has marked is not known to be settled. What is too old is logged."""
        if mark is not None and mark < oldest:
            log.warning(words, after=_iso(mark), before=_iso(oldest))
            self._vitals.gaps += 1
        return oldest if mark is None or mark > now else max(mark - MARGIN_S, oldest)

    async def _stored(self, attempts: Iterable[DeliveryAttempt]) -> frozenset[str]:
        failed = iter({attempt.guid for attempt in attempts if not attempt.succeeded})
        known: frozenset[str] = frozenset()
        while batch := list(islice(failed, GUIDS_A_LOOK)):
            known |= await self._store.stored(batch)
        return known

    async def _redeliver(self, attempt: DeliveryAttempt) -> None:
        try:
            await self._app.redeliver(attempt.id)
        except ProviderError as error:
            if error.retryable:
                raise
            log.warning("not delivered again", delivery=attempt.guid, github_event=attempt.event, error=str(error))

    # ------------------------------------------------------------ commands that no delivery told of

    async def survey(self, *, only_due: bool = False) -> int:
        """Looks through every installation; answers how many jobs that made. One that fails is looked at next time.

        `only_due`: leaves out those that were looked at lately, for how large they are.
        """
        made = 0
        async for installation in self._app.installations():
            await self._note_state(installation)
            if installation.suspended:
                await self._remember(SURVEYED.format(installation=installation.id))
                continue
            if only_due and self._monotonic() < self._surveys_again_at.get(installation.id, 0.0):
                continue
            try:
                made += await self._survey(installation.id)
            except ProviderError as error:
                log.warning("installation not surveyed", installation=installation.id, error=str(error))
        return made

    async def _remember(self, mark: str) -> None:
        """From when on the threads are to be read when the suspension is lifted, however long it lasts."""
        last = await self._store.mark(mark)
        await self._store.set_mark(mark, self._now() if last is None else last)

    async def _note_state(self, installation: Installation) -> None:
        """GitHub's list is right where a delivery about a suspension was lost."""
        believed = await self._store.shut_out(installation.id, 0)
        if installation.suspended != bool(believed):
            await self._set_access(installation.id, (), suspended=installation.suspended)

    async def _set_access(self, installation_id: int, repo_ids: tuple[int, ...], *, suspended: bool) -> None:
        await self._store.set_access(
            AccessChanged(
                installation_id=installation_id,
                repo_ids=repo_ids,
                state="suspended" if suspended else "active",
                at=self._now(),
                by="(the App was suspended)",
            )
        )

    async def _survey(self, installation_id: int) -> int:
        mark, began, made, asked = SURVEYED.format(installation=installation_id), self._now(), 0, 0
        rests_from = self._monotonic()
        last = await self._store.mark(mark)
        if last is not None:  # at the first meeting nothing is old: what was written to another bot is not for us
            since = self._since(last, now=began, oldest=began - OLDEST_COMMAND_S, words=UNREAD)
            async with self._app.survey(installation_id) as survey:
                async for facts in survey.repositories():
                    asked += 1
                    try:
                        made += await self._survey_repository(installation_id, survey, facts, since)
                    except ProviderError as error:
                        if error.status not in SHUT or isinstance(error, Suspended):
                            raise
                        log.warning("repository not surveyed", repo=facts.repo.full_name, error=str(error))
        await self._store.set_mark(mark, began)
        self._surveys_again_at[installation_id] = rests_from + survey_rest_s(asked)
        return made

    async def _survey_repository(
        self, installation_id: int, survey: Survey, facts: RepositoryFacts, since: float
    ) -> int:
        if await self._store.shut_out(installation_id, facts.repo.id):
            await self._set_access(installation_id, (facts.repo.id,), suspended=False)
        if facts.archived:
            return 0
        made = 0
        async for comment in survey.recent_comments(facts.repo, since=since):
            command = unanswered(comment, since=since)
            if command is None or await self._is_known(facts.repo, comment):
                continue
            with suppress(NotFound):  # its issue was deleted meanwhile
                issue = await self._issue(survey, facts.repo, comment)
                made += await self._accept(mention(installation_id, facts, issue, comment, command))
        return made

    async def _is_known(self, repo: Repo, comment: RecentComment) -> bool:
        rows = await self._store.jobs_on(repo.id, comment.issue)
        return any(row.job.comment_id == comment.id for row in rows)

    async def _issue(self, survey: Survey, repo: Repo, comment: RecentComment) -> Issue:
        facts = await survey.issue(repo, comment.issue)
        return Issue(
            number=comment.issue,
            title=facts.title,
            body=facts.body,
            author=facts.author,
            is_pull_request=facts.is_pull_request,
        )

    async def _accept(self, found: Trigger) -> bool:
        job: Job = job_of(found, job_id=self._new_id(), watch_key=self._new_watch_key())
        accepted = await self._store.accept(guid=found.delivery, event="issue_comment", action="found", job=job)
        if accepted.is_new:
            log.info("command found that was not delivered", job=job.id, repo=job.repo.full_name)
        return accepted.is_new
