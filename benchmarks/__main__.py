"""`python -m benchmarks`: a table of ratios, each beside its goal, and the same as JSON."""

import argparse
import asyncio
import importlib
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Goal, Row
from benchmarks.peers import Peers
from benchmarks.processes import BenchmarkFailed
from bot.domain.errors import BotError
from bot.wiring import configure_logging

NAMES = ("door", "tree", "sandbox", "stream", "journey", "agent")
WIDTH = 170  # characters of a table that goes into a file
COLOURS = {"stretch": "green", "met": "green", "missed": "red", "": ""}


def main(words: Sequence[str]) -> int:
    """1 when a benchmark could not be measured; a goal that is missed is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=NAMES, action="append", help="one benchmark; may be given again")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument("--json", type=Path, help="where the results go; default: a new temporary directory")
    parser.add_argument("--peers", type=Path, help="keep the installed peers here and use them again")
    parser.add_argument("--without-peers", action="store_true", help="install nothing; ours alone")
    wish = parser.parse_args(words)
    configure_logging("error", "console")
    logging.getLogger("uvicorn.error").disabled = True  # who hangs up when a stage is taken down is no news
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    results: Path = wish.json or Path(tempfile.mkdtemp(prefix="backspace-bench-")) / "results.json"
    with tempfile.TemporaryDirectory(prefix="backspace-bench-") as scratch:
        peers = Peers(wish.peers or Path(scratch) / "peers", allowed=not wish.without_peers)
        measured, failed = asyncio.run(_measured(wish.only or NAMES, wish.quick, Path(scratch), peers, console))
    console.print(table(measured))
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(as_json(measured, quick=wish.quick), indent=2) + "\n")
    console.print(f"Results as JSON: {results}", highlight=False, soft_wrap=True)
    return 1 if failed else 0


async def _measured(
    names: Sequence[str], quick: bool, scratch: Path, peers: Peers, console: Console
) -> tuple[dict[str, list[Row]], bool]:
    measured: dict[str, list[Row]] = {}
    failed = False
    for name in names:
        module: Any = importlib.import_module(f"benchmarks.{name}")
        began, at = time.monotonic(), scratch / name
        at.mkdir()
        try:
            with console.status(f"{name}: {module.__doc__}"):
                measured[name] = await module.rows(module.QUICK if quick else module.FULL, at, peers)
            console.print(f"{name}: measured in {time.monotonic() - began:.0f} s", highlight=False)
        except (BenchmarkFailed, BotError, OSError) as failure:
            failed = True
            console.print(f"[red]{name} could not be measured:[/] ", end="")
            console.print(str(failure), markup=False, highlight=False, soft_wrap=True)
    return measured, failed


def table(measured: dict[str, list[Row]]) -> Table:
    shown = Table(title="Ours against a named peer: medians of alternating rounds")
    for heading in ("what", "ours", "peer", "peer's", "ratio", "goal"):
        shown.add_column(heading, justify="right" if heading in ("ours", "peer's", "ratio") else "left")
    for name, rows in measured.items():
        for row in rows:
            peer = f"{row.peer} ({row.note})" if row.note else row.peer
            ours, theirs = _amount(row.our_median, row.unit), _amount(row.their_median, row.unit)
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
            goal = _goal(row)
            shown.add_row(f"{name}: {row.what}", ours, peer, theirs, ratio, goal, style=COLOURS[row.verdict])
        shown.add_section()
    return shown


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    unit = "x" if row.goal.of == "ratio" else f" {row.unit}"
    return f"{_bounds(row.goal, unit)}: {row.verdict or 'not known'}"


def _bounds(goal: Goal, unit: str) -> str:
    return f"{goal.bound} {goal.must:g}{unit} ({goal.stretch:g}{unit})"


def as_json(measured: dict[str, list[Row]], *, quick: bool) -> dict[str, Any]:
    rows = {name: [{**asdict(r), "ratio": r.ratio, "verdict": r.verdict} for r in of] for name, of in measured.items()}
    machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    return {"quick": quick, "machine": machine, "benchmarks": rows}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
