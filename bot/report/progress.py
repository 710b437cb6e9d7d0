"""Events -> where a job stands: the steps, the cost, the change. Every reader of the log starts here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bot.domain.conversation import Usage
from bot.domain.events import (
    BasePinned,
    BranchMoved,
    ContextRead,
    DiffShown,
    JobFinished,
    JobQueued,
    JobStarted,
    ModelAnswered,
    ModelSwitched,
    Noted,
    PullRequestOpened,
    Recorded,
    SandboxReady,
    Steered,
    ToolCalled,
    ToolReturned,
    Verified,
)
from bot.domain.job import FileStat, Receipt

LAST_ACTIONS = 6  # what fits on a phone
CHANGING_TOOLS = frozenset({"edit", "write"})
DOING = {
    "read": "reading",
    "write": "writing",
    "edit": "editing",
    "run": "running",
    "bash": "running",
    "glob": "looking for",
    "grep": "searching for",
    "find": "looking for",
    "search": "searching for",
    "delete": "deleting",
    "rename": "renaming",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A tool call: `ok` and `seconds` are None while it runs. `title` holds text of the model."""

    call_id: str
    tool: str
    title: str
    ok: bool | None = None
    seconds: float | None = None

    @property
    def doing(self) -> tuple[str, str]:
        """A verb of ours and what it is about, in the model's words: `("editing", "export/cli.py")`."""
        first, _, rest = self.title.partition(" ")
        verb = DOING.get(first.lower())
        return (verb, rest) if verb and rest else ("", self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Times are Unix seconds. `usd` is None as soon as one call had no known price. `switches`: of the model.

    `said`: what people said to the agent at its work, a sentence each. `wait`: for whom the whole job has waited last;
    `waiting`: it still does.
    """

    state: Literal["queued", "running", "finished"] = "queued"
    started_at: float | None = None
    finished_at: float | None = None
    model: str = ""
    attempt: int = 0
    budget_usd: float | None = None
    base: BasePinned | None = None
    sandbox: SandboxReady | None = None
    context: ContextRead | None = None
    usd: float | None = 0.0
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    tool_calls: int = 0
    actions: tuple[Action, ...] = ()
    note: str = ""
    wait: str = ""
    waiting: bool = False
    switches: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    diff: DiffShown | None = None
    implemented: bool = False
    verifying: bool = False
    receipt: Receipt | None = None
    heads: tuple[BranchMoved, ...] = ()
    pull_request: PullRequestOpened | None = None
    finished: JobFinished | None = None

    @property
    def stats(self) -> tuple[FileStat, ...]:
        """Lines by file of the pull request, or of the change as it was last shown."""
        if self.pull_request is not None:
            return self.pull_request.stats
        return self.diff.stats if self.diff is not None else ()

    def seconds(self, now: float) -> float:
        """How long the work has taken so far, or took."""
        if self.started_at is None:
            return 0.0
        return max((self.finished_at or now) - self.started_at, 0.0)


def progress(events: Sequence[Recorded]) -> Progress:
    so_far = Progress()
    for recorded in events:
        so_far = after(so_far, recorded)
    return so_far


def after(so_far: Progress, recorded: Recorded) -> Progress:
    """One event further; cheap enough to be called for every event of a stream."""
    event, at = recorded.event, recorded.at
    if so_far.waiting:
        so_far = replace(so_far, waiting=False)
    match event:
        case JobQueued():
            return so_far
        case JobStarted():
            return _started(so_far, event, at)
        case BasePinned():
            return replace(so_far, base=event)
        case SandboxReady():
            return replace(so_far, sandbox=event)
        case ContextRead():
            return replace(so_far, context=event)
        case ModelAnswered():
            return replace(_paid(so_far, event), turns=max(so_far.turns, event.turn), model=event.model)
        case ToolCalled():
            return _called(so_far, event)
        case ToolReturned():
            return replace(so_far, actions=_returned(so_far.actions, event))
        case Noted(until=None):
            return replace(_paid(so_far, event), note=event.text)
        case Noted():
            return replace(so_far, note=event.text, wait=event.text, waiting=True)
        case ModelSwitched():
            return replace(so_far, note=event.text, model=event.after, switches=(*so_far.switches, event.text))
        case Steered():
            return replace(so_far, note=event.text, said=(*so_far.said, event.text))
        case DiffShown():
            return replace(so_far, diff=event, implemented=True, verifying=True)
        case Verified():
            return replace(so_far, receipt=event.receipt, implemented=True, verifying=False)
        case BranchMoved():
            return replace(so_far, heads=(*so_far.heads, event))
        case PullRequestOpened():
            return replace(so_far, pull_request=event, implemented=_was_submitted(so_far), verifying=False)
        case JobFinished():
            done = _was_submitted(so_far)
            return replace(so_far, state="finished", finished=event, finished_at=at, implemented=done, verifying=False)


def _was_submitted(so_far: Progress) -> bool:
    """A change of work that was stopped half-way is shown, and never verified."""
    return so_far.implemented and so_far.receipt is not None


def _paid(so_far: Progress, event: ModelAnswered | Noted) -> Progress:
    usd = None if so_far.usd is None or event.usd is None else so_far.usd + event.usd
    return replace(so_far, usd=usd, usage=so_far.usage + event.usage)


def _started(so_far: Progress, event: JobStarted, at: float) -> Progress:
    return replace(
        so_far,
        state="running",
        started_at=so_far.started_at or at,
        model=event.model,
        attempt=event.attempt,
        budget_usd=event.budget_usd,
    )


def _called(so_far: Progress, event: ToolCalled) -> Progress:
    action = Action(call_id=event.call_id, tool=event.tool, title=event.title)
    actions = (*so_far.actions, action)[-LAST_ACTIONS:]
    changing = event.tool in CHANGING_TOOLS
    return replace(
        so_far,
        tool_calls=so_far.tool_calls + 1,
        actions=actions,
        implemented=so_far.implemented and not changing,
        verifying=so_far.verifying and not changing,
        receipt=None if changing else so_far.receipt,
    )


def _returned(actions: tuple[Action, ...], event: ToolReturned) -> tuple[Action, ...]:
    return tuple(
        replace(action, ok=event.ok, seconds=event.seconds) if action.call_id == event.call_id else action
        for action in actions
    )
