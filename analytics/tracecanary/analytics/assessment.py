"""One metric in one cell: its effect, its interval, and what the evidence says. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tracecanary.analytics.answer import ArmValue, CellState, MetricRow
from tracecanary.analytics.evidence import Cell
from tracecanary.analytics.metrics import Metric, MetricKind
from tracecanary.analytics.statistics import (
    Effect,
    Interval,
    mean_ratio,
    quantile_ratio,
    rate_difference,
    traces_for_mean_margin,
    traces_for_quantile_margin,
    traces_for_rate_margin,
)

# Below this, intervals of rates and means are not trusted with a decision.
MIN_TRACES = 100
# Fewer failures in both arms together are too few to call a regression; a tight interval may still be safe.
MIN_EVENTS = 10
# A value for 60 % of one arm's traces and all of the other's compares different traffic; an evaluator that times out on
# bad answers is such a case.
MAX_COVERAGE_GAP = 0.05
# An effect this many times nearer to the margin than no difference would take so many traces that a number misleads.
_MAX_NEARNESS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A metric in one cell before it is judged. `needed_traces` is per arm; None when it can't be planned."""

    base: ArmValue
    candidate: ArmValue
    effect: Effect
    needed_traces: int | None
    events: int | None = None


def metric_row(metric: Metric, evaluator: str | None, cell: Cell, *, confidence: float) -> MetricRow:
    """Compare the arms of `cell` in one metric and say what the evidence allows."""
    measured = _measure(metric, evaluator, cell, confidence=confidence)
    state, reason = _judge(metric, measured, cell)
    return MetricRow(
        metric=metric.name,
        evaluator=evaluator,
        unit=metric.unit,
        base=measured.base,
        candidate=measured.candidate,
        effect=measured.effect.value,
        effect_kind="difference" if metric.kind is MetricKind.RATE else "ratio",
        ci_low=measured.effect.interval.low,
        ci_high=measured.effect.interval.high,
        margin=metric.margin,
        state=state,
        reason=reason,
        more_traces=_more_traces(metric, state, measured, cell),
    )


def is_harm_confirmed(metric: Metric, evaluator: str | None, cell: Cell, *, confidence: float) -> bool:
    """Tell whether the harm also holds at `confidence`, which the caller raises for the number of cells looked at."""
    low = _measure(metric, evaluator, cell, confidence=confidence).effect.interval.low
    return low is not None and low > metric.margin


def _measure(metric: Metric, evaluator: str | None, cell: Cell, *, confidence: float) -> Measured:
    if metric.kind is MetricKind.RATE:
        return _measure_rate(metric, evaluator, cell, confidence)
    if metric.kind is MetricKind.MEAN:
        return _measure_mean(metric, evaluator, cell, confidence)
    return _measure_quantile(metric, cell, confidence)


def _measure_rate(metric: Metric, evaluator: str | None, cell: Cell, confidence: float) -> Measured:
    base, candidate = (arm.rate_of((metric.name, evaluator)) for arm in (cell.base, cell.candidate))
    return Measured(
        base=ArmValue(value=base.value, n=base.n),
        candidate=ArmValue(value=candidate.value, n=candidate.n),
        effect=rate_difference(base, candidate, confidence=confidence),
        needed_traces=traces_for_rate_margin(base, candidate, margin=metric.margin, confidence=confidence),
        events=base.hits + candidate.hits,
    )


def _measure_mean(metric: Metric, evaluator: str | None, cell: Cell, confidence: float) -> Measured:
    base, candidate = (arm.values_of((metric.name, evaluator)) for arm in (cell.base, cell.candidate))
    return Measured(
        base=ArmValue(value=base.mean, n=base.n),
        candidate=ArmValue(value=candidate.mean, n=candidate.n),
        effect=mean_ratio(base, candidate, confidence=confidence),
        needed_traces=traces_for_mean_margin(base, candidate, margin_ratio=metric.margin, confidence=confidence),
    )


def _measure_quantile(metric: Metric, cell: Cell, confidence: float) -> Measured:
    p = metric.quantile
    if p is None:
        raise ValueError(f"metric {metric.name} is a quantile, but its catalogue entry does not say which")
    base, candidate = cell.base.latencies_s, cell.candidate.latencies_s
    return Measured(
        base=ArmValue(value=base.quantile(p), n=base.n),
        candidate=ArmValue(value=candidate.quantile(p), n=candidate.n),
        effect=quantile_ratio(base, candidate, p, confidence=confidence),
        needed_traces=traces_for_quantile_margin(base, candidate, p, margin_ratio=metric.margin, confidence=confidence),
    )


