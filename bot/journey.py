"""One request from its pinned base to its pull request: the story, with the details behind names."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bot import ending
from bot.agent import rules as rule_agent
from bot.agent.canary import Canary, Watched
from bot.agent.limits import Limits
from bot.agent.loop import work
from bot.agent.prompt import Task
from bot.agent.review import Review, check_timeout_s
from bot.agent.switching import chain_of
from bot.continuing import BASE, Earlier, so_far, unfinished_files
from bot.domain.errors import UserError
from bot.domain.events import BasePinned, JobFinished, JobStarted, Noted, SandboxReady
from bot.domain.job import Job
from bot.domain.setup import SetupReport
from bot.facts import Facts
from bot.intake.pictures import Fetch
from bot.intake.reading import Reading
from bot.listening import Ear
from bot.ports import (
    Claim,
    Entry,
    ExportedFile,
    GitHub,
    Journal,
    Lease,
    Model,
    Purse,
    Sandbox,
    SandboxProvider,
    Workspace,
)
from bot.publication import Publication
from bot.publish.branch import written
from bot.publish.mirror import Mirror
from bot.publish.policy import PathRules, problems
from bot.publish.whole import beside
from bot.repo_config import PATH, Budget, RepoConfig, lowered, repo_config
from bot.report.amounts import cut_wish
from bot.report.leaks import Leaks
from bot.report.links import Links
from bot.sandboxes.images import image_for
from bot.setup.plan import SetupRules, SetupWish, setup_plan
from bot.setup.premises import Premises
from bot.thread import read_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every job works with: the operator's adapters, and the most a job may use.

    `models` are names, in the order in which they take over.
    `purse_of` answers for a job and what its repository allows for a day in dollars (None: it does not say).
    """

    mirror: Mirror
    sandboxes: SandboxProvider
    model_named: Callable[[str], Model]
    models: tuple[str, ...]
    budget: Budget
    purse_of: Callable[[Claim, float | None], Purse]
    setup: SetupRules = field(default_factory=SetupRules)
    pictures: Fetch | None = None


