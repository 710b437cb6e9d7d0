"""What happened when a repository was made ready before the work: for the journal, the model and the pull request."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRun:
    """One command and its end: `exit_code` None when it was ended. `tail`: its last lines, text of strangers."""

    command: str
    exit_code: int | None
    seconds: float
    tail: str = ""
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupReport:
    """`warm`: nothing ran, an earlier job's result was taken. `skipped`: commands whose program is not there.

    `blocked`: hosts that were asked for and refused. `put_back`: files of the repository that the setup
    changed, and new ones among them, which are as in the base again. `aside`: new folders, which git ignores now.
    `problem`: why the setup was given up, a sentence of ours, or "". Paths and hosts are text of strangers.
    """

    ran: tuple[SetupRun, ...] = ()
    warm: bool = False
    skipped: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    problem: str = ""

    @property
    def failed(self) -> SetupRun | None:
        """The command that ended the setup; those after it did not run."""
        return next((run for run in self.ran if not run.ok), None)

    def as_data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> "SetupReport":
        """Raises KeyError, TypeError for anything `as_data` did not make."""
        lists = {name: tuple(data[name]) for name in ("skipped", "blocked", "put_back", "aside")}
        return cls(
            ran=tuple(SetupRun(**run) for run in data["ran"]), warm=data["warm"], problem=data["problem"], **lists
        )