def _judge(metric: Metric, measured: Measured, cell: Cell) -> tuple[CellState, str | None]:
    gate = _missing(metric, measured, cell) or _too_few(measured) or _unbounded(measured.effect)
    if gate is not None:
        return CellState.NO_DATA, gate
    state = _state(measured.effect.interval, margin=metric.margin, no_difference=no_difference(metric))
    is_regression = state in {CellState.HARM, CellState.WORSE}
    if is_regression and measured.events is not None and measured.events < MIN_EVENTS:
        return CellState.NO_DATA, f"{measured.events} events in both arms together; a regression takes {MIN_EVENTS}"
    return state, measured.effect.reason


def no_difference(metric: Metric) -> float:
    """Return the effect of two equal arms: 0 for a difference, 1 for a ratio."""
    return 0.0 if metric.kind is MetricKind.RATE else 1.0


def _state(interval: Interval, *, margin: float, no_difference: float) -> CellState:
    low, high = interval.low, interval.high
    if low is None or high is None:
        return CellState.NO_DATA
    if high < margin:
        return CellState.BETTER if high < no_difference else CellState.SAFE
    if low > margin:
        return CellState.HARM
    return CellState.WORSE if low > no_difference else CellState.UNSURE


_NOUNS = {"cost_per_trace": "price", "eval_fail_rate": "verdict"}


def _missing(metric: Metric, measured: Measured, cell: Cell) -> str | None:
    """Say which arm has no value, or has it for a different share of its traces."""
    noun = _NOUNS.get(metric.name, "value")
    sides = (("base", measured.base, cell.base), ("candidate", measured.candidate, cell.candidate))
    if cell.traces == 0:
        return "neither arm has any traces"
    for name, _, arm in sides:
        if arm.side.traces == 0:
            return f"the {name} has no traces"
    if all(value.n == 0 for _, value, _ in sides):
        return f"neither arm has a {noun}: nothing recorded it"
    for name, value, arm in sides:
        if value.n == 0:
            return f"the {name} has no {noun} in any of its {arm.side.traces} traces"
    if metric.kind is MetricKind.MEAN or metric.name == "eval_fail_rate":
        shares = [value.n / arm.side.traces for _, value, arm in sides]
        if abs(shares[0] - shares[1]) > MAX_COVERAGE_GAP:
            return f"{shares[0]:.0%} of the base's traces have a {noun}, but {shares[1]:.0%} of the candidate's"
    return None


def _too_few(measured: Measured) -> str | None:
    if min(measured.base.n, measured.candidate.n) >= MIN_TRACES:
        return None
    counts = f"{measured.base.n} base and {measured.candidate.n} candidate traces"
    return f"{counts}; a decision takes at least {MIN_TRACES} in each arm"


def _unbounded(effect: Effect) -> str | None:
    if effect.interval.low is None or effect.interval.high is None:
        return effect.reason or "the interval has no bound on one side"
    return None


def _more_traces(metric: Metric, state: CellState, measured: Measured, cell: Cell) -> int | None:
    """Return further traces per arm that would settle the row; None when more of them would not, or it is unknown."""
    if state in {CellState.SAFE, CellState.BETTER, CellState.HARM}:
        return 0
    needed = measured.needed_traces
    if needed is None or _missing(metric, measured, cell) is not None:
        return None
    if state in {CellState.UNSURE, CellState.WORSE}:
        nearness = _nearness(metric, measured.effect)
        if nearness is None or nearness > _MAX_NEARNESS:
            return None
        needed = math.ceil(needed * nearness**2)
    missing = max(needed, MIN_TRACES) - min(measured.base.n, measured.candidate.n)
    return missing if missing > 0 else None


def _nearness(metric: Metric, effect: Effect) -> float | None:
    """Return how many times nearer to the margin the effect lies than no difference does, at least 1.

    The plan assumes no difference; traces grow with the square of this. None for an effect at the margin itself.
    """
    if effect.value is None:
        return None
    scale: Callable[[float], float] = float if metric.kind is MetricKind.RATE else math.log
    margin = scale(metric.margin)
    distance = abs(margin - scale(effect.value))
    return max(1.0, (margin - scale(no_difference(metric))) / distance) if distance > 0 else None
