"""Thinking blocks are sealed to everything before them, so that edited history is noticed."""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from bot.standins.messages.prompt import canonical, merged, system_blocks
from bot.standins.messages.refusals import Refused

Json = Mapping[str, Any]


class Seals:
    """Signs what this server said; `secret` stays here."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, body: Json, *, before: Sequence[Json], thinking: str) -> str:
        """`before` are the blocks of the same answer that came earlier."""
        return self._signature(body["model"], thinking, _history(body, merged(body["messages"]), before))

    def check(self, body: Json) -> None:
        """Raises Refused for a thinking block that is not ours, was changed, or had its history changed.

        A block of another model is no error: the API leaves it out of what the model reads.
        """
        turns = merged(body["messages"])
        for number, (role, blocks) in enumerate(turns):
            for index, block in enumerate(blocks):
                if role == "assistant" and block["type"] == "thinking":
                    self._check_one(body, turns[:number], blocks[:index], block, f"messages.{number}.content.{index}")

    def _check_one(
        self, body: Json, turns: list[tuple[str, list[Json]]], before: list[Json], block: Json, where: str
    ) -> None:
        try:
            model, own, _ = base64.b64decode(block["signature"], validate=True).decode("ascii").split(" ")
        except (binascii.Error, UnicodeDecodeError, ValueError) as error:
            raise Refused(f"{where}: Invalid `signature` in `thinking` block") from error
        if not hmac.compare_digest(own, self._mac("own", block["thinking"])):
            raise Refused(f"{where}: `thinking` blocks cannot be modified. They must stay as they were returned.")
        if model != body["model"]:
            return
        expected = self._signature(model, block["thinking"], _history(body, turns, before))
        if not hmac.compare_digest(block["signature"].encode(), expected.encode()):
            raise Refused(f"{where}: this `thinking` block is bound to a different conversation.")

    def _signature(self, model: str, thinking: str, history: str) -> str:
        parts = (model, self._mac("own", thinking), self._mac("history", model, history))
        return base64.b64encode(" ".join(parts).encode()).decode()

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._secret, "\0".join(parts).encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _history(body: Json, turns: Sequence[tuple[str, list[Json]]], before: Sequence[Json]) -> str:
    return canonical([list(system_blocks(body)), body.get("tools") or [], [list(turn) for turn in turns], list(before)])
