"""What a provider's `reap` is asked with."""

from collections.abc import Collection

from bot.ports import Over
from bot.upkeep.orphans import over


def all_but(*alive: str) -> Over:
    """Every sandbox is over but those of these jobs."""

    async def asked(names: Collection[str]) -> set[str]:
        return over(names, alive=alive)

    return asked
