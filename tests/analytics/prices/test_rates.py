from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.analytics.prices import Rates, RateTier, Usage
from tracecanary.analytics.prices.rates import (
    MAX_TOKENS,
    cost_pico_usd,
    pico_usd_per_token,
    tier_of,
    to_nano_usd,
)

# USD per million tokens: 2, 0.5, 2.5, 8, 10; a hundredth of a cent for each call.
RATES = Rates(
    input=2_000_000,
    cached_input=500_000,
    cache_write=2_500_000,
    output=8_000_000,
    reasoning=10_000_000,
    call=100_000_000,
)
COUNTS = st.none() | st.integers(0, 10_000_000)
USAGES = st.builds(
    Usage,
    input_tokens=st.integers(0, 10_000_000),
    output_tokens=st.integers(0, 10_000_000),
    cache_read_tokens=COUNTS,
    cache_write_tokens=COUNTS,
    reasoning_tokens=COUNTS,
)


@pytest.mark.parametrize(
    ("usage", "micro_usd"),
    [
        # by hand, in millionths of a USD: 100 for the call, then tokens times USD per million
        pytest.param({"input_tokens": 1_000, "output_tokens": 100}, 100 + 2_000 + 800, id="plain"),
        pytest.param(
            {"input_tokens": 1_000, "output_tokens": 100, "cache_read_tokens": 600},
            100 + 400 * 2 + 600 * 0.5 + 800,
            id="cached tokens are part of the input",
        ),
        pytest.param(
            {"input_tokens": 1_000, "output_tokens": 0, "cache_read_tokens": 600, "cache_write_tokens": 300},
            100 + 100 * 2 + 600 * 0.5 + 300 * 2.5,
            id="written to the cache",
        ),
        pytest.param(
            {"input_tokens": 0, "output_tokens": 100, "reasoning_tokens": 40},
            100 + 60 * 8 + 40 * 10,
            id="reasoning is part of the output",
        ),
        pytest.param({"input_tokens": 0, "output_tokens": 0}, 100, id="a call of nothing"),
        pytest.param(
            {"input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 30, "cache_write_tokens": 9},
            100 + 10 * 0.5 + 5 * 8,
            id="no more than all input is cached",
        ),
        pytest.param(
            {"input_tokens": 0, "output_tokens": 5, "reasoning_tokens": 9}, 100 + 50, id="no more than all is reasoning"
        ),
        pytest.param({"output_tokens": 100}, None, id="input unknown"),
        pytest.param({"input_tokens": 100}, None, id="output unknown"),
        pytest.param({}, None, id="nothing known"),
        pytest.param({"input_tokens": MAX_TOKENS + 1, "output_tokens": 1}, None, id="too many tokens"),
        pytest.param({"input_tokens": 1, "output_tokens": MAX_TOKENS + 1}, None, id="too much output"),
    ],
)
def test_each_token_is_counted_once(usage: dict[str, Any], micro_usd: float | None) -> None:
    assert cost_pico_usd(Usage(**usage), RATES) == (None if micro_usd is None else round(micro_usd * 1_000_000))


def test_unknown_output_of_a_model_without_output_costs_nothing() -> None:
    embedding = Rates(input=20_000, cached_input=20_000, cache_write=20_000, output=0, reasoning=0)

    assert cost_pico_usd(Usage(input_tokens=12), embedding) == 240_000


@pytest.mark.parametrize(
    ("pico_usd", "nano_usd"), [(0, 0), (499, 0), (500, 1), (1_499, 1), (1_500, 2), (2_500_000_000, 2_500_000)]
)
def test_costs_are_rounded_half_up(pico_usd: int, nano_usd: int) -> None:
    assert to_nano_usd(pico_usd) == nano_usd


@pytest.mark.parametrize(
    ("usd", "pico_usd"),
    [("2", 2_000_000), ("0.075", 75_000), ("0.000001", 1), ("0.19999999999999998", 200_000), ("600", 600_000_000)],
)
def test_rates_are_whole_pico_usd(usd: str, pico_usd: int) -> None:
    assert pico_usd_per_token(Decimal(usd)) == pico_usd


def test_all_tokens_have_the_rates_of_the_tier_that_the_input_reaches() -> None:
    dearer = Rates(input=4, cached_input=4, cache_write=4, output=4, reasoning=4)
    tiers = (RateTier(input_tokens_from=0, rates=RATES), RateTier(input_tokens_from=200_001, rates=dearer))

    assert [tier_of(tiers, tokens) for tokens in (0, 200_000, 200_001)] == [RATES, RATES, dearer]


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="output_tokens is -1, but a count of tokens is 0 or more"):
        Usage(input_tokens=1, output_tokens=-1)


@given(USAGES)
def test_a_cost_is_never_negative_and_caching_never_adds_to_it(usage: Usage) -> None:
    cost = cost_pico_usd(usage, RATES)
    uncached = cost_pico_usd(Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens), RATES)
    only_read = cost_pico_usd(
        Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
        ),
        RATES,
    )

    assert cost is not None
    assert uncached is not None
    assert only_read is not None
    assert 0 <= only_read <= uncached
    assert cost >= RATES.call


@given(USAGES, USAGES)
def test_costs_add_up(one: Usage, other: Usage) -> None:
    # Of counts that fit each other: those that do not are cut in each call on its own.
    def clean(usage: Usage) -> Usage:
        given, made = usage.input_tokens or 0, usage.output_tokens or 0
        read = min(usage.cache_read_tokens or 0, given)
        return Usage(
            input_tokens=given,
            output_tokens=made,
            cache_read_tokens=read,
            cache_write_tokens=min(usage.cache_write_tokens or 0, given - read),
            reasoning_tokens=min(usage.reasoning_tokens or 0, made),
        )

    one, other = clean(one), clean(other)
    both = Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.__slots__})

    def cost(usage: Usage) -> int:
        found = cost_pico_usd(usage, RATES)
        assert found is not None
        return found

    assert cost(one) + cost(other) - RATES.call == cost(both)
