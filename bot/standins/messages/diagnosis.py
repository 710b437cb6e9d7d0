"""Why a prompt is not the one before with something added: what `diagnostics` in an answer says."""

from collections.abc import Mapping
from typing import Any

from bot.standins.messages.prompt import canonical, merged, system_blocks, tokens_in

Json = Mapping[str, Any]


class Diagnosis:
    """Remembers each answered request by the id of its answer."""

    def __init__(self) -> None:
        self._asked: dict[str, list[tuple[str, list[str]]]] = {}

    def of(self, body: Json) -> dict[str, Any] | None:
        """None when nothing was asked about, or when the earlier prompt is this one's prefix."""
        wanted = body.get("diagnostics") or {}
        before = wanted.get("previous_message_id")
        if before is None:
            return None
        earlier = self._asked.get(before)
        if earlier is None:
            return {"cache_miss_reason": {"type": "previous_message_not_found"}}
        for (name, then), (_, now) in zip(earlier, _parts(body), strict=True):
            if now[: len(then)] != then or (name != "messages" and len(now) != len(then)):
                missed = sum(tokens_in(part) for _, parts in earlier for part in parts)
                return {"cache_miss_reason": {"type": f"{name}_changed", "cache_missed_input_tokens": missed}}
        return None

    def remember(self, message_id: str, body: Json) -> None:
        self._asked[message_id] = _parts(body)


def _parts(body: Json) -> list[tuple[str, list[str]]]:
    """In the order in which a change is looked for."""
    turns = merged(body["messages"])
    return [
        ("model", [body["model"]]),
        ("system", [canonical(list(system_blocks(body)))]),
        ("tools", [canonical(body.get("tools") or [])]),
        ("messages", [canonical([role, block]) for role, blocks in turns for block in blocks]),
    ]
