"""What calls cost: an installation's own prices, then published ones."""

from tracecanary.analytics.prices.book import ModelNames, PriceBook, RatePeriod
from tracecanary.analytics.prices.price_file import PriceEntry, read_price_file
from tracecanary.analytics.prices.rate_table import RATE_SCHEMA, rate_table
from tracecanary.analytics.prices.rates import Price, PriceSource, Rates, RateTier, Usage

__all__ = [
    "RATE_SCHEMA",
    "ModelNames",
    "Price",
    "PriceBook",
    "PriceEntry",
    "PriceSource",
    "RatePeriod",
    "RateTier",
    "Rates",
    "Usage",
    "rate_table",
    "read_price_file",
]
