"""What a call costs at given rates, in whole numbers.

Rates are pico-USD (1e-12 USD) per token: one USD per million tokens is 1,000,000 of them, so that published rates,
which have at most six decimals, are exact. A call's cost is summed in pico-USD and rounded once, to nano-USD, half up.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

PICO_USD_PER_NANO_USD = 1_000
# No model takes more in one call, and no published rate comes near: the products stay within 64 bits in any engine.
MAX_TOKENS = 1_000_000_000
MAX_USD_PER_MILLION = 4_000
RATE_PLACES = 6


class PriceSource(StrEnum):
    """Where a price is from."""

    FILE = "file"
    PUBLISHED = "genai-prices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, as in `schema/columns.py`: input includes cached tokens, output reasoning; None if unknown.

    Raises:
        ValueError: A count is negative.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            count = getattr(self, name)
            if count is not None and count < 0:
                raise ValueError(f"{name} is {count}, but a count of tokens is 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Pico-USD per token; `call` per call.

    Attributes:
        input: Input that is neither read from nor written to a prompt cache.
        cached_input: Input read from a prompt cache.
        cache_write: Input written to a prompt cache.
        output: Output that is no reasoning; 0 where output costs nothing, as of embedding models.
        reasoning: Output spent on reasoning.
        call: Fee of each call.
    """

    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTier:
    """Rates of calls with at least `input_tokens_from` input tokens: all of a call's tokens have them."""

    input_tokens_from: int
    rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Cost of a call in nano-USD and where its rates are from; both None when it has no price."""

    cost_nano_usd: int | None = None
    source: PriceSource | None = None


def pico_usd_per_token(usd_per_million: Decimal) -> int:
    """Return a rate in USD per million tokens as pico-USD per token.

    A rate of more than six decimals, as binary floating point makes them, is rounded.
    """
    return int((usd_per_million * 10**RATE_PLACES).to_integral_value(ROUND_HALF_EVEN))


def tier_of(tiers: tuple[RateTier, ...], input_tokens: int) -> Rates:
    """Return the rates of a call with `input_tokens`; `tiers` ascend, the first from 0 on."""
    return [tier.rates for tier in tiers if input_tokens >= tier.input_tokens_from][-1]


def cost_pico_usd(usage: Usage, rates: Rates) -> int | None:
    """Return what a call costs, in pico-USD; None when its tokens don't tell.

    Each token is counted once: cached tokens are taken from the input, reasoning from the output. Where an
    instrumentation does not tell cached tokens, all input has the full rate. Unknown input, or unknown output that
    would cost something, makes no cost; nor do more than `MAX_TOKENS`, which are a mistake.
    """
    given, made = usage.input_tokens, usage.output_tokens
    if given is None or (made is None and rates.output) or max(given, made or 0) > MAX_TOKENS:
        return None
    read = min(usage.cache_read_tokens or 0, given)
    written = min(usage.cache_write_tokens or 0, given - read)
    reasoned = min(usage.reasoning_tokens or 0, made or 0)
    return (
        rates.call
        + (given - read - written) * rates.input
        + read * rates.cached_input
        + written * rates.cache_write
        + ((made or 0) - reasoned) * rates.output
        + reasoned * rates.reasoning
    )


def to_nano_usd(pico_usd: int) -> int:
    """Return nano-USD, rounded half up."""
    return (pico_usd + PICO_USD_PER_NANO_USD // 2) // PICO_USD_PER_NANO_USD
