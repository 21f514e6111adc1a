"""What could explain a difference other than the model. Pure.

Each is named and measured. What the method adjusts for is told; what it can't adjust for is blocking: it lowers a
verdict of ship to hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tracecanary.analytics.answer import CellState, Check, Checks, Figures, MetricRow
from tracecanary.analytics.assessment import MAX_COVERAGE_GAP
from tracecanary.analytics.cost_check import check_costs
from tracecanary.analytics.evidence import (
    FACTORS,
    MIN_SHARE_SIDE_BY_SIDE,
    ArmSide,
    Cell,
    Evidence,
    Stated,
    Tally,
    merge_cells,
)
from tracecanary.analytics.measurement import Measurements
from tracecanary.analytics.question import Question
from tracecanary.analytics.retention_check import check_retention
from tracecanary.analytics.statistics.sample_ratio import equal_shares_p_value, log_sample_ratio_e_value, split_p_value
from tracecanary.analytics.verdict import row_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Shares as different as this, or more, come about once in a thousand comparisons by chance.
MIX_P_VALUE = 0.001
# An e-value above it comes about less than once in a thousand comparisons, however often one looks.
SAMPLE_RATIO_LOG_E = math.log(1000)
# Beyond this share of the traces in cohorts that one arm alone saw, the rest says too little about the candidate.
MAX_DROPPED_SHARE = 0.10
MAX_CONTAMINATED_SHARE = 0.01
# A few stray traces of another release, prompt or convention explain no difference worth a verdict.
MAX_FACTOR_SHIFT = 0.05
# Traces that stand for more others in one arm than in the other: the arms' samplers left out different traffic.
MAX_WEIGHT_RATIO = 1.05
# Tallies by name@version. What is called, and how often, may be the model's doing; which version answers is not.
_VERSIONED_FACTORS = frozenset({"tool_versions", "evaluator_versions"})
# Versions of an unnamed retriever are the data that it read: which of several is asked may be the model's choice.
_CHOSEN_BY_MODEL = frozenset({"retriever"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the checks look at: all comparable cohorts together, and the same in the latest period alone.

    `latest` is None while there is one period only; `plan_problem` says why the plan could not be fixed.
    """

    rows: Sequence[MetricRow]
    measured: Measurements
    latest: Sequence[MetricRow] | None
    plan_problem: str | None


def run_checks(question: Question, evidence: Evidence, compared: Sequence[Cell], overview: Overview) -> Checks:
    """Run every check on the evidence of one question.

    Args:
        question: What was asked.
        evidence: All that is known.
        compared: The cells behind the overall rows.
        overview: The overall rows.
    """
    together = merge_cells(compared)
    base, candidate = together.base, together.candidate
    shifted = _shifted_rows(overview)
    return Checks(
        sample_ratio=_sample_ratio(question, evidence),
        mix_shift=_mix_shift(evidence.cells, shifted),
        simpson=_simpson(shifted),
        contamination=_contamination(question.selection.arm_by, base, candidate),
        coverage=_coverage(base, candidate, evidence.unmatched_evaluations, evidence.stated),
        losses=_losses(base, candidate),
        sampling=_sampling(base, candidate),
        confounders=_confounders(question.selection.arm_by, base, candidate),
        costs=check_costs(base, candidate, evidence.cost_gaps, overview.rows),
        time=_time(evidence, overview),
        clusters=_clusters(evidence),
        plan=_plan(question, evidence, overview),
        retention=check_retention(evidence.expiry, evidence.left),
    )


def _check(reason: str | None, figures: Figures, *, is_blocking: bool = True) -> Check:
    bad = reason is not None
    return Check(state="warning" if bad else "ok", reason=reason, figures=figures, is_blocking=bad and is_blocking)


def _unknown(reason: str, figures: Figures) -> Check:
    return Check(state="unknown", reason=reason, figures=figures)


