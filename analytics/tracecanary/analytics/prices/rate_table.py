"""Prices as a table that SQL joins to spans, since no engine can call Python for each of 50 million."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from tracecanary.analytics.prices.book import ModelNames, PriceBook
from tracecanary.analytics.prices.rates import MAX_TOKENS

_NAMES = ("model", "request_model", "response_model", "provider")
_INTEGERS = (
    "from_unix_ns",
    "until_unix_ns",
    "day_from_ns",
    "day_until_ns",
    "input_tokens_from",
    "input_tokens_until",
    "input_pico_usd",
    "cached_input_pico_usd",
    "cache_write_pico_usd",
    "output_pico_usd",
    "reasoning_pico_usd",
    "call_pico_usd",
)
_FIELDS: list[pa.Field[Any]] = [
    *(pa.field(name, pa.string()) for name in _NAMES),
    *(pa.field(name, pa.int64(), nullable=False) for name in _INTEGERS),
    pa.field("source", pa.string(), nullable=False),
]
RATE_SCHEMA = pa.schema(_FIELDS)


def rate_table(models: Iterable[ModelNames], book: PriceBook) -> pa.Table:
    """Return the rates of `models`: a row for each model, period and tier of input; none of a model without a price.

    A call has the one row, if any, of its four names (null equals null), of its start (`from_unix_ns` <= start <
    `until_unix_ns`, and `day_from_ns` <= start modulo a day < `day_until_ns`) and of its input (`input_tokens_from` <=
    tokens < `input_tokens_until`). Rates are pico-USD per token, `call_pico_usd` per call, all of 64 bits, and so are
    the sums for up to 1,000 million tokens each way. `docs/prices.md` has the join; it gives what
    `PriceBook.price_call` gives.
    """
    rows = [row for model in dict.fromkeys(models) for row in _rows(model, book)]
    return pa.Table.from_pylist(rows, schema=RATE_SCHEMA)


def _rows(model: ModelNames, book: PriceBook) -> Iterable[dict[str, object]]:
    for period in book.periods(model):
        ends = [*(tier.input_tokens_from for tier in period.tiers[1:]), MAX_TOKENS + 1]
        for tier, end in zip(period.tiers, ends, strict=True):
            yield {
                **{name: getattr(model, name) for name in _NAMES},
                "from_unix_ns": period.from_unix_ns,
                "until_unix_ns": period.until_unix_ns,
                "day_from_ns": period.day_from_ns,
                "day_until_ns": period.day_until_ns,
                "input_tokens_from": tier.input_tokens_from,
                "input_tokens_until": end,
                "input_pico_usd": tier.rates.input,
                "cached_input_pico_usd": tier.rates.cached_input,
                "cache_write_pico_usd": tier.rates.cache_write,
                "output_pico_usd": tier.rates.output,
                "reasoning_pico_usd": tier.rates.reasoning,
                "call_pico_usd": tier.rates.call,
                "source": period.source.value,
            }
