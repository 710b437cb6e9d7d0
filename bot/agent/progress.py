"""How far a run is, by its journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.agent.tree import KeptTree
from bot.domain.conversation import AssistantTurn, Conversation, Json, ToolUse, Turn, Usage, UserTurn
from bot.domain.job import Receipt

FIRST_MAX_TOKENS = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run as far as it is journalled. `calls` are the newest reply's; `started` and `results` hold them by place.

    `seen`: SHA-256 of files as the model knows them. `shown`: receipts by the diff ids the model was shown.
    `usd` is None as soon as one price is unknown; `known_usd` adds up the others.
    `first`: the turn every conversation of the run opens with. `chosen`: the name of the model that works now, and its
    `family`; `setbacks`: why those before it were set aside. `answered`: the models that did answer, in order.
    `sandbox`: the mark that tells the work tree of this run from a fresh one. `told`: keys of budget notes.
    `elapsed`: seconds of work when the last entry came. `untold`: notes that wait for the next user turn; `is_void`:
    they say that the tree is the base's again, so calls of the newest reply are not run. `said`: what people told the
    agent; `unheard`: those of it that it has not read yet. `is_sealed`: the run came to an end and hears nobody more.
    """

    conversation: Conversation | None = None
    first: UserTurn = field(default_factory=lambda: UserTurn(()))
    chosen: str = ""
    family: str = ""
    setbacks: tuple[str, ...] = ()
    switches: int = 0
    answered: tuple[str, ...] = ()
    nonce: str = ""
    check: str = ""
    sandbox: str = ""
    replies: int = 0
    usage: Usage = field(default_factory=Usage)
    first_prompt: int = 0
    last_prompt: int = 0
    cached: int = 0
    usd: float | None = 0.0
    known_usd: float = 0.0
    elapsed: float = 0.0
    model: str = ""
    stop_reason: str = ""
    last_text: str = ""
    calls: tuple[ToolUse, ...] = ()
    started: Mapping[int, Json] = field(default_factory=dict)
    results: Mapping[int, Json] = field(default_factory=dict)
    tool_calls: int = 0
    discarded: int = 0
    warmed: int = 0
    max_tokens: int = FIRST_MAX_TOKENS
    user_turns: int = 0
    sandboxes: int = 0
    nudges: int = 0
    pauses: int = 0
    told: frozenset[str] = frozenset()
    bad_replies: int = 0
    repeats: Mapping[str, int] = field(default_factory=dict)
    most_repeated: int = 0
    edit_error: str = ""
    edit_errors: int = 0
    seen: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, Receipt] = field(default_factory=dict)
    rejections: int = 0
    accepted: Json | None = None
    untold: tuple[str, ...] = ()
    said: tuple[Json, ...] = ()
    unheard: tuple[Json, ...] = ()
    is_sealed: bool = False
    is_void: bool = False
    tree: KeptTree = field(default_factory=KeptTree)

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self.conversation.turns if self.conversation else ()

    @property
    def bad_streak(self) -> int:
        """Replies in a row, the newest included, that held a call which cannot be run."""
        return self.bad_replies + 1 if any(result["bad"] for result in self.results.values()) else 0

    @property
    def has_answer(self) -> bool:
        """The present conversation holds an answer of a model."""
        return any(isinstance(turn, AssistantTurn) for turn in self.turns)

    @property
    def awaits_model(self) -> bool:
        return bool(self.turns) and isinstance(self.turns[-1], UserTurn)
