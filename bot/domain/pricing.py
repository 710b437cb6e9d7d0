"""What model tokens cost at list price: dated rows, and exact sums over them."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from bot.domain.conversation import Usage

LEAST_BYTES_A_TOKEN = 2  # fewer than any language or code has: so many tokens at most are in a text
_TOKENS_PRICED_TOGETHER = 1_000_000
_NANO_DOLLAR = Decimal("0.000000001")
_SNAPSHOT = re.compile(r"-\d{8}$|-\d{4}-\d{2}-\d{2}$")  # claude-haiku-4-5-20251001 is a dated claude-haiku-4-5
_CLAUDE = re.compile(r"claude-[a-z]+-\d+(?:-\d+)*")  # within a cloud's own id for it


Source = Literal["documentation", "lead", "operator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens of each kind; None where nobody published a number.

    The row holds from `effective_from` on, for prompts of up to `prompt_up_to` tokens (None: any size), counting
    cached tokens too. `source` "documentation" is the vendor's own page, "lead" a third party's statement, "operator" a
    setting of this bot.
    """

    model: str
    fresh: Decimal
    cache_write_5m: Decimal | None
    cache_write_1h: Decimal | None
    cache_read: Decimal | None
    output: Decimal
    source: Source = "documentation"
    effective_from: date = date.min
    prompt_up_to: int | None = None


def _row(
    model: str,
    prices: str,
    *,
    source: Source = "documentation",
    since: date = date.min,
    prompt_up_to: int | None = None,
) -> Price:
    """`prices` in the order of the vendors' tables: input, 5 min write, 1 h write, cache read, output."""
    fresh, write_5m, write_1h, read, output = (None if price == "?" else Decimal(price) for price in prices.split())
    if fresh is None or output is None:
        raise ValueError(f"{model} needs a price for input and for output")
    return Price(
        model=model,
        fresh=fresh,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        cache_read=read,
        output=output,
        source=source,
        effective_from=since,
        prompt_up_to=prompt_up_to,
    )


# From https://platform.claude.com/docs/en/about-claude/pricing and OpenAI's price page as known on 2026-11-21.
# "lead": seen only in others' price tables.
PRICES: tuple[Price, ...] = (
    _row("claude-fable-5-2", "8 ? ? ? 40", source="lead"),
    *(_row(model, "10 12.50 20 0.25 50") for model in ("claude-fable-5-1", "claude-mythos-5-1")),
    *(_row(model, "10 12.50 20 1.00 50") for model in ("claude-fable-5", "claude-mythos-5")),
    _row("claude-opus-5-5", "4 5 8 0.20 20"),
    *(
        _row(model, "5 6.25 10 0.50 25")
        for model in ("claude-opus-5", "claude-opus-4-8", "claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5")
    ),
    _row("claude-sonnet-5-5", "2 2.50 4 0.20 10"),
    _row("claude-sonnet-5-5", "2 2.50 4 0.10 10", source="lead", since=date(2026, 10, 7)),
    _row("claude-sonnet-5", "2 2.50 4 0.20 10"),
    *(_row(model, "3 3.75 6 0.30 15") for model in ("claude-sonnet-4-6", "claude-sonnet-4-5")),
    _row("claude-haiku-5-5", "0.10 0.125 0.20 0.01 0.50", prompt_up_to=100_000),
    _row("claude-haiku-5-5", "0.50 0.625 1.00 0.05 2.50"),
    _row("claude-haiku-4-5", "1 1.25 2 0.10 5"),
    _row("gpt-6.1-sol", "2 2.50 ? 0.10 10", source="lead", prompt_up_to=272_000),
    _row("gpt-6.1-sol", "4 ? ? 0.20 15", source="lead"),
    _row("gpt-6-sol", "2 2.50 ? 0.20 10", source="lead"),
    _row("gpt-6-luna", "0.10 0.125 ? 0.01 0.50", source="lead"),
)

FREE = _row("rules", "0 0 0 0 0")  # of what is no model at all
KNOWN_MODELS = frozenset(price.model for price in PRICES)


def plain_name(model: str) -> str:
    """The vendor's undated name in any name for a model: of a setting, of a cloud, or of a dated version.

    A cloud's own price is not looked up: its bill is the vendor's list price, regional surcharges left aside.
    """
    bare = model.removeprefix("openai:")
    found = _CLAUDE.search(bare)
    return _SNAPSHOT.sub("", found[0] if found else bare)


def price_of(model: str, *, prompt_tokens: int, day: date) -> Price | None:
    """The row that holds for one request of this size on this day; None for a model without a price."""
    name = model if model in KNOWN_MODELS else plain_name(model)
    holding = [
        row
        for row in PRICES
        if row.model == name
        and row.effective_from <= day
        and (row.prompt_up_to is None or prompt_tokens <= row.prompt_up_to)
    ]
    return max(holding, key=_precedence, default=None)


def _precedence(row: Price) -> tuple[date, bool]:
    """The newest row first; of two as new as each other, the one for small prompts."""
    return row.effective_from, row.prompt_up_to is not None


def own_price(model: str, fresh: Decimal, read: Decimal, output: Decimal) -> Price:
    """What the operator says a model costs; what is written to a cache costs what any input does."""
    return Price(
        model=model,
        fresh=fresh,
        cache_write_5m=fresh,
        cache_write_1h=fresh,
        cache_read=read,
        output=output,
        source="operator",
    )


def usd(model: str, usage: Usage, *, day: date, own: Price | None = None) -> float | None:
    """List price in US dollars of **one** request, to a billionth of a dollar.

    None when a price is unknown, never 0: for the model, or for a kind of token that was used. Add up requests, not
    their usage: a row is chosen by the size of one prompt. `output` includes thinking. `own`: the operator's price.
    """
    row = own or price_of(model, prompt_tokens=usage.input, day=day)
    if row is None:
        return None
    total = Decimal(0)
    for tokens, price in (
        (usage.fresh, row.fresh),
        (usage.cache_write_5m, row.cache_write_5m),
        (usage.cache_write_1h, row.cache_write_1h),
        (usage.cache_read, row.cache_read),
        (usage.output, row.output),
    ):
        if tokens and price is None:
            return None
        total += tokens * (price or Decimal(0))
    return float((total / _TOKENS_PRICED_TOGETHER).quantize(_NANO_DOLLAR, ROUND_HALF_EVEN))


def most_usd(model: str, *, prompt_tokens: int, output_tokens: int, day: date, own: Price | None = None) -> float:
    """The most that one request of up to these tokens can cost: the whole prompt at its dearest kind of token, and as
    with the dearest known model where nobody published a price."""
    row = own or price_of(model, prompt_tokens=prompt_tokens, day=day)
    rows = PRICES if row is None else (row,)
    prompt = max(
        price for one in rows for price in (one.fresh, one.cache_write_5m, one.cache_write_1h) if price is not None
    )
    total = prompt_tokens * prompt + output_tokens * max(one.output for one in rows)
    return float(total / _TOKENS_PRICED_TOGETHER)
