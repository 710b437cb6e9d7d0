"""What a benchmark is made of: alternating rounds, medians, and rows that stand beside their goal."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Goal:
    """Bounds for ours divided by the peer's; for ours itself, in the row's unit, when `of` is "ours"."""

    bound: Literal["at least", "at most"]
    must: float
    stretch: float
    of: Literal["ratio", "ours"] = "ratio"

    def verdict(self, value: float) -> Literal["stretch", "met", "missed"]:
        sign = 1 if self.bound == "at least" else -1
        if sign * value >= sign * self.stretch:
            return "stretch"
        return "met" if sign * value >= sign * self.must else "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison: a sample a round on each side; no samples of the peer when it could not be had (`note`)."""

    what: str
    unit: str
    ours: Sequence[float]
    peer: str
    theirs: Sequence[float] = ()
    goal: Goal | None = None
    note: str = ""

    @property
    def our_median(self) -> float:
        return statistics.median(self.ours)

    @property
    def their_median(self) -> float | None:
        return statistics.median(self.theirs) if self.theirs else None

    @property
    def ratio(self) -> float | None:
        theirs = self.their_median
        return self.our_median / theirs if theirs else None

    @property
    def verdict(self) -> Literal["stretch", "met", "missed", ""]:
        """ "" without a goal or without what the goal is about."""
        if self.goal is None:
            return ""
        value = self.our_median if self.goal.of == "ours" else self.ratio
        return "" if value is None else self.goal.verdict(value)


async def alternate(contenders: Mapping[str, Callable[[], Awaitable[T]]], rounds: int) -> dict[str, list[T]]:
    """Each contender once a round, in turn: A B A B, so that a busy moment of the machine hits all alike."""
    taken: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            taken[name].append(await measure())
    return taken
