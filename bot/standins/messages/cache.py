"""The prompt cache: which part of a request was read, written, or new."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from bot.standins.messages.catalog import MODELS
from bot.standins.messages.prompt import Block, prompt_of, settings_of

POSITIONS_LOOKED_AT = 20  # a mark checks its own position and the 19 before it


@dataclass(frozen=True, slots=True)
class InputUsage:
    """Input tokens of one request by how they are billed."""

    fresh: int
    write_5m: int
    write_1h: int
    read: int

    def reported(self) -> dict[str, Any]:
        """The input side of `usage`, as an answer shows it."""
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": self.write_5m + self.write_1h,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.write_5m,
                "ephemeral_1h_input_tokens": self.write_1h,
            },
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
        total = self.input.fresh + self.input.write_5m + self.input.write_1h + self.input.read
        return self.input.read / total


@dataclass(frozen=True, slots=True)
class Visit:
    """What one request would read and leave behind: `kept` maps prefix hashes to seconds to live."""

    usage: InputUsage
    kept: Mapping[str, int]
    started_at: float


class PromptCache:
    """Entries live from the start of the request that wrote or last read them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._entries: dict[str, tuple[float, int]] = {}

    def visit(self, body: Mapping[str, Any]) -> Visit:
        """Look, without leaving anything: an entry can be read once its request has begun to answer."""
        blocks, head = prompt_of(body)
        hashes = _prefix_hashes(body, blocks, head)
        totals = list(accumulate(block.tokens for block in blocks))
        marks = [index for index, block in enumerate(blocks) if block.mark is not None]
        hit = max((self._found(hashes, mark) for mark in marks), default=-1)
        least = MODELS[body["model"]].least_cached
        written = [mark for mark in marks if mark > hit and totals[mark] >= least]
        kept = {hashes[mark]: blocks[mark].mark or 0 for mark in written}
        for index in {hit, *(mark for mark in marks if mark <= hit)} - {-1}:
            if hashes[index] in self._entries:
                kept[hashes[index]] = self._entries[hashes[index]][1]
        return Visit(_usage(blocks, totals, hit, written), kept, self._now())

    def keep(self, visit: Visit) -> None:
        """The request has begun to answer: its entries can be read from now on."""
        for key, seconds in visit.kept.items():
            self._entries[key] = (visit.started_at + seconds, seconds)

    def _found(self, hashes: list[str], mark: int) -> int:
        """The longest prefix in the cache that this mark can see; -1 when there is none."""
        now = self._now()
        for index in range(mark, max(-1, mark - POSITIONS_LOOKED_AT), -1):
            entry = self._entries.get(hashes[index])
            if entry and entry[0] > now:
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


def _usage(blocks: list[Block], totals: list[int], hit: int, written: list[int]) -> InputUsage:
    read = totals[hit] if hit >= 0 else 0
    bought = {300: 0, 3600: 0}
    upto = read
    for mark in written:
        bought[blocks[mark].mark or 300] += totals[mark] - upto
        upto = totals[mark]
    return InputUsage(fresh=totals[-1] - upto, write_5m=bought[300], write_1h=bought[3600], read=read)
