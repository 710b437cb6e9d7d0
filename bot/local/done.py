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
    """Without an `outcome` the agent did not begin, or nothing of its work could be kept. `run` may be ""."""

    exit_code: Exit
    message: str
    outcome: Outcome | None = None
    run: str = ""
    seconds: float = 0.0
    record: Path | None = None
    branch: str = ""

    @property
    def diff(self) -> str:
        return self.outcome.patch.diff if self.outcome and self.outcome.patch else ""

    def as_data(self) -> dict[str, Any]:
        """The one object of `--json`, with every key however it ended; texts are as the model wrote them."""
        made = self.outcome
        patch, receipt = (made.patch, made.receipt) if made else (None, None)
        worded = made is not None and self.exit_code is not Exit.INTERRUPTED
        return {
            "run": self.run or None,
            "outcome": made.kind if made and worded else self.exit_code.name.lower(),
            "exit_code": int(self.exit_code),
            "message": self.message,
            "submission": asdict(made.submission) if made and made.submission else None,
            "base": patch.base_sha if patch else None,
            "branch": self.branch or None,
            "patch": patch.diff if patch else None,
            "files": [asdict(stat) for stat in patch.stats] if patch else [],
            "receipt": {**asdict(receipt), "verdict": verdict(receipt)} if receipt else None,
            "turns": made.turns if made else 0,
            "tool_calls": made.tool_calls if made else 0,
            "usage": asdict(made.usage) if made else None,
            "usd": made.usd if made else None,
            "seconds": round(self.seconds, 3),
            "models": list(made.models) if made else [],
            "record": str(self.record) if self.record else None,
        }


def exit_of(outcome: Outcome) -> Exit:
    match outcome.kind:
        case "submitted":
            return Exit.CHANGES
        case "no_change" | "answered":
            return Exit.NO_CHANGE
        case "blocked":
            return Exit.BLOCKED
        case "stopped":
            return Exit.BUDGET if outcome.conclusion is Conclusion.TIMED_OUT else Exit.FAILED
