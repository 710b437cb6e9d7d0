"""The models this server pretends to offer: their limits, habits and prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Limits in tokens. Prices in billionths of a dollar a token: input, 5 min write, 1 h write, read, output."""

    display_name: str
    max_input: int
    max_output: int
    least_cached: int
    prices: tuple[int, int, int, int, int]
    always_thinks: bool
    system_messages: bool


# Smallest cached prefix: 512 for Opus 5 and Fable 5; for the 5.5 family nobody published one, so the same is assumed.
MODELS: Mapping[str, ModelFacts] = {
    "claude-opus-5-5": ModelFacts(
        "Claude Opus 5.5", 1_000_000, 128_000, 512, (4_000, 5_000, 8_000, 200, 20_000), True, True
    ),
    "claude-sonnet-5-5": ModelFacts(
        "Claude Sonnet 5.5", 1_000_000, 128_000, 512, (2_000, 2_500, 4_000, 100, 10_000), True, False
    ),
    "claude-opus-5": ModelFacts(
        "Claude Opus 5", 1_000_000, 128_000, 512, (5_000, 6_250, 10_000, 500, 25_000), False, True
    ),
    "claude-haiku-4-5": ModelFacts(
        "Claude Haiku 4.5", 200_000, 64_000, 4_096, (1_000, 1_250, 2_000, 100, 5_000), False, False
    ),
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
