"""What could explain a difference other than the model. Pure.

A check that warns lowers a verdict of ship to hold: the difference might not be the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import chi2_contingency

from tracecanary.analytics.answer import Check, Checks
from tracecanary.analytics.assessment import MAX_COVERAGE_GAP
from tracecanary.analytics.evidence import ArmSide, Cell, MetricKey
from tracecanary.analytics.metrics import METRICS, MetricKind
from tracecanary.analytics.question import Question

# A cohort mix as different as this, or more, comes about once in a thousand comparisons by chance.
_MIX_P_VALUE = 0.001
_MAX_CONTAMINATED_SHARE = 0.01
_RATE_METRICS = frozenset(metric.name for metric in METRICS if metric.kind is MetricKind.RATE)

Figures = dict[str, float | int | str | list[str] | None]


def run_checks(question: Question, overall: Cell, cohorts: Sequence[Cell]) -> Checks:
    """Run every check on the cells of one question."""
    base, candidate = overall.base.side, overall.candidate.side
    return Checks(
        sample_ratio=_sample_ratio(base, candidate),
        mix_shift=_mix_shift(cohorts),
        simpson=_simpson(overall, cohorts),
        contamination=_contamination(base, candidate),
        coverage=_coverage(base, candidate),
        losses=_losses(base, candidate),
        confounders=_confounders(question.selection.arm_by, base, candidate),
    )


def _check(reason: str | None, figures: Figures, *, bad: Literal["warning", "unknown"] = "warning") -> Check:
    return Check(state="ok" if reason is None else bad, reason=reason, figures=figures)


def _sample_ratio(base: ArmSide, candidate: ArmSide) -> Check:
    figures: Figures = {"base": base.traces, "candidate": candidate.traces}
    return _check("the planned split of the traffic is not known", figures, bad="unknown")


def _mix_shift(cohorts: Sequence[Cell]) -> Check:
    counts = np.array([[cell.base.side.traces, cell.candidate.side.traces] for cell in cohorts], dtype=np.float64)
    if len(cohorts) < 2 or not counts.sum(axis=0).all():
        return _check(None, {"p_value": None, "total_variation": None})
    shares = counts / counts.sum(axis=0)
    p_value = float(chi2_contingency(counts).pvalue)
    figures: Figures = {
        "p_value": p_value,
        "total_variation": float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2),
    }
    if p_value >= _MIX_P_VALUE:
        return _check(None, figures)
    return _check("the arms saw different mixes of cohorts: read the cohorts, the overall values mix them up", figures)


def _simpson(overall: Cell, cohorts: Sequence[Cell]) -> Check:
    keys = {key for arm in (overall.base, overall.candidate) for key in arm.moments if key[0] in _RATE_METRICS}
    reversed_metrics = sorted(_label(key) for key in keys if _is_reversed(key, overall, cohorts))
    figures: Figures = {"metrics": reversed_metrics}
    if not reversed_metrics:
        return _check(None, figures)
    return _check(f"overall and within cohorts {', '.join(reversed_metrics)} point in opposite directions", figures)


def _is_reversed(key: MetricKey, overall: Cell, cohorts: Sequence[Cell]) -> bool:
    """Compare the crude difference with the one standardised to the pooled mix of cohorts."""
    crude = _rate_difference(key, overall)
    within = [(cell.traces, _rate_difference(key, cell)) for cell in cohorts]
    standardised = sum(weight * difference for weight, difference in within if difference is not None)
    return crude is not None and crude * standardised < 0


def _rate_difference(key: MetricKey, cell: Cell) -> float | None:
    base, candidate = cell.base.rate_of(key).value, cell.candidate.rate_of(key).value
    return None if base is None or candidate is None else candidate - base


def _label(key: MetricKey) -> str:
    return key[0] if key[1] is None else f"{key[0]} ({key[1]})"


def _contamination(base: ArmSide, candidate: ArmSide) -> Check:
    figures: Figures = {"base": base.contaminated, "candidate": candidate.contaminated}
    shares = {name: _share(side.contaminated, side) for name, side in (("base", base), ("candidate", candidate))}
    worst = max((share for share in shares.values() if share is not None), default=0.0)
    if worst <= _MAX_CONTAMINATED_SHARE:
        return _check(None, figures)
    return _check(f"up to {worst:.1%} of an arm's traces called the other arm's model too", figures)


def _coverage(base: ArmSide, candidate: ArmSide) -> Check:
    figures: Figures = {}
    gaps = []
    for label, name in (("evaluated", "evaluated"), ("with tokens", "with_tokens"), ("priced", "with_cost")):
        shares = [_share(getattr(side, name), side) for side in (base, candidate)]
        figures[f"base_{name}"], figures[f"candidate_{name}"] = shares
        if shares[0] is not None and shares[1] is not None and abs(shares[0] - shares[1]) > MAX_COVERAGE_GAP:
            gaps.append(f"{label}: {shares[0]:.0%} of the base's traces, {shares[1]:.0%} of the candidate's")
    return _check("; ".join(gaps) or None, figures)


def _losses(base: ArmSide, candidate: ArmSide) -> Check:
    figures: Figures = {
        "base_without_root": base.without_root,
        "candidate_without_root": candidate.without_root,
        "base_with_dropped_attributes": base.with_dropped_attributes,
        "candidate_with_dropped_attributes": candidate.with_dropped_attributes,
    }
    problems = []
    if base.without_root or candidate.without_root:
        problems.append("traces without a root span have the extent of their spans as latency")
    if base.with_dropped_attributes or candidate.with_dropped_attributes:
        problems.append("spans lost attributes to the SDK's limits; raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
    return _check("; ".join(problems) or None, figures)


def _confounders(arm_by: str, base: ArmSide, candidate: ArmSide) -> Check:
    figures: Figures = {}
    differing = []
    if not (base.traces and candidate.traces):
        return _check(None, figures)
    for name in ("conventions", "step_sources", "releases", "prompts", "routes"):
        if name.startswith(arm_by):
            continue
        values = [getattr(side, name) for side in (base, candidate)]
        figures[f"base_{name}"], figures[f"candidate_{name}"] = (sorted(value) for value in values)
        # Of many routes each arm may by chance have missed some: there only sets without overlap tell.
        is_different = values[0].isdisjoint(values[1]) if name == "routes" else values[0] != values[1]
        if is_different and (values[0] or values[1]):
            differing.append(name.replace("_", " "))
    if not differing:
        return _check(None, figures)
    return _check(f"the arms also differ in {', '.join(differing)}", figures)


def _share(count: int, side: ArmSide) -> float | None:
    return count / side.traces if side.traces else None
