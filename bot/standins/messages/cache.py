"""The prompt cache: which part of a request was read, written, or new."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from bot.standins.messages.catalog import MODELS
from bot.standins.messages.prompt import Block, prompt_of, settings_of

POSITIONS_LOOKED_AT = 20  # a mark checks its own position and the 19 before it
LIFE_S = 300  # of an entry, from the start of the request that wrote or last read it


@dataclass(frozen=True, slots=True)
class InputUsage:
    """Input tokens of one request by how they are billed."""

    fresh: int
    written: int
    read: int

    def reported(self) -> dict[str, Any]:
        """The input side of `usage`, as an answer shows it."""
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": self.written,
            "cache_read_input_tokens": self.read,
            "cache_creation": {"ephemeral_5m_input_tokens": self.written, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
            "inference_geo": "global",
        }


@dataclass(frozen=True, slots=True)
class Charge:
    """What one answered request cost by this server's own count: its prompt, and what was written of its answer until
    that ended or was cut off."""

    number: int
    model: str
    input: InputUsage
    output: int
    dollars: float

    @property
    def read_share(self) -> float:
        return self.input.read / (self.input.fresh + self.input.written + self.input.read)


def booked(
    ledger: list[Charge], number: int, model: str, spent: InputUsage, prices: tuple[int, int, int, int]
) -> Callable[[int], None]:
    """A charge for the prompt; to be told how much output it has come to. `prices` as the catalog has them."""
    place = len(ledger)
    fresh, written, read, each = prices
    prompt = spent.fresh * fresh + spent.written * written + spent.read * read

    def comes_to(output: int) -> None:
        ledger[place:] = [Charge(number, model, spent, output, (prompt + output * each) / 1_000_000_000)]

    comes_to(0)
    return comes_to


@dataclass(frozen=True, slots=True)
class Visit:
    """What one request would read, and which prefixes it leaves behind, by their hashes."""

    usage: InputUsage
    kept: frozenset[str]
    started_at: float


class PromptCache:
    """Entries by the hash of their prefix, with the moment at which each is forgotten."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._entries: dict[str, float] = {}

    def visit(self, body: Mapping[str, Any]) -> Visit:
        """Look, without leaving anything: an entry can be read once its request has begun to answer."""
        blocks, head = prompt_of(body)
        hashes = _prefix_hashes(body, blocks, head)
        totals = list(accumulate(block.tokens for block in blocks))
        marks = [index for index, block in enumerate(blocks) if block.is_marked]
        hit = max((self._found(hashes, mark) for mark in marks), default=-1)
        least = MODELS[body["model"]].least_cached
        written = [mark for mark in marks if mark > hit and totals[mark] >= least]
        read = {hashes[index] for index in (hit, *marks) if 0 <= index <= hit}
        kept = frozenset(hashes[mark] for mark in written) | (read & self._entries.keys())
        hit_tokens = totals[hit] if hit >= 0 else 0
        upto = totals[written[-1]] if written else hit_tokens
        usage = InputUsage(fresh=totals[-1] - upto, written=upto - hit_tokens, read=hit_tokens)
        return Visit(usage, kept, self._now())

    def keep(self, visit: Visit) -> None:
        """The request has begun to answer: its entries can be read from now on."""
        self._entries |= dict.fromkeys(visit.kept, visit.started_at + LIFE_S)

    def _found(self, hashes: list[str], mark: int) -> int:
        """The longest prefix in the cache that this mark can see; -1 when there is none."""
        now = self._now()
        for index in range(mark, max(-1, mark - POSITIONS_LOOKED_AT), -1):
            if self._entries.get(hashes[index], now) > now:
                return index
        return -1


def _prefix_hashes(body: Mapping[str, Any], blocks: list[Block], head: int) -> list[str]:
    running = hashlib.sha256(body["model"].encode())
    hashes = []
    for index, block in enumerate(blocks):
        if index == head:
            running.update(settings_of(body).encode())
        running.update(f"{len(block.text)}:{block.text}".encode())
        hashes.append(running.hexdigest())
    return hashes
