"""From judged cells to a verdict with its reasons. Pure.

Rule: a cohort with confirmed harm in a guardrail stays on the base; a cohort ships when every guardrail is safe; all
else holds. "Not significant" never ships. Overall, confirmed harm in a critical metric, or in cohorts with more than
half of the traffic, rolls back; harm in fewer cohorts narrows; anything unsettled holds.
Source: decision rule of the release-comparison method in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from tracecanary.analytics.answer import CellState, Checks, MetricRow, Routing, Verdict

# Unsettled cohorts with this share of the traffic together do not block an overall ship; they are listed.
MAX_UNVERIFIED_WEIGHT = 0.10
MAX_HARMED_WEIGHT = 0.50
# Reasons are for people: the first few say it, the rest is in the rows.
_MOST_REASONS = 6

_SETTLED_WELL = frozenset({CellState.SAFE, CellState.BETTER})


@dataclass(frozen=True, kw_only=True)
class JudgedCell:
    """The rows of one cohort, or of all (`cohort` None).

    `confirmed_harms` are labels of guardrail rows whose harm holds for the number of cells looked at; `weight` is the
    share of traffic, 0..1.
    """

    cohort: str | None
    weight: float
    rows: Sequence[MetricRow]
    confirmed_harms: frozenset[str]

    @cached_property
    def blocking(self) -> list[MetricRow]:
        """Guardrails that take part and are not settled well, harm first."""
        rows = [row for row in self.rows if is_taking_part(row) and row.state not in _SETTLED_WELL]
        return sorted(rows, key=lambda row: _URGENCY[row.state])


# Checks that may name the cause of a harm. The others say that something is missing or diluted, which makes none.
_EXPLAINING = frozenset({"confounders", "sampling", "losses", "time"})
_URGENCY = {
    CellState.HARM: 0,
    CellState.WORSE: 1,
    CellState.UNSURE: 2,
    CellState.NO_DATA: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict and why."""

    verdict: Verdict
    reasons: list[str]


def is_taking_part(row: MetricRow) -> bool:
    """Tell whether a row decides: a guardrail that is required, or that at least one arm records."""
    return row.role == "guardrail" and (row.is_required or row.base.n > 0 or row.candidate.n > 0)


def row_label(row: MetricRow) -> str:
    """Name a row: the metric, and its evaluator if it has one."""
    return row.metric if row.evaluator is None else f"{row.metric} ({row.evaluator})"


def decide_cohort(cell: JudgedCell, checks: Checks | None = None) -> Decision:
    """Decide for one cohort; `roll_back` means that it stays on the base. Without `checks` none holds it back."""
    if cell.confirmed_harms:
        reasons = _reasons(cell, only=cell.confirmed_harms) + _other_causes(checks)
        return Decision(verdict=Verdict.ROLL_BACK, reasons=reasons)
    if cell.blocking:
        return Decision(verdict=Verdict.HOLD, reasons=_reasons(cell))
    warnings = _blocking_warnings(checks) if checks else []
    if warnings:  # it looks safe, but what looks so might not be the model
        return Decision(verdict=Verdict.HOLD, reasons=warnings)
    return Decision(verdict=Verdict.SHIP, reasons=["every guardrail lies within its margin"])


def decide_overall(
    overall: JudgedCell,
    without_harmed: JudgedCell,
    cohorts: Sequence[JudgedCell],
    checks: Checks,
    *,
    settled_by: datetime | None = None,
) -> Decision:
    """Decide for the candidate as a whole.

    Args:
        overall: All cohorts over one mix.
        without_harmed: All cohorts but those with confirmed harm.
        cohorts: Each cohort.
        checks: What could explain a difference away.
        settled_by: About when what is unsettled will be settled, if that can be said.
    """
    if checks.sample_ratio.is_blocking:  # traffic that went astray took its failures along
        return Decision(verdict=Verdict.HOLD, reasons=[f"sample_ratio: {checks.sample_ratio.reason}"])
    critical = [row_label(row) for row in overall.rows if row.is_critical]
    critical_harms = overall.confirmed_harms.intersection(critical)
    if critical_harms:
        reasons = _reasons(overall, only=critical_harms) + _other_causes(checks)
        return Decision(verdict=Verdict.ROLL_BACK, reasons=reasons)
    harmed = [cell for cell in cohorts if cell.confirmed_harms]
    harm_reasons = [
        reason for cell in harmed for reason in _reasons(cell, only=cell.confirmed_harms, names_cohort=True)
    ]
    if sum(cell.weight for cell in harmed) > MAX_HARMED_WEIGHT:
        return Decision(verdict=Verdict.ROLL_BACK, reasons=_first(harm_reasons) + _other_causes(checks))
    warnings = _blocking_warnings(checks)
    if harmed:
        if without_harmed.confirmed_harms:
            reasons = harm_reasons + _reasons(without_harmed, only=without_harmed.confirmed_harms)
            return Decision(verdict=Verdict.HOLD, reasons=_first(reasons))
        return Decision(verdict=Verdict.NARROW, reasons=_first(harm_reasons + warnings))
    if overall.blocking:
        when = [f"at the present rate that is about {settled_by:%Y-%m-%d %H:%M} UTC"] if settled_by else []
        return Decision(verdict=Verdict.HOLD, reasons=_reasons(overall) + when + warnings)
    return _decide_without_harm(cohorts, warnings)


