"""The geometry of a forest plot: intervals, margin and ticks as shares of the width, 0..100.

Positions are percentages because the page's SVG has no viewBox: lines stretch with the page while strokes, points and
letters keep their size, on a phone as on a desk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracecanary.api.presentation.figures import scaled_text, unit_text
from tracecanary.api.presentation.wording import no_difference_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracecanary.analytics.answer import MetricRow

_AIR = 0.07  # of the values' span, on both sides: room for a point at the edge
_AIR_FOR_ARROW = 0.3  # an arrow must not touch the point
_MOST_TICKS = 4
_EDGE, _APART = 4, 16  # percent of the width that a label needs
_FACTOR_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The axis that all lines of one plot share: linear for differences, logarithmic for ratios."""

    low: float
    high: float
    is_ratio: bool

    def position(self, value: float) -> float:
        """Give the place of `value`, on the scale of the effect, in percent of the width."""
        share = (self._axis(value) - self.low) / (self.high - self.low)
        return round(min(max(share, 0.0), 1.0) * 100, 2)

    def _axis(self, value: float) -> float:
        if not self.is_ratio:
            return value
        return math.log(value) if value > 0 else -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One line of the plot in percent of the width; an open side is unbounded and drawn as an arrow."""

    low: float
    high: float
    point: float | None
    is_low_open: bool
    is_high_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled place on the axis."""

    place: float
    label: str


def scale_of(rows: Sequence[MetricRow]) -> Scale | None:
    """Choose the axis for the rows of one metric; None when no row has an effect or a bound."""
    found = [number for row in rows for number in (row.effect, row.ci_low, row.ci_high) if number is not None]
    if not found:
        return None
    is_ratio = rows[0].effect_kind == "ratio"
    margins = [row.margin for row in rows if row.margin is not None]
    values = [*found, *margins, no_difference_of(rows[0])]
    axis = [math.log(value) for value in values if value > 0] if is_ratio else values
    low, high = min(axis), max(axis)
    span = (high - low) or 1.0
    measured = [row for row in rows if row.effect is not None]
    below = _AIR_FOR_ARROW if any(row.ci_low is None for row in measured) else _AIR
    above = _AIR_FOR_ARROW if any(row.ci_high is None for row in measured) else _AIR
    return Scale(low=low - span * below, high=high + span * above, is_ratio=is_ratio)


def mark_of(row: MetricRow, scale: Scale) -> Mark | None:
    """Place a row's interval; None when the row has neither an effect nor a bound."""
    if row.effect is None and row.ci_low is None and row.ci_high is None:
        return None
    point = None if row.effect is None else scale.position(row.effect)
    if row.ci_low is None and row.ci_high is None:
        place = point or 0.0
        return Mark(low=place, high=place, point=point, is_low_open=False, is_high_open=False)
    return Mark(
        low=0.0 if row.ci_low is None else scale.position(row.ci_low),
        high=100.0 if row.ci_high is None else scale.position(row.ci_high),
        point=point,
        is_low_open=row.ci_low is None,
        is_high_open=row.ci_high is None,
    )


def ticks_of(rows: Sequence[MetricRow], scale: Scale) -> list[Tick]:
    """Choose a few round places on the axis, apart from each other and from the edges; labels carry no unit."""
    values = _ratio_ticks(scale) if scale.is_ratio else _difference_ticks(scale)
    if not values:
        return []
    # The largest value decides whether the labels are percent or factors, as it does in a row.
    model = rows[0].model_copy(update={"effect": max(values), "ci_low": None, "ci_high": None, "margin": None})
    ticks = [Tick(place=scale.position(value), label=_label(model, value)) for value in values]
    return [tick for tick in ticks if _EDGE <= tick.place <= 100 - _EDGE]


def axis_unit(rows: Sequence[MetricRow], scale: Scale) -> str:
    """Name the unit of the axis: `pp`, `%`, or nothing when its labels are factors."""
    largest = math.exp(scale.high) if scale.is_ratio else scale.high
    return unit_text(rows[0].model_copy(update={"effect": largest, "ci_low": None, "ci_high": None}))


def _label(model: MetricRow, value: float) -> str:
    label = scaled_text(model, value).removesuffix(unit_text(model)).strip()
    return label.replace(".0", "") if label.endswith(".0") else label


def _difference_ticks(scale: Scale) -> list[float]:
    rough = (scale.high - scale.low) / _MOST_TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    first = math.ceil(scale.low / step)
    return [round(index * step, 12) for index in range(first, math.floor(scale.high / step) + 1)]


def _ratio_ticks(scale: Scale) -> list[float]:
    low, high = math.exp(scale.low), math.exp(scale.high)
    if high / low < 2:  # a narrow axis is nearly linear: round percentages
        return [1 + value for value in _difference_ticks(Scale(low=low - 1, high=high - 1, is_ratio=False))]
    inside = [value for value in _FACTOR_TICKS if low <= value <= high]
    apart: list[float] = []
    for value in sorted(inside, key=lambda value: abs(math.log(value))):  # no difference first, then outwards
        place = scale.position(value)
        if all(abs(place - scale.position(other)) >= _APART for other in apart):
            apart.append(value)
    return sorted(apart)