def _sample_ratio(question: Question, evidence: Evidence) -> Check:
    traces = evidence.values.traces.sum(axis=(0, 1))
    figures: Figures = {"base": round(traces[0]), "candidate": round(traces[1])}
    share = question.policy.candidate_share
    if share is None:
        return _unknown("the planned split of the traffic is not known: state candidate_share in the policy", figures)
    sums = evidence.values.sums
    # Where users are assigned whole they are what was split; where they meet both arms, each trace was.
    is_by_user = sums.is_clustered and not sums.is_paired
    units = (evidence.values.units if is_by_user else evidence.values.traces).sum(axis=(0, 1))
    shares = np.array([[1 - share, share]])
    log_e = log_sample_ratio_e_value(units[None, :], shares)
    figures |= {"planned_candidate_share": share, "units": "clusters" if is_by_user else "traces"}
    figures |= {"log_e_value": log_e, "p_value": split_p_value(units, shares[0])}
    if log_e <= SAMPLE_RATIO_LOG_E:
        return _check(None, figures)
    seen = units[1] / units.sum()
    return _check(f"the candidate got {seen:.1%} of the traffic, not {share:.1%}: mend the split first", figures)


def _shifted_rows(overview: Overview) -> list[tuple[MetricRow, bool]]:
    """Return rows whose difference the mix alone changes, and whether it even turns what they say."""
    found = []
    for column, row in enumerate(overview.rows):
        z, critical = float(overview.measured.mix_z[0, column]), float(overview.measured.mix_critical[0, column])
        if math.isfinite(z) and abs(z) > critical:
            found.append((row, _is_reversed(row)))
    return found


def _is_reversed(row: MetricRow) -> bool:
    """Tell whether the crude effect points the other way, or is clear where the one over one mix is not."""
    if row.crude_effect is None or row.effect is None or row.ci_low is None or row.ci_high is None:
        return False
    ratio = row.effect_kind == "ratio"
    numbers = (row.crude_effect, row.effect, row.ci_low, row.ci_high)
    if ratio and min(numbers) <= 0:
        return False
    crude, effect, low, high = (math.log(number) if ratio else number for number in numbers)
    if crude * effect < 0:
        return True
    is_clear, is_crude_clear = low > 0 or high < 0, crude > effect - low or crude < effect - high
    return is_crude_clear and not is_clear


def _mix_shift(cells: Sequence[Cell], shifted: Sequence[tuple[MetricRow, bool]]) -> Check:
    compared = [cell for cell in cells if cell.has_both_arms]
    dropped = _dropped_share(cells, compared)
    names = [row_label(row) for row, _ in shifted]
    figures: Figures = {"p_value": None, "total_variation": None, "dropped_share": dropped, "metrics": names}
    is_mixed = bool(names)
    if len(compared) > 1:
        counts = np.array([[cell.base.traces, cell.candidate.traces] for cell in compared], dtype=np.float64)
        figures["p_value"], figures["total_variation"] = equal_shares_p_value(counts), _total_variation(counts)
        is_mixed = is_mixed or equal_shares_p_value(counts) < MIX_P_VALUE
    is_thin = dropped is not None and dropped > MAX_DROPPED_SHARE
    problems = []
    if is_thin:
        problems.append(f"{dropped:.0%} of the traces are in cohorts that only one arm saw, and were not compared")
    if is_mixed:
        moved = f", which alone moved {', '.join(names)}" if names else ""
        problems.append(f"the arms saw different mixes of cohorts{moved}: overall effects are those over one mix")
    return _check("; ".join(problems) or None, figures, is_blocking=is_thin)


def _dropped_share(cells: Sequence[Cell], compared: Sequence[Cell]) -> float | None:
    """Return the share of traces in cohorts that one arm alone saw; None if nothing can be compared anyway."""
    traces = sum(cell.traces for cell in cells)
    return 1 - sum(cell.traces for cell in compared) / traces if compared else None


def _total_variation(counts: NDArray[np.float64]) -> float:
    """Return the share of traces that would have to change rows for both columns to have the same shares, 0..1."""
    shares = counts / counts.sum(axis=0)
    return float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2)


def _simpson(shifted: Sequence[tuple[MetricRow, bool]]) -> Check:
    names = [row_label(row) for row, is_reversed in shifted if is_reversed]
    if not names:
        return _check(None, {"metrics": names})
    told = f"overall and within cohorts {', '.join(names)} point in opposite directions; the verdict is of the latter"
    return _check(told, {"metrics": names}, is_blocking=False)


def _contamination(arm_by: str, base: ArmSide, candidate: ArmSide) -> Check:
    if arm_by != "model":
        return _unknown(f"not known when {arm_by} tells the arms apart", {"base": None, "candidate": None})
    figures: Figures = {"base": base.contaminated, "candidate": candidate.contaminated}
    shares = [share for side in (base, candidate) if (share := _share(side.contaminated, side)) is not None]
    worst = max(shares, default=0.0)
    if worst <= MAX_CONTAMINATED_SHARE:
        return _check(None, figures)
    return _check(f"up to {worst:.1%} of an arm's traces called the other arm's model too", figures)


