"""All that can happen to a job: the only record of progress, read by comment, check run, page and stream."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from bot.domain.conversation import Usage
from bot.domain.job import FileStat, Receipt


class Conclusion(StrEnum):
    """How a job ended, in the check run's words; cancelled jobs are neutral."""

    SUCCESS = "success"
    NEUTRAL = "neutral"
    FAILURE = "failure"
    TIMED_OUT = "timed_out"
    ACTION_REQUIRED = "action_required"


@dataclass(frozen=True, slots=True)
class JobQueued:
    instruction: str
    requested_by: str
    kind: Literal["job_queued"] = "job_queued"


@dataclass(frozen=True, slots=True)
class JobStarted:
    attempt: int
    model: str
    budget_usd: float
    kind: Literal["job_started"] = "job_started"


@dataclass(frozen=True, slots=True)
class BasePinned:
    branch: str
    sha: str
    kind: Literal["base_pinned"] = "base_pinned"


@dataclass(frozen=True, slots=True)
class SandboxReady:
    provider: str
    seconds: float
    kind: Literal["sandbox_ready"] = "sandbox_ready"


@dataclass(frozen=True, slots=True)
class ContextRead:
    """`files`: instruction files that were read; `check`: the command found to verify with, or ""."""

    files: tuple[str, ...]
    check: str
    kind: Literal["context_read"] = "context_read"


@dataclass(frozen=True, slots=True)
class ModelAnswered:
    """One reply. `usd` is an estimate at list price, None when the model's price is unknown (shown as "n/a")."""

    turn: int
    model: str
    text: str
    usage: Usage
    usd: float | None
    seconds: float
    kind: Literal["model_answered"] = "model_answered"


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool use before it runs: `title` is one line for people, such as "edit export/cli.py"."""

    call_id: str
    tool: str
    title: str
    kind: Literal["tool_called"] = "tool_called"


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """What the model was told; `output` is exactly that text."""

    call_id: str
    tool: str
    ok: bool
    output: str
    seconds: float
    kind: Literal["tool_returned"] = "tool_returned"


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a watcher should know: a retry, a budget threshold, a switch of model.

    `usage` and `usd` (as in ModelAnswered): of a call of the model that brought no reply. `until`: the whole job waits
    till then (Unix time in seconds), and `text` says for whom.
    """

    text: str
    usage: Usage = field(default_factory=Usage)
    usd: float | None = 0.0
    until: float | None = None
    kind: Literal["noted"] = "noted"


@dataclass(frozen=True, slots=True)
class ModelSwitched:
    """From here on another model works, or the same one in a new conversation; `text` says so, and why."""

    before: str
    after: str
    text: str
    kind: Literal["model_switched"] = "model_switched"


@dataclass(frozen=True, slots=True)
class Steered:
    """Somebody spoke to the agent at its work, or took back what they had said; `text` says so in a sentence."""

    by: str
    text: str
    kind: Literal["steered"] = "steered"


@dataclass(frozen=True, slots=True)
class DiffShown:
    """The whole change at a `submit`; `diff` is cut to 200 kB for display."""

    diff_id: str
    diff: str
    stats: tuple[FileStat, ...]
    kind: Literal["diff_shown"] = "diff_shown"


@dataclass(frozen=True, slots=True)
class Verified:
    receipt: Receipt
    kind: Literal["verified"] = "verified"


@dataclass(frozen=True, slots=True)
class BranchMoved:
    """The job's branch was made (`created`) or moved to `head_sha`: the check run belongs there from now on."""

    branch: str
    head_sha: str
    created: bool
    kind: Literal["branch_moved"] = "branch_moved"


@dataclass(frozen=True, slots=True)
class PullRequestOpened:
    """The work is in a pull request for people to read: a new one (`created`), or the one it goes on with."""

    number: int
    url: str
    draft: bool
    stats: tuple[FileStat, ...]
    created: bool = True
    kind: Literal["pull_request_opened"] = "pull_request_opened"


@dataclass(frozen=True, slots=True)
class JobFinished:
    """The one terminal event. `message` is Markdown made by us: one or a few sentences for the thread."""

    conclusion: Conclusion
    message: str
    kind: Literal["job_finished"] = "job_finished"


JobEvent = (
    JobQueued
    | JobStarted
    | BasePinned
    | SandboxReady
    | ContextRead
    | ModelAnswered
    | ToolCalled
    | ToolReturned
    | Noted
    | ModelSwitched
    | Steered
    | DiffShown
    | Verified
    | BranchMoved
    | PullRequestOpened
    | JobFinished
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in the log: `seq` counts from 1 within the job and is the SSE id; `at` is Unix time in seconds."""

    seq: int
    at: float
    event: JobEvent
