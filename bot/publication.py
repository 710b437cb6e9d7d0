"""What a job leaves in its repository: the branch that carries its check, and in the end the pull request."""

from collections.abc import Callable

from bot import ending
from bot.agent.canary import Canary
from bot.agent.loop import Outcome
from bot.continuing import Earlier
from bot.domain.errors import UserError
from bot.domain.job import Job, Patch, PullRequest, Receipt
from bot.domain.setup import SetupReport
from bot.intake.admission import MAY_ASK
from bot.intake.reading import Reading
from bot.listening import Ear
from bot.ports import GitHub, Journal, Workspace
from bot.publish.branch import drop_branch, start_branch, take_up_branch
from bot.publish.outgoing import outgoing
from bot.publish.pull_request import publish
from bot.publish.second_look import worth_a_second_look
from bot.repo_config import RepoConfig
from bot.repo_wishes import ci_held, pull_request_template, reviewers
from bot.report import wording
from bot.report.leaks import Leaks
from bot.report.links import Links
from bot.report.setup import setup_section

NOT_RUN = Receipt(command=None, reason="the work stopped before the checks")


class Publication:
    """Of one job: on a branch of its own, or on that of the `earlier` work it goes on with, in the same pull request.

    `links` is asked late, since the check run's address is known only after a while.
    """

    def __init__(
        self,
        job: Job,
        *,
        earlier: Earlier | None,
        github: GitHub,
        journal: Journal,
        links: Callable[[], Links],
        leaks: Leaks,
        canary: Canary,
        ear: Ear,
    ) -> None:
        self._job, self._earlier = job, earlier
        self._branch = earlier.branch if earlier else wording.branch_name(job)
        self._github, self._journal = github, journal
        self._links, self._leaks, self._canary, self._ear = links, leaks, canary, ear

    async def begin(self, base: Workspace) -> None:
        """There is a head to hang the check run on. Raises what `start_branch` raises."""
        job, branch, journal = self._job, self._branch, self._journal
        if self._earlier is not None:
            await take_up_branch(branch=branch, head_sha=self._earlier.head_sha, journal=journal)
            return
        message = wording.start_commit_message(job)
        await start_branch(
            job,
            branch=branch,
            message=message,
            base_sha=base.base_sha,
            base_tree=base.base_tree,
            github=self._github,
            journal=journal,
        )

    async def drop(self) -> None:
        await drop_branch(branch=self._branch, github=self._github, journal=self._journal)

    async def publish(
        self,
        outcome: Outcome,
        patch: Patch,
        *,
        base_branch: str,
        rules: RepoConfig,
        reading: Reading,
        workspace: Workspace,
        setup: SetupReport,
        sandbox_seconds: float,
        budget_usd: float,
    ) -> PullRequest:
        """Raises what `publish` raises, LeakFound and CanaryFound."""
        job = self._job
        submission = outcome.submission or ending.unfinished(job)
        before = self._earlier.runs if self._earlier else ""
        held, banner = ci_held(rules, reading), ending.banner(outcome, job=job, budget_usd=budget_usd)
        body = wording.pull_request_body(
            job,
            submission,
            outcome.receipt or NOT_RUN,
            patch,
            second_look=worth_a_second_look(patch),
            totals=ending.totals(job, outcome, sandbox_seconds=sandbox_seconds, before=before),
            links=self._links(),
            ci_held=held,
            unfinished=outcome.kind == "stopped",
            hidden_removed=reading.hidden,
            banner=banner,
            template=await pull_request_template(workspace),
            setup=setup_section(setup),
        )
        message = wording.commit_message(job, submission, hold_ci=held is not None)
        title = wording.pull_request_title(submission)
        for piece, where in outgoing(patch, message=message, title=title, body=body):
            self._leaks.check_public(piece, where)
            self._canary.check(piece, where)
        return await publish(
            job,
            patch,
            base_tree=workspace.base_tree,
            branch=self._branch,
            message=message,
            title=title,
            body=body,
            base_branch=base_branch,
            draft=ending.is_draft(outcome) or job.options.draft or rules.draft,
            reviewers=reviewers(job, rules),
            still_allowed=self._still_allowed,
            github=self._github,
            journal=self._journal,
            known=self._earlier.pull_request if self._earlier else None,
        )

    async def _still_allowed(self) -> None:
        for who in dict.fromkeys((self._job.requested_by, *self._ear.speakers())):
            now = await self._github.permission(who.login)
            if now.role not in MAY_ASK or now.user_id != who.id:
                raise UserError(f"@{who.login} lost write access to {self._job.repo.full_name} while the job ran.")
