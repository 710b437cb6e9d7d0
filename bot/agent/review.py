"""How a run ends: `submit` shows the whole change and its checks, and accepts the id of exactly what was shown."""

import asyncio
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal

from bot.agent.checks import kinds, wanted_files
from bot.agent.gate import secrets_in
from bot.agent.ground import shell
from bot.agent.linting import linted, linters_for
from bot.agent.output import cleaned, last_lines, one_line, visible
from bot.agent.showing import MOST_REJECTIONS, what_is_shown
from bot.agent.standing import standing
from bot.domain.conversation import Json
from bot.domain.errors import LimitReached, ProviderError, UserError
from bot.domain.job import Check, Patch, Receipt, Submission
from bot.ports import ExportedFile, Sandbox, Workspace

TITLE_CHARACTERS = 70
CHECK_BYTES = 1_000_000
CHECK_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
MOST_NAMED = 5  # files in a receipt
LEAST_CHECK_S = 600.0
NO_CHECK = "no check command was found or configured"
NOTHING_CHANGED = "nothing differs from the base"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What earlier submits of this run showed: receipts by diff id, and how often failing checks turned one away."""

    shown: Mapping[str, Receipt] = field(default_factory=dict)
    rejections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Not accepted yet: `text` is diff, checks and id for the model. `is_fresh`: the checks ran just now.

    `checks_failed`: because of this change.
    """

    text: str
    patch: Patch
    receipt: Receipt
    checks_failed: bool
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class Unfit:
    """Cannot be submitted as it is; `text` says what is wrong, where, and what to do."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """`patch` None for an outcome without changes."""

    submission: Submission
    patch: Patch | None
    receipt: Receipt


def submission_of(given: Json) -> Submission:
    """The model's words about its change; the title is cut to what a pull request list shows."""
    title = " ".join(given["title"].split())
    return Submission(
        outcome=given["outcome"],
        title=title if len(title) <= TITLE_CHARACTERS else f"{title[: TITLE_CHARACTERS - 1]}…",
        summary=given["summary"],
        testing=given["testing"],
        follow_ups=tuple(given.get("follow_ups", ())),
    )


def cannot_run(run: Check) -> bool:
    """The command is not there at all: a shell's 126 and 127, or a Python module that is not installed."""
    return run.exit_code in (126, 127) or re.search(r"No module named '?(pytest|tox|nox)\b", run.tail) is not None


def _receipt(check: str, base: Check | None, head: Check, *, about: str) -> Receipt:
    """A command that neither tree can run says nothing about the change: then nothing was run."""
    if cannot_run(head) and (base is None or cannot_run(base)):
        last = one_line(head.tail.rsplit("\n", 1)[-1])
        return Receipt(
            command=check, reason=f"the sandbox cannot run it ({last})" if last else "the sandbox cannot run it"
        )
    return Receipt(command=check, runs=(base, head) if base else (head,), reason=about)


def check_timeout_s(minutes: float) -> float:
    """For one run of the check, in a job of so many minutes: after one that hangs there is time left to mend it."""
    return max(LEAST_CHECK_S, minutes * 60 / 2)


