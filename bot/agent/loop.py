"""The run: ask the model, use the tools, until a submit is accepted or a limit is reached."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial

from bot.agent import outcome as ending
from bot.agent import rules
from bot.agent.acting import answer_calls, diff_shown, side_by_side
from bot.agent.asking import Sleep, ask
from bot.agent.entries import discarded_entry, receipt_of, reply_entry, request_entry, usage_of
from bot.agent.hearing import Hearing, Listen
from bot.agent.ledger import Ledger
from bot.agent.limits import WRAP_UP_KEY, Go, Limits, Note, Spent, Stop, WrapUp, verdict
from bot.agent.opening import Opening
from bot.agent.outcome import Outcome
from bot.agent.prompt import NUDGE, Task, note, wrap_up
from bot.agent.review import Accepted, Review
from bot.agent.spending import Till, Uncounted, at_most, paid_for, unanswered, used
from bot.agent.switching import Chain
from bot.agent.warming import Warming
from bot.domain.conversation import Usage
from bot.domain.errors import LeaseLost, LimitReached, ModelError, UserError
from bot.domain.events import Conclusion, ModelAnswered, Noted
from bot.domain.job import Patch, Submission
from bot.domain.pricing import usd
from bot.ports import Entry, Journal, Model, Purse, Sandbox

__all__ = ["Outcome", "Task", "work"]

MOST_NUDGES = 2
MOST_PAUSES = 3  # replies in a row that only ask to be resumed
ABANDONED = "The reply was not waited for; what had come of it is in the bill."
UNANSWERED = "The bot was interrupted in the middle of a reply; the most that it can have cost is in the bill."
CHANGED_AFTERWARDS = "The work tree changed after the accepted submit. Look at it, then submit again."


async def work(
    task: Task,
    *,
    model: Model,
    fallbacks: Sequence[Model] = (),
    sandbox: Sandbox,
    review: Review,
    journal: Journal,
    limits: Limits,
    purse: Purse | None = None,
    listen: Listen | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
    nap: Sleep = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> Outcome:
    """Work on a task until it ends; over a journal with entries, go on where they stop.

    When `model` fails for good, those in `fallbacks` take its place one after the other; none comes back in the run.
    `listen` is called before each request and before the end: what people say meanwhile is part of the next request.
    `sleep` waits between attempts at a request, `nap` between two looks after the model's cache.
    Without a `purse` only the run's own limits hold, none of a day's.
    Raises LeaseLost, and ProviderError when the sandbox is lost: both leave a journal that a later attempt continues.
    """
    ledger = Ledger(journal, limits=limits, clock=clock)
    till = Till(purse or Uncounted(), ledger.entries, day=date.fromisoformat(task.today))
    await till.settle()
    hearing = Hearing(ledger, listen)
    run = _Run(task, (model, *fallbacks), sandbox, review, journal, ledger, till, hearing, sleep, nap, chance)
    await run.open()
    while True:
        ended = await (run.ask() if run.may_ask() else run.act())
        if ended is not None and not await hearing.calls_back(may_go_on=run.may_go_on_after(ended)):
            return replace(ended, afterword=hearing.afterword)


class _Run:
    """One attempt. All that matters is in the ledger; this only holds the doors."""

    def __init__(
        self,
        task: Task,
        models: tuple[Model, ...],
        sandbox: Sandbox,
        review: Review,
        journal: Journal,
        ledger: Ledger,
        till: Till,
        hearing: Hearing,
        sleep: Sleep,
        nap: Sleep,
        chance: Callable[[], float],
    ) -> None:
        self._task, self._sandbox, self._review = task, sandbox, review
        self._ledger, self._till, self._hearing = ledger, till, hearing
        self._opening = Opening(task, ledger, sandbox=sandbox, review=review, journal=journal, hearing=hearing)
        self._sleep, self._chance = sleep, chance
        self._warming = Warming(
            ledger, price=self._price, reserve=self._reserve, lost=self._lost, settle=till.settle, nap=nap
        )
        self._chain = Chain(models, ledger, request=task.request, patch=self._patch_again)
        self._most = Usage()

    @property
    def _model(self) -> Model:
        return self._chain.model

    async def open(self) -> None:
        if lost := unanswered(self._ledger.entries()):
            self._most = usage_of(lost["usage"])
            event, entry = self._lost(None, UNANSWERED, model=lost["model"])
            self._ledger.hold(event, entry=entry)
        await self._opening.open(self._model)

    def may_ask(self) -> bool:
        """The model's turn; also when its reply only paused."""
        progress = self._ledger.progress
        paused = progress.stop_reason == "pause_turn" and not progress.calls and progress.pauses <= MOST_PAUSES
        return progress.awaits_model or (paused and not progress.untold)

    def may_go_on_after(self, ended: Outcome) -> bool:
        """Whether somebody's word can still change this end: the run's budget has to hold, and a model to listen."""
        is_over = ended.kind == "stopped" and ended.conclusion is not Conclusion.NEUTRAL
        out_of_budget = isinstance(verdict(self._spent(), self._ledger.limits), WrapUp | Stop)
        return not (is_over or out_of_budget or self._model.family == rules.NAME)

    # ------------------------------------------------------------ the model's side

    async def ask(self) -> Outcome | None:
        ledger, began = self._ledger, self._ledger.elapsed()
        await self._chain.take_over()
        await self._chain.shorten()
        if self._hearing.news:
            await self._tell(list(ledger.progress.untold), nudge=False)
        conversation = ledger.progress.conversation
        if conversation is None:
            raise ValueError("a run asks only after its header is written")
        self._warming.asked()
        try:
            reply = await ask(
                self._model,
                conversation,
                max_tokens=ledger.progress.max_tokens,
                seconds_left=ledger.seconds_left,
                discard=self._discard,
                reserve=self._reserve,
                abandoned=self._abandoned,
                sleep=self._sleep,
                chance=self._chance,
            )
        except ModelError as error:
            words = await self._chain.go_on_after(error)
            await self._hearing.look()
            return replace(await self._stopped(words, Conclusion.FAILURE), setback=error) if words else None
        except TimeoutError:
            return await self._stopped(f"{ledger.limits.minutes:g} minutes are used.", Conclusion.TIMED_OUT)
        except LimitReached as error:
            return await self._stopped(str(error), Conclusion.TIMED_OUT)
        self._warming.answered()
        if reply.usage.output:  # a gateway may tell nothing of a prompt
            reply = replace(reply, usage=used(reply.usage, self._most))
        cost = self._price(reply.model, reply.usage, asked=self._model.name)
        number = ledger.progress.replies + 1
        event = ModelAnswered(number, reply.model, reply.text, reply.usage, cost, ledger.elapsed() - began)
        ledger.hold(event, entry=reply_entry(number, reply, usd=cost, elapsed=ledger.elapsed()))
        return None

    async def _reserve(self, max_tokens: int) -> int:
        """Before each request: the most it can cost is set aside, and that it is sent is written down. Answers how many
        tokens the reply may have."""
        ledger, model = self._ledger, self._model
        progress = ledger.progress
        if progress.conversation is None:
            return max_tokens
        sizes = {"last_prompt": progress.last_prompt, "max_tokens": max_tokens}
        most = at_most(progress.conversation, **sizes, cached=self._warming.cached(model))
        sizes["max_tokens"] = paid_for(most, partial(self._price, model.name), self._spent(), ledger.limits)
        await self._till.reserve(model, progress.conversation, **sizes)
        self._most, entry = Usage(), None
        if model.family != rules.NAME:
            self._most = replace(most, output=sizes["max_tokens"])
            number = progress.replies + progress.discarded + progress.warmed + 1
            usd = self._price(model.name, self._most)
            entry = request_entry(number, model=model.name, most=self._most, usd=usd)
        await ledger.record(entry=entry)
        return sizes["max_tokens"]

    async def _discard(self, error: ModelError | None, words: str) -> None:
        event, entry = self._lost(error, words)
        await self._ledger.record(event, entry=entry)

    def _lost(self, error: ModelError | None, words: str, *, model: str = "") -> tuple[Noted, Entry]:
        """A request that brought no reply to keep; None: whose worker died, or that was left without a word."""
        usage = used(error.usage, self._most) if error else self._most
        model = model or self._model.name
        usd, ledger = self._price(model, usage), self._ledger
        number, elapsed = ledger.progress.discarded + 1, ledger.elapsed()
        entry = discarded_entry(number, error, model=model, usage=usage, usd=usd, elapsed=elapsed)
        return Noted(words, usage, usd), entry

    async def _abandoned(self, error: ModelError | None) -> None:
        """The request is paid for, though nobody waits for its answer."""
        with suppress(LeaseLost):  # the next owner of the job counts it
            await self._discard(error, ABANDONED)

    def _price(self, model: str, usage: Usage, *, asked: str = "") -> float | None:
        """The dearer of the model's that answered, which a gateway may name anew, and of the one that was asked."""
        day, names = date.fromisoformat(self._task.today), {model, asked or model}
        prices = [usd(name, usage, day=day, own=self._model.price) for name in names] if usage != Usage() else [0.0]
        return max((price for price in prices if price is not None), default=None)

    # ------------------------------------------------------------ the harness's side

    async def act(self) -> Outcome | None:
        """Answer the newest reply: run its calls, add notes, or end the run."""
        calls = answer_calls(self._ledger, sandbox=self._sandbox, review=self._review)
        async with self._warming.during(self._model):
            accepted, _ = await side_by_side(calls, self._till.settle())
        if self._ledger.progress.accepted:
            await self._ledger.flush()
            ended = await self._accepted(accepted)
            if ended:
                return ended
        await self._hearing.look()
        progress = self._ledger.progress
        nudge = not progress.calls and not self._hearing.news
        if nudge and progress.nudges >= MOST_NUDGES:
            return ending.without_submit(progress, await self._draft())
        texts = [*progress.untold, *([NUDGE] if nudge else [])]
        match verdict(self._spent(), self._ledger.limits):
            case Stop(reason, is_budget):
                conclusion = Conclusion.TIMED_OUT if is_budget else Conclusion.FAILURE
                return await self._stopped(f"{reason}.", conclusion)
            case WrapUp(reason):
                seen = f"Wrapping up: {reason}."
                await self._tell(texts, wrap_up(reason), nudge=nudge, told=WRAP_UP_KEY, seen=seen)
            case Note(key, text):
                await self._tell(texts, note(text), nudge=nudge, told=key, seen=text)
            case Go():
                await self._tell(texts, nudge=nudge)
        return None

    async def _tell(self, texts: list[str], *notes: str, nudge: bool, told: str = "", seen: str = "") -> None:
        number = self._ledger.progress.user_turns + 1
        data = {
            "texts": [*self._hearing.news, *texts],
            "notes": list(notes),
            "nudge": nudge,
            "told": [told] if told else [],
            "heard": self._hearing.unread,
        }
        events = (Noted(seen),) if seen else ()
        self._ledger.hold(*events, entry=Entry("effect", f"user {number}", data))

    def _spent(self) -> Spent:
        progress = self._ledger.progress
        least = Usage(cache_read=progress.last_prompt)
        return Spent(
            turns=progress.replies,
            usd=progress.known_usd,
            next_usd=self._price(progress.model, least) or 0.0,
            input_tokens=progress.usage.input,
            output_tokens=progress.usage.output,
            seconds=self._ledger.elapsed(),
            told=progress.told,
            bad_replies=progress.bad_streak,
            repeats=progress.most_repeated,
            edit_errors=progress.edit_errors,
        )

    async def _accepted(self, fresh: Accepted | None) -> Outcome | None:
        """The end by submit. After a crash the tree must still be the accepted one, or the run goes on."""
        progress = self._ledger.progress
        if fresh is not None:
            return ending.accepted(progress, fresh.submission, fresh.patch, fresh.receipt)
        data = progress.accepted or {}
        patch = await self._patch_again() if data["diff_id"] else None
        if data["diff_id"] and (patch is None or patch.diff_id != data["diff_id"]):
            await self._opening.tree_is_void(CHANGED_AFTERWARDS)
            return None
        submission = Submission(**{**data["submission"], "follow_ups": tuple(data["submission"]["follow_ups"])})
        return ending.accepted(progress, submission, patch, receipt_of(data["receipt"]))

    async def _patch_again(self) -> Patch | None:
        try:
            return await self._review.patch()
        except (UserError, LimitReached):
            return None

    async def _stopped(self, message: str, conclusion: Conclusion) -> Outcome:
        return ending.stopped(self._ledger.progress, message, conclusion, await self._draft())

    async def _draft(self) -> Patch | None:
        await self._ledger.flush()
        draft = await self._review.draft()
        if draft:
            await self._ledger.record(diff_shown(draft))
        return draft
