"""What can be made to go wrong with one request: each fault is a value, chosen by the request's number."""

from asyncio import Event
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An HTTP error instead of an answer. `kind` is `error.type` (by default the one that goes with the status)."""

    status: int
    kind: str | None = None
    message: str = "The loopback server was told to fail."
    code: str | None = None
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends after `byte` bytes of the body; `cleanly` as if the answer were whole, else dropped."""

    byte: int
    cleanly: bool = True


@dataclass(frozen=True, slots=True)
class CutInside:
    """As `Cut`, in the middle of the first block of this kind: "text", "tool_use" or "thinking"."""

    kind: str
    cleanly: bool = True


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing for `seconds` after `byte` bytes of the body, then the rest."""

    byte: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SlowStart:
    """The first event comes after `seconds`; with `pings` the connection shows life meanwhile."""

    seconds: float
    pings: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The answer does not begin before `let_go` is set."""

    let_go: Event


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An `error` event after `after` events of a stream whose HTTP status was 200."""

    kind: str = "overloaded_error"
    message: str = "Overloaded"
    after: int = 2


@dataclass(frozen=True, slots=True)
class BrokenJson:
    """The first tool use ends with input that is no JSON."""


@dataclass(frozen=True, slots=True)
class UnknownBlock:
    """One more content block, of a type nobody has heard of, comes first."""


@dataclass(frozen=True, slots=True)
class UnknownDelta:
    """The first block gets one delta of a type nobody has heard of."""


@dataclass(frozen=True, slots=True)
class StopReason:
    """The whole answer comes, with this stop reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declines: no content, `stop_reason` refusal, and this category (None: not said)."""

    category: str | None = None


@dataclass(frozen=True, slots=True)
class MaxTokens:
    """The answer ends in the middle of its last block with `stop_reason` max_tokens."""


Fault = (
    Status
    | Cut
    | CutInside
    | Stall
    | SlowStart
    | Held
    | ErrorEvent
    | BrokenJson
    | UnknownBlock
    | UnknownDelta
    | StopReason
    | Refusal
    | MaxTokens
)
