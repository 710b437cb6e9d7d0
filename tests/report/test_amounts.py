"""Amounts as people read them."""

import pytest

from bot.domain.conversation import Usage
from bot.domain.job import FileStat
from bot.report.amounts import change_size, cost, dollars, duration, token_use, tokens


@pytest.mark.parametrize(
    ("usd", "text"), [(None, "n/a"), (0.0, "$0.00"), (0.004, "under $0.01"), (0.714, "$0.71"), (1234.5, "$1,234.50")]
)
def test_dollars(usd: float | None, text: str) -> None:
    assert dollars(usd) == text


def test_a_cost_stands_beside_its_budget() -> None:
    assert cost(0.04, 3.0) == "$0.04 of $3.00"
    assert cost(None, None) == "n/a"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (250.0, "4 min 10 s"),
        (3_600.0, "1 h"),
        (3_720.0, "1 h 2 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1_000, "1.0k"), (999_949, "999.9k"), (999_950, "1.0M")]
)
def test_tokens(count: int, text: str) -> None:
    assert tokens(count) == text


def test_token_use_tells_the_cached_share() -> None:
    assert token_use(Usage(fresh=10, cache_read=90, output=5)) == "100 tokens in (90 % cached), 5 out"
    assert token_use(Usage()) == "0 tokens in, 0 out"


def test_change_size() -> None:
    assert change_size([FileStat("a", 1, 2), FileStat("b", None, None)]) == "2 files, +1 -2"
    assert change_size([FileStat("a", 1, 2)]) == "1 file, +1 -2"
