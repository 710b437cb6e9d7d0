"""A job and its events -> everything the live page shows, in the order it shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from bot.domain.events import ModelAnswered, ModelSwitched, Noted, Recorded, Steered, ToolCalled, ToolReturned
from bot.domain.job import Job, Receipt
from bot.report.amounts import change_size, duration
from bot.report.progress import Progress, progress
from bot.report.receipts import result
from bot.report.sse import View, view_of

WORTH_SHOWING_S = 0.05
_LINE_KINDS = {"+": "add", "-": "del", "@": "hunk"}
_SAID_BY_THE_PATH = ("index ", "--- ", "+++ ")
DIFF_LINES_SHOWN = 3_000  # a page with more does not scroll well on a phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of the log. `key` joins a tool call and what it returned."""

    kind: Literal["said", "tool", "note"]
    key: str = ""
    tool: str = ""
    text: str
    output: str = ""
    state: Literal["running", "ok", "failed"] = "ok"
    meta: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffFile:
    path: str
    lines: tuple[tuple[str, str], ...]

    @property
    def added(self) -> str:
        return f"+{sum(kind == 'add' for kind, _ in self.lines)}"

    @property
    def removed(self) -> str:
        return f"-{sum(kind == 'del' for kind, _ in self.lines)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    where: str
    result: str
    ok: bool
    seconds: str
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    job: Job
    view: View
    seq: int
    now: float
    items: tuple[Item, ...]
    diff: tuple[DiffFile, ...]
    diff_cut: bool
    size: str
    receipt: Receipt | None
    ran: tuple[Ran, ...]
    issue_url: str  # "" for a run that no issue asked for
    pull_request_url: str
    pull_request: int | None
    events_url: str
    elapsed: str


def page_of(job: Job, events: Sequence[Recorded], *, now: float, github_url: str, key: str) -> Page:
    so_far = progress(events)
    repository = f"{github_url}/{quote(job.repo.owner)}/{quote(job.repo.name)}"
    opened = so_far.pull_request
    return Page(
        job=job,
        view=view_of(so_far),
        seq=events[-1].seq if events else 0,
        now=now,
        items=items(events),
        diff=diff_files(so_far.diff.diff) if so_far.diff else (),
        diff_cut=so_far.diff is not None and so_far.diff.diff.count("\n") > DIFF_LINES_SHOWN,
        size=change_size(so_far.stats) if so_far.stats else "",
        receipt=so_far.receipt,
        ran=_ran(so_far),
        issue_url=f"{repository}/issues/{job.issue.number}" if job.issue.number else "",
        pull_request_url=opened.url if opened and opened.url.startswith(("https://", "http://")) else "",
        pull_request=opened.number if opened else None,
        events_url=f"{quote(job.id)}/events?t={quote(key, safe='')}",
        elapsed=duration(so_far.seconds(now)) if so_far.started_at else "",
    )


def items(events: Sequence[Recorded]) -> tuple[Item, ...]:
    """The log as it reads: what the model said, each tool with its output, notes."""
    log: list[Item] = []
    places: dict[str, int] = {}
    for recorded in events:
        match recorded.event:
            case ModelAnswered(text=text, turn=turn) if text.strip():
                log.append(Item(kind="said", text=text.strip(), meta=f"turn {turn}"))
            case ToolCalled(call_id=call_id, tool=tool, title=title):
                places[call_id] = len(log)
                log.append(Item(kind="tool", key=call_id, tool=tool, text=title_of(tool, title), state="running"))
            case ToolReturned(call_id=call_id) as returned if call_id in places:
                log[places[call_id]] = _returned(log[places[call_id]], returned)
            case Noted(text=text) | ModelSwitched(text=text) | Steered(text=text):
                log.append(Item(kind="note", text=text))
            case _:
                pass
    return tuple(log)


def title_of(tool: str, title: str) -> str:
    """A title as the page shows it; a tool's answer without a title shows the tool."""
    return title.strip() or tool


def diff_files(diff: str) -> tuple[DiffFile, ...]:
    """A unified diff by file; each line with its kind: meta (before the first hunk), hunk, add, del or same."""
    shown: list[tuple[str, list[tuple[str, str]]]] = []
    in_hunks = False
    for line in diff.split("\n")[:DIFF_LINES_SHOWN]:
        if line.startswith("diff --git "):
            shown.append((line.rpartition(" b/")[2], []))
            in_hunks = False
        elif shown and line and (in_hunks or not line.startswith(_SAID_BY_THE_PATH)):
            in_hunks = in_hunks or line.startswith("@@")
            shown[-1][1].append((_LINE_KINDS.get(line[0], "same") if in_hunks else "meta", line))
    return tuple(DiffFile(path=path, lines=tuple(lines)) for path, lines in shown)


def _returned(item: Item, returned: ToolReturned) -> Item:
    return Item(
        kind="tool",
        key=item.key,
        tool=item.tool,
        text=item.text,
        output=returned.output,
        state="ok" if returned.ok else "failed",
        meta=duration(returned.seconds) if returned.seconds >= WORTH_SHOWING_S else "",
    )


def _ran(so_far: Progress) -> tuple[Ran, ...]:
    if so_far.receipt is None:
        return ()
    return tuple(
        Ran(
            where=run.where,
            result=result(run),
            ok=run.exit_code == 0 and not run.timed_out,
            seconds=duration(run.seconds),
            tail=run.tail,
        )
        for run in so_far.receipt.runs
    )
