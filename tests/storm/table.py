"""What a storm came to, as a table: effect by effect, how often a worker died there and what was wrong afterwards."""

import io
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.storm.effects import Kill
from tests.storm.promises import PROMISES
from tests.storm.storm import Outcome


def table(title: str, outcomes: Sequence[Outcome], *, meant: Sequence[Kill] | None = None) -> str:
    """`meant`: the kills that were to fall, unless chance chose. A job with a fault counts once at each effect that
    its workers died in; the promises below it count jobs too."""
    deaths = [death for outcome in outcomes for death in outcome.deaths]
    asked = None if meant is None else Counter(map(_family, meant))
    fell = [Counter(_family(death) for death in deaths if death.when == side) for side in ("before", "after")]
    wrong = Counter(family for outcome in outcomes if outcome.faults for family in {*map(_family, outcome.deaths)})
    columns = ("killed before", "killed after", "jobs with a fault")
    shown = Table("effect", *(() if asked is None else ("meant",)), *columns, title=title)
    for family in sorted({*map(_family, deaths), *(asked or ())}):
        counts = (*(() if asked is None else (asked[family],)), *(one[family] for one in (*fell, wrong)))
        shown.add_row(family, *map(str, counts))
    shown.add_section()
    faults = sum(bool(outcome.faults) for outcome in outcomes)
    totals = (*(() if asked is None else (asked.total(),)), *(one.total() for one in fell), faults)
    shown.add_row(f"{len(outcomes)} jobs, {len(deaths)} kills", *map(str, totals))
    broken = Counter(promise for outcome in outcomes for promise in {fault.promise for fault in outcome.faults})
    console = Console(file=io.StringIO(), width=110, color_system=None)
    with console.capture() as captured:
        console.print(shown)
    return f"{captured.get()}{', '.join(f'{broken[promise]} {promise}' for promise in PROMISES)}"


def _family(kill: Kill) -> str:
    return kill.effect.rpartition(" #")[0]
