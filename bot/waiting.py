"""Tells people in the thread, at once, that their job has to wait, and behind which."""

import asyncio
import time
from collections.abc import Callable

import structlog

from bot.domain.errors import LeaseLost, ProviderError
from bot.domain.job import Job
from bot.intake.admission import NotPermitted, check_person
from bot.ports import GitHub, GitHubApp, Line, Waiting
from bot.report.links import Links
from bot.report.tracking import marker, waiting_comment
from bot.stopping import until

SECONDS_BETWEEN_LOOKS = 2.0
PATIENCE_S = 1.0  # a job that starts within this time has not waited
HELD_BACK_S = 60.0  # nobody starts the job while its comment is being made: two would be made else
ASKING_S = 20.0  # no request begins later than this
TELLING_S = 45.0  # and none lasts longer: with the token's revocation it is over before the job is free again
REST_S = 60.0  # before a comment that failed is tried again

log = structlog.get_logger()


class WaitingRoom:
    """One a worker process. The job edits the same comment when it begins."""

    def __init__(
        self,
        store: Line,
        app: GitHubApp,
        *,
        links: Callable[[Job], Links],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._app = app
        self._links = links
        self._now = now
        self._not_before: dict[str, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        await until(stop, self._keep_looking())

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self.look()
            except ProviderError as error:
                log.warning("nobody looked who waits", error=str(error))
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def look(self, *, stuck: bool = False) -> None:
        """Tells everybody who waits and was not told; whose job may run now does not wait, unless the bot is `stuck`:
        it can begin no job. Raises ProviderError when the store fails."""
        now = self._now()
        self._not_before = {job_id: at for job_id, at in self._not_before.items() if at > now}
        found = await self._store.waiting(PATIENCE_S, tuple(self._not_before))
        about_to_begin, untold = await self._store.due() if found and not stuck else (), list[str]()
        for waiting in found:
            job = waiting.job
            if job.id in about_to_begin or not await self._store.hold_back(job.id, HELD_BACK_S):
                continue
            try:
                if await self._tell(waiting, stuck):
                    await self._store.set_mark(waiting.mark, 0.0)  # before somebody can take it or pass it on
                else:
                    untold.append(job.id)
            finally:
                await self._store.let_go(job.id)
        # Together: the next look is at those behind them.
        self._not_before |= dict.fromkeys(untold, self._now() + REST_S)

    async def _tell(self, waiting: Waiting, stuck: bool) -> bool:
        """False: not yet."""
        job, deadline = waiting.job, self._now() + ASKING_S

        async def hold() -> None:
            if self._now() >= deadline:
                raise LeaseLost("the job may be started by now")

        try:
            async with (
                asyncio.timeout(TELLING_S),
                self._app.repository(job.installation_id, job.repo, hold=hold) as github,
            ):
                in_passing = github.progress()
                check_person(job, await in_passing.permission(job.requested_by.login))
                await self._say(waiting, stuck, in_passing)
        except NotPermitted:
            return True  # a stranger is answered when the job's turn comes, if at all
        except (ProviderError, LeaseLost, TimeoutError) as error:
            log.warning("wait not told", job=job.id, error=str(error) or "GitHub took too long")
            return False
        log.info("wait told", job=job.id, behind=waiting.behind)
        return True

    async def _say(self, waiting: Waiting, stuck: bool, github: GitHub) -> None:
        job = waiting.job
        if await github.find_comment(job.issue.number, marker(job.id)) is not None:
            return
        if job.comment_id is None:
            await github.react_to_issue(job.issue.number, "eyes")
        else:
            await github.react_to_comment(job.comment_id, "eyes")
        body = waiting_comment(job, behind=waiting.behind, stuck=stuck, links=self._links(job))
        await github.create_comment(job.issue.number, body)
