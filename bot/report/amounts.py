"""Money, time, tokens and counts as people read them."""

from collections.abc import Sequence

from bot.domain.conversation import Usage
from bot.domain.job import FileStat


def dollars(usd: float | None) -> str:
    """`$0.71`; a cost that is not zero never reads as `$0.00`; None is an unknown price."""
    if usd is None:
        return "n/a"
    if 0 < usd < 0.01:
        return "under $0.01"
    return f"${usd:,.2f}"


def cost(usd: float | None, budget_usd: float | None) -> str:
    return dollars(usd) if budget_usd is None else f"{dollars(usd)} of {dollars(budget_usd)}"


def cut_wish(wished_usd: float | None, granted_usd: float | None) -> str:
    """That a job may not spend what was asked for it, or "" where it may."""
    if wished_usd is None or granted_usd is None or wished_usd <= granted_usd:
        return ""
    return f"{dollars(wished_usd)} was asked for; whoever runs this bot allows a job {dollars(granted_usd)} at most."


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `4 min 10 s`, `1 h 2 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def tokens(count: int) -> str:
    """`812`, `12.3k`, `1.2M`."""
    if count < 1_000:
        return str(count)
    if count < 999_950:
        return f"{count / 1_000:.1f}k"
    return f"{count / 1_000_000:.1f}M"


def token_use(usage: Usage) -> str:
    """`12.3k tokens in (94 % cached), 1.2k out`: the share is of the input read from the provider's cache."""
    share = f" ({usage.cache_read * 100 // usage.input} % cached)" if usage.input else ""
    return f"{tokens(usage.input)} tokens in{share}, {tokens(usage.output)} out"


def counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def change_size(stats: Sequence[FileStat]) -> str:
    """`3 files, +88 -4`."""
    added = sum(stat.additions or 0 for stat in stats)
    removed = sum(stat.deletions or 0 for stat in stats)
    return f"{counted(len(stats), 'file')}, +{added} -{removed}"
