"""The join of `rated_spans_v1`, run in the engine, gives what `PriceBook.price_call` gives for each call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.prices.test_book import PRICES

from tracecanary.analytics.engine import Engine
from tracecanary.analytics.prices import RATE_SCHEMA, ModelNames, PriceBook, Usage, rate_table, read_price_file
from tracecanary.analytics.prices.rates import MAX_TOKENS
from tracecanary.schema import SPAN_COLUMNS, arrow_schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
MODELS = [
    ModelNames(model="gpt-4.1", request_model="gpt-4.1", response_model="gpt-4.1-2025-04-14", provider="openai"),
    ModelNames(model="gpt-4.1"),
    ModelNames(model="claude-sonnet-4-5", provider="anthropic"),
    ModelNames(model="deepseek-v4-pro", provider="deepseek"),  # dear at some times of the day
    ModelNames(model="text-embedding-3-small", provider="openai"),
    ModelNames(model="sonar-pro", provider="perplexity"),
    ModelNames(model="my-ft", provider="vllm"),
    ModelNames(model="unpriced", provider="vllm"),
    ModelNames(model=None),
]
COUNTS = (
    st.none() | st.integers(0, 300_000) | st.sampled_from([0, 200_000, 200_001, MAX_TOKENS, MAX_TOKENS + 1, 2**63 - 1])
)
CALLS = st.tuples(
    st.sampled_from(MODELS),
    st.datetimes(datetime(2025, 12, 30), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001  the zone is beside it
    st.tuples(*[COUNTS] * 5),
)
Call = tuple[ModelNames, datetime, tuple[int | None, ...]]


def unix_ns(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1_000


def joined(calls: list[Call], book: PriceBook) -> list[tuple[int | None, str | None]]:
    """Return cost and source of each call, as the join gives them."""
    rows: list[dict[str, Any]] = [
        {
            "trace_id": "t",
            "span_id": str(number),
            "kind": "llm",
            "status": "unset",
            "duration_ns": 0,
            "start_unix_ns": unix_ns(at),
            "model": model.model,
            "request_model": model.request_model,
            "response_model": model.response_model,
            "provider": model.provider,
            **dict(zip(TOKENS, tokens, strict=True)),
        }
        for number, (model, at, tokens) in enumerate(calls)
    ]
    with Engine() as engine:
        engine.arrow_table("billed_spans", pa.Table.from_pylist(rows, schema=arrow_schema(SPAN_COLUMNS)))
        engine.arrow_table("rates", rate_table((model for model, _, _ in calls), book))
        engine.view("rated_spans", "rated_spans_v1")
        found = {row["span_id"]: row for row in engine.rows("priced_spans_v2")}
    priced = [found.get(str(number), {"cost_nano_usd": None, "cost_source": None}) for number in range(len(calls))]
    return [(row["cost_nano_usd"], row["cost_source"]) for row in priced]


def called(calls: list[Call], book: PriceBook) -> list[tuple[int | None, str | None]]:
    prices = [
        book.price_call(Usage(**dict(zip(TOKENS, tokens, strict=True))), model, at) for model, at, tokens in calls
    ]
    return [(price.cost_nano_usd, price.source) for price in prices]


def own_prices(folder: Path) -> PriceBook:
    (folder / "prices.toml").write_text(PRICES)
    return PriceBook(read_price_file(folder / "prices.toml"))


def test_calls_by_hand(tmp_path: Path) -> None:
    at, tier = datetime(2026, 7, 1, 2, 30, tzinfo=UTC), MODELS[2]
    calls: list[Call] = [
        (MODELS[0], at, (1_000, 100, 200, None, None)),  # 10 and 20 USD a million, by the price file
        (tier, at, (200_000, 10, None, None, None)),  # 3 and 15
        (tier, at, (200_001, 10, None, None, None)),  # 6 and 22.50
        (MODELS[4], at, (12, None, None, None, None)),  # 0.02, without output
        (MODELS[4], at, (None, None, None, None, None)),
        (MODELS[7], at, (1_000, 100, None, None, None)),
    ]

    assert joined(calls, own_prices(tmp_path)) == [
        (12_000_000, "file"),
        (600_150_000, "genai-prices"),
        (1_200_231_000, "genai-prices"),
        (240, "genai-prices"),
        (None, None),
        (None, None),
    ]


def test_a_price_that_depends_on_the_time_of_the_day() -> None:
    # 1.32 USD a million from 1 to 4 and from 6 to 10 o'clock UTC since this September, else 0.66.
    hours = (0, 1, 3, 4, 5, 6, 9, 10, 23)
    calls: list[Call] = [
        (MODELS[3], datetime(2026, 10, 1, hour, tzinfo=UTC), (1_000_000, 0, None, None, None)) for hour in hours
    ]

    low, high = (660_000_000, "genai-prices"), (1_320_000_000, "genai-prices")
    assert joined(calls, PriceBook()) == [low, high, high, low, low, high, high, low, low]


def test_a_model_without_a_price_has_no_row() -> None:
    assert rate_table([MODELS[7], MODELS[8]], PriceBook()).to_pylist() == []
    assert rate_table([], PriceBook()).schema == RATE_SCHEMA


def test_a_model_named_twice_is_priced_once() -> None:
    once = rate_table([MODELS[0]], PriceBook())

    assert rate_table([MODELS[0], MODELS[0]], PriceBook()) == once


@settings(deadline=None, max_examples=25)
@given(st.lists(CALLS, min_size=1, max_size=200))
def test_the_join_is_the_function(tmp_path_factory: Any, calls: list[Call]) -> None:
    book = own_prices(tmp_path_factory.mktemp("prices"))

    assert joined(calls, book) == called(calls, book)


@given(st.sampled_from(MODELS), st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_at_most_one_rate_holds_at_any_time(model: ModelNames, at: datetime) -> None:
    periods = PriceBook().periods(model)

    assert sum(period.holds_at(unix_ns(at)) for period in periods) == (1 if periods else 0)
