"""An installation's own prices: a TOML file of `[[price]]` tables, see `docs/prices.md`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from tracecanary.analytics.prices.rates import (
    MAX_TOKENS,
    MAX_USD_PER_MILLION,
    RATE_PLACES,
    Rates,
    RateTier,
    pico_usd_per_token,
)
from tracecanary.schema import Section, read_config_file

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GLOB_CHARACTERS = frozenset("*?[")
_FIELDS = ("input", "cached_input", "cache_write", "output", "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry:
    """One price.

    Attributes:
        model: Name or glob of models.
        provider: Name or glob of providers; None for any, unknown ones too.
        valid_from_unix_ns: First ns that it holds at; until another entry of the same model and provider does.
        tiers: Rates by size of the input, ascending, the first from 0 on.
    """

    model: str
    provider: str | None = None
    valid_from_unix_ns: int = 0
    tiers: tuple[RateTier, ...]

    @property
    def is_exact(self) -> bool:
        """Whether `model` is a name and no glob."""
        return _GLOB_CHARACTERS.isdisjoint(self.model)

    def matches(self, names: Iterable[str], provider: str | None) -> bool:
        """Tell whether it is a price of the model with any of these names."""
        if self.provider is not None and (provider is None or not fnmatchcase(provider, self.provider)):
            return False
        return any(name == self.model or (not self.is_exact and fnmatchcase(name, self.model)) for name in names)


def read_price_file(path: Path) -> tuple[PriceEntry, ...]:
    """Read the prices in the file at `path`, in their order.

    Raises:
        ConfigFileError: It can't be read, or holds what is no price; it lists every problem.
    """
    file = read_config_file(path, ("price",))
    found = [_entry(section) for section in file.items("price")]
    entries = tuple(entry for entry in found if entry is not None)
    seen: dict[tuple[str, str | None, int], int] = {}
    for number, entry in enumerate(entries, start=1):
        first = seen.setdefault((entry.model, entry.provider, entry.valid_from_unix_ns), number)
        if first != number and len(entries) == len(found):
            file.note(
                f"[price {number}] is a second price of {entry.model!r} from the same time on. Remove one of them"
            )
    file.check()
    return entries


def _entry(section: Section) -> PriceEntry | None:
    model, provider = section.text("model"), section.text("provider")
    valid_from = section.time("valid_from")
    base = _rates(section)
    tiers = [RateTier(input_tokens_from=0, rates=_to_rates(base))]
    for tier in section.items("tiers"):
        above, own = tier.decimal("above_input_tokens", at_most=MAX_TOKENS, places=0), _rates(tier)
        if above is None:
            tier.note_missing("above_input_tokens", "above_input_tokens = 200_000")
            continue
        if int(above) < tiers[-1].input_tokens_from:
            tier.note("above_input_tokens", int(above), "tiers must ascend; put it before the tier above it")
        # What neither states follows from the tier's own input and output.
        rates = _to_rates({**base, **own})
        tiers.append(RateTier(input_tokens_from=int(above) + 1, rates=rates))
    section.note_missing("model", 'model = "my-model-*"')
    section.note_missing("input", "input = 2.5, USD per million tokens")
    section.note_missing("output", "output = 10, USD per million tokens; 0 for a model without output")
    if model is None or "input" not in base or "output" not in base:
        return None
    start_ns = 0 if valid_from is None else (valid_from - _EPOCH) // timedelta(microseconds=1) * 1_000
    return PriceEntry(model=model, provider=provider, valid_from_unix_ns=max(start_ns, 0), tiers=tuple(tiers))


def _rates(section: Section) -> dict[str, int]:
    """Return the rates that `section` states, in pico-USD per token."""
    said = {name: section.decimal(name, at_most=MAX_USD_PER_MILLION, places=RATE_PLACES) for name in _FIELDS}
    return {name: pico_usd_per_token(rate) for name, rate in said.items() if rate is not None}


def _to_rates(said: dict[str, int]) -> Rates:
    """Return full rates: what is not stated costs as any other input or output does."""
    given, made = said.get("input", 0), said.get("output", 0)
    return Rates(
        input=given,
        cached_input=said.get("cached_input", given),
        cache_write=said.get("cache_write", given),
        output=made,
        reasoning=said.get("reasoning", made),
    )
