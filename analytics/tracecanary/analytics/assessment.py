"""From measurements to rows: what the evidence says of one metric in one cell. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracecanary.analytics.answer import CellState, MetricRow
from tracecanary.analytics.cost_check import COST_METRIC, unpriced_text
from tracecanary.analytics.evidence import Flags, Tally
from tracecanary.analytics.measurement import MeasuredNumbers, MeasuredRow, Measurements
from tracecanary.analytics.metrics import Metric, MetricKind
from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.means import MAX_SKEWNESS
from tracecanary.analytics.statistics.quantiles import traces_for_bounded_quantile
from tracecanary.analytics.statistics.standardise import MIN_GROUPS

# Below this, intervals of rates and means are not trusted with a decision.
MIN_TRACES = 100
# Fewer failures in both arms together are too few to call a regression; a tight interval may still be safe.
MIN_EVENTS = 10
# A value for 60 % of one arm's traces and all of the other's compares different traffic; an evaluator that times out on
# bad answers is such a case.
MAX_COVERAGE_GAP = 0.05
# With more of an arm's traces in one group, one user or conversation decides.
MAX_GROUP_SHARE = 0.25
# Of the base's traces 0.1 % lie above the cap; if this much more of the candidate's do, that is a harm of its own.
TAIL_MARGIN = 0.005
# With more of the base's own traces above it, a cap that was fixed earlier cuts through the usual values.
MAX_BASE_TAIL = 0.05

_NOUNS = {"cost_per_trace": "price", "eval_fail_rate": "verdict"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What stands behind the rows of one cell: everything but the numbers."""

    compared: tuple[int, int]  # traces of base and candidate
    look: Look
    awaits_look: str | None = None
    to_look: int | None = None  # while that look is awaited, the traces that an arm lacks until then
    unpriced: tuple[Tally, Tally] = ({}, {})  # by model, traces of base and candidate with calls that have no price


def metric_rows(rows: Sequence[MeasuredRow], measured: Measurements, place: int, judging: Judging) -> list[MetricRow]:
    """Judge every row of the cell at `place`."""
    return [
        _Row(metric, evaluator, numbers, judging).judged()
        for (metric, evaluator), numbers in zip(rows, measured.rows_of(place), strict=True)
    ]


def exceeds_margin(rows: Sequence[MeasuredRow], measured: Measurements) -> Flags:
    """Tell where the whole interval lies above the margin, or that of the values' tail above its own."""
    margins = np.array([metric.margin for metric, _ in rows])
    with np.errstate(invalid="ignore"):
        return np.asarray((measured.low > margins) | (measured.tail_low > TAIL_MARGIN))


def no_difference(metric: Metric) -> float:
    """Return the effect of two equal arms: 0 for a difference, 1 for a ratio."""
    return 0.0 if metric.kind is MetricKind.RATE else 1.0


