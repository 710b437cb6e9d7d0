"""Sandboxes of one job, ready for work: the base inside, the setup done, or taken over from an earlier job."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from bot.agent.ground import SCRATCH
from bot.domain.errors import LeaseLost, LimitReached, ProviderError, UserError
from bot.domain.events import JobEvent, Noted
from bot.domain.setup import SetupReport
from bot.ports import Entry, Journal, LastingSandboxes, Sandbox, SandboxProvider, Workspace
from bot.report.setup import setup_note
from bot.setup.phase import UnfitTree, ended, is_of_base, note_base, set_up, tidied
from bot.setup.plan import SetupPlan

MARK = f"{SCRATCH}/ready"  # in the sandbox: which entry of the journal tells of its setup
KEY = "setup"  # journal entries: `setup 1`, `setup 2`, ... one a sandbox


@dataclass(frozen=True, slots=True)
class Premises:
    """Opens them. `image` as `SandboxProvider.open` knows it."""

    sandboxes: SandboxProvider
    workspace: Workspace
    plan: SetupPlan
    image: str = ""

    @asynccontextmanager
    async def first(
        self, name: str, journal: Journal, *, goes_on: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[tuple[Sandbox, SetupReport]]:
        """The one the work is done in. One that is still there from an earlier attempt is left as it is.

        Work that is broken off is another's to finish when it `goes_on`: once ready, the sandbox is left to that one.
        Raises ProviderError, and UserError when a setup that must succeed fails.
        """
        sandbox, is_left = await self._open(name, warm=self.plan.key), False
        try:
            report = await known_setup(sandbox, journal)
            if report is None:
                if self._may_be_the_agents(sandbox, journal):
                    await sandbox.close()
                    sandbox = await self._open(name, warm=self.plan.key)
                sandbox, report = await self._ready(sandbox, name, journal)
                token = secrets.token_hex(8)
                await sandbox.write_file(MARK, token.encode())
                entry = Entry(
                    "effect", f"{KEY} {len(_setups(journal)) + 1}", {"sandbox": token, "report": report.as_data()}
                )
                note = setup_note(report)
                await journal.record(*([Noted(note)] if note else []), entry=entry)
            self._insist(report)
            try:
                yield sandbox, report
            except (asyncio.CancelledError, LeaseLost):
                is_left = goes_on()
                raise
        finally:
            await asyncio.shield(sandbox.leave() if is_left else sandbox.close())

    @asynccontextmanager
    async def another(self, name: str) -> AsyncIterator[Sandbox]:
        """A second one with the same base and setup, of which nobody is told."""
        name = f"{name}-{secrets.token_hex(4)}"  # none that a dead process left, and none that is open beside it
        sandbox = await self._open(name, warm=self.plan.key)
        try:
            sandbox, _ = await self._ready(sandbox, name, None)
            yield sandbox
        finally:
            await asyncio.shield(sandbox.close())

    async def _open(self, name: str, *, warm: str) -> Sandbox:
        return await self.sandboxes.open(name, image=self.image, warm=warm)

    async def _ready(self, sandbox: Sandbox, name: str, journal: Journal | None) -> tuple[Sandbox, SetupReport]:
        """This sandbox, or a fresh one in its place when what was in it is of no use."""
        if sandbox.warm:
            with suppress(UnfitTree, UserError, LimitReached, ProviderError):
                if await is_of_base(sandbox, self.workspace):
                    await self.workspace.fill(sandbox)
                    return sandbox, await tidied(sandbox, self.workspace, SetupReport(warm=True))
            sandbox = await self._fresh(sandbox, name)
        await self.workspace.fill(sandbox)
        if not self.plan.steps:
            return sandbox, SetupReport()

        async def tell(event: JobEvent) -> None:
            if journal is not None:
                await journal.record(event)

        try:
            report = await set_up(sandbox, self.workspace, self.plan, tell=tell)
        except UnfitTree as unfit:
            sandbox = await self._fresh(sandbox, name)
            await self.workspace.fill(sandbox)
            return sandbox, SetupReport(problem=f"The setup was taken back: {unfit}")
        if report.ran and not (report.failed or report.problem or report.skipped):
            with suppress(ProviderError):  # the next job runs it again
                await note_base(sandbox, self.workspace)
                await sandbox.keep(self.plan.key)
        return sandbox, report

    async def _fresh(self, old: Sandbox, name: str) -> Sandbox:
        await old.close()
        return await self._open(name, warm="")

    def _may_be_the_agents(self, sandbox: Sandbox, journal: Journal) -> bool:
        """Whether an agent may have worked in it, and removed the mark: then a setup would give it network."""
        needs_network = self.plan.steps and self.plan.names and not sandbox.warm
        lasts = isinstance(self.sandboxes, LastingSandboxes)
        return bool(needs_network and lasts and _setups(journal))

    def _insist(self, report: SetupReport) -> None:
        if not self.plan.required:
            return
        if failed := report.failed:
            last = failed.tail.rsplit("\n", 1)[-1][:200].replace("`", "'")
            why = f" {report.problem}" if report.problem else ""
            raise UserError(
                f"`{failed.command}` of `setup` in `.github/backspace.yml` failed ({ended(failed)}): `{last}`.{why} "
                "Mend it, or remove `setup_required`."
            )
        if report.problem:
            raise UserError(f"The setup of `.github/backspace.yml` is required and did not succeed. {report.problem}")


async def known_setup(sandbox: Sandbox, journal: Journal) -> SetupReport | None:
    """What the journal tells of this very sandbox's setup; None when nothing does, as for a new one."""
    try:
        token = (await sandbox.read_file(MARK, max_bytes=100)).decode("ascii", "replace")
    except (OSError, LimitReached):
        return None
    for entry in _setups(journal):
        if entry.data["sandbox"] == token:
            return SetupReport.of_data(entry.data["report"])
    return None


def _setups(journal: Journal) -> list[Entry]:
    return [entry for entry in journal.entries() if entry.key.startswith(f"{KEY} ")]