def _decide_without_harm(cohorts: Sequence[JudgedCell], warnings: Sequence[str]) -> Decision:
    unverified = [cell for cell in cohorts if cell.blocking]
    names = _names(unverified)
    if sum(cell.weight for cell in unverified) > MAX_UNVERIFIED_WEIGHT:
        unsettled = f"overall is safe, but these cohorts are unsettled: {names}"
        return Decision(verdict=Verdict.HOLD, reasons=[unsettled, *warnings])
    if warnings:
        return Decision(verdict=Verdict.HOLD, reasons=list(warnings))
    rest = [f"not verified, with little traffic: {names}"] if unverified else []
    return Decision(verdict=Verdict.SHIP, reasons=["every guardrail lies within its margin", *rest])


def route_cohorts(decisions: Sequence[tuple[str, Decision]], overall: Decision, checks: Checks) -> Routing:
    """Say which cohorts may move to the candidate now, should stay on the base, or are not verified.

    A candidate that is rolled back moves nowhere, however well it does in some cohort.
    """

    def cohorts_with(verdict: Verdict) -> list[str]:
        return [cohort for cohort, decision in decisions if decision.verdict is verdict]

    if overall.verdict is Verdict.ROLL_BACK:
        return Routing(candidate=[], base=[cohort for cohort, _ in decisions], unverified=[])
    if checks.sample_ratio.is_blocking:
        return Routing(candidate=[], base=[], unverified=[cohort for cohort, _ in decisions])
    return Routing(
        candidate=cohorts_with(Verdict.SHIP),
        base=cohorts_with(Verdict.ROLL_BACK),
        unverified=cohorts_with(Verdict.HOLD),
    )


def _blocking_warnings(checks: Checks) -> list[str]:
    return [f"{name}: {check.reason}" for name, check in checks if check.is_blocking]


def _other_causes(checks: Checks | None) -> list[str]:
    """Name what else may have caused a harm. Users suffer it whatever the cause, so that no check keeps it in place."""
    return [
        f"perhaps not the model's doing: {name}: {check.reason}"
        for name, check in checks or ()
        if check.is_blocking and name in _EXPLAINING
    ]


def _reasons(cell: JudgedCell, *, only: frozenset[str] | None = None, names_cohort: bool = False) -> list[str]:
    """Say what blocks `cell`; rows that lack data for one and the same reason are named together."""
    lacking: dict[str, list[MetricRow]] = {}
    reasons = []
    for row in cell.blocking:
        if only is not None and row_label(row) not in only:
            continue
        if row.state is CellState.NO_DATA:
            lacking.setdefault(row.reason or "no data", []).append(row)
        else:
            reasons.append(_regression_reason(row, is_confirmed=row_label(row) in cell.confirmed_harms))
    reasons += [_lack_reason(reason, rows) for reason, rows in lacking.items()]
    where = f"{cell.cohort}: " if names_cohort and cell.cohort is not None else ""
    return _first([f"{where}{reason}" for reason in reasons])


def _first(reasons: Sequence[str]) -> list[str]:
    if len(reasons) <= _MOST_REASONS:
        return list(reasons)
    return [*reasons[:_MOST_REASONS], f"and {len(reasons) - _MOST_REASONS} more; see the metrics"]


def _names(cells: Sequence[JudgedCell]) -> str:
    named = ", ".join(cell.cohort or "" for cell in cells[:_MOST_REASONS])
    return named if len(cells) <= _MOST_REASONS else f"{named} and {len(cells) - _MOST_REASONS} more"


def _lack_reason(reason: str, rows: Sequence[MetricRow]) -> str:
    return f"{', '.join(map(row_label, rows))}: {reason}{_need(rows)}"


def _regression_reason(row: MetricRow, *, is_confirmed: bool) -> str:
    what = {
        CellState.HARM: "worse by more than the margin"
        + ("" if is_confirmed else ", though one of many cells is by chance"),
        CellState.WORSE: "worse, perhaps within the margin",
        CellState.UNSURE: "not settled",
    }[row.state]
    interval = f"{_amount(row, row.ci_low)} to {_amount(row, row.ci_high)}"
    unit = "percentage points" if row.effect_kind == "difference" else "percent"
    effect, margin = _amount(row, row.effect), _amount(row, row.margin)
    return f"{row_label(row)} is {what}: {effect} ({interval}) {unit}, margin {margin}{_need([row])}"


def _need(rows: Sequence[MetricRow]) -> str:
    # Before the one planned look there is no interval, and the reason tells what is waited for.
    needed = max((row.more_traces or 0 for row in rows if row.ci_confidence is not None), default=0)
    return f"; if the arms do not differ, about {needed:,} more traces in each would settle it" if needed else ""


def _amount(row: MetricRow, value: float | None) -> str:
    if value is None:
        return "unbounded"
    # "z": no "-0.0".
    return f"{100 * value:+z.1f}" if row.effect_kind == "difference" else f"{100 * (value - 1):+z.0f}"