def _coverage(base: ArmSide, candidate: ArmSide, unmatched: int, stated: Mapping[str, tuple[Stated, Stated]]) -> Check:
    figures: Figures = {"evaluations_without_trace": unmatched}
    gaps = []
    if unmatched and not (base.evaluated or candidate.evaluated):
        gaps.append(f"{unmatched:,} stored evaluations belong to no stored trace, and none to these: check trace_id")
    for what, name, counts in (
        ("evaluated", "evaluated", (base.evaluated, candidate.evaluated)),
        ("with tokens", "with_tokens", (base.with_tokens, candidate.with_tokens)),
        ("priced", "with_cost", (base.with_cost, candidate.with_cost)),
        ("retries visible", "retries_visible", (base.retries_visible, candidate.retries_visible)),
        # Latency is the root's where there is one, and else the extent: not to be compared with each other.
        ("without a root span", "without_root", (base.without_root, candidate.without_root)),
    ):
        shares = _share(counts[0], base), _share(counts[1], candidate)
        figures[f"base_{name}"], figures[f"candidate_{name}"] = shares
        gap = _gap(shares)
        if gap:
            gaps.append(f"{what}: {gap}")
    unusable = []
    for metric, arms in stated.items():
        shares = _share(arms[0].known, base), _share(arms[1].known, candidate)
        figures[f"base_with_{metric}"], figures[f"candidate_with_{metric}"] = shares
        gap = _gap(shares)
        if gap:
            gaps.append(f"with {metric}: {gap}")
        count = arms[0].unusable + arms[1].unusable
        figures[f"unusable_{metric}"] = count
        if count:
            unusable.append(f"{count:,} traces state a value of {metric} that is no number from 0 to 10,000,000")
    answered = _share(base.with_thumbs, base), _share(candidate.with_thumbs, candidate)
    figures["base_with_thumbs"], figures["candidate_with_thumbs"] = answered
    told = _gap(answered)
    # Better answers may get more thumbs up: that is to be known, and no reason to hold.
    notes = [*unusable, *([f"marked by a person: {told}"] if told else [])]
    return _check("; ".join([*gaps, *notes]) or None, figures, is_blocking=bool(gaps))


def _gap(shares: tuple[float | None, float | None]) -> str | None:
    if shares[0] is None or shares[1] is None or abs(shares[0] - shares[1]) <= MAX_COVERAGE_GAP:
        return None
    return f"{shares[0]:.0%} of the base's traces, {shares[1]:.0%} of the candidate's"


def _losses(base: ArmSide, candidate: ArmSide) -> Check:
    figures: Figures = {
        "base_without_root": base.without_root,
        "candidate_without_root": candidate.without_root,
        "base_with_dropped_attributes": base.with_dropped_attributes,
        "candidate_with_dropped_attributes": candidate.with_dropped_attributes,
        "base_with_lost_spans": base.with_lost_spans,
        "candidate_with_lost_spans": candidate.with_lost_spans,
    }
    problems = []
    if base.without_root or candidate.without_root:
        problems.append("traces without a root span have the extent of their spans as latency")
    lost = _gap((_share(base.with_lost_spans, base), _share(candidate.with_lost_spans, candidate)))
    if base.with_lost_spans or candidate.with_lost_spans:
        problems.append(f"spans are missing from traces{_where(lost)}: the SDK, a Collector or the network lost them")
    gap = _gap((_share(base.with_dropped_attributes, base), _share(candidate.with_dropped_attributes, candidate)))
    if base.with_dropped_attributes or candidate.with_dropped_attributes:
        told = f"spans lost attributes to the SDK's limits{_where(gap)}; raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
        problems.append(told)
    # Lost alike in both arms it blurs the picture; lost in one of them it may be the difference.
    return _check("; ".join(problems) or None, figures, is_blocking=gap is not None or lost is not None)


def _where(gap: str | None) -> str:
    return f" in {gap}" if gap else ""


