"""How `backspace run` ended: its exit code, and the one object of `--json`."""

from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from bot.agent.outcome import Outcome
from bot.domain.events import Conclusion
from bot.report.receipts import verdict


class Exit(IntEnum):
    """Exit codes of `backspace run`: part of what scripts rely on."""

    CHANGES = 0
    FAILED = 1
    NOT_STARTED = 2
    NO_CHANGE = 3
    BLOCKED = 4
    BUDGET = 5
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    run: str
    outcome: Outcome
    interrupted: bool
    seconds: float
    record: Path
    branch: str = ""

    @property
    def exit_code(self) -> Exit:
        if self.interrupted:
            return Exit.INTERRUPTED
        match self.outcome.kind:
            case "submitted":
                return Exit.CHANGES
            case "no_change" | "answered":
                return Exit.NO_CHANGE
            case "blocked":
                return Exit.BLOCKED
            case "stopped":
                return Exit.BUDGET if self.outcome.conclusion is Conclusion.TIMED_OUT else Exit.FAILED

    def as_data(self) -> dict[str, Any]:
        """The one object of `--json`; texts are as the model wrote them."""
        outcome = self.outcome
        receipt = outcome.receipt
        return {
            "run": self.run,
            "outcome": "interrupted" if self.interrupted else outcome.kind,
            "exit_code": int(self.exit_code),
            "message": outcome.message,
            "submission": asdict(outcome.submission) if outcome.submission else None,
            "base": outcome.patch.base_sha if outcome.patch else None,
            "branch": self.branch or None,
            "patch": outcome.patch.diff if outcome.patch else None,
            "files": [asdict(stat) for stat in outcome.patch.stats] if outcome.patch else [],
            "receipt": {**asdict(receipt), "verdict": verdict(receipt)} if receipt else None,
            "turns": outcome.turns,
            "tool_calls": outcome.tool_calls,
            "usage": asdict(outcome.usage),
            "usd": outcome.usd,
            "seconds": round(self.seconds, 3),
            "models": list(outcome.models),
            "record": str(self.record),
        }
