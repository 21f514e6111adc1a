"""Prices of models at times: the installation's own first, then the published ones.

Theory of operation. A model's price changes at few moments: when an entry of the price file or a published price
begins, and for a few models at certain times of the day. Between two of these moments nothing changes, so that a model
is priced once for each such period; calls then look their period up, here or in a join (`rate_table.py`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tracecanary.analytics.prices.price_file import PriceEntry
from tracecanary.analytics.prices.published import published_model
from tracecanary.analytics.prices.rates import (
    Price,
    PriceSource,
    RateTier,
    Usage,
    cost_pico_usd,
    tier_of,
    to_nano_usd,
)

DAY_NS = 86_400 * 10**9
# Later than any span: the columns of times have 63 bits.
END_OF_TIME_NS = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNames:
    """What a call says about its model: the columns of the same names. The model that answered is the one billed."""

    model: str | None
    request_model: str | None = None
    response_model: str | None = None
    provider: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the most telling first."""
        names = (self.response_model, self.request_model, self.model)
        return tuple(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePeriod:
    """When rates hold: from `from_unix_ns` and before `until_unix_ns`, each day from `day_from_ns` to `day_until_ns`.

    Times are ns since the epoch, those of the day ns since midnight UTC.
    """

    from_unix_ns: int
    until_unix_ns: int
    day_from_ns: int
    day_until_ns: int
    tiers: tuple[RateTier, ...]
    source: PriceSource

    def holds_at(self, unix_ns: int) -> bool:
        """Tell whether it holds at a time."""
        return (
            self.from_unix_ns <= unix_ns < self.until_unix_ns
            and self.day_from_ns <= unix_ns % DAY_NS < self.day_until_ns
        )


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Prices of an installation. What it has looked up once it remembers.

    Attributes:
        entries: The installation's own prices. Those that name a model come before globs, then their order counts; of
            one model and provider the latest that has begun holds.
    """

    entries: Sequence[PriceEntry] = ()
    _periods: dict[ModelNames, tuple[RatePeriod, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """A text that differs when prices do: what was computed with another one is to be computed anew."""
        version = importlib.metadata.version("genai-prices")
        return hashlib.sha256(f"{version} {tuple(self.entries)!r}".encode()).hexdigest()[:16]

    def periods(self, model: ModelNames) -> tuple[RatePeriod, ...]:
        """Return all rates of `model`, at most one at any time; none when it has no price."""
        periods = self._periods.get(model)
        if periods is None:
            periods = self._periods[model] = _periods(self.entries, model)
        return periods

    def period_at(self, model: ModelNames, unix_ns: int) -> RatePeriod | None:
        """Return the rates of `model` at a time; None when it has no price then."""
        return next((period for period in self.periods(model) if period.holds_at(unix_ns)), None)

    def price_call(self, usage: Usage, model: ModelNames, at: datetime) -> Price:
        """Return what a call cost: of what no price is known, the price is empty, never 0.

        Args:
            usage: Its tokens.
            model: Its model.
            at: When it started, with a time zone.

        Raises:
            ValueError: `at` has no time zone.
        """
        if at.tzinfo is None:
            raise ValueError(f"at is {at.isoformat()}, but must have a time zone; use datetime(..., tzinfo=UTC)")
        period = self.period_at(model, (at - _EPOCH) // timedelta(microseconds=1) * 1_000)
        if period is None or usage.input_tokens is None:
            return Price()
        cost = cost_pico_usd(usage, tier_of(period.tiers, usage.input_tokens))
        return Price() if cost is None else Price(cost_nano_usd=to_nano_usd(cost), source=period.source)


def _periods(entries: Sequence[PriceEntry], model: ModelNames) -> tuple[RatePeriod, ...]:
    own = [entry for entry in entries if entry.matches(model.names, model.provider)]
    own.sort(key=lambda entry: not entry.is_exact)  # stable: else the order of the file
    public = published_model(model.names, model.provider)
    starts = {0, *(entry.valid_from_unix_ns for entry in own)}
    day_times = {0}
    if public is not None:
        starts |= public.start_dates_unix_ns()
        day_times |= public.day_times_ns()
    days = list(itertools.pairwise([*sorted(day_times), DAY_NS]))
    periods: list[RatePeriod] = []
    for start, end in itertools.pairwise([*sorted(starts), END_OF_TIME_NS]):
        entry = _entry_at(own, start)
        for day_start, day_end in days if entry is None else [(0, DAY_NS)]:
            moment = _first_moment(start, end, day_start, day_end)
            if moment is None:
                continue
            tiers = entry.tiers if entry is not None else public.tiers_at(moment) if public is not None else None
            if tiers is not None:
                period = RatePeriod(
                    from_unix_ns=start,
                    until_unix_ns=end,
                    day_from_ns=day_start,
                    day_until_ns=day_end,
                    tiers=tiers,
                    source=PriceSource.PUBLISHED if entry is None else PriceSource.FILE,
                )
                periods.append(period)
    return tuple(periods)


def _entry_at(own: Sequence[PriceEntry], unix_ns: int) -> PriceEntry | None:
    """Return the price of the file that holds at a time: of the first model and provider that has one then."""
    begun = [entry for entry in own if entry.valid_from_unix_ns <= unix_ns]
    if not begun:
        return None
    alike = [entry for entry in begun if (entry.model, entry.provider) == (begun[0].model, begun[0].provider)]
    return max(alike, key=lambda entry: entry.valid_from_unix_ns)


def _first_moment(start_unix_ns: int, end_unix_ns: int, day_start_ns: int, day_end_ns: int) -> int | None:
    """Return the first moment of a span of time that lies in a part of the day; None when there is none."""
    into_day = start_unix_ns % DAY_NS
    moment = (
        start_unix_ns if day_start_ns <= into_day < day_end_ns else start_unix_ns + (day_start_ns - into_day) % DAY_NS
    )
    return moment if moment < end_unix_ns else None
