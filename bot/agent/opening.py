"""How an attempt begins: with the first words of a run, or in the place where an earlier one stopped."""

import secrets
from dataclasses import replace

from bot.agent.context import gather
from bot.agent.entries import header
from bot.agent.ground import SCRATCH
from bot.agent.hearing import Hearing
from bot.agent.ledger import Ledger
from bot.agent.prompt import LOST_TREE, SAME_TREE_AGAIN, SYSTEM, Task, first_turn
from bot.agent.review import Review
from bot.agent.schemas import TOOLS
from bot.agent.transcript import SAME_TREE
from bot.agent.tree import begun, put_back
from bot.domain.conversation import Text
from bot.domain.errors import LimitReached
from bot.domain.events import ContextRead, Noted
from bot.ports import Entry, Journal, Model, Sandbox

MARK = f"{SCRATCH}/run"


class Opening:
    """A mark in the sandbox tells whether the work tree of an earlier attempt is still there."""

    def __init__(
        self, task: Task, ledger: Ledger, *, sandbox: Sandbox, review: Review, journal: Journal, hearing: Hearing
    ) -> None:
        self._task, self._ledger, self._sandbox = task, ledger, sandbox
        self._review, self._journal, self._hearing = review, journal, hearing

    async def open(self, model: Model) -> None:
        progress = self._ledger.progress
        if progress.conversation is None:
            await self._begin(model)
            return
        if not await self._is_marked(progress.sandbox):
            await self._move_in()
        await self._hearing.look()

    async def _begin(self, model: Model) -> None:
        context = await gather(
            self._review.workspace, check_command=self._review.check_command, first=self._task.instructions
        )
        nonce, limits = secrets.token_hex(4), self._ledger.limits
        budget = f"{limits.turns} turns, {limits.minutes:g} minutes"
        first = first_turn(self._task, context, nonce, budget=budget)
        await self._hearing.look()
        opening = header(
            system=SYSTEM,
            tools=TOOLS,
            first=replace(first, blocks=(*first.blocks, *map(Text, self._hearing.texts(nonce)))),
            heard=self._hearing.unread,
            nonce=nonce,
            check=context.check,
            sandbox=await self._mark(),
            model=model.name,
            family=model.family,
            effort=model.effort,
        )
        laid: tuple[Entry, ...] = ()
        if self._task.begun:
            step = await begun(self._task.begun, workspace=self._review.workspace, sandbox=self._sandbox)
            laid = (Entry("effect", "begun", {"tree": step.data}, step.contents),)
        await self._ledger.record(ContextRead(context.files, context.check), entries=laid, entry=opening)

    async def _mark(self) -> str:
        token = secrets.token_hex(8)
        await self._sandbox.write_file(MARK, token.encode())
        return token

    async def _is_marked(self, token: str) -> bool:
        try:
            return await self._sandbox.read_file(MARK, max_bytes=100) == token.encode()
        except (OSError, LimitReached):
            return False

    async def _move_in(self) -> None:
        """Into a new sandbox: with the tree of the old one, or the agent starts again."""
        progress, workspace = self._ledger.progress, self._review.workspace
        if not await put_back(progress.tree, workspace=workspace, sandbox=self._sandbox, journal=self._journal):
            await self.tree_is_void(LOST_TREE)
            return
        touched = progress.tree.touched or bool(progress.started)
        data = {"sandbox": await self._mark(), "texts": [SAME_TREE_AGAIN] if touched else [], "tree": SAME_TREE}
        entry = Entry("effect", f"sandbox {progress.sandboxes + 1}", data)
        await self._ledger.record(Noted("A new sandbox holds the work tree as it was; the agent goes on."), entry=entry)

    async def tree_is_void(self, text: str) -> None:
        """What the agent knows of the tree does not hold any more, and it is told so."""
        number = self._ledger.progress.sandboxes + 1
        entry = Entry("effect", f"sandbox {number}", {"sandbox": await self._mark(), "texts": [text]})
        await self._ledger.record(
            Noted("The work tree is not what it was; the agent starts again from it."), entry=entry
        )
