"""One request from its pinned base to its pull request: the story, with the details behind names."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bot.agent import rules as rule_agent
from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.prompt import Task
from bot.agent.review import Review
from bot.domain.errors import UserError
from bot.domain.events import BasePinned, Conclusion, JobFinished, JobStarted, Noted, SandboxReady
from bot.domain.job import Job, Patch, PullRequest, Receipt, Submission
from bot.intake.admission import MAY_ASK
from bot.intake.reading import Reading, reading_of
from bot.ports import (
    Claim,
    Entry,
    GitHub,
    IssueFacts,
    Journal,
    Model,
    Purse,
    RepositoryFacts,
    Sandbox,
    SandboxProvider,
    Workspace,
)
from bot.publish.branch import drop_branch, start_branch, written
from bot.publish.mirror import Mirror
from bot.publish.outgoing import outgoing
from bot.publish.policy import PathRules, problems
from bot.publish.pull_request import publish
from bot.publish.second_look import worth_a_second_look
from bot.repo_config import PATH, Budget, RepoConfig, lowered, repo_config
from bot.report import answers, wording
from bot.report.leaks import Leaks
from bot.report.links import Links
from bot.report.restricted_markdown import fenced

BASE = "base"  # journal key: the pinned base
DRY_RUN_DIFF = 50_000  # characters of a patch in a comment; GitHub takes 65,536 in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every job works with: the operator's adapters, and the most a job may use.

    `purse_of` answers for a job and what its repository allows for a day in dollars (None: it does not say).
    """

    mirror: Mirror
    sandboxes: SandboxProvider
    model_named: Callable[[str], Model]
    model: str
    budget: Budget
    purse_of: Callable[[Claim, float | None], Purse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What GitHub said, live, when the job was admitted. `author_writes`: the issue's author has write access."""

    issue: IssueFacts
    repository: RepositoryFacts
    author_writes: bool


class Journey:
    """One job on its way. `links` is asked late, since the check run's address is known only after a while."""

    def __init__(
        self,
        job: Job,
        facts: Facts,
        *,
        workshop: Workshop,
        github: GitHub,
        journal: Journal,
        purse_of: Callable[[float | None], Purse],
        links: Callable[[], Links],
        leaks: Leaks,
    ) -> None:
        self._job = job
        self._facts = facts
        self._workshop = workshop
        self._github = github
        self._journal = journal
        self._purse_of = purse_of
        self._leaks = leaks
        self._links = links
        self._branch = wording.branch_name(job)

    async def run(self, *, attempt: int) -> JobFinished:
        """To the words of the job's end. Raises UserError, LimitReached and ProviderError for the worker to word."""
        job, journal = self._job, self._journal
        base = await self._pinned()
        workspace = await self._workshop.mirror.pin(
            await self._github.remote(), repo_id=job.repo.id, sha=base.sha, branch=base.branch
        )
        rules = repo_config(await workspace.base_file(PATH))
        model, budget = self._workshop.model_named(self._choice(rules)), self._budget(rules)
        await journal.record(JobStarted(attempt=attempt, model=model.name, budget_usd=budget.usd))
        reading = await self._read(rules)
        if not job.options.dry_run:
            await self._start_branch(base.sha)
        started = time.monotonic()
        async with self._sandbox(job.id, workspace) as sandbox:
            await journal.record(SandboxReady(sandbox.provider, time.monotonic() - started))
            outcome = await work(
                self._task(base, reading),
                model=model,
                sandbox=sandbox,
                review=await self._review(workspace, sandbox, rules),
                journal=journal,
                limits=Limits(turns=budget.turns, usd=budget.usd, minutes=budget.minutes),
                purse=None if model.name == rule_agent.NAME else self._purse_of(rules.budget.usd_per_day),
            )
        if job.options.dry_run:
            return _shown(outcome)
        opened = None
        if outcome.patch is not None and outcome.patch.changes:
            totals = _totals(job, outcome, model=model.name, sandbox_seconds=time.monotonic() - started)
            opened = await self._publish(outcome, outcome.patch, base.branch, rules, reading, totals)
        else:
            await drop_branch(branch=self._branch, github=self._github, journal=journal)
        return _ended(job, outcome, opened)

    async def _pinned(self) -> BasePinned:
        """The branch and commit the work starts from; pinned once, the same for every attempt."""
        if known := written(self._journal, BASE):
            return BasePinned(known["branch"], known["sha"])
        branch = self._job.options.base or self._facts.repository.default_branch
        sha = await self._github.ref(branch)
        if sha is None:
            name = self._job.repo.full_name
            raise UserError(f"{name} has no branch `{branch}`: name one that exists with `--base`.")
        base = BasePinned(branch, sha)
        await self._journal.record(base, entry=Entry("effect", BASE, {"branch": branch, "sha": sha}))
        return base

    def _choice(self, rules: RepoConfig) -> str:
        return self._job.options.model or (rules.model[0] if rules.model else self._workshop.model)

    def _budget(self, rules: RepoConfig) -> Budget:
        """The repository's, or what the request wishes; never more than the operator grants."""
        granted, wished = lowered(self._workshop.budget, rules.budget), self._job.options.budget_usd
        return granted if wished is None else replace(granted, usd=min(wished, self._workshop.budget.usd))

    async def _read(self, rules: RepoConfig) -> Reading:
        everyone = rules.context_authors == "everyone"
        reading = reading_of(self._job, author_writes=self._facts.author_writes, everyone=everyone)
        await self._journal.record(*(Noted(note) for note in reading.notes()))
        return reading

    async def _start_branch(self, base_sha: str) -> None:
        await start_branch(
            self._job,
            branch=self._branch,
            message=wording.start_commit_message(self._job),
            base_sha=base_sha,
            github=self._github,
            journal=self._journal,
        )

    @asynccontextmanager
    async def _sandbox(self, name: str, workspace: Workspace) -> AsyncIterator[Sandbox]:
        sandbox = await self._workshop.sandboxes.open(name)
        try:
            await workspace.fill(sandbox)
            yield sandbox
        finally:
            await asyncio.shield(sandbox.close())

    async def _review(self, workspace: Workspace, sandbox: Sandbox, rules: RepoConfig) -> Review:
        paths = await workspace.base_paths()
        allowed = PathRules(
            deny=rules.paths.deny,
            max_files=rules.paths.max_files or PathRules().max_files,
            max_lines=rules.paths.max_lines or PathRules().max_lines,
        )
        return Review(
            workspace,
            sandbox,
            gate=lambda patch: problems(patch, allowed, base_paths=paths),
            check_command=rules.test,
            open_base=lambda: self._sandbox(f"{self._job.id}-base", workspace),
        )

    def _task(self, base: BasePinned, reading: Reading) -> Task:
        job = self._job
        return Task(
            repo=job.repo.full_name,
            branch=base.branch,
            base_sha=base.sha,
            issue_number=job.issue.number,
            issue_title=reading.title.text,
            issue_text=reading.issue.text,
            issue_author=job.issue.author.login,
            issue_trusted=self._facts.author_writes,
            request=reading.request.text,
            requested_by=job.requested_by.login,
            today=datetime.now(UTC).date().isoformat(),
        )

    async def _publish(
        self,
        outcome: Outcome,
        patch: Patch,
        base_branch: str,
        rules: RepoConfig,
        reading: Reading,
        totals: wording.Totals,
    ) -> PullRequest:
        job = self._job
        submission = outcome.submission or _unfinished(job, outcome)
        held = rules.ci == "hold" or (rules.ci == "auto" and reading.outsider)
        banner = _banner(outcome)
        body = wording.pull_request_body(
            job,
            submission,
            outcome.receipt or NOT_RUN,
            patch,
            second_look=worth_a_second_look(patch),
            totals=totals,
            links=self._links(),
            hold_ci=held,
            hidden_removed=reading.hidden,
            banner=banner,
        )
        message, title = wording.commit_message(job, submission, hold_ci=held), wording.pull_request_title(submission)
        for piece, where in outgoing(patch, message=message, title=title, body=body):
            self._leaks.check(piece, where)
        return await publish(
            job,
            patch,
            branch=self._branch,
            message=message,
            title=title,
            body=body,
            base_branch=base_branch,
            draft=bool(banner) or job.options.draft or rules.draft,
            reviewer=job.requested_by.login if "requester" in rules.reviewers else None,
            still_allowed=self._still_allowed,
            github=self._github,
            journal=self._journal,
        )

    async def _still_allowed(self) -> None:
        who = self._job.requested_by
        now = await self._github.permission(who.login)
        if now.role not in MAY_ASK or now.user_id != who.id:
            raise UserError(f"@{who.login} lost write access to {self._job.repo.full_name} while the job ran.")


NOT_RUN = Receipt(command=None, reason="the work stopped before the checks")


def _totals(job: Job, outcome: Outcome, *, model: str, sandbox_seconds: float) -> wording.Totals:
    return wording.Totals(
        model=model,
        turns=outcome.turns,
        tool_calls=outcome.tool_calls,
        usage=outcome.usage,
        usd=outcome.usd,
        sandbox_seconds=sandbox_seconds,
        prompt_hash=wording.prompt_hash(job),
    )


def _unfinished(job: Job, outcome: Outcome) -> Submission:
    """Words for work that was stopped before its author described it."""
    return Submission(
        outcome="changes",
        title=f"Unfinished work on #{job.issue.number}",
        summary="The work was stopped before it was finished; this is what there is.",
        testing="",
    )


def _banner(outcome: Outcome) -> str:
    """Why this pull request is a draft, or "" when it is not."""
    if outcome.kind == "stopped":
        return f"**Unfinished**: {outcome.message}"
    if outcome.kind == "submitted" and outcome.conclusion is not Conclusion.SUCCESS:
        return "**Checks fail** on this change and did not fail on its base."
    return ""


def _ended(job: Job, outcome: Outcome, opened: PullRequest | None) -> JobFinished:
    message = answers.ended(
        outcome.kind,
        message=outcome.message,
        submission=outcome.submission,
        own_issue=job.issue.number,
        pull_request=opened.number if opened else None,
        draft=opened.draft if opened else False,
    )
    return JobFinished(outcome.conclusion, message)


def _shown(outcome: Outcome) -> JobFinished:
    """A dry run's end: the patch in the comment, cut to what a comment holds."""
    if outcome.patch is None or not outcome.patch.changes:
        return JobFinished(outcome.conclusion, f"**Dry run**: no change. {outcome.message}".rstrip())
    diff = outcome.patch.diff
    cut = "" if len(diff) <= DRY_RUN_DIFF else "\n\nThe patch is cut here; the live log has all of it."
    patch = fenced(diff[:DRY_RUN_DIFF], language="diff")
    return JobFinished(outcome.conclusion, f"**Dry run**: nothing was pushed. The patch:\n\n{patch}{cut}")
