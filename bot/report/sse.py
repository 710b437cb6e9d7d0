"""Recorded -> SSE frame and back: the one wire form of the event log, read by page and `backspace watch`."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from bot.domain.events import Conclusion, JobFinished, Recorded
from bot.event_adapter import EVENT
from bot.report.amounts import cost, token_use
from bot.report.answers import CANCELLED
from bot.report.characters import visible
from bot.report.check_run import plain
from bot.report.progress import Progress
from bot.report.receipts import result
from bot.report.steps import Mark, current_step, steps

LABELS = {
    "queued": "Queued",
    "running": "Running",
    "success": "Done",
    "neutral": "Ended",
    "failure": "Failed",
    "timed_out": "Stopped",
    "action_required": "Needs you",
}
HEARTBEAT = b": still here\n\n"
RECONNECT = b"retry: 2000\n\n"  # milliseconds a browser waits before it comes back


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where the job stands, as plain words: what page and terminal show above the log."""

    state: str
    label: str
    over: bool
    headline: str
    started_at: float | None
    finished_at: float | None
    cost: str
    tokens: str
    turns: int
    tool_calls: int
    model: str
    steps: tuple[tuple[Mark, str, str, str], ...]
    verdicts: tuple[str, ...]


def view_of(so_far: Progress) -> View:
    return View(
        state=_state(so_far),
        label=_label(so_far),
        over=so_far.finished is not None,
        headline=_headline(so_far),
        started_at=so_far.started_at,
        finished_at=so_far.finished_at,
        cost=cost(so_far.usd, so_far.budget_usd),
        tokens=token_use(so_far.usage),
        turns=so_far.turns,
        tool_calls=so_far.tool_calls,
        model=so_far.model,
        steps=tuple((step.mark, step.words, step.code, step.tail) for step in steps(so_far)),
        verdicts=tuple(result(run) for run in so_far.receipt.runs) if so_far.receipt else (),
    )


def frame(recorded: Recorded, so_far: Progress) -> bytes:
    """One event with its `seq` as SSE id. Only ASCII goes out, so no character of a text can end a line."""
    data = {
        "seq": recorded.seq,
        "at": recorded.at,
        "event": _readable(asdict(recorded.event)),
        "view": _readable(asdict(view_of(so_far))),
    }
    return f"id: {recorded.seq}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _readable(value: Any) -> Any:
    """No text goes out with characters that a browser or a terminal would obey instead of showing them."""
    match value:
        case str():
            return visible(value)
        case dict():
            return {key: _readable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_readable(inner) for inner in value]
        case _:
            return value


def recorded_of(data: str) -> Recorded | None:
    """The event of one frame's data; None for a kind that a newer bot has and we do not know.

    Raises ValueError when it is not a frame at all.
    """
    raw: Any = json.loads(data)
    if not isinstance(raw, dict) or not isinstance(raw.get("seq"), int):
        raise ValueError("not an event of a job")
    try:
        return Recorded(raw["seq"], float(raw["at"]), EVENT.validate_python(raw["event"]))
    except ValidationError:
        return None


def is_last(recorded: Recorded) -> bool:
    return isinstance(recorded.event, JobFinished)


def _state(so_far: Progress) -> str:
    return so_far.finished.conclusion.value if so_far.finished is not None else so_far.state


def _label(so_far: Progress) -> str:
    end = so_far.finished
    if end is not None and end.message.startswith(CANCELLED):
        return "Cancelled"
    if end is not None and end.conclusion is Conclusion.ACTION_REQUIRED and so_far.started_at is None:
        return "Not started"
    return LABELS[_state(so_far)]


def _headline(so_far: Progress) -> str:
    if so_far.finished is not None:
        message = so_far.finished.message
        return plain(message.split("\n\n", 1)[0] if "\n```" in message else message)  # a patch is shown further down
    if so_far.waiting:
        return so_far.wait
    return "Waiting in the queue" if so_far.state == "queued" else current_step(so_far).plain
