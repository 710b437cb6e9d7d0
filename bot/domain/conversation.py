"""What the model and the agent say to each other, in the Messages API's words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]  # JSON of a provider or a journal entry, passed on verbatim and never interpreted here


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    id: str
    name: str
    input: Json


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """`data` is the file in base64, `media_type` what its first bytes say it is."""

    media_type: str
    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserTurn:
    """Tool results first, then text: the order the Messages API asks for.

    `notes` are the harness's own words after it, with more weight than a user's where a model knows such: nobody else's
    text may stand in them. `pictures` come after the blocks, for models that read such.
    """

    blocks: tuple[ToolResult | Text, ...]
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """The provider's content blocks exactly as they came; they go back byte for byte."""

    blocks: tuple[Json, ...]
    message_id: str = ""


Turn = UserTurn | AssistantTurn


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """`strict`: a model that can is held to the schema; what it says is checked in any case."""

    name: str
    description: str
    input_schema: Json
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """Append-only: a later request holds an earlier one as its exact prefix.

    `effort` is how hard the model is told to think, None for what it is set to: another one would lose the cache.
    """

    system: str
    tools: tuple[ToolSpec, ...]
    turns: tuple[Turn, ...]
    effort: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one or more requests. `fresh` is input neither read from nor written to the cache."""

    fresh: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    output: int = 0

    @property
    def input(self) -> int:
        return self.fresh + self.cache_write_5m + self.cache_write_1h + self.cache_read

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            fresh=self.fresh + other.fresh,
            cache_write_5m=self.cache_write_5m + other.cache_write_5m,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            cache_read=self.cache_read + other.cache_read,
            output=self.output + other.output,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One whole answer of a model: `message_stop` was seen. `stop_reason` is the provider's word, unknown ones too.

    `diagnostics`: what the provider says about its cache, verbatim; for the journal.
    """

    model: str
    message_id: str
    stop_reason: str
    blocks: tuple[Json, ...]
    text: str
    calls: tuple[ToolUse, ...]
    usage: Usage
    stop_details: str = ""
    diagnostics: Json | None = None


UNREADABLE = "unreadable"  # the one field of an input that was no JSON object: what there was of it


def calls_of(blocks: Sequence[Json]) -> tuple[ToolUse, ...]:
    """The tool uses among a provider's content blocks, in their order."""
    return tuple(ToolUse(b["id"], b["name"], b["input"]) for b in blocks if b.get("type") == "tool_use")


def texts_in(value: object) -> Iterator[str]:
    """Every text inside a JSON value, as it is and not as JSON spells it: an escape inside a secret would hide it."""
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                yield str(key)
                yield from texts_in(inner)
        case list() | tuple():
            for inner in value:
                yield from texts_in(inner)
        case _:
            return
