"""What was asked and what came of it."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository; `id` is the identity, owner and name can change."""

    id: int
    owner: str
    name: str

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class Person:
    """A GitHub account; `id` is the identity, the login can change."""

    id: int
    login: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The flags before a prompt. None: not said, the repository's or the operator's default holds.

    `new`: a job of its own, also where one is at work that would take the prompt as a message.
    """

    model: str | None = None
    budget_usd: float | None = None
    draft: bool = False
    dry_run: bool = False
    base: str | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    prompt: str
    options: Options = field(default_factory=Options)
    kind: Literal["start"] = "start"


@dataclass(frozen=True, slots=True)
class Plan:
    prompt: str
    options: Options = field(default_factory=Options)
    kind: Literal["plan"] = "plan"


@dataclass(frozen=True, slots=True)
class Approve:
    kind: Literal["approve"] = "approve"


@dataclass(frozen=True, slots=True)
class Cancel:
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True)
class Retry:
    kind: Literal["retry"] = "retry"


@dataclass(frozen=True, slots=True)
class Continue:
    options: Options = field(default_factory=Options)
    kind: Literal["continue"] = "continue"


@dataclass(frozen=True, slots=True)
class Undo:
    kind: Literal["undo"] = "undo"


@dataclass(frozen=True, slots=True)
class Status:
    kind: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class Help:
    kind: Literal["help"] = "help"


@dataclass(frozen=True, slots=True)
class Unclear:
    """A command we recognise as ours but cannot carry out as written; `problem` is a sentence for its author."""

    problem: str
    kind: Literal["unclear"] = "unclear"


Work = Start | Continue  # what takes a sandbox; all else is answered at once, as is what is not built yet
Command = Work | Plan | Approve | Retry | Cancel | Undo | Status | Help | Unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """The thread a job belongs to, as the signed payload told it. `body` is Markdown as GitHub stores it."""

    number: int
    title: str
    body: str
    author: Person
    is_pull_request: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted request.

    `id` is random and public; `key` is made from signed content (installation, repository id, comment id or label
    event), so a redelivery or a replay finds the job it made; `watch_key` is the capability that opens the live page.
    `comment_id` is None when a label started it. `asked_at` is when the comment or the label was put there: Unix time
    in seconds by GitHub's clock, 0 where it is not known.
    """

    id: str
    key: str
    watch_key: str
    delivery: str
    installation_id: int
    repo: Repo
    default_branch: str
    issue: Issue
    command: Command
    requested_by: Person
    comment_id: int | None = None
    asked_at: float = 0.0

    def asked_after(self, other: "Job") -> bool:
        """In the thread; False where that is not known. GitHub's clock has whole seconds, its comments' ids grow."""
        mine, theirs = (self.asked_at, self.comment_id or 0), (other.asked_at, other.comment_id or 0)
        return bool(other.asked_at) and mine > theirs

    @property
    def instruction(self) -> str:
        """What the requester wrote, or nothing for a command without a prompt."""
        return self.command.prompt if isinstance(self.command, Start | Plan) else ""

    @property
    def options(self) -> Options:
        return self.command.options if isinstance(self.command, Start | Plan | Continue) else Options()


Mode = Literal["100644", "100755", "120000"]


@dataclass(frozen=True, slots=True)
class Change:
    """One changed path. Paths are text with `surrogateescape` for bytes that are not UTF-8.

    `content` is the whole new file (a link's target for mode 120000); None deletes the path, then `mode` is None too.
    `was_pointer`: it takes the place of a Git LFS pointer, whose content nobody here has.
    """

    path: str
    mode: Mode | None
    content: bytes | None
    was_mode: str | None = None
    was_pointer: bool = False


@dataclass(frozen=True, slots=True)
class FileStat:
    """Lines added and removed in one file; both None for a binary file."""

    path: str
    additions: int | None
    deletions: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Everything that leaves the sandbox, against `base_sha`. `tree_sha` is the git tree GitHub must end up with."""

    base_sha: str
    tree_sha: str
    changes: tuple[Change, ...]
    stats: tuple[FileStat, ...]
    diff: str
    diff_id: str

    @property
    def additions(self) -> int:
        return sum(stat.additions or 0 for stat in self.stats)

    @property
    def deletions(self) -> int:
        return sum(stat.deletions or 0 for stat in self.stats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One run of a check command: where ("base" or "head"), how it ended and its last lines."""

    where: Literal["base", "head"]
    exit_code: int | None
    seconds: float
    tail: str
    timed_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the harness itself ran. `command` None: nothing was run and `reason` says why; beside runs, what else a
    reader of them has to know, as a sentence."""

    command: str | None
    runs: tuple[Check, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What the agent says about its patch. All text is the model's: untrusted."""

    outcome: Literal["changes", "no_change", "blocked"]
    title: str
    summary: str
    testing: str
    follow_ups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PullRequest:
    number: int
    url: str
    draft: bool
    head_sha: str
    state: Literal["open", "closed", "merged"] = "open"