def _sampling(base: ArmSide, candidate: ArmSide) -> Check:
    """Compare how many traces a stored one stands for; where the arms agree, each trace counts once (docs say why)."""
    weights = [side.sampling_weight_milli / 1000 / side.traces if side.traces else None for side in (base, candidate)]
    figures: Figures = {"base_weight": weights[0], "candidate_weight": weights[1]}
    if not weights[0] or not weights[1] or max(weights[0] / weights[1], weights[1] / weights[0]) <= MAX_WEIGHT_RATIO:
        return _check(None, figures)
    told = f"a trace of the base stands for {weights[0]:.3g}, one of the candidate for {weights[1]:.3g}"
    return _check(f"{told}: their samplers left out different traffic. Sample both arms alike", figures)


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
        if _is_version_shifted(*tallies) if name in _VERSIONED_FACTORS else _is_shifted(*tallies):
            differing.append(name.replace("_", " "))
    if not differing:
        return _check(None, figures)
    return _check(f"the arms also differ in {', '.join(differing)}", figures)


def _is_version_shifted(base: Tally, candidate: Tally) -> bool:
    """Tell whether anything that both arms have was of other versions in them; tallies are by name@version."""
    by_name: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
    for arm, tally in enumerate((base, candidate)):
        for value, traces in tally.items():
            name, _, version = value.rpartition("@")
            by_name.setdefault(name, ({}, {}))[arm][version] = traces
    return any(
        _is_shifted(*versions) and (name not in _CHOSEN_BY_MODEL or _has_its_own(*versions))
        for name, versions in by_name.items()
    )


def _has_its_own(base: Tally, candidate: Tally) -> bool:
    """Tell whether an arm has a value, in more than a few traces, that the other one never has."""
    return any(
        sum(traces for value, traces in one.items() if value not in other) > MAX_FACTOR_SHIFT * sum(one.values())
        for one, other in ((base, candidate), (candidate, base))
    )


def _is_shifted(base: Tally, candidate: Tally) -> bool:
    """Tell whether the values' shares differ by more than a few strays, and by more than chance."""
    values = sorted({*base, *candidate})
    counts = np.array([[tally.get(value, 0) for tally in (base, candidate)] for value in values], dtype=np.float64)
    if len(values) < 2 or not counts.sum(axis=0).all():
        return False
    return _total_variation(counts) > MAX_FACTOR_SHIFT and equal_shares_p_value(counts) < MIX_P_VALUE


def _time(evidence: Evidence, overview: Overview) -> Check:
    """Look at the latest period beside the whole: an interval covers the average effect, not the effect by now."""
    starts = [period.start.isoformat() for period in evidence.periods if period.start is not None]
    figures: Figures = {"periods": len(evidence.periods), "starts": starts, "side_by_side": evidence.side_by_side}
    if evidence.side_by_side < MIN_SHARE_SIDE_BY_SIDE:
        apart = f"{1 - evidence.side_by_side:.0%} of the candidate's traces came at times when the base had none"
        told = f"{apart}; what else changed in between may be the cause"
        # The same requests twice are compared with each other, whenever they ran.
        return _check(told, figures, is_blocking=not evidence.values.sums.is_paired)
    if overview.latest is None:
        return _check(None, figures)
    turned = [
        row_label(now)
        for now, row in zip(overview.latest, overview.rows, strict=True)
        if now.state is CellState.HARM and row.state in {CellState.SAFE, CellState.BETTER} and row.role == "guardrail"
    ]
    figures["latest_harms"] = turned
    reason = f"since {starts[-1]}, {', '.join(turned)} is worse by more than the margin, unlike before"
    return _check(reason if turned else None, figures)


def _clusters(evidence: Evidence) -> Check:
    sums = evidence.values.sums
    # Of a sample where there are many: told as what all would come to.
    counts = evidence.values.units.sum(axis=(0, 1)) / evidence.values.unit_share
    figures: Figures = {
        "base_clusters": round(counts[0]),
        "candidate_clusters": round(counts[1]),
        "are_paired": "yes" if sums.is_paired else "no",
        "are_repeated": "yes" if sums.is_clustered else "no",
    }
    return _check(None, figures)


def _plan(question: Question, evidence: Evidence, overview: Overview) -> Check:
    figures: Figures = {"mode": question.mode, "at_n": question.at_n}
    figures["planned_traces"] = question.policy.planned_traces if question.mode == "sequential" else None
    figures |= {f"cap_{name}": cap for name, cap in evidence.caps.items()}
    return _check(overview.plan_problem, figures, is_blocking=False)


def _share(count: int, side: ArmSide) -> float | None:
    return count / side.traces if side.traces else None
