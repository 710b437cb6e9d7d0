"""The calls of one reply: each is in the journal before it runs and after, and one that a crash cut is not repeated."""

import asyncio
import json
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import Any

from bot.agent.changing import Replacement, done, put, replacement
from bot.agent.context import hint
from bot.agent.entries import receipt_data
from bot.agent.ground import Ran, content_of, digest, refused
from bot.agent.ledger import Ledger
from bot.agent.output import visible
from bot.agent.progress import Progress
from bot.agent.review import Accepted, History, Review, Shown, Unfit
from bot.agent.schemas import misfit
from bot.agent.tools import READ_ONLY, run_tool, title_of
from bot.agent.tree import Step, step
from bot.domain.conversation import Json, ToolUse
from bot.domain.events import DiffShown, JobEvent, Noted, ToolCalled, ToolReturned, Verified
from bot.domain.job import Patch
from bot.ports import Entry, Sandbox, Workspace

SHOWN_DIFF_CHARACTERS = 200_000  # of a diff event, for display
INTERRUPTED = "interrupted: its effects are unknown; check before repeating."
INTERRUPTED_ELSEWHERE = (
    "interrupted: the sandbox was lost while this ran. A new one holds the work tree as it was before this call, so "
    "nothing that it did is there; run it again if it is still needed."
)
CHECKED_ANEW = "The bot was interrupted at its checks of the change: they were run from their beginning."
NOT_RUN = "not run: an earlier call in this reply failed."
NOT_WHOLE = "not run: the reply did not end as a tool call."
GONE = "interrupted: the sandbox was lost."
OUT_OF_TIME = "interrupted: the run's time is over."
MOST_AT_ONCE = 8  # calls that only look
GRACE_SECONDS = 25.0  # more than a sandbox has to end a command at its deadline: cut short, it would be lost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a call came to; `data` goes into the journal with it, `events` to the watchers."""

    ran: Ran
    may_have_changed: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[JobEvent, ...] = ()
    events: tuple[JobEvent, ...] = ()
    accepted: Accepted | None = None


async def answer_calls(ledger: Ledger, *, sandbox: Sandbox, review: Review) -> Accepted | None:
    """Run what the newest reply asks for, in order, and hold each result; stops at an accepted submit.

    Calls in a row that only look run side by side; one that may change something waits for all before it, and all
    after it wait for it. Raises ProviderError when the sandbox is lost, LeaseLost when the job is another worker's.
    """
    while batch := _next_calls(ledger.progress):
        began = ledger.elapsed()
        if len(batch) > 1 or batch[0][1].name in READ_ONLY:
            await _looked(ledger, batch, sandbox, review.workspace)
            continue
        ((place, call),) = batch
        reason = _not_to_run(ledger.progress, place, call)
        if reason is not None:
            answer = _Answer(ran=reason, before=_unseen(ledger, place, call))
        else:
            answer = await _carried_out(ledger, place, call, sandbox, review)
        tree = None
        if answer.may_have_changed:
            tree = await step(ledger.progress.tree, workspace=review.workspace, sandbox=sandbox)
        _hold(ledger, place, call, answer, tree, ledger.elapsed() - began)
        if answer.accepted:
            return answer.accepted
    return None


def _next_calls(progress: Progress) -> list[tuple[int, ToolUse]]:
    """The first call without a result; and where it only looks, all such calls right after it."""
    open_calls = [(place, call) for place, call in enumerate(progress.calls) if place not in progress.results]
    looking = list(takewhile(lambda found: found[1].name in READ_ONLY, open_calls))
    return looking or open_calls[:1]


