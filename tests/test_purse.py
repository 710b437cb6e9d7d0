"""A job's way to the days' money, and the words when it is used up."""

from collections.abc import Sequence

import pytest

from bot.domain.errors import LimitReached, ProviderError
from bot.ports import Claim, DayBudgets, Shortfall
from bot.purse import purse_of, words
from tests.stores.samples import a_job

pytestmark = pytest.mark.anyio

BUDGETS = DayBudgets(repo_usd=30.0, installation_usd=100.0)
CLAIM = Claim(a_job("a"), 1, 1, None)


class NoMoney:
    """A ledger whose days are used up; `asked` holds the budgets it was asked with."""

    def __init__(self, answers: Sequence[Shortfall | None]) -> None:
        self._answers = list(answers)
        self.asked: list[DayBudgets] = []

    async def reserve(self, claim: Claim, *, usd: float, spent_usd: float, budgets: DayBudgets) -> Shortfall | None:
        self.asked.append(budgets)
        return self._answers.pop(0)

    async def settle(self, claim: Claim, spent_usd: float) -> None:
        return


class NoLedger(NoMoney):
    async def reserve(self, claim: Claim, *, usd: float, spent_usd: float, budgets: DayBudgets) -> Shortfall | None:
        raise ProviderError("store", "away", retryable=True)


async def test_a_ledger_that_cannot_be_asked_lets_no_call_out() -> None:
    """Red when the purse takes a failing store for an empty shortfall: seen."""
    with pytest.raises(ProviderError, match="away"):
        await purse_of(NoLedger([]), CLAIM, BUDGETS, repo_wish_usd=None).reserve(0.5, spent_usd=0.0)


async def test_a_day_that_is_used_up_is_told_with_its_remedy() -> None:
    purse = purse_of(NoMoney([Shortfall("repository", 30.0)]), CLAIM, BUDGETS, repo_wish_usd=None)
    with pytest.raises(LimitReached) as refused:
        await purse.reserve(0.5, spent_usd=0.0)
    assert str(refused.value) == (
        "octo-org/widgets has used $30.00 of its $30.00 for today (UTC); ask again tomorrow or raise "
        "BACKSPACE_REPO_USD_PER_DAY."
    )


@pytest.mark.parametrize(
    ("shortfall", "repo_limit", "said"),
    [
        pytest.param(
            Shortfall("repository", 4.5),
            "`budget.usd_per_day` in `.github/backspace.yml`",
            "octo-org/widgets has used or set aside $4.50 of its $30.00 for today (UTC), and the next "
            "call of the model may cost $26.00; ask again later or raise `budget.usd_per_day` in "
            "`.github/backspace.yml`.",
            id="too-little-is-left",
        ),
        pytest.param(
            Shortfall("installation", 100.0),
            "BACKSPACE_REPO_USD_PER_DAY",
            "this installation has used $100.00 of its $100.00 for today (UTC); ask again tomorrow or raise "
            "BACKSPACE_INSTALLATION_USD_PER_DAY.",
            id="installation",
        ),
    ],
)
def test_the_words(shortfall: Shortfall, repo_limit: str, said: str) -> None:
    assert words(shortfall, 26.0, CLAIM.job.repo, BUDGETS, repo_limit=repo_limit) == said


@pytest.mark.parametrize(
    ("wish", "holds"),
    [
        pytest.param(None, 30.0, id="says-nothing"),
        pytest.param(5.0, 5.0, id="lowers"),
        pytest.param(500.0, 30.0, id="cannot-raise"),
    ],
)
async def test_a_repository_can_lower_its_day_and_never_raise_it(wish: float | None, holds: float) -> None:
    ledger = NoMoney([None])
    await purse_of(ledger, CLAIM, BUDGETS, repo_wish_usd=wish).reserve(1.0, spent_usd=0.0)
    assert ledger.asked == [DayBudgets(repo_usd=holds, installation_usd=100.0)]
