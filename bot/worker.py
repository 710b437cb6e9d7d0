"""A claimed job from admission to its one end: who may ask, what was asked, and how it is told."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from bot import last_word
from bot.continuing import earlier_work
from bot.domain.errors import BotError, LeaseLost, ProviderError, UserError, machine_limits
from bot.domain.events import Conclusion, JobFinished
from bot.domain.job import Cancel, Continue, Job, Start, Work
from bot.facts import Facts, facts_of
from bot.intake.admission import HourlyLimit, NotPermitted, admit, refusal_due
from bot.journey import Journey, Workshop
from bot.listening import Ear
from bot.ports import Claim, Entry, GitHub, GitHubApp, JobRow, JobStore, Lease, ShutOut
from bot.publish.branch import drop_branch
from bot.publish.pull_request import find_published
from bot.publish.whole import beside
from bot.recorder import Recorder
from bot.report import answers
from bot.report.leaks import Leaks
from bot.report.links import Links
from bot.report.progress import progress
from bot.report.wording import branch_name
from bot.reporter import Reporter
from bot.resting import Waits, rest
from bot.saying import is_told, react, say

REFUSED = "refused"  # journal key: a refusal was said in the thread
STOPPED = "stopped"  # journal key: the jobs that a cancel ends

log = structlog.get_logger()


class Worker:
    """Runs claimed jobs; holds no state between them."""

    def __init__(
        self,
        *,
        store: JobStore,
        app: GitHubApp,
        workshop: Workshop,
        leaks: Leaks,
        links: Callable[[Job], Links],
        jobs_per_hour: int,
    ) -> None:
        """`links`: where a reader of a job's report can go. `jobs_per_hour`: of one installation."""
        self._store = store
        self._app = app
        self._workshop = workshop
        self._leaks = leaks
        self._links = links
        self._jobs_per_hour = jobs_per_hour
        self._refusing = asyncio.Lock()

    async def run_job(self, lease: Lease) -> None:
        """To the terminal state; or back to the queue, when a provider may recover.

        Cancelled because the process goes down, it gives nothing back: that is the runner's.
        Raises LeaseLost when another worker owns the job; nothing is written after that.
        """
        claim, job = lease.claim, lease.claim.job
        log.info("job started", repo=job.repo.full_name, issue=job.issue.number, attempt=claim.attempts)
        if shut := await self._store.shut_out(job.installation_id, job.repo.id):
            await self._end_unseen(claim, shut)
            return
        is_work = isinstance(job.command, Work) and not job.issue.is_pull_request
        # An answer's last try waits as long as work does: no cancel is given up for a limit.
        waits = Waits(steps_aside=not is_work and claim.retries < len(last_word.RESTS_S))
        try:
            opening = self._app.repository(job.installation_id, job.repo, hold=lease.hold, on_wait=waits.note)
            async with opening as github:
                await self._run(lease, github, waits)
        except ProviderError as error:
            if last_word.without_store(error):
                raise  # the runner puts it back
            await self._give_back(lease, error)

    async def _run(self, lease: Lease, github: GitHub, waits: Waits) -> None:
        claim, job = lease.claim, lease.claim.job
        reporter = Reporter(job, github=github, links=self._links(job), leaks=self._leaks)
        journal = await Recorder.open(self._store, claim, leaks=self._leaks, on_recorded=reporter.notice)
        waits.journal = journal
        if claim.cancel_by or last_word.end_in(journal.events()):
            await self._wind_up(claim, reporter, github, journal)
            return
        try:
            facts = await self._admitted(claim, github, journal)
            earlier = None
            if isinstance(job.command, Continue) and not job.issue.is_pull_request:
                earlier = await earlier_work(job, store=self._store, github=github, journal=journal)
                job = earlier.asked_again(job)
        except UserError as refusal:
            if last_word.has_started(journal.events()):  # an earlier attempt left a check and a branch behind
                end = last_word.failed(refusal, job, started=True)
                await journal.record(last_word.with_afterword(end, journal.entries()))
                await self._wind_up(claim, reporter, github, journal)
                return
            await self._refuse(job, refusal, github, journal)
            await self._store.commit(claim, finish="failed", reported=True)
            return
        if not isinstance(job.command, Start) or job.issue.is_pull_request:
            await self._answer(job, github, journal)
            await self._store.commit(claim, finish="succeeded", reported=True)
            return
        journey = Journey(
            job,
            facts,
            workshop=self._workshop,
            github=github,
            journal=journal,
            purse_of=lambda wish: self._workshop.purse_of(claim, wish),
            links=lambda: self._links(job),
            leaks=self._leaks,
            ear=Ear(claim, store=self._store, journal=journal, github=github),
            earlier=earlier,
        )
        async with beside(react(job, github, "eyes")), reporter:
            end = await self._end_of(journey, lease, github, journal)
            if shut := await self._store.shut_out(job.installation_id, job.repo.id):
                await reporter.abandon()
                told = shut.for_good  # then nobody will ever be
            else:
                await self._tidy(end, job, github, journal)
                told = await reporter.close()
        await self._store.commit(claim, finish=last_word.state_of(end, cancelled_by=lease.cancelled_by), reported=told)
        log.info("job finished", conclusion=end.conclusion.value)

    async def _wind_up(self, claim: Claim, reporter: Reporter, github: GitHub, journal: Recorder) -> None:
        """A job with nothing left to do but to say so: it is cancelled, or an earlier attempt came to its end.

        Where the thread shows nothing of it yet, nothing is said: a request that was taken back at once is no news.
        What the operator cancelled is: nobody in the thread knows.
        """
        job, end = claim.job, last_word.end_in(journal.events())
        if end is None:
            end = await self._cancelled(claim, claim.cancel_by or "", github, journal)
            await journal.record(end)
        await self._tidy(end, job, github, journal)
        told = True
        is_news = last_word.has_started(journal.events()) or claim.cancel_by == answers.OPERATOR
        if is_news or await is_told(job, github):
            async with reporter:
                told = await reporter.close()
        await self._store.commit(claim, finish=last_word.state_of(end, cancelled_by=claim.cancel_by), reported=told)
        log.info("job wound up", conclusion=end.conclusion.value)

    async def _end_unseen(self, claim: Claim, shut: ShutOut) -> None:
        """Where the App may not work, nobody can be told; the reaper does it when that is lifted."""
        log.info("job ended without a word", reason=shut.why)
        known = last_word.end_in(await self._store.events(claim.job.id))
        words = answers.cancelled(claim.cancel_by) if claim.cancel_by else shut.why
        end = JobFinished(Conclusion.NEUTRAL, words)
        await self._store.commit(claim, events=() if known else (end,), finish="cancelled", reported=shut.for_good)

    async def _end_of(self, journey: Journey, lease: Lease, github: GitHub, journal: Recorder) -> JobFinished:
        """The job's last event, recorded."""
        claim = lease.claim
        try:
            with machine_limits():
                end = await journey.run(lease)
        except asyncio.CancelledError:
            by, task = lease.cancelled_by, asyncio.current_task()
            if by is None or task is None:
                raise
            task.uncancel()
            end = await self._cancelled(claim, by, github, journal)
        except LeaseLost:
            raise
        except BotError as error:
            if isinstance(error, ProviderError) and last_word.may_retry(error, claim, journal.entries()):
                await rest(error, claim, journal)
                raise
            log.warning("job stopped", error=str(error))
            started = last_word.has_started(journal.events())
            end = last_word.failed(last_word.counted(error, claim), claim.job, started=started)
            end = last_word.with_afterword(end, journal.entries())
        except Exception:  # our own bug: the thread is told so, and the log how
            log.exception("job broke")
            end = JobFinished(Conclusion.FAILURE, answers.our_fault())
            end = last_word.with_afterword(end, journal.entries())
        await journal.record(end)
        return end

    async def _cancelled(self, claim: Claim, by: str, github: GitHub, journal: Recorder) -> JobFinished:
        """Names what was published by then, also where the record of it is missing."""
        try:
            await find_published(stats=progress(journal.events()).stats, github=github, journal=journal)
        except ProviderError as error:
            if last_word.may_retry(error, claim, journal.entries()):
                raise
            log.warning("not known what was published", error=str(error))
        return last_word.with_afterword(last_word.cancelled(by, journal.events()), journal.entries())

    async def _admitted(self, claim: Claim, github: GitHub, journal: Recorder) -> Facts:
        """Live facts. Raises UserError when the job may not run, or GitHub will never say."""
        job, limit = claim.job, None
        if not last_word.has_started(journal.events()):
            limit = HourlyLimit(self._jobs_per_hour, await self._store.started_this_hour(claim))
        try:
            facts = await facts_of(job, github)
        except ProviderError as error:
            if last_word.may_retry(error, claim, journal.entries()):
                raise
            why = answers.without_call(str(last_word.counted(error, claim)))
            words = f"GitHub did not say whether this may be done ({why}). {answers.advice(error)}"
            raise NotPermitted(words) from error
        admit(job, permission=facts.permission, issue=facts.issue, repository=facts.repository, limit=limit)
        return facts

    async def _refuse(self, job: Job, refusal: UserError, github: GitHub, journal: Recorder) -> None:
        """A sentence in the thread; for strangers a reaction, and the sentence at most once an hour."""
        await react(job, github, "confused")
        async with self._refusing:
            due = not isinstance(refusal, NotPermitted) or await self._refusal_is_due(job, journal)
            due = due or await is_told(job, github)
            if due:
                await journal.record(entry=Entry("effect", REFUSED, {"reason": str(refusal)}))
        words = answers.not_started(refusal, asker=job.requested_by.login)
        if due:
            await say(job, words, github)
        await journal.record(JobFinished(Conclusion.ACTION_REQUIRED, words))
        log.info("job refused", reason=type(refusal).__name__)

    async def _refusal_is_due(self, job: Job, journal: Recorder) -> bool:
        """A stranger is refused in words once an hour on an issue; an earlier attempt may have been about to."""
        if any(entry.key == REFUSED for entry in journal.entries()):
            return True
        since_s = await self._store.seconds_since_entry(job.repo.id, job.issue.number, REFUSED)
        return refusal_due(seconds_since_last=since_s)

    async def _answer(self, job: Job, github: GitHub, journal: Recorder) -> None:
        """A command that starts no work: done if there is something to do, and answered in the thread."""
        rows = await self._store.jobs_on(job.repo.id, job.issue.number)
        jobs = [row for row in rows if isinstance(row.job.command, Start | Continue) and row.job.id != job.id]
        if isinstance(job.command, Cancel):
            jobs = await self._stopped(job, jobs, journal)
        await react(job, github, "+1")
        pages = {row.job.id: self._links(row.job).page for row in jobs}
        await say(job, answers.answer(job.command, jobs=jobs, pages=pages, now=time.time()), github)

    async def _stopped(self, cancel: Job, jobs: Sequence[JobRow], journal: Recorder) -> list[JobRow]:
        """What a cancel ends; an attempt that could not say so has named it, and it may be over by now."""
        ids = next((entry.data["jobs"] for entry in journal.entries() if entry.key == STOPPED), None)
        if ids is None:
            ids = [row.job.id for row in jobs if row.finished_at is None and not row.job.asked_after(cancel)]
            await journal.record(entry=Entry("effect", STOPPED, {"jobs": ids}))
        for job_id in ids:
            await self._store.request_cancel(job_id, cancel.requested_by.login)
        return [row for row in jobs if row.job.id in ids]

    async def _tidy(self, end: JobFinished, job: Job, github: GitHub, journal: Recorder) -> None:
        """An empty branch of a job that came to nothing is dropped; its failure changes nothing."""
        if end.conclusion is Conclusion.SUCCESS:
            return
        try:
            await drop_branch(branch=branch_name(job), github=github, journal=journal)
        except LeaseLost:
            raise
        except BotError as error:
            log.warning("branch not dropped", error=str(error))

    async def _give_back(self, lease: Lease, error: ProviderError) -> None:
        """GitHub cannot be reached, so nothing can be told there: later, or, after some tries, by the reaper."""
        claim = lease.claim
        log.warning("job could not go on", error=str(error), attempt=claim.attempts, retries=claim.retries)
        journal = await Recorder.open(self._store, claim, leaks=self._leaks, on_recorded=lambda _: None)
        if last_word.may_retry(error, claim, journal.entries()):
            await rest(error, claim, journal)
            await self._store.retry(claim, after_s=last_word.rest_s(error, claim, journal.entries()))
            return
        known, by = last_word.end_in(journal.events()), lease.cancelled_by
        failed = last_word.failed(last_word.counted(error, claim), claim.job, started=False)
        new = last_word.cancelled(by, journal.events()) if by else failed
        end = known or last_word.with_afterword(new, journal.entries())
        state = last_word.state_of(end, cancelled_by=by)
        await self._store.commit(claim, events=() if known else (end,), finish=state)
