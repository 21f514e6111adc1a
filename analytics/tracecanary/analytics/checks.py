"""What could explain a difference other than the model. Pure.

A check that warns lowers a verdict of ship to hold: the difference might not be the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import chi2_contingency

from tracecanary.analytics.answer import Check, Checks
from tracecanary.analytics.assessment import MAX_COVERAGE_GAP
from tracecanary.analytics.evidence import FACTORS, ArmSide, Cell, MetricKey, Tally
from tracecanary.analytics.metrics import METRICS, MetricKind
from tracecanary.analytics.question import Question

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Shares as different as this, or more, come about once in a thousand comparisons by chance.
MIX_P_VALUE = 0.001
# Beyond this share of the traces in cohorts that one arm alone saw, the rest says too little about the candidate.
MAX_DROPPED_SHARE = 0.10
MAX_CONTAMINATED_SHARE = 0.01
# A few stray traces of another release, prompt or convention explain no difference worth a verdict.
MAX_FACTOR_SHIFT = 0.05
_RATE_METRICS = frozenset(metric.name for metric in METRICS if metric.kind is MetricKind.RATE)

Figures = dict[str, float | int | str | list[str] | None]


def run_checks(question: Question, overall: Cell, cohorts: Sequence[Cell], *, unmatched_evaluations: int = 0) -> Checks:
    """Run every check on the cells of one question.

    Args:
        question: What was asked.
        overall: The comparable cohorts together.
        cohorts: Each cohort, also those that one arm alone saw.
        unmatched_evaluations: Judgements of the whole lake that belong to no stored trace.
    """
    base, candidate = overall.base.side, overall.candidate.side
    compared = [cell for cell in cohorts if cell.has_both_arms]
    is_mixed = _mix_p_value(compared) < MIX_P_VALUE
    return Checks(
        sample_ratio=_sample_ratio(cohorts),
        mix_shift=_mix_shift(cohorts, compared, is_mixed=is_mixed),
        simpson=_simpson(overall, compared, is_mixed=is_mixed),
        contamination=_contamination(question.selection.arm_by, base, candidate),
        coverage=_coverage(base, candidate, unmatched_evaluations),
        losses=_losses(base, candidate),
        confounders=_confounders(question.selection.arm_by, base, candidate),
    )


def _check(reason: str | None, figures: Figures, *, bad: Literal["warning", "unknown"] = "warning") -> Check:
    return Check(state="ok" if reason is None else bad, reason=reason, figures=figures)


def _sample_ratio(cohorts: Sequence[Cell]) -> Check:
    figures: Figures = {
        "base": sum(cell.base.side.traces for cell in cohorts),
        "candidate": sum(cell.candidate.side.traces for cell in cohorts),
    }
    return _check("the planned split of the traffic is not known", figures, bad="unknown")


def _mix_shift(cohorts: Sequence[Cell], compared: Sequence[Cell], *, is_mixed: bool) -> Check:
    dropped = _dropped_share(cohorts, compared)
    figures: Figures = {"p_value": None, "total_variation": None, "dropped_share": dropped}
    problems = []
    if len(compared) > 1:
        figures["p_value"] = _mix_p_value(compared)
        figures["total_variation"] = _total_variation(_trace_counts(compared))
    if is_mixed:
        problems.append("the arms saw different mixes of cohorts: read the cohorts, the overall values mix them up")
    if dropped is not None and dropped > MAX_DROPPED_SHARE:
        problems.append(f"{dropped:.0%} of the traces are in cohorts that only one arm saw, and were not compared")
    return _check("; ".join(problems) or None, figures)


def _dropped_share(cohorts: Sequence[Cell], compared: Sequence[Cell]) -> float | None:
    """Return the share of traces in cohorts that one arm alone saw; None if nothing can be compared anyway."""
    traces = sum(cell.traces for cell in cohorts)
    return 1 - sum(cell.traces for cell in compared) / traces if compared else None


def _trace_counts(cohorts: Sequence[Cell]) -> NDArray[np.float64]:
    """Return one row a cohort: traces of the base and of the candidate."""
    return np.array([[cell.base.side.traces, cell.candidate.side.traces] for cell in cohorts], dtype=np.float64)


def _mix_p_value(compared: Sequence[Cell]) -> float:
    return _p_value(_trace_counts(compared)) if len(compared) > 1 else 1.0


def _p_value(counts: NDArray[np.float64]) -> float:
    """Test whether both columns have the same shares; no row or column may be all 0."""
    return float(chi2_contingency(counts).pvalue)


def _total_variation(counts: NDArray[np.float64]) -> float:
    """Return the share of traces that would have to change rows for both columns to have the same shares, 0..1."""
    shares = counts / counts.sum(axis=0)
    return float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2)


def _simpson(overall: Cell, compared: Sequence[Cell], *, is_mixed: bool) -> Check:
    """Look for differences that turn round within cohorts; without a shifted mix, chance alone turns small ones."""
    keys = {key for arm in (overall.base, overall.candidate) for key in arm.moments if key[0] in _RATE_METRICS}
    reversed_metrics = sorted(_label(key) for key in keys if is_mixed and _is_reversed(key, overall, compared))
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


def _contamination(arm_by: str, base: ArmSide, candidate: ArmSide) -> Check:
    if arm_by != "model":
        return _check(f"not known when {arm_by} tells the arms apart", {"base": None, "candidate": None}, bad="unknown")
    figures: Figures = {"base": base.contaminated, "candidate": candidate.contaminated}
    shares = {name: _share(side.contaminated, side) for name, side in (("base", base), ("candidate", candidate))}
    worst = max((share for share in shares.values() if share is not None), default=0.0)
    if worst <= MAX_CONTAMINATED_SHARE:
        return _check(None, figures)
    return _check(f"up to {worst:.1%} of an arm's traces called the other arm's model too", figures)


def _coverage(base: ArmSide, candidate: ArmSide, unmatched: int) -> Check:
    figures: Figures = {"evaluations_without_trace": unmatched}
    gaps = []
    if unmatched and not (base.evaluated or candidate.evaluated):
        gaps.append(f"{unmatched:,} stored evaluations belong to no stored trace, and none to these: check trace_id")
    for label, name, counts in (
        ("evaluated", "evaluated", (base.evaluated, candidate.evaluated)),
        ("with tokens", "with_tokens", (base.with_tokens, candidate.with_tokens)),
        ("priced", "with_cost", (base.with_cost, candidate.with_cost)),
        ("retries visible", "retries_visible", (base.retries_visible, candidate.retries_visible)),
        # Latency is the root's where there is one, and else the extent: not to be compared with each other.
        ("without a root span", "without_root", (base.without_root, candidate.without_root)),
    ):
        base_share, candidate_share = _share(counts[0], base), _share(counts[1], candidate)
        figures[f"base_{name}"], figures[f"candidate_{name}"] = base_share, candidate_share
        if base_share is None or candidate_share is None:
            continue
        if abs(base_share - candidate_share) > MAX_COVERAGE_GAP:
            gaps.append(f"{label}: {base_share:.0%} of the base's traces, {candidate_share:.0%} of the candidate's")
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
    for name in FACTORS:
        if name.startswith(arm_by):  # the arms differ in it on purpose
            continue
        tallies: tuple[Tally, Tally] = getattr(base, name), getattr(candidate, name)
        figures[f"base_{name}"], figures[f"candidate_{name}"] = (sorted(tally) for tally in tallies)
        if _is_shifted(*tallies):
            differing.append(name.replace("_", " "))
    if not differing:
        return _check(None, figures)
    return _check(f"the arms also differ in {', '.join(differing)}", figures)


def _is_shifted(base: Tally, candidate: Tally) -> bool:
    """Tell whether the values' shares differ by more than a few strays, and by more than chance."""
    values = sorted({*base, *candidate})
    counts = np.array([[tally.get(value, 0) for tally in (base, candidate)] for value in values], dtype=np.float64)
    if len(values) < 2 or not counts.sum(axis=0).all():
        return False
    return _total_variation(counts) > MAX_FACTOR_SHIFT and _p_value(counts) < MIX_P_VALUE


def _share(count: int, side: ArmSide) -> float | None:
    return count / side.traces if side.traces else None