async def _looked(ledger: Ledger, batch: Sequence[tuple[int, ToolUse]], sandbox: Sandbox, workspace: Workspace) -> None:
    """A crash repeats them: they changed nothing."""
    refusals = {place: _not_to_run(ledger.progress, place, call) for place, call in batch}
    fresh = [(place, call) for place, call in batch if place not in ledger.progress.started]
    starts = tuple(_start(ledger, place, call) for place, call in fresh if refusals[place] is None)
    await ledger.record(*(_called(call) for _, call in fresh), entries=starts)
    places, first_number = asyncio.Semaphore(MOST_AT_ONCE), ledger.progress.tool_calls + 1

    async def answered(number: int, place: int, call: ToolUse) -> tuple[Ran, float]:
        async with places:
            began = ledger.elapsed()
            ran = refusals[place] or await _in_time(ledger, run_tool(call, sandbox=sandbox, number=number))
            return ran, ledger.elapsed() - began

    numbered = enumerate(batch, first_number)
    results = await side_by_side(*(answered(number, place, call) for number, (place, call) in numbered))
    for (place, call), (ran, seconds) in zip(batch, results, strict=True):
        for path in ran.seen:
            line = await hint(path, seen=ledger.progress.seen, workspace=workspace)
            ran = replace(ran, text=f"{ran.text}\n{line}") if line else ran
        _hold(ledger, place, call, _Answer(ran=ran), None, seconds)


def _not_to_run(progress: Progress, place: int, call: ToolUse) -> Ran | None:
    """The result of a call that must not run (again), or None for one that may."""
    problem = misfit(call)
    if problem:
        return refused(problem, bad=True)
    if progress.stop_reason != "tool_use":
        return refused(NOT_WHOLE)
    if progress.is_void:
        return refused(GONE)
    failed = any(result["is_error"] and result["tool"] not in READ_ONLY for result in progress.results.values())
    if failed and call.name not in READ_ONLY:
        return refused(NOT_RUN)
    if call.name != "bash" or place not in progress.started:
        return None
    return refused(INTERRUPTED_ELSEWHERE if progress.started[place].get("elsewhere") else INTERRUPTED)


async def _carried_out(ledger: Ledger, place: int, call: ToolUse, sandbox: Sandbox, review: Review) -> _Answer:
    try:
        async with asyncio.timeout(_patience(ledger)):
            if call.name in ("edit", "write"):
                ran = await _changed(ledger, place, call, sandbox)
                return _Answer(ran=ran, may_have_changed=not ran.is_error)
            again = place in ledger.progress.started
            if not again:
                await ledger.record(_called(call), entry=_start(ledger, place, call))
            if call.name == "submit":
                return await _submitted(ledger, call, review, again=again)
            number = ledger.progress.tool_calls + 1
            ran = await run_tool(call, sandbox=sandbox, number=number, seconds_left=ledger.seconds_left())
            return _Answer(ran=ran, may_have_changed=not ledger.progress.tree.is_still(ran.tree))
    except TimeoutError:
        return _Answer(ran=refused(OUT_OF_TIME))


async def _in_time(ledger: Ledger, running: Awaitable[Ran]) -> Ran:
    try:
        async with asyncio.timeout(_patience(ledger)):
            return await running
    except TimeoutError:
        return refused(OUT_OF_TIME)


async def side_by_side(*running: Coroutine[Any, Any, Any]) -> list[Any]:
    """All their results, in their order; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in running]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _patience(ledger: Ledger) -> float:
    return max(0.0, ledger.seconds_left()) + GRACE_SECONDS


async def _changed(ledger: Ledger, place: int, call: ToolUse, sandbox: Sandbox) -> Ran:
    """An edit or write; after a crash the file's hash tells whether it happened."""
    await ledger.flush()  # the file is looked at before the call is recorded, and the sandbox may be lost
    started = ledger.progress.started.get(place)
    if started is not None and started["after"] == await _hash_now(sandbox, started["path"]):
        content = await content_of(sandbox, started["path"])
        return done(Replacement(path=started["path"], before="", content=content, text=started["text"]))
    new = await replacement(call, sandbox=sandbox, seen=ledger.progress.seen)
    if started is None:
        await ledger.record(_called(call), entry=_start(ledger, place, call, new))
    elif isinstance(new, Replacement) and new.before != started["before"]:
        return refused(f"{new.path} changed while the call was interrupted; read it before repeating.")
    return new if isinstance(new, Ran) else await put(sandbox, new)


