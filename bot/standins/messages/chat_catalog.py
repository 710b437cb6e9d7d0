"""The models behind this server's chat completions endpoint: their limits, habits and prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """Limits in tokens. Prices in billionths of a dollar a token: input, cache write, read, output.

    `reasons`: samples nothing and calls its output limit `max_completion_tokens`, as OpenAI's models do; the others
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
