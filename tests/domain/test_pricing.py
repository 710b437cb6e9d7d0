"""The price of a request: exact, dated, chosen by the prompt's size, and never a wrong zero."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.conversation import Usage
from bot.domain.pricing import KNOWN_MODELS, PRICES, most_usd, own_price, price_of, usd

TODAY = date(2026, 11, 21)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        pytest.param("claude-opus-5-5", Usage(fresh=MILLION), 4.0, id="fresh input"),
        pytest.param("claude-opus-5-5", Usage(cache_write_5m=MILLION), 5.0, id="5 minute write"),
        pytest.param("claude-opus-5-5", Usage(cache_write_1h=MILLION), 8.0, id="1 hour write"),
        pytest.param("claude-opus-5-5", Usage(cache_read=MILLION), 0.2, id="cache read"),
        pytest.param("claude-opus-5-5", Usage(output=MILLION), 20.0, id="output"),
        pytest.param("claude-opus-5-5", Usage(fresh=1, cache_read=1), 0.0000042, id="single tokens are exact"),
        pytest.param("claude-opus-5-5", Usage(), 0.0, id="nothing used costs nothing"),
        pytest.param("claude-haiku-4-5-20251001", Usage(output=MILLION), 5.0, id="a dated name of a known model"),
        pytest.param("claude-haiku-5-5", Usage(fresh=100_000), 0.01, id="haiku 5.5 up to 100k"),
        pytest.param("claude-haiku-5-5", Usage(fresh=100_001), 0.0500005, id="haiku 5.5 above 100k"),
        pytest.param(
            "claude-haiku-5-5",
            Usage(fresh=1, cache_read=99_999, cache_write_5m=1, output=1000),
            0.007501075,
            id="cached tokens count towards the prompt's size, and the dearer row covers the output too",
        ),
    ],
)
def test_a_request_costs_its_list_price(model: str, usage: Usage, dollars: float) -> None:
    assert usd(model, usage, day=TODAY) == dollars


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        pytest.param("claude-opus-9", Usage(fresh=1), id="unknown model"),
        pytest.param("", Usage(), id="no name, nothing used"),
        pytest.param("claude-fable-5-2", Usage(cache_read=1), id="known model, unpublished kind of token"),
        pytest.param("gpt-6.1-sol", Usage(cache_write_1h=1), id="a kind the vendor does not sell"),
    ],
)
def test_an_unknown_price_is_none_and_never_zero(model: str, usage: Usage) -> None:
    assert usd(model, usage, day=TODAY) is None


def test_an_unpublished_kind_of_token_does_not_matter_while_none_is_used() -> None:
    assert usd("claude-fable-5-2", Usage(fresh=MILLION, output=MILLION), day=TODAY) == 48.0


def test_a_price_cut_holds_from_its_day_on() -> None:
    read = Usage(cache_read=MILLION)
    assert usd("claude-sonnet-5-5", read, day=date(2026, 10, 6)) == 0.2
    assert usd("claude-sonnet-5-5", read, day=date(2026, 10, 7)) == 0.1


def test_the_default_model_has_a_price_from_the_vendor() -> None:
    row = price_of("claude-opus-5-5", prompt_tokens=1, day=TODAY)
    assert row is not None
    assert row.source == "documentation"


def test_every_known_model_has_a_row_for_a_prompt_of_any_size() -> None:
    assert {row.model for row in PRICES} == KNOWN_MODELS
    for model in KNOWN_MODELS:
        for tokens in (0, 100_000, 272_001, 10 * MILLION):
            assert price_of(model, prompt_tokens=tokens, day=TODAY) is not None


@settings(deadline=None)
@given(
    st.builds(Usage, fresh=st.integers(0, 10**6), cache_read=st.integers(0, 10**6), output=st.integers(0, 10**5)),
    st.builds(Usage, fresh=st.integers(0, 10**6), cache_read=st.integers(0, 10**6), output=st.integers(0, 10**5)),
)
def test_adding_requests_adds_their_cost_to_a_billionth_of_a_dollar(one: Usage, other: Usage) -> None:
    together = usd("claude-opus-5-5", one + other, day=TODAY)
    first = usd("claude-opus-5-5", one, day=TODAY)
    second = usd("claude-opus-5-5", other, day=TODAY)
    assert together is not None
    assert first is not None
    assert second is not None
    assert together == pytest.approx(first + second, abs=1e-9)


def test_what_the_operator_says_a_model_costs_goes_before_everything() -> None:
    own = own_price("qwen3:32b", Decimal("1"), Decimal("0.5"), Decimal("2"))
    usage = Usage(fresh=1_000_000, cache_write_5m=1_000_000, cache_read=1_000_000, output=1_000_000)
    assert usd("qwen3:32b", usage, day=date(2026, 11, 21)) is None, "nobody's list price: unknown, not nothing"
    assert usd("qwen3:32b", usage, day=date(2026, 11, 21), own=own) == 4.5
    free = own_price("qwen3:32b", Decimal(0), Decimal(0), Decimal(0))
    assert most_usd("qwen3:32b", prompt_tokens=9, output_tokens=9, day=date(2026, 11, 21), own=free) == 0
    assert most_usd("qwen3:32b", prompt_tokens=10**6, output_tokens=0, day=date(2026, 11, 21)) >= 10


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-5-5",
        "claude-opus-5-5-20260922",
        "bedrock:us.anthropic.claude-opus-5-5-v1:0",
        "anthropic.claude-opus-5-5-20260922-v1:0",
        "vertex:claude-opus-5-5@20260922",
        "foundry:claude-opus-5-5",
    ],
)
def test_a_model_costs_the_same_under_each_of_its_names(name: str) -> None:
    assert price_of(name, prompt_tokens=1, day=date(2026, 11, 21)) == price_of(
        "claude-opus-5-5", prompt_tokens=1, day=date(2026, 11, 21)
    )


def test_a_dated_name_of_another_vendor_is_known_too() -> None:
    row = price_of("openai:gpt-6.1-sol-2026-10-01", prompt_tokens=1, day=date(2026, 11, 21))
    assert row is not None
    assert row.model == "gpt-6.1-sol"
