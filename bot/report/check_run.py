"""Events -> the check run `backspace`: title, summary and folded log, cut to GitHub's limits."""

import re
import string
from collections.abc import Sequence
from typing import Final, Literal

from bot.domain.events import (
    Conclusion,
    JobFinished,
    ModelAnswered,
    ModelSwitched,
    Noted,
    Recorded,
    Steered,
    ToolCalled,
    ToolReturned,
)
from bot.domain.job import FileStat
from bot.ports import CheckRun
from bot.report.amounts import change_size, cost, counted, duration, token_use
from bot.report.characters import visible
from bot.report.progress import Action, Progress, progress
from bot.report.restricted_markdown import fenced, words
from bot.report.safe_text import code, safe_plain
from bot.report.steps import checklist, current_step

CHECK_NAME = "backspace"  # what branch protection and people look for; never made from text
LIMIT = 65_535  # characters of summary and of text each; GitHub answers 422 above
TITLE_LIMIT = 120
FILES_SHOWN = 100
WORTH_SAYING_S = 0.05
OUTPUT_LINES = 12  # of one tool call in the log
CUT_NOTE = "(earlier lines are in the live log)"
_STATUS: Final[dict[Literal["queued", "running", "finished"], Literal["queued", "in_progress", "completed"]]] = {
    "queued": "queued",
    "running": "in_progress",
    "finished": "completed",
}
_MARKUP: Final = re.compile(  # an escape, a code span or block, bold
    rf"\\(?P<escaped>[{re.escape(string.punctuation)}])|(?P<fence>`+)(?P<code>.+?)(?<!`)(?P=fence)(?!`)|\*\*", re.S
)
_SUPERSEDED = "A newer commit carries this check."


def check_run(events: Sequence[Recorded], *, now: float) -> CheckRun:
    """The conclusion is the one recorded by the state machine; no text of a model can change it."""
    so_far = progress(events)
    return CheckRun(
        status=_STATUS[so_far.state],
        conclusion=so_far.finished.conclusion if so_far.finished else None,
        title=_title(so_far),
        summary=cut(_summary(so_far, now=now)),
        text=_log(events),
    )


def superseded() -> CheckRun:
    """How the check run on an earlier head of the branch ends."""
    return CheckRun(status="completed", conclusion=Conclusion.NEUTRAL, title="Superseded", summary=_SUPERSEDED, text="")


def cut(text: str, *, limit: int = LIMIT, note: str = "(cut: the rest is in the live log)") -> str:
    """At most `limit` characters, cut at a line end, and said."""
    if len(text) <= limit:
        return text
    room = limit - len(note) - 2
    head = text[:room]
    return f"{head[: head.rfind(chr(10))] if chr(10) in head else head}\n\n{note}"


def plain(markdown: str) -> str:
    """A message of ours without its Markdown, for places that show text as it is; code spans keep their text."""
    return _MARKUP.sub(_without_markup, markdown)


def _without_markup(found: re.Match[str]) -> str:
    escaped, code_text = found["escaped"], found["code"]
    if code_text is None:
        return escaped or ""
    is_padded = code_text.startswith(" ") and code_text.endswith(" ") and code_text.strip() != ""
    return code_text[1:-1] if is_padded else code_text


def _title(so_far: Progress) -> str:
    if so_far.finished is not None:
        line = plain(so_far.finished.message).split("\n", 1)[0]
    elif so_far.waiting:
        line = safe_plain(so_far.wait)
    elif so_far.state == "queued":
        line = "Queued"
    else:
        line = safe_plain(current_step(so_far).plain)
    line = " ".join(visible(line).split())
    return line if len(line) <= TITLE_LIMIT else f"{line[: TITLE_LIMIT - 1]}\u2026"


def _summary(so_far: Progress, *, now: float) -> str:
    parts = [so_far.finished.message if so_far.finished else "", checklist(so_far)]
    if so_far.actions and so_far.finished is None:
        parts.append("**Last actions**\n" + "\n".join(_action(action) for action in so_far.actions))
    if so_far.note and so_far.finished is None:
        parts.append(f"**Note** {words(so_far.note)}")
    if so_far.started_at is not None:
        parts.append(_spent(so_far, now=now))
    if so_far.stats:
        parts.append(_files(so_far.stats))
    return "\n\n".join(part for part in parts if part)


def _action(action: Action) -> str:
    if action.ok is None:
        return f"- {code(action.title)} \u2026"
    failed = "" if action.ok else " failed"
    took = f" ({duration(action.seconds)})" if action.seconds and action.seconds >= WORTH_SAYING_S else ""
    return f"- {code(action.title)}{failed}{took}"


def _spent(so_far: Progress, *, now: float) -> str:
    facts = (
        cost(so_far.usd, so_far.budget_usd),
        counted(so_far.turns, "turn"),
        counted(so_far.tool_calls, "tool call"),
        token_use(so_far.usage),
        duration(so_far.seconds(now)),
    )
    return f"**Spent** {' · '.join(facts)}"


def _files(stats: Sequence[FileStat]) -> str:
    rows = [f"| {_cell(code(stat.path))} | {_lines_changed(stat)} |" for stat in stats[:FILES_SHOWN]]
    if len(stats) > FILES_SHOWN:
        rows.append(f"| and {counted(len(stats) - FILES_SHOWN, 'more file')} | | |")
    return "\n".join(
        [f"**Change** {change_size(stats)}", "", "| file | added | removed |", "| --- | ---: | ---: |", *rows]
    )


def _lines_changed(stat: FileStat) -> str:
    return "binary | " if stat.additions is None else f"+{stat.additions} | -{stat.deletions}"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _log(events: Sequence[Recorded]) -> str:
    """The newest lines that fit, oldest first, inside one code block below a fold."""
    lines = [line for recorded in events for line in _lines(recorded)]
    if not lines:
        return ""
    room = LIMIT - 2_000  # the fold, the fence, and an indent of one character on each of the lines
    kept: list[str] = []
    for line in reversed(lines):
        room -= len(line) + 2
        if room < 0:
            kept.append(CUT_NOTE)
            break
        kept.append(line)
    return f"<details><summary>Log</summary>\n\n{fenced(chr(10).join(reversed(kept)), language='text')}\n\n</details>"


def _lines(recorded: Recorded) -> list[str]:
    match recorded.event:
        case ModelAnswered(text=text) if text.strip():
            return [*_short(text), ""]
        case ToolCalled(title=title):
            return [f"> {' '.join(visible(title).split())[:200]}"]
        case ToolReturned(output=output):
            return [*(f"  {line}" for line in _short(output)), ""]
        case Noted(text=text) | ModelSwitched(text=text) | Steered(text=text):
            return [*(f"! {line}" for line in _short(text)), ""]
        case JobFinished(message=message):
            return _short(plain(message))
        case _:
            return []


def _short(text: str) -> list[str]:
    lines = [line[:200] for line in visible(text).rstrip("\n").split("\n")]
    if len(lines) <= OUTPUT_LINES:
        return lines
    half = OUTPUT_LINES // 2
    return [*lines[:half], f"... {len(lines) - 2 * half} lines ...", *lines[-half:]]