class Review:
    """The `submit` side of a run. Holds no state of its own: what was shown comes in from the journal.

    `gate` says in words why a patch may not leave. `check_command` is explicit configuration and wins over what was
    detected. `open_base` opens a sandbox that holds base and setup and that no agent has worked in. `setup_reads`: of
    some paths, those that say what the setup installs.
    """

    def __init__(
        self,
        workspace: Workspace,
        sandbox: Sandbox,
        *,
        gate: Callable[[Patch], Sequence[str]],
        check_command: str | None,
        open_base: Callable[[], AbstractAsyncContextManager[Sandbox]],
        setup_reads: Callable[[Sequence[str]], Collection[str]] = lambda _: (),
        check_timeout_s: float = LEAST_CHECK_S,
    ) -> None:
        self.workspace = workspace
        self.check_command = check_command
        self._sandbox = sandbox
        self._gate = gate
        self._open_base = open_base
        self._setup_reads = setup_reads
        self._check_timeout_s = check_timeout_s

    async def patch(self) -> Patch:
        """What the sandbox differs by now. Raises UserError and LimitReached as `Workspace.take_patch` does."""
        return await self.workspace.take_patch(self._sandbox)

    async def draft(self) -> Patch | None:
        """The change of a run that was stopped, if there is one that may leave and the sandbox still has it."""
        try:
            patch = await self.patch()
        except (UserError, LimitReached, ProviderError):
            return None
        return patch if patch.changes and not self._problems(patch) else None

    def _problems(self, patch: Patch) -> Sequence[str]:
        return (*self._gate(patch), *secrets_in(patch))

    async def submit(
        self, given: Json, *, history: History, check: str = "", seconds_left: float = float("inf")
    ) -> Shown | Unfit | Accepted:
        """Judge one call. `check` is the command in force, "" for none."""
        submission = submission_of(given)
        if submission.outcome == "blocked":
            return Accepted(submission=submission, patch=None, receipt=Receipt(command=None, reason="blocked"))
        try:
            patch = await self.patch()
            if submission.outcome == "no_change":
                return _without_change(submission, patch)
            problem = _unfit(patch, self._problems)
            return problem or await self._judge(
                submission, patch, given.get("diff_id") or "", history, check, seconds_left
            )
        except (UserError, LimitReached) as error:
            return Unfit(f"This cannot be submitted: {error} Change that and submit again.")

    async def _judge(
        self, submission: Submission, patch: Patch, diff_id: str, history: History, check: str, seconds_left: float
    ) -> Shown | Unfit | Accepted:
        receipt = history.shown.get(patch.diff_id)
        may_leave = receipt is not None and (standing(receipt) != "worse" or history.rejections >= MOST_REJECTIONS)
        if receipt is not None and may_leave and diff_id == patch.diff_id:
            return Accepted(submission=submission, patch=patch, receipt=receipt)
        is_fresh, lint = receipt is None, ""
        if receipt is None:
            receipt, lint = await self._verified(patch, check, history, seconds_left)
        failed = standing(receipt) == "worse"
        rejections = history.rejections + failed
        text = what_is_shown(patch, receipt, lint, given_id=diff_id, failed=failed, rejections=rejections)
        return Shown(text=text, patch=patch, receipt=receipt, checks_failed=failed, is_fresh=is_fresh)

    async def _verified(self, patch: Patch, check: str, history: History, seconds_left: float) -> tuple[Receipt, str]:
        """What the check says of base and head, and the linters of the head: each from a fresh sandbox of its own.

        The agent's could hold anything: a program first in PATH, files that git ignores, what only it has built. One
        sandbox for both trees would save one start, but the head would be judged over what the base's run left, after
        it: so they run at the same time, where there is room. The base, which never changes, runs once in a run.
        Raises ProviderError when the head's sandbox cannot be had or is lost.
        """
        base = asyncio.ensure_future(self._on_base(check, history, seconds_left))
        try:
            try:
                head, lint = await self._on_head(patch, check, seconds_left)
            except ProviderError:  # the base's may have the last place that there is
                await base
                head, lint = await self._on_head(patch, check, seconds_left)
            if head is None:
                return Receipt(command=None, reason=NO_CHECK), lint
            was = await base or await self._on_base(check, history, seconds_left)  # and so may the head's
            return _receipt(check, was, head, about=await self._about(patch, check)), lint
        finally:
            base.cancel()
            await asyncio.wait([base])

    async def _about(self, patch: Patch, check: str) -> str:
        """What a reader of the receipt could take for granted and is not so."""
        paths, said = await self.workspace.base_paths(), []
        if self.check_command is None:
            contents = {path: await self.workspace.base_file(path) or b"" for path in wanted_files(paths)}
            if others := [command for command in kinds(paths, contents) if command != check]:
                said.append(
                    f"Found, and not run: {', '.join(others)}. `test` in .github/backspace.yml says what is run."
                )
        if read := self._setup_reads([change.path for change in patch.changes]):
            named = ", ".join(sorted(map(visible, read))[:MOST_NAMED])
            said.append(f"Both ran with the setup of the base, and the change alters what a setup reads: {named}.")
        return " ".join(said)

    async def _on_base(self, check: str, history: History, seconds_left: float) -> Check | None:
        """None when there is no sandbox to be had for it: the head's run then stands for itself."""
        receipts = (receipt for receipt in history.shown.values() if receipt.command == check)
        known = next((run for receipt in receipts for run in receipt.runs if run.where == "base"), None)
        if known is not None or not check:
            return known
        until = time.monotonic() + seconds_left
        try:
            async with self._open_base() as sandbox:
                return await self._run(sandbox, check, "base", until)
        except ProviderError:
            return None

    async def _on_head(self, patch: Patch, check: str, seconds_left: float) -> tuple[Check | None, str]:
        until, linters = time.monotonic() + seconds_left, await linters_for(patch, self.workspace)
        if not (check or linters):
            return None, ""
        async with self._open_base() as sandbox:
            files = [ExportedFile(change.path, change.mode, change.content) for change in patch.changes]
            await self.workspace.put_changes(sandbox, files)
            head = await self._run(sandbox, check, "head", until) if check else None
            return head, await linted(linters, sandbox, seconds_left=until - time.monotonic())

    async def _run(self, sandbox: Sandbox, check: str, where: Literal["base", "head"], until: float) -> Check:
        result = await sandbox.exec(
            shell(check),
            env=CHECK_ENVIRONMENT,
            timeout_s=max(1.0, min(self._check_timeout_s, until - time.monotonic())),
            max_output_bytes=CHECK_BYTES,
        )
        return Check(
            where=where,
            exit_code=result.exit_code,
            seconds=result.seconds,
            tail=last_lines(cleaned(result.stdout + result.stderr)),
            timed_out=result.timed_out,
        )


def _without_change(submission: Submission, patch: Patch) -> Unfit | Accepted:
    if patch.changes:
        paths = ", ".join(visible(change.path) for change in patch.changes[:10])
        return Unfit(f"The work tree has changes ({paths}). Undo them, or submit with outcome changes.")
    return Accepted(submission=submission, patch=None, receipt=Receipt(command=None, reason=NOTHING_CHANGED))


def _unfit(patch: Patch, gate: Callable[[Patch], Sequence[str]]) -> Unfit | None:
    if not patch.changes:
        return Unfit(f"There is no change: {NOTHING_CHANGED}. Make one, or submit with outcome no_change or blocked.")
    problems = gate(patch)
    if not problems:
        return None
    listed = "\n".join(f"- {problem}" for problem in problems)
    return Unfit(f"This change may not leave the sandbox:\n{listed}\nUndo or change that, then submit again.")