class _Row:
    """One row on its way from numbers to a state and a reason."""

    def __init__(self, metric: Metric, evaluator: str | None, numbers: MeasuredNumbers, judging: Judging) -> None:
        self._metric, self._evaluator, self._judging, self._number = metric, evaluator, judging, numbers
        self._n = (round(numbers.base_n), round(numbers.candidate_n))
        self._low, self._high = _finite(numbers.low), _finite(numbers.high)
        self._effect = _finite(numbers.effect)

    def judged(self) -> MetricRow:
        """Return the row with its state."""
        metric = self._metric
        state, reason = self._state()
        awaits = self._judging.awaits_look
        # One validation of everything costs a third of one for each part.
        return MetricRow.model_validate(
            {
                "metric": metric.name,
                "evaluator": self._evaluator,
                "unit": metric.unit,
                "base": {"value": _finite(self._number.base), "n": self._n[0]},
                "candidate": {"value": _finite(self._number.candidate), "n": self._n[1]},
                "effect": self._effect,
                "effect_kind": "difference" if metric.kind is MetricKind.RATE else "ratio",
                "ci_low": None if awaits else self._low,
                "ci_high": None if awaits else self._high,
                "margin": metric.margin,
                "state": state,
                "reason": reason,
                "more_traces": self._more_traces(state),
                "crude_effect": _finite(self._number.crude),
                "role": "guardrail" if metric.is_guardrail else "informative",
                "is_required": metric.is_required,
                "is_critical": metric.is_critical,
                "ci_confidence": None if awaits else self._judging.look.confidence,
                "detectable_effect": None if awaits else _finite(self._number.detectable),
            }
        )

    def _state(self) -> tuple[CellState, str | None]:
        gate = self._missing() or self._judging.awaits_look or self._too_few() or self._untrusted() or self._unbounded()
        if gate is not None:
            return CellState.NO_DATA, gate
        state = self._interval_state()
        tail = self._tail_state(state)
        if tail is not None:
            return tail
        events = self._number.events
        if state in {CellState.HARM, CellState.WORSE} and events < MIN_EVENTS:
            return CellState.NO_DATA, f"{events:.0f} events in both arms together; a regression takes {MIN_EVENTS}"
        return state, None

    def _interval_state(self) -> CellState:
        low, high = self._low, self._high
        if low is None or high is None:
            return CellState.NO_DATA
        if high < self._metric.margin:
            return CellState.BETTER if high < no_difference(self._metric) else CellState.SAFE
        if low > self._metric.margin:
            return CellState.HARM
        return CellState.WORSE if low > no_difference(self._metric) else CellState.UNSURE

    def _tail_state(self, state: CellState) -> tuple[CellState, str] | None:
        """Look at the values that the cap keeps out of the mean: rare runaway traces must not hide behind it."""
        low, high = self._number.tail_low, self._number.tail_high
        is_passing = state in {CellState.SAFE, CellState.BETTER}
        if is_passing and self._number.tail_base > MAX_BASE_TAIL and not low > TAIL_MARGIN:
            return CellState.UNSURE, (
                f"{self._number.tail_base:.0%} of the base's own traces lie above the cap that this comparison began"
                " with, so that its mean says little: begin another comparison, such as with other planned_traces"
            )
        if math.isnan(low) or state is CellState.HARM:
            return None
        shares = f"{self._number.tail_candidate:.2%} of the candidate's traces lie far above the base's usual range"
        shares += f", and {self._number.tail_base:.2%} of the base's"
        if low > TAIL_MARGIN:
            return CellState.HARM, shares
        if high > TAIL_MARGIN and is_passing:
            return CellState.UNSURE, f"the mean is settled, but its tail is not: {shares}"
        return None

    def _missing(self) -> str | None:
        """Say which arm has no value, or has it for a different share of its traces."""
        noun = _NOUNS.get(self._metric.name, "value")
        traces = self._judging.compared
        if not any(traces):
            return "neither arm has any traces"
        for name, count in zip(("base", "candidate"), traces, strict=True):
            if count == 0:
                return f"the {name} has no traces"
        if not any(self._n):
            return f"neither arm has a {noun}{self._unpriced() or ': nothing recorded it'}"
        for name, n, count in zip(("base", "candidate"), self._n, traces, strict=True):
            if n == 0:
                return f"the {name} has no {noun} in any of its {count} traces{self._unpriced()}"
        if self._metric.kind is MetricKind.MEAN or self._metric.name == "eval_fail_rate":
            shares = [n / count for n, count in zip(self._n, traces, strict=True)]
            if abs(shares[0] - shares[1]) > MAX_COVERAGE_GAP:
                told = f"{shares[0]:.0%} of the base's traces have a {noun}, but {shares[1]:.0%} of the candidate's"
                return f"{told}{self._unpriced()}"
        return None

    def _unpriced(self) -> str:
        """Name the models whose price nobody knows, where that is what is missing."""
        if self._metric.name != COST_METRIC or not any(self._judging.unpriced):
            return ""
        models = {model for tally in self._judging.unpriced for model in tally}
        together = {model: sum(tally.get(model, 0) for tally in self._judging.unpriced) for model in models}
        return f": no price for {unpriced_text(together)} traces"

    def _too_few(self) -> str | None:
        if min(self._n) < MIN_TRACES:
            counts = f"{self._n[0]} base and {self._n[1]} candidate traces"
            return f"{counts}; a decision takes at least {MIN_TRACES} in each arm"
        if math.isnan(self._number.effect):
            return self._why_undefined()
        if self._number.fewest < MIN_TRACES:
            worth = f"{self._number.fewest:.0f} independent ones"
            return f"the traces of an arm are worth {worth}, since users or conversations repeat; it takes {MIN_TRACES}"
        return None

    def _why_undefined(self) -> str:
        if self._metric.kind is MetricKind.RATE:
            return "no cohort and period has values in both arms"
        what = "mean" if self._metric.kind is MetricKind.MEAN else f"p{100 * (self._metric.quantile or 0):g}"
        for name in ("base", "candidate"):
            value = getattr(self._number, name)
            if not value > 0:
                return f"the {name}'s {what} is {value:g}: a ratio needs one above 0"
        return f"no cohort and period has a {what} in both arms, or they are too far apart for a ratio"

    def _untrusted(self) -> str | None:
        groups = self._number.groups
        if groups < MIN_GROUPS:
            return f"an arm's users or conversations make {groups:.0f} groups; an interval takes {MIN_GROUPS}"
        if self._number.largest_group > MAX_GROUP_SHARE:
            share = self._number.largest_group
            return f"one group of users or conversations has {share:.0%} of an arm's traces: it would decide alone"
        skewness = self._number.skewness
        if abs(skewness) > MAX_SKEWNESS:
            # Skewness falls with the root of the number of traces.
            needed = max(self._n) * (skewness / MAX_SKEWNESS) ** 2
            return f"the values are too skewed for {min(self._n):,} traces; about {needed:,.0f} would do"
        return None

    def _unbounded(self) -> str | None:
        if self._low is not None and self._high is not None:
            return None
        p = self._metric.quantile
        if p is None:
            return "the interval has no bound on one side"
        needed = traces_for_bounded_quantile(p, self._judging.look)
        arms = zip(("base", "candidate"), self._n, strict=True)
        short = [
            f"the {name} needs {needed} traces for both bounds of its p{100 * p:g} and has {n}"
            for name, n in arms
            if n < needed
        ]
        if short:
            return "; ".join(short)
        return f"p{100 * p:g} has no bound on one side: the traces are worth {self._number.fewest:.0f} independent ones"

    def _more_traces(self, state: CellState) -> int | None:
        """Return further traces per arm that would settle the row, or until it is read; None when none would."""
        if state in {CellState.SAFE, CellState.BETTER, CellState.HARM}:
            return 0
        if self._missing() is not None:
            return None
        if self._judging.to_look is not None:  # however few would settle it, nothing is read before
            return self._judging.to_look
        if self._number.tail_base > MAX_BASE_TAIL:
            return None
        needed = self._number.needed
        least = float(MIN_TRACES)
        if self._metric.quantile is not None:
            least = max(least, traces_for_bounded_quantile(self._metric.quantile, self._judging.look))
        if math.isnan(needed):
            if state in {CellState.UNSURE, CellState.WORSE} or self._metric.quantile is None:
                return None
            needed = least
        missing = math.ceil(max(needed, least)) - min(self._n)
        return missing if missing > 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