class Journey:
    """One job on its way. `earlier`: the unfinished work it goes on with; `links`: see `Publication`."""

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
        ear: Ear,
        earlier: Earlier | None = None,
    ) -> None:
        self._job = job
        self._earlier = earlier
        self._canary = Canary(job.watch_key)
        self._ear = ear
        self._facts = facts
        self._workshop = workshop
        self._github = github
        self._journal = journal
        self._purse_of = purse_of
        self._publication = Publication(
            job,
            earlier=earlier,
            github=github,
            journal=journal,
            links=links,
            leaks=leaks,
            canary=self._canary,
            ear=ear,
        )

    async def run(self, lease: Lease) -> JobFinished:
        """To the words of the job's end. Raises UserError, LimitReached and ProviderError for the worker to word."""
        job, journal = self._job, self._journal
        base = await self._pinned()
        workspace = await self._workshop.mirror.pin(
            await self._github.remote(), repo_id=job.repo.id, sha=base.sha, branch=base.branch
        )
        rules = repo_config(await workspace.base_file(PATH))
        await check_instructions(rules, workspace)
        names, wish = rules.model or self._workshop.models, self._job.options.model
        (model, *fallbacks), budget = chain_of(names, self._workshop.model_named, wish=wish), self._budget(rules)
        begun_now = JobStarted(lease.claim.attempts, model=model.name, budget_usd=budget.usd)
        await journal.record(begun_now, *self._cut_wish(budget))
        left = await unfinished_files(
            self._earlier, workspace, mirror=self._workshop.mirror, github=self._github, repo_id=job.repo.id
        )
        started = time.monotonic()
        steerable = model.name != rule_agent.NAME
        premises = await self._premises(workspace, rules)
        async with (
            beside(self._read(base, rules)) as read,
            beside(self._begin(workspace)) as begun,
            self._ear.open() if steerable else nullcontext(),
            premises.first(job.id, journal, goes_on=lambda: not lease.cancelled_by) as (sandbox, setup),
        ):
            await self._canary.put(sandbox)
            await journal.record(SandboxReady(sandbox.provider, time.monotonic() - started))
            await begun  # before a model costs anything
            reading = await read
            outcome = await work(
                self._task(base, reading, rules, setup, left),
                model=model,
                fallbacks=fallbacks,
                sandbox=sandbox,
                review=await self._review(premises, sandbox, rules),
                journal=Watched(journal, self._canary),
                limits=Limits(turns=budget.turns, usd=budget.usd, minutes=budget.minutes),
                purse=None if model.name == rule_agent.NAME else self._purse_of(rules.budget.usd_per_day),
                listen=self._ear.listen if steerable else None,
            )
        if job.options.dry_run:
            return ending.shown(job, outcome)
        opened = None
        if outcome.patch is not None and outcome.patch.changes:
            opened = await self._publication.publish(
                outcome,
                outcome.patch,
                base_branch=base.branch,
                rules=rules,
                reading=reading,
                workspace=workspace,
                setup=setup,
                sandbox_seconds=time.monotonic() - started,
                budget_usd=budget.usd,
            )
        else:
            await self._publication.drop()
        goes_on = self._earlier is not None
        return ending.ended(job, outcome, opened, budget_usd=budget.usd, goes_on=goes_on)

    async def _pinned(self) -> BasePinned:
        """The branch and commit the work starts from; pinned once, the same for every attempt."""
        if known := written(self._journal, BASE):
            return BasePinned(known["branch"], known["sha"])
        branch = self._job.options.base or self._facts.repository.default_branch
        sha = self._facts.heads.get(branch) or await self._github.ref(branch)
        if self._earlier is not None:
            branch, sha = self._earlier.base_branch, self._earlier.base_sha
        if sha is None:
            raise UserError(f"{self._job.repo.full_name} has no branch `{branch}`: name one that exists with `--base`.")
        base = BasePinned(branch, sha)
        await self._journal.record(base, entry=Entry("effect", BASE, {"branch": branch, "sha": sha}))
        return base

    async def _begin(self, base: Workspace) -> None:
        if not self._job.options.dry_run:
            await self._publication.begin(base)

    def _budget(self, rules: RepoConfig) -> Budget:
        """The repository's, or what the request wishes; never more than the operator grants."""
        granted, wished = lowered(self._workshop.budget, rules.budget), self._job.options.budget_usd
        return granted if wished is None else replace(granted, usd=min(wished, self._workshop.budget.usd))

    def _cut_wish(self, budget: Budget) -> tuple[Noted, ...]:
        cut = cut_wish(self._job.options.budget_usd, budget.usd)
        return (Noted(cut),) if cut else ()

    async def _read(self, base: BasePinned, rules: RepoConfig) -> Reading:
        return await read_thread(
            self._job,
            base_sha=base.sha,
            author_writes=self._facts.author_writes,
            everyone=rules.context_authors == "everyone",
            by_label=self._earlier.by_label if self._earlier else self._job.comment_id is None,
            fetch=self._workshop.pictures,
            private=self._facts.repository.private,
            github=self._github,
            journal=self._journal,
        )

    async def _premises(self, workspace: Workspace, rules: RepoConfig) -> Premises:
        shop = self._workshop
        wish = SetupWish(commands=rules.setup, network=rules.network, required=rules.setup_required)
        provider, repo = shop.sandboxes.name, self._job.repo.id
        image = rules.image or image_for(await workspace.base_paths())
        plan = await setup_plan(workspace, wish, shop.setup, repo_id=repo, provider=provider, image=image)
        return Premises(shop.sandboxes, workspace, plan, image)

    async def _review(self, premises: Premises, sandbox: Sandbox, rules: RepoConfig) -> Review:
        paths = await premises.workspace.base_paths()
        return Review(
            premises.workspace,
            sandbox,
            gate=lambda patch: problems(patch, path_rules(rules), base_paths=paths),
            check_command=rules.test,
            open_base=lambda: premises.another(f"{self._job.id}-base"),
            setup_reads=premises.plan.reads,
            check_timeout_s=check_timeout_s(self._budget(rules).minutes),
        )

    def _task(
        self,
        base: BasePinned,
        reading: Reading,
        rules: RepoConfig,
        setup: SetupReport,
        begun: tuple[ExportedFile, ...],
    ) -> Task:
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
            remarks=reading.remarks,
            subjects=reading.subjects,
            pictures=reading.pictures,
            request=reading.request.text,
            requested_by=job.requested_by.login,
            today=datetime.now(UTC).date().isoformat(),
            instructions=rules.instructions or "",
            setup=setup,
            begun=begun,
            so_far=so_far(self._earlier, begun) if self._earlier else "",
        )


def path_rules(rules: RepoConfig) -> PathRules:
    """The repository's own, where it has any."""
    return PathRules(
        deny=rules.paths.deny,
        max_files=rules.paths.max_files or PathRules().max_files,
        max_lines=rules.paths.max_lines or PathRules().max_lines,
    )


async def check_instructions(rules: RepoConfig, workspace: Workspace) -> None:
    """Raises UserError when the repository names a file that its base has not."""
    if rules.instructions and not await workspace.base_file(rules.instructions):
        raise UserError(f"`instructions` in `{PATH}` names `{rules.instructions}`, which is no file with text there.")
