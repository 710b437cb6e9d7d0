"""What came of each task, and what all of them say together: a table, JSON, an exit code."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

Verdict = Literal["solved", "unsolved", "broken", "skipped", "crashed"]
COUNTED: tuple[Verdict, ...] = ("solved", "unsolved", "crashed")  # the rest says nothing about the bot
LOOKS: dict[Verdict, str] = {
    "solved": "green",
    "unsolved": "red",
    "broken": "yellow",
    "skipped": "dim",
    "crashed": "red",
}
Z_95 = 1.959964  # standard normal quantile of 0.975

ALL_SOLVED, SOME_NOT, LESS_TO_SAY = 0, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task. `said` is why, in a sentence.

    `tokens` are all that went in and out; `usd` at list price, None when a price is unknown; `seconds` from the comment
    to the job's end. `same_tree`: the pull request's tree is that of the gold change; None without a pull request.
    `checks`: exit codes on base and head in the bot's own receipt, None for one that was killed.
    """

    task: str
    verdict: Verdict
    said: str
    turns: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    same_tree: bool | None = None
    checks: Mapping[str, int | None] = field(default_factory=dict)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share (E. B. Wilson, 1927); 0 to 1 when nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, middle - half) if successes else 0.0, min(1.0, middle + half) if successes < trials else 1.0


def exit_code(rows: Sequence[Row]) -> int:
    """0: every task that counts was solved. 3: some were not. 4: a task is broken or crashed, or none counted."""
    verdicts = {row.verdict for row in rows}
    if verdicts & {"broken", "crashed"} or not verdicts & {"solved", "unsolved"}:
        return LESS_TO_SAY
    return SOME_NOT if "unsolved" in verdicts else ALL_SOLVED


def summary(rows: Sequence[Row]) -> str:
    """`11/12 solved (92 %, 95 % interval 65 to 99 %)`, and what was left out of that."""
    counted = [row for row in rows if row.verdict in COUNTED]
    solved = sum(row.verdict == "solved" for row in counted)
    low, high = wilson(solved, len(counted))
    share = f"{100 * solved / len(counted):.0f} %, " if counted else ""
    left_out = [f"{n} {verdict}" for verdict in ("broken", "skipped") if (n := _count(rows, verdict))]
    more = f"; not counted: {', '.join(left_out)}" if left_out else ""
    return f"{solved}/{len(counted)} solved ({share}95 % interval {100 * low:.0f} to {100 * high:.0f} %){more}"


def table(rows: Sequence[Row]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", footer_style="bold", show_footer=True)
    made.add_column("task", "all", no_wrap=True)
    made.add_column("", no_wrap=True)
    for name, total in (
        ("turns", str(sum(row.turns for row in rows))),
        ("tokens", f"{sum(row.tokens for row in rows):,}"),
        ("dollars", _dollars(_total_usd(rows))),
        ("seconds", f"{sum(row.seconds for row in rows):.1f}"),
    ):
        made.add_column(name, total, justify="right", no_wrap=True)
    made.add_column("")
    for row in rows:
        ran = row.turns or row.seconds
        figures = (str(row.turns), f"{row.tokens:,}", _dollars(row.usd), f"{row.seconds:.1f}") if ran else ("",) * 4
        made.add_row(row.task, Text(row.verdict, style=LOOKS[row.verdict]), *figures, Text(_why(row)))
    return made


def _why(row: Row) -> str:
    """Short where all is well: then nobody asks."""
    if row.verdict != "solved":
        return row.said
    return "as in gold" if row.same_tree else ""


def as_json(rows: Sequence[Row], *, player: str) -> dict[str, Any]:
    counted = [row for row in rows if row.verdict in COUNTED]
    solved = _count(rows, "solved")
    low, high = wilson(solved, len(counted))
    return {
        "player": player,
        "solved": solved,
        "counted": len(counted),
        "interval_95": [round(low, 4), round(high, 4)],
        "usd": _total_usd(rows),
        "tasks": [asdict(row) for row in rows],
    }


def _count(rows: Sequence[Row], verdict: str) -> int:
    return sum(row.verdict == verdict for row in rows)


def _total_usd(rows: Sequence[Row]) -> float | None:
    """None as soon as one is unknown: a sum without it would be too low."""
    known = [row.usd for row in rows if row.usd is not None]
    return sum(known) if len(known) == len(rows) else None


def _dollars(usd: float | None) -> str:
    return "n/a" if usd is None else f"{usd:.3f}"
