"""Money in words and in numbers."""

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
DECIMALS = {"JPY": 0}


def fmt(minor: int, currency: str) -> str:
    """An amount in minor units (cents, pence), as people write it.

    >>> fmt(123456, "EUR")
    '€1,234.56'
    """
    decimals = DECIMALS.get(currency, 2)
    sign = "-" if minor < 0 else ""
    whole, rest = divmod(abs(minor), 10**decimals)
    number = f"{whole:,}" + (f".{rest:0{decimals}}" if decimals else "")
    return f"{sign}{SYMBOLS.get(currency, currency + ' ')}{number}"


def parse(text: str, currency: str) -> int:
    """The minor units in a number that somebody typed; commas group thousands.

    >>> parse("1,234.5", "EUR")
    123450
    """
    decimals = DECIMALS.get(currency, 2)
    sign = -1 if text.strip().startswith("-") else 1
    whole, _, rest = text.strip().lstrip("-").replace(",", "").partition(".")
    if len(rest) > decimals:
        raise ValueError(f"{text!r} has more than {decimals} decimals")
    return sign * (int(whole or "0") * 10**decimals + int((rest or "0").ljust(decimals, "0")))
