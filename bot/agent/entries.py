"""What a run writes into its job's journal, and how the parts of an entry are read again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bot.domain.conversation import Json, Reply, Text, ToolSpec, Usage, UserTurn
from bot.domain.errors import ModelError
from bot.domain.job import Check, Receipt
from bot.ports import Entry


def header(
    *,
    system: str,
    tools: Sequence[ToolSpec],
    first: UserTurn,
    nonce: str,
    check: str,
    sandbox: str,
    model: str,
    family: str,
    effort: str,
    heard: int = 0,
) -> Entry:
    """The opening, verbatim: a release with other words goes on with the ones a job began with.

    `heard`: how many messages to the agent are part of it.
    """
    data = {
        "model": model,
        "family": family,
        "effort": effort,
        "system": system,
        "tools": [asdict(tool) for tool in tools],
        "user": [block.text for block in first.blocks if isinstance(block, Text)],
        "pictures": [asdict(picture) for picture in first.pictures],
        "nonce": nonce,
        "check": check,
        "sandbox": sandbox,
        "heard": heard,
    }
    return Entry("effect", "header", data)


def switch_entry(number: int, *, model: str, family: str, setback: str, progress: str) -> Entry:
    """`setback`: why the model before this one is set aside, or ""; `progress`: of a new conversation, or ""."""
    data = {"model": model, "family": family, "setback": setback, "progress": progress}
    return Entry("effect", f"model {number}", data)


def request_entry(number: int, *, model: str, most: Usage, usd: float | None) -> Entry:
    """Before it is sent: the most that it can use and cost, which counts when no answer is ever written down."""
    return Entry("effect", f"request {number}", {"model": model, "usage": asdict(most), "usd": usd})


def reply_entry(number: int, reply: Reply, *, usd: float | None, elapsed: float) -> Entry:
    data = {
        "model": reply.model,
        "message_id": reply.message_id,
        "diagnostics": reply.diagnostics,
        "stop_reason": reply.stop_reason,
        "stop_details": reply.stop_details,
        "blocks": list(reply.blocks),
        "text": reply.text,
        "usage": asdict(reply.usage),
        "usd": usd,
        "elapsed": elapsed,
    }
    return Entry("model", f"reply {number}", data)


def discarded_entry(
    number: int, error: ModelError | None, *, model: str, usage: Usage, usd: float | None, elapsed: float
) -> Entry:
    data = {
        "model": model,
        "remedy": error.remedy if error else "",
        "status": error.status if error else None,
        "request_id": error.request_id if error else None,
        "usage": asdict(usage),
        "usd": usd,
        "elapsed": elapsed,
    }
    return Entry("model", f"discarded {number}", data)


def usage_of(data: Mapping[str, int]) -> Usage:
    return Usage(**data)


def receipt_data(receipt: Receipt) -> dict[str, Any]:
    return {**asdict(receipt), "runs": [asdict(run) for run in receipt.runs]}


def receipt_of(data: Json) -> Receipt:
    return Receipt(command=data["command"], runs=tuple(Check(**run) for run in data["runs"]), reason=data["reason"])
