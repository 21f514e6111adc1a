"""How numbers read: values, effects, intervals and margins as short text. Undefined is an en dash, never 0."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracecanary.analytics.answer import MetricRow

MISSING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_INFINITY = "\N{INFINITY}"
# From a threefold change on, "+210 %" is read as 2.1 times by many: such a row is written as factors throughout.
_FACTOR_FROM = 3.0
_MOST_DECIMALS = 2


def value_text(value: float | None, unit: str) -> str:
    """Write one arm's value: fractions as percent, seconds, US dollars, counts; null as an en dash."""
    if value is None:
        return MISSING
    sign, size = (_MINUS if value < 0 else ""), abs(value)
    if unit == "fraction":
        percent = size * 100
        return f"{sign}{percent:.{2 if 0 < percent < 0.1 else 1}f} %"
    if unit == "s":
        return f"{sign}{_seconds(size)}"
    if unit == "USD":
        return f"{sign}${_dollars(size)}"
    count = f"{size:,.0f}" if size >= 100 or size == int(size) else f"{size:.3g}"
    return f"{sign}{count}" if unit in {"tokens", "steps", ""} else f"{sign}{count} {unit}"


def _seconds(size: float) -> str:
    if 0 < size < 0.9995:
        return f"{size * 1000:.3g} ms"
    decimals = 2 if size < 10 else 1 if size < 100 else 0
    return f"{size:,.{decimals}f} s"


def _dollars(size: float) -> str:
    if size >= 1:
        return f"{size:,.2f}"
    if size == 0:
        return "0"
    # Three significant digits: a cheap model's trace costs a thousandth of a cent.
    return f"{size:.{max(4, 2 - math.floor(math.log10(size)))}f}"


def effect_text(row: MetricRow) -> str:
    """Write the effect: `-20.7 pp` for a difference of rates, `+42 %` or a factor for a ratio."""
    return scaled_text(row, row.effect)


def margin_text(row: MetricRow) -> str:
    """Write the margin on the scale of the effect."""
    return scaled_text(row, row.margin)


def size_text(row: MetricRow) -> str:
    """Write the effect without its sign, for a sentence that says "higher" or "lower"."""
    return effect_text(row).lstrip(f"+{_MINUS}")


def scaled_text(row: MetricRow, value: float | None) -> str:
    """Write `value`, a number on the scale of the row's effect, in the row's notation."""
    if value is None:
        return MISSING
    return _number(row, value) + _suffix(row)


def interval_text(row: MetricRow) -> str:
    """Write the confidence interval; an unbounded side is an infinity sign, an undefined interval an en dash."""
    if row.ci_low is None and row.ci_high is None:
        return MISSING
    if row.ci_low is None:
        return f"{_MINUS}{_INFINITY} … {scaled_text(row, row.ci_high)}"
    if row.ci_high is None:
        return f"{scaled_text(row, row.ci_low)} … {_INFINITY}"
    return f"{_number(row, row.ci_low)} … {_number(row, row.ci_high)}{_suffix(row)}"


def is_written_as_factor(row: MetricRow) -> bool:
    """Whether the row's numbers are factors rather than percent changes."""
    numbers = (row.effect, row.ci_low, row.ci_high)
    return row.effect_kind == "ratio" and any(number is not None and number >= _FACTOR_FROM for number in numbers)


def unit_text(row: MetricRow) -> str:
    """Name the unit of the effect: `pp`, `%`, the metric's own, or nothing for a factor."""
    if row.effect_kind == "ratio":
        return "" if is_written_as_factor(row) else "%"
    return "pp" if row.unit == "fraction" else row.unit


def _suffix(row: MetricRow) -> str:
    unit = unit_text(row)
    return f" {unit}" if unit else ""


def _number(row: MetricRow, value: float) -> str:
    if is_written_as_factor(row):
        return f"{_TIMES}{value:,.{2 if value < 100 else 0}f}"
    scaled = _display_scale(row, value)
    text = f"{abs(scaled):,.{_decimals(row)}f}"
    if not text.strip("0.,"):
        return text
    return f"{_MINUS if scaled < 0 else '+'}{text}"


def _display_scale(row: MetricRow, value: float) -> float:
    if row.effect_kind == "ratio":
        return (value - 1) * 100
    return value * 100 if row.unit == "fraction" else value


def _decimals(row: MetricRow) -> int:
    """Choose enough decimals that a bound does not read as the margin, no difference or the other bound."""
    fewest = 0 if row.effect_kind == "ratio" else 1
    bounds = [_display_scale(row, bound) for bound in (row.ci_low, row.ci_high) if bound is not None]
    references = [0.0] + ([] if row.margin is None else [_display_scale(row, row.margin)])
    pairs = [*product(bounds, references), *combinations(bounds, 2)]
    for decimals in range(fewest, _MOST_DECIMALS):
        if all(round(a, decimals) != round(b, decimals) or math.isclose(a, b) for a, b in pairs):
            return decimals
    return _MOST_DECIMALS
