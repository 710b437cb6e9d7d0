"""What a storm came to, as a table: effect by effect, how often a worker died there and what was wrong afterwards."""

import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.storm.effects import Kill
from tests.storm.storm import Outcome


def show(title: str, asked: Sequence[Kill], outcomes: Sequence[Outcome]) -> None:
    """`asked`: the kills that were meant to fall."""
    deaths = [death for outcome in outcomes for death in outcome.deaths]
    meant = Counter(_family(kill) for kill in asked)
    fell = {side: Counter(_family(death) for death in deaths if death.when == side) for side in ("before", "after")}
    wrong = Counter(_family(death) for outcome in outcomes if outcome.faults for death in outcome.deaths)
    table = Table("effect", "meant", "killed before", "killed after", "jobs with a fault", title=title)
    for family in sorted(meant):
        counts = (meant[family], fell["before"][family], fell["after"][family], wrong[family])
        table.add_row(family, *map(str, counts))
    table.add_section()
    faults = sum(bool(outcome.faults) for outcome in outcomes)
    table.add_row(f"{len(outcomes)} jobs", str(len(asked)), *(str(fell[side].total()) for side in fell), str(faults))
    Console(file=sys.stderr, width=110).print(table)


def _family(kill: Kill) -> str:
    return kill.effect.rpartition(" #")[0]