async def _hash_now(sandbox: Sandbox, path: str) -> str:
    try:
        return digest(await content_of(sandbox, path))
    except FileNotFoundError:
        return ""


async def _submitted(ledger: Ledger, call: ToolUse, review: Review, *, again: bool) -> _Answer:
    progress = ledger.progress
    history = History(shown=progress.shown, rejections=progress.rejections)
    verdict = await review.submit(call.input, history=history, check=progress.check, seconds_left=ledger.seconds_left())
    match verdict:
        case Unfit(text):
            return _Answer(ran=refused(text))
        case Shown():
            data = {
                "diff_id": verdict.patch.diff_id,
                "receipt": receipt_data(verdict.receipt),
                "checks_failed": verdict.checks_failed,
            }
            said = Ran(text=verdict.text, same=verdict.text)
            return _Answer(ran=said, data=data, events=_to_watch(verdict, again=again))
        case Accepted():
            return _Answer(ran=Ran(text="accepted"), data={"accepted": accepted_data(verdict)}, accepted=verdict)


def _to_watch(shown: Shown, *, again: bool) -> tuple[JobEvent, ...]:
    noted = (Noted(CHECKED_ANEW),) if again and shown.is_fresh and shown.receipt.runs else ()
    return (*noted, diff_shown(shown.patch), Verified(shown.receipt))


def diff_shown(patch: Patch) -> DiffShown:
    return DiffShown(patch.diff_id, visible(patch.diff[:SHOWN_DIFF_CHARACTERS]), patch.stats)


def accepted_data(accepted: Accepted) -> Json:
    return {
        "submission": {**asdict(accepted.submission), "follow_ups": list(accepted.submission.follow_ups)},
        "diff_id": accepted.patch.diff_id if accepted.patch else "",
        "receipt": receipt_data(accepted.receipt),
    }


def _unseen(ledger: Ledger, place: int, call: ToolUse) -> tuple[JobEvent, ...]:
    """That it was asked for, unless watchers have seen that."""
    return () if place in ledger.progress.started else (_called(call),)


def _called(call: ToolUse) -> ToolCalled:
    return ToolCalled(call.id, call.name, title_of(call))


def _start(ledger: Ledger, place: int, call: ToolUse, new: Replacement | Ran | None = None) -> Entry:
    data: dict[str, Any] = {"place": place, "tool": call.name, "call_id": call.id}
    if call.name in ("edit", "write"):
        change = new if isinstance(new, Replacement) else None
        data |= {
            "path": change.path if change else "",
            "before": change.before if change else "",
            "after": change.after if change else "refused",
            "text": change.text if change else "",
        }
    return Entry("tool", f"start {ledger.progress.replies}.{place}", data)


def _hold(ledger: Ledger, place: int, call: ToolUse, answer: _Answer, tree: Step | None, seconds: float) -> None:
    ran = answer.ran
    data = {
        "place": place,
        "tool": call.name,
        "call_id": call.id,
        "text": ran.text,
        "is_error": ran.is_error,
        "bad": ran.bad,
        "same": digest(json.dumps([call.name, call.input, ran.same], sort_keys=True).encode()),
        "seen": dict(ran.seen),
        "elapsed": ledger.elapsed(),
        **answer.data,
        **({"tree": {**tree.data, "number": ran.tree}} if tree else {}),
    }
    warning = (Noted(tree.warning),) if tree and tree.warning else ()
    returned = ToolReturned(call.id, call.name, not ran.is_error, ran.text, seconds)
    contents = tree.contents if tree else {}
    entry = Entry("tool", f"result {ledger.progress.replies}.{place}", data, contents)
    ledger.hold(*answer.before, returned, *answer.events, *warning, entry=entry)
