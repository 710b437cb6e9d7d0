"""Prices as the API sends them: {"currency": "EUR", "minor": 1999}."""

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

CURRENCIES = json.loads((Path(__file__).parents[3] / "shared" / "currencies.json").read_text(encoding="utf-8"))


class UnknownCurrency(ValueError):
    """A currency that shared/currencies.json does not list."""


def price(amount: str, currency: str) -> dict[str, object]:
    """`amount` is a decimal number, such as "19.99"; half a cent is rounded up."""
    if currency not in CURRENCIES:
        raise UnknownCurrency(currency)
    minor = (Decimal(amount) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return {"currency": currency, "minor": int(minor)}


def total(prices: list[dict[str, object]]) -> dict[str, object]:
    """The sum of prices in one currency."""
    currencies = {str(one["currency"]) for one in prices}
    if len(currencies) != 1:
        raise ValueError(f"cannot add up {', '.join(sorted(currencies)) or 'nothing'}")
    return {"currency": currencies.pop(), "minor": sum(int(str(one["minor"])) for one in prices)}
