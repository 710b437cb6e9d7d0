"""What the store knows beside single jobs: money across them, ends nobody was told, and how the queue fares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bot.domain.events import Conclusion, Recorded
from bot.ports.notices import ShutOut
from bot.ports.store import Claim, Entry, JobRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DayBudgets:
    """Dollars that all jobs of one repository, and of one installation, may cost on one day (UTC)."""

    repo_usd: float
    installation_usd: float


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Whose day has too little left; `used_usd` includes what calls under way may cost."""

    whose: Literal["repository", "installation"]
    used_usd: float


class Ledger(Protocol):
    """Dollars in the store. Fails closed: what cannot be written down may not be spent. All raise LeaseLost."""

    async def reserve(self, claim: Claim, *, usd: float, spent_usd: float, budgets: DayBudgets) -> Shortfall | None: ...
    async def settle(self, claim: Claim, spent_usd: float) -> None: ...


class Purse(Protocol):
    """The days' money, as one job's agent sees it. `spent_usd` is what all its calls so far cost: saying it twice
    changes nothing."""

    async def reserve(self, usd: float, *, spent_usd: float) -> None:
        """Before each model call, which may cost up to `usd`. Raises LimitReached, LeaseLost, ProviderError."""
        ...

    async def settle(self, spent_usd: float) -> None:
        """After it. Raises LeaseLost, ProviderError."""
        ...


class Upkeep(Protocol):
    """What the store needs done beside the jobs: ends told that GitHub does not show, old rows deleted."""

    async def untold(self, owner: str) -> Claim | None:
        """One of them, for a while nobody else's; `attempts` counts how often this was tried. None: there is none."""
        ...

    async def told(self, claim: Claim) -> None:
        """GitHub shows the end, or never will. Raises LeaseLost."""
        ...

    async def prune(self) -> int:
        """Delete what is old; answers how many rows went."""
        ...

    async def journal(self, job_id: str) -> tuple[Entry, ...]: ...
    async def events(self, job_id: str, after: int = 0) -> tuple[Recorded, ...]: ...
    async def shut_out(self, installation_id: int, repo_id: int) -> ShutOut | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Jobs by state, ends by conclusion among the jobs that are kept.

    `oldest_queued_s`: how long the job has been free to take that has been so the longest; None when none is.
    """

    queued: int
    running: int
    oldest_queued_s: float | None
    finished: Mapping[str, int]
    untold: int
    usd_today: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A job in a list; `usd` is None when it asked no model."""

    row: JobRow
    conclusion: Conclusion | None
    usd: float | None


class Overview(Protocol):
    async def census(self) -> Census: ...
    async def unfinished(self) -> frozenset[str]:
        """Ids of the jobs that have not ended, also of those that only another version of the bot can read."""
        ...

    async def latest(self, *, finished: int) -> tuple[Listed, ...]:
        """All unfinished jobs, oldest first, then the last `finished` ones that ended, newest first."""
        ...
