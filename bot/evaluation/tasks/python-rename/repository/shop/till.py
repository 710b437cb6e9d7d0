"""What the cashier types."""

from shop import helpers
from shop.legacy.compat import money


def change(due: int, typed: str, currency: str) -> str:
    """How much to give back, in words."""
    given = helpers.parse(typed, currency)
    if given < due:
        return f"{money(due - given, currency)} is missing"
    return f"{money(given - due, currency)} back"
