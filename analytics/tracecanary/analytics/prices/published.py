"""Published prices of providers: the data of the package genai-prices, which needs no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from tracecanary.analytics.prices.rates import MAX_USD_PER_MILLION, Rates, RateTier, pico_usd_per_token

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_DAY_NS = 86_400 * 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Names of OpenTelemetry and of frameworks that the package does not know.
_PROVIDER_NAMES: Mapping[str, str] = {
    "x_ai": "x-ai",
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "azure.ai.inference": "azure",
    "az.ai.inference": "azure",
}
_USD_PER_THOUSAND_IN_PICO = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A model that has a published price; `provider` and `name` are the package's ids."""

    provider: str
    name: str
    info: ModelInfo

    def tiers_at(self, unix_ns: int) -> tuple[RateTier, ...] | None:
        """Return the rates at a time; None when the model is not priced by tokens."""
        return _tiers(self.info.get_prices(_EPOCH + timedelta(microseconds=unix_ns // 1_000)))

    def start_dates_unix_ns(self) -> set[int]:
        """Return when prices begin, ns since the epoch."""
        found = {getattr(constraint, "start_date", None) for constraint in self._constraints()}
        return {_ns(datetime.combine(start, time(), UTC)) for start in found if isinstance(start, date)}

    def day_times_ns(self) -> set[int]:
        """Return the times of the day at which prices change, ns since midnight UTC."""
        found = {
            getattr(constraint, name, None) for constraint in self._constraints() for name in ("start_time", "end_time")
        }
        times = {at if at.tzinfo else at.replace(tzinfo=UTC) for at in found if isinstance(at, time)}
        return {_ns(datetime.combine(_EPOCH, at)) % _DAY_NS for at in times}

    def _constraints(self) -> list[object]:
        return [price.constraint for price in self.info.prices] if isinstance(self.info.prices, list) else []


@cache
def published_model(names: tuple[str, ...], provider: str | None) -> PublishedModel | None:
    """Return the published price of the model with one of `names`, the first that has one; None for none.

    A provider that the package does not know, such as an own server, publishes no price, whatever its models are
    called. Only without any provider does the model's name tell it.
    """
    # Imported here: 0.3 s and 20 MB that nobody pays who asks for no price.
    from genai_prices.data_snapshot import get_snapshot

    asked = None if provider is None else _PROVIDER_NAMES.get(provider.lower(), provider)
    for name in names:
        try:
            found, info = get_snapshot().find_provider_model(name, None, asked, None)
        except LookupError:
            continue
        return PublishedModel(provider=found.id, name=info.id, info=info)
    return None


def _tiers(price: ModelPrice) -> tuple[RateTier, ...] | None:
    if price.input_mtok is None:
        return None  # by the hour, the page or the request alone
    starts = {tier.start for each in vars(price).values() for tier in getattr(each, "tiers", ())}
    return tuple(
        RateTier(input_tokens_from=start, rates=_rates(price, start))
        for start in sorted({0, *(start + 1 for start in starts)})
    )


def _rates(price: ModelPrice, input_tokens: int) -> Rates:
    def rate(names: Iterable[str]) -> int:
        for name in names:
            value = _at(getattr(price, name), input_tokens)
            if value is not None:
                return pico_usd_per_token(min(value, Decimal(MAX_USD_PER_MILLION)))
        return 0

    fee = _at(price.requests_kcount, input_tokens)
    return Rates(
        input=rate(("input_mtok",)),
        cached_input=rate(("cache_read_mtok", "input_mtok")),
        cache_write=rate(("cache_write_mtok", "input_mtok")),
        output=rate(("output_mtok",)),
        reasoning=rate(("output_reasoning_mtok", "output_mtok")),
        call=0 if fee is None else int(fee * _USD_PER_THOUSAND_IN_PICO),
    )


def _at(price: object, input_tokens: int) -> Decimal | None:
    if isinstance(price, Decimal):
        return price
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return None
    reached = [tier.price for tier in tiers if input_tokens > tier.start]
    value = reached[-1] if reached else getattr(price, "base", None)
    return value if isinstance(value, Decimal) else None


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
