"""Lines of an invoice as text."""

from shop.helpers import fmt


def invoice(lines: list[tuple[str, int, int]], currency: str) -> str:
    """`lines` are (what, how many, minor units each)."""
    rows = [f"{count} x {what}: {fmt(count * each, currency)}" for what, count, each in lines]
    total = sum(count * each for _, count, each in lines)
    return "\n".join([*rows, f"Total: {fmt(total, currency)}"])
