"""A job's way to the days' money: the store's ledger, and the words when a day's budget is used up."""

from dataclasses import dataclass, replace

from bot.domain.errors import LimitReached
from bot.domain.job import Repo
from bot.ports import Claim, DayBudgets, Ledger, Shortfall

REPO_SETTING = "BACKSPACE_REPO_USD_PER_DAY"
INSTALLATION_SETTING = "BACKSPACE_INSTALLATION_USD_PER_DAY"
REPO_WISH = "`budget.usd_per_day` in `.github/backspace.yml`"


@dataclass(frozen=True, slots=True)
class StorePurse:
    """Keeps `ports.Purse` for one claimed job. `repo_limit` names what the repository's limit can be raised with."""

    store: Ledger
    claim: Claim
    budgets: DayBudgets
    repo_limit: str = REPO_SETTING

    async def reserve(self, usd: float, *, spent_usd: float) -> None:
        shortfall = await self.store.reserve(self.claim, usd=usd, spent_usd=spent_usd, budgets=self.budgets)
        if shortfall is not None:
            raise LimitReached(words(shortfall, usd, self.claim.job.repo, self.budgets, repo_limit=self.repo_limit))

    async def settle(self, spent_usd: float) -> None:
        await self.store.settle(self.claim, spent_usd)


def purse_of(store: Ledger, claim: Claim, budgets: DayBudgets, *, repo_wish_usd: float | None) -> StorePurse:
    """A repository can lower what the operator allows it for a day, never raise it."""
    if repo_wish_usd is None or repo_wish_usd >= budgets.repo_usd:
        return StorePurse(store, claim, budgets)
    return StorePurse(store, claim, replace(budgets, repo_usd=repo_wish_usd), REPO_WISH)


def words(shortfall: Shortfall, wanted_usd: float, repo: Repo, budgets: DayBudgets, *, repo_limit: str) -> str:
    """Whose day is used up, and what its owner can do. Amounts are rounded to cents."""
    if shortfall.whose == "repository":
        who, limit, setting = repo.full_name, budgets.repo_usd, repo_limit
    else:
        who, limit, setting = "this installation", budgets.installation_usd, INSTALLATION_SETTING
    if shortfall.used_usd + 0.005 >= limit:
        return (
            f"{who} has used ${shortfall.used_usd:.2f} of its ${limit:.2f} for today (UTC); "
            f"ask again tomorrow or raise {setting}."
        )
    return (
        f"{who} has used or set aside ${shortfall.used_usd:.2f} of its ${limit:.2f} for today (UTC), and the next "
        f"call of the model may cost ${wanted_usd:.2f}; ask again later or raise {setting}."
    )
