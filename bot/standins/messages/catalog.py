"""The models this server pretends to offer: their limits, habits and prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Limits in tokens. Prices in billionths of a dollar a token: input, cache write, read, output."""

    display_name: str
    max_input: int
    max_output: int
    least_cached: int
    prices: tuple[int, int, int, int]
    system_messages: bool = False


# Smallest cached prefix: 512 for Opus 5 and Fable 5; for the 5.5 family nobody published one, so the same is assumed.
MODELS: Mapping[str, ModelFacts] = {
    "claude-opus-5-5": ModelFacts("Claude Opus 5.5", 1_000_000, 128_000, 512, (4_000, 5_000, 200, 20_000), True),
    "claude-sonnet-5-5": ModelFacts("Claude Sonnet 5.5", 1_000_000, 128_000, 512, (2_000, 2_500, 100, 10_000)),
    "claude-opus-5": ModelFacts("Claude Opus 5", 1_000_000, 128_000, 512, (5_000, 6_250, 500, 25_000), True),
    "claude-haiku-4-5": ModelFacts("Claude Haiku 4.5", 200_000, 64_000, 4_096, (1_000, 1_250, 100, 5_000)),
}


def model_card(name: str) -> dict[str, Any]:
    """A model as GET /v1/models/{id} shows it."""
    facts = MODELS[name]
    return {
        "type": "model",
        "id": name,
        "display_name": facts.display_name,
        "created_at": "2026-09-22T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "capabilities": None,
        "max_input_tokens": facts.max_input,
        "max_tokens": facts.max_output,
    }


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """Limits in tokens. Prices in billionths of a dollar a token: input, cache write, read, output.

    `reasons`: calls its output limit `max_completion_tokens`, as OpenAI's models do; the others
    know `max_tokens` only. `signs_calls`: as Gemini, wants each call back with the signature it came with.
    """

    max_input: int
    max_output: int
    prices: tuple[int, int, int, int]
    reasons: bool = True
    signs_calls: bool = False


CHAT_MODELS: Mapping[str, ChatFacts] = {
    "gpt-6.1-sol": ChatFacts(272_000, 128_000, (2_000, 2_500, 100, 10_000)),
    "gpt-6-luna": ChatFacts(272_000, 128_000, (100, 125, 10, 500)),
    "gemini-3-pro": ChatFacts(1_000_000, 64_000, (0, 0, 0, 0), reasons=False, signs_calls=True),
    "qwen3:32b": ChatFacts(40_000, 32_000, (0, 0, 0, 0), reasons=False),
}


def chat_card(name: str) -> dict[str, Any]:
    """A model as GET /v1/models/{id} of this API shows it; a server of one's own says how much it reads."""
    facts = CHAT_MODELS[name]
    card = {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "loopback"}
    return card if facts.reasons else {**card, "max_model_len": facts.max_input}
