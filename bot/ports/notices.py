"""What GitHub tells that ends jobs, and what the store knows about requests beside the jobs themselves."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from bot.domain.job import Job

if TYPE_CHECKING:
    from bot.ports.store import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDeleted:
    """Somebody deleted the comment that asked for the job `key`: it ends, and does not start if it is still to come."""

    key: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEdited:
    """Somebody edited the comment that asked for the job `key`: nothing changes, but a run that read it may say so."""

    key: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadStopped:
    """The work of a thread ends: what was asked for up to `at` (Unix time in seconds by GitHub's clock)."""

    installation_id: int
    repo_id: int
    issue: int
    at: float
    by: str
    asked_by: Literal["anything", "label"] = "anything"


AccessState = Literal["active", "suspended", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessChanged:
    """What the App may do in a whole installation (`repo_ids` empty) or in some of its repositories, since `at`."""

    installation_id: int
    repo_ids: tuple[int, ...]
    state: AccessState
    at: float
    by: str


Notice = RequestDeleted | RequestEdited | ThreadStopped | AccessChanged  # `by`: who did it, and in brackets what


@dataclass(frozen=True, slots=True)
class ShutOut:
    """`why`, as a sentence. `for_good`: uninstalled; an account that installs the App again gets another number."""

    why: str
    for_good: bool


class Standing(Protocol):
    """Where the App may work, how far the sweep has come, who asks how much. Every call raises ProviderError."""

    async def set_access(self, change: AccessChanged) -> tuple[str, ...]:
        """Answers the jobs it cancels. What is older than what is known changes nothing."""
        ...

    async def shut_out(self, installation_id: int, repo_id: int) -> ShutOut | None:
        """Why the App may not work there; None when it may."""
        ...

    async def started_this_hour(self, claim: "Claim") -> int:
        """Other jobs of the claim's installation that were started in the last hour, or come first."""
        ...

    async def mark(self, name: str) -> float | None: ...
    async def set_mark(self, name: str, value: float) -> None: ...
    async def stored(self, guids: Sequence[str]) -> frozenset[str]:
        """Those of the deliveries that were kept."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job whose turn has not come, and the run of the same thread that comes before it, if there is one."""

    job: Job
    behind: str | None

    @property
    def mark(self) -> str:
        """Set once its wait was told."""
        return f"waits:{self.job.id}"


class Line(Protocol):
    """Those who wait. Every call raises ProviderError."""

    async def waiting(self, longer_than_s: float, but: Collection[str] = ()) -> tuple[Waiting, ...]:
        """The jobs that work and have waited so long for their first turn without being told; the oldest twenty `but`
        for these."""
        ...

    async def hold_back(self, job_id: str, seconds: float) -> bool:
        """Nobody starts it for so long, or until `let_go`. False when it is held back already, or waits no more."""
        ...

    async def let_go(self, job_id: str) -> None: ...
    async def due(self) -> tuple[str, ...]:
        """Ids of the jobs that may begin now."""
        ...

    async def set_mark(self, name: str, value: float) -> None: ...
