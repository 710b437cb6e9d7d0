"""What a model takes beyond the plain request: assumed until it says no, and then never tried on it again."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

MOST_OUTPUT = 128_000
HANDOFF_SHARE = 0.6  # of the window: what is longer is dear, slow and near the end
_TOO_LONG = re.compile(r"context (?:length|window|limit)|prompt is too long", re.IGNORECASE)
_CAP = re.compile(r"max_tokens: \d+ > (\d+)|at most (\d+) (?:completion|output) tokens")


@dataclass(frozen=True, slots=True)
class Known:
    """Limits of a model in tokens, and whether it reads system messages in mid-conversation."""

    window: int = 200_000
    most_output: int = 64_000
    notes: bool = False


# Only where the vendor's model card is known; the card itself is read at the start and every few minutes after.
KNOWN: Mapping[str, Known] = {
    "claude-opus-5-5": Known(1_000_000, MOST_OUTPUT, notes=True),
    "claude-opus-5": Known(1_000_000, MOST_OUTPUT, notes=True),
    "claude-sonnet-5-5": Known(1_000_000, MOST_OUTPUT),
    "gpt-6.1-sol": Known(272_000, MOST_OUTPUT),  # at least: its price has a second step from there on
}


class Abilities:
    """Of one model, for as long as this process lives.

    `words`: by ability, what a refusal of it says. `instead`: by ability, another that takes its place then.
    """

    def __init__(
        self,
        model: str,
        *,
        has: Iterable[str],
        words: Mapping[str, str],
        most_output: int,
        instead: Mapping[str, str] | None = None,
    ) -> None:
        self._model = model
        self._instead = instead or {}
        self._has = set(has)
        self._words = words
        self.most_output = most_output

    def __contains__(self, ability: object) -> bool:
        return ability in self._has

    def learn(self, refusal: str) -> bool:
        """From the words of a 400: whether the same request without something may be taken. Each is learned once."""
        if _TOO_LONG.search(refusal):
            return False
        cap = _CAP.search(refusal)
        if cap and (most := int(cap[1] or cap[2])) < self.most_output:
            self.most_output = most
            log.warning("model takes less output", model=self._model, tokens=most)
            return True
        for ability, words in self._words.items():
            if ability in self._has and re.search(words, refusal, re.IGNORECASE):
                self._has.discard(ability)
                self._has |= {self._instead[ability]} if ability in self._instead else set()
                log.warning("model lacks an ability", model=self._model, ability=ability)
                return True
        return False
