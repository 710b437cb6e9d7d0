"""How a test plays the model: a function from the conversation the server saw to the answer it gives."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


class ScriptError(Exception):
    """The script has no answer for what it saw: the caller did something the script did not expect."""


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Think:
    text: str


@dataclass(frozen=True, slots=True)
class Use:
    name: str
    input: Json = field(default_factory=dict)


Part = Say | Think | Use


@dataclass(frozen=True, slots=True)
class Answer:
    """`stop_reason` None: tool_use when a tool is used, else end_turn."""

    parts: tuple[Part, ...]
    stop_reason: str | None = None

    @property
    def natural_stop_reason(self) -> str:
        return self.stop_reason or ("tool_use" if any(isinstance(part, Use) for part in self.parts) else "end_turn")


def say(text: str) -> Say:
    return Say(text)


def think(text: str = "") -> Think:
    """A thinking block; the server signs it. Empty is how current models show it."""
    return Think(text)


def use(tool: str, /, **input: Any) -> Use:
    return Use(tool, input)


def answer(*parts: Part, stop_reason: str | None = None) -> Answer:
    return Answer(parts, stop_reason)


@dataclass(frozen=True, slots=True)
class Result:
    """One tool result, with the use it answers."""

    tool: str
    input: Json
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """What one request showed: `messages` and `system` as they came, `number` counting requests from 1."""

    number: int
    model: str
    system: str
    tools: tuple[str, ...]
    max_tokens: int
    messages: tuple[Json, ...]

    @property
    def turn(self) -> int:
        """How many answers the conversation holds already; asking again after a failure does not change it."""
        return sum(message["role"] == "assistant" for message in self.messages)

    @property
    def all_results(self) -> tuple[Result, ...]:
        """Every tool result of the conversation, oldest first."""
        uses = {
            block["id"]: block
            for message in self.messages
            if message["role"] == "assistant"
            for block in blocks_of(message)
            if block["type"] == "tool_use"
        }
        return tuple(
            _result(uses, block)
            for message in self.messages
            if message["role"] == "user"
            for block in _answers(message)
        )

    @property
    def results(self) -> tuple[Result, ...]:
        """The tool results of the newest user message, in their order."""
        newest = next(message for message in reversed(self.messages) if message["role"] == "user")
        count = len(_answers(newest))
        return self.all_results[-count:] if count else ()

    @property
    def said(self) -> str:
        """The text of the newest user message, tool results left out, and of system messages after it."""
        place = max(place for place, message in enumerate(self.messages) if message["role"] == "user")
        newest = (block for message in self.messages[place:] for block in blocks_of(message))
        return "\n".join(block["text"] for block in newest if block["type"] == "text")

    @property
    def task(self) -> str:
        """The text of the first message."""
        return text_of(self.messages[0]["content"])

    def find(self, pattern: str) -> str:
        """The first group of `pattern` in the newest results, or in the newest text. Raises ScriptError."""
        for text in (*(result.text for result in self.results), self.said):
            if match := re.search(pattern, text):
                return match[1]
        raise ScriptError(f"turn {self.turn}: nothing in the newest message matches {pattern!r}")


def blocks_of(message: Json) -> Sequence[Json]:
    """Content as blocks: a string is one text block."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(content: object) -> str:
    """The text of a string or of a list of text blocks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def _answers(message: Json) -> list[Json]:
    return [block for block in blocks_of(message) if block["type"] == "tool_result"]


def _result(uses: Mapping[str, Json], block: Json) -> Result:
    asked = uses[block["tool_use_id"]]
    return Result(
        tool=asked["name"],
        input=asked["input"],
        text=text_of(block.get("content", "")),
        is_error=bool(block.get("is_error", False)),
    )


Script = Callable[[Observed], Answer]
Step = Part | Answer | Sequence[Part] | Callable[[Observed], Part | Answer | Sequence[Part]]


def by_turn(*steps: Step) -> Script:
    """One step for each answer the conversation holds; a step may be a function of what was observed.

    by_turn(use("read", file_path="a.py"), lambda seen: use("submit", diff_id=seen.find("diff_id ([0-9a-f]+)")))
    """

    def script(observed: Observed) -> Answer:
        if observed.turn >= len(steps):
            raise ScriptError(f"the script has {len(steps)} steps, and was asked for step {observed.turn + 1}")
        step = steps[observed.turn]
        made = step(observed) if callable(step) else step
        if isinstance(made, Answer):
            return made
        return Answer((made,)) if isinstance(made, Say | Think | Use) else Answer(tuple(made))

    return script
