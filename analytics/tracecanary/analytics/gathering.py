"""Reading the evidence of a question from one snapshot of the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tracecanary.analytics.evidence import (
    MIN_SHARE_SIDE_BY_SIDE,
    TALLIES,
    ArmSide,
    Axes,
    Cell,
    CostGap,
    Evidence,
    MetricKey,
    Period,
    Values,
)
from tracecanary.analytics.metrics import METRICS, MetricKind
from tracecanary.analytics.question import Question, time_of
from tracecanary.analytics.statistics.histograms import Histograms
from tracecanary.analytics.statistics.pairs import PairedHits
from tracecanary.analytics.statistics.ramp import ramp_starts, share_side_by_side
from tracecanary.analytics.statistics.standardise import GROUPS
from tracecanary.analytics.store import Row, Session
from tracecanary.schema import UnknownArmError

EXAMPLES_PER_ARM = 3
# Any constant does, as long as no router splits traffic by the same one.
GROUP_SALT = "tracecanary cluster groups 1"
# Below this share of clusters in both arms the arms' clusters count as different ones.
MIN_SHARED_CLUSTERS = 0.5
# Up to this many traces a cluster, values count as independent.
MAX_TRACES_PER_CLUSTER = 1.01
# A cap is frozen once so many of the base's values are known that their 99.9th percentile means something.
MIN_TRACES_FOR_CAP = 1000
CAP_QUANTILE = 0.999
# Arms named in an error, so that a person can correct a spelling.
_ARMS_SHOWN = 50
_NS_PER_DAY = 86_400 * 10**9

_RATES = [metric.name for metric in METRICS if metric.kind is MetricKind.RATE]
_MEANS = [metric.name for metric in METRICS if metric.kind is MetricKind.MEAN]
_QUANTILES_OF = sorted({metric.values_from for metric in METRICS if metric.kind is MetricKind.QUANTILE})

Columns = Mapping[str, Sequence[Any]]
FreezeCaps = Callable[[Mapping[str, float]], Mapping[str, float]]


def select_traces(session: Session, parameters: Mapping[str, object]) -> None:
    """Materialise the traces of a selection and their metric values in `session`."""
    session.materialise("question_traces", "question_traces_v1", parameters)
    session.materialise("question_metric_values", "question_metric_values_v1")


def gather_evidence(session: Session, question: Question, *, freeze_caps: FreezeCaps) -> Evidence:
    """Read the evidence for `question`.

    Args:
        session: Of one snapshot.
        question: What is asked.
        freeze_caps: Takes the caps that the base's values suggest now and returns those that the comparison keeps to:
            the largest value that each metric of means counts with.

    Raises:
        UnknownArmError: No stored trace has ever asked for the base or the candidate.
    """
    _check_arms(session, question)
    select_traces(session, question.selection.parameters())
    starts, side_by_side = _period_starts(session, question)
    arms = (question.base, question.candidate)
    clustering = _select_clusters(session, starts, arms)
    sides = _RowsByArm(session, question)
    periods = session.columns("question_periods_v1")
    cohorts = sides.cohorts()
    axes = Axes(cohorts, len(starts) + 1, arms)
    histograms = axes.histograms(session.columns("question_histograms_v1", {"metrics": [*_MEANS, *_QUANTILES_OF]}))
    caps = freeze_caps(_base_caps(histograms))
    values = _values(session, axes, periods, clustering, histograms, caps)
    return Evidence(
        cells=tuple(sides.cell(cohort, question) for cohort in cohorts),
        values=values,
        evaluators=tuple(sorted({evaluator for _, evaluator in values.keys if evaluator is not None})),
        last_trace=time_of(max(periods["last_start_unix_ns"])) if periods["stratum"] else None,
        unmatched_evaluations=session.rows("unmatched_evaluations_v1")[0]["unmatched"],
        periods=_periods(periods, starts),
        side_by_side=side_by_side,
        caps=dict(caps),
        pairs=_pairs(session, arms),
        cost_gaps=_cost_gaps(session, question),
    )


def select_strata(session: Session, period_starts_ns: Sequence[int], *, pairs_first: bool = False) -> None:
    """Materialise the cluster group and the period of each selected trace.

    Args:
        session: With selected traces.
        period_starts_ns: When periods begin but the first, in ns since the epoch, ascending.
        pairs_first: Whether a pair is a cluster before a conversation is.
    """
    session.materialise(
        "question_strata",
        "question_strata_v1",
        {"salt": GROUP_SALT, "period_starts_ns": [*period_starts_ns], "pairs_first": pairs_first},
    )


def _base_caps(histograms: Mapping[str, Histograms]) -> dict[str, float]:
    """Return the base's 99.9th percentile of each metric of means that has values enough to tell it."""
    caps = {}
    for name in _MEANS:
        if name not in histograms:
            continue
        counts = histograms[name].counts[:, :, 0].sum(axis=(0, 1))
        n = counts.sum()
        if n >= MIN_TRACES_FOR_CAP:
            pooled = Histograms(counts=counts[None], first=histograms[name].first)
            log_value = float(pooled.log_value(np.array([[np.ceil(n * CAP_QUANTILE)]]))[0, 0])
            if np.isfinite(log_value):
                caps[name] = float(np.exp(log_value))
    return caps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clustering:
    groups: int
    is_paired: bool


def _select_clusters(session: Session, starts: Sequence[int], arms: Sequence[str]) -> _Clustering:
    """Choose what makes a cluster: conversations, or pairs where conversations do not join the arms and pairs do."""
    parameters = {"base": arms[0], "candidate": arms[1]}
    select_strata(session, starts)
    row = session.rows("question_clusters_v1", parameters)[0]
    by_conversation = _clustering(row)
    if by_conversation.is_paired or row["paired_traces"] <= min(row["base_traces"], row["candidate_traces"]):
        return by_conversation
    select_strata(session, starts, pairs_first=True)
    by_pair = _clustering(session.rows("question_clusters_v1", parameters)[0])
    if not by_pair.is_paired:
        select_strata(session, starts)
        return by_conversation
    return by_pair


def _clustering(row: Row) -> _Clustering:
    """Tell whether clusters hold several traces, and whether the same ones are in both arms."""
    smaller = min(row["base_clusters"], row["candidate_clusters"])
    is_paired = smaller > 0 and row["shared_clusters"] / smaller > MIN_SHARED_CLUSTERS
    is_repeated = any(
        row[f"{arm}_traces"] > MAX_TRACES_PER_CLUSTER * row[f"{arm}_clusters"] for arm in ("base", "candidate")
    )
    return _Clustering(groups=GROUPS if is_paired or is_repeated else 1, is_paired=is_paired)


def _period_starts(session: Session, question: Question) -> tuple[list[int], float]:
    """Return when the traffic's split changed, in ns since the epoch, and how much of the traffic was side by side.

    The start of the first period is left out.
    """
    rows = session.rows("question_ramp_v1")
    hours = sorted({row["hour_unix_ns"] for row in rows})
    place = {hour: number for number, hour in enumerate(hours)}
    counts = np.zeros((len(hours), 2))
    for row in rows:
        counts[place[row["hour_unix_ns"]], int(row["arm_name"] == question.candidate)] += row["traces"]
    starts = ramp_starts(counts)
    share = share_side_by_side(counts, starts)
    # Where the arms hardly ran side by side, periods would leave nothing to compare; the check on time tells.
    return [hours[start] for start in starts[1:]] if share >= MIN_SHARE_SIDE_BY_SIDE else [], share


def _periods(columns: Columns, starts: Sequence[int]) -> tuple[Period, ...]:
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for stratum, begun, ended in zip(
        columns["stratum"], columns["first_start_unix_ns"], columns["last_start_unix_ns"], strict=True
    ):
        first[stratum] = min(begun, first.get(stratum, begun))
        last[stratum] = max(ended, last.get(stratum, ended))
    return tuple(
        Period(
            start=None if number == 0 else time_of(starts[number - 1]),
            days=(last.get(number, 0) - first.get(number, 0)) / _NS_PER_DAY,
        )
        for number in range(len(starts) + 1)
    )


def _values(
    session: Session,
    axes: Axes,
    periods: Columns,
    clustering: _Clustering,
    histograms: Mapping[str, Histograms],
    caps: Mapping[str, float],
) -> Values:
    groups = session.columns("question_groups_v1")
    keys = sorted(set(zip(groups["metric"], groups["evaluator"], strict=True)), key=lambda key: (key[0], key[1] or ""))
    traces, units = axes.filled(periods, ("traces", "clusters"))
    of_quantiles: dict[str, Any] = {"metrics": _QUANTILES_OF}
    tails = group_histograms = None
    if caps:
        over = session.columns("question_tails_v1", {"metrics": list(caps), "caps": list(caps.values())})
        tails = axes.sums(over, keys, groups=clustering.groups, is_paired=clustering.is_paired)
    if clustering.groups > 1:
        coarse = session.columns("question_group_histograms_v1", of_quantiles)
        group_histograms = axes.histograms(coarse, groups=clustering.groups)
    return Values(
        keys=tuple(keys),
        sums=axes.sums(groups, keys, groups=clustering.groups, is_paired=clustering.is_paired),
        tails=tails,
        traces=traces,
        units=units,
        histograms=histograms,
        group_histograms=group_histograms or {},
        exact={
            (row["metric"], row["cohort"], axes.arms.index(row["arm"])): (
                row["n"],
                {0.5: row["p50"], 0.95: row["p95"], 0.99: row["p99"]},
            )
            for row in session.rows("question_quantiles_v1", of_quantiles)
        },
    )


def _cost_gaps(session: Session, question: Question) -> tuple[CostGap, ...]:
    asked = list(question.selection.arms) if question.selection.arm_by == "model" else []
    return tuple(CostGap(**row) for row in session.rows("cost_gaps_v1", {"models": asked}))


def _pairs(session: Session, arms: Sequence[str]) -> dict[tuple[str, MetricKey], PairedHits]:
    rows = session.rows("question_pairs_v1", {"base": arms[0], "candidate": arms[1], "metrics": _RATES})
    return {
        (row["cohort"], (row["metric"], row["evaluator"])): PairedHits(
            both=row["both"],
            base_only=row["base_only"],
            candidate_only=row["candidate_only"],
            neither=row["neither"],
        )
        for row in rows
    }


def _check_arms(session: Session, question: Question) -> None:
    """Look in the whole lake: an arm without traces in the window is a fresh one, not an unknown one."""
    arm_by = question.selection.arm_by
    seen = [str(row["arm_name"]) for row in session.rows("arms_v1", {"arm_by": arm_by})]
    for parameter, arm in (("base", question.base), ("candidate", question.candidate)):
        if arm not in seen:
            raise UnknownArmError(parameter, arm, arm_by=arm_by, seen=seen[:_ARMS_SHOWN])


class _RowsByArm:
    """What is no metric: rows of several queries, found by query, cohort and arm."""

    def __init__(self, session: Session, question: Question) -> None:
        self._rows: dict[tuple[str, str, str], list[Row]] = {}
        self._add("side", session.rows("question_sides_v1", {"arms": list(question.selection.arms)}))
        self._add("confounders", session.rows("question_confounders_v2"))
        self._add("examples", session.rows("question_examples_v1", {"most": EXAMPLES_PER_ARM}))

    def _add(self, query: str, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows.setdefault((query, row["cohort_name"], row["arm_name"]), []).append(row)

    def cohorts(self) -> list[str]:
        return sorted({cohort for query, cohort, _ in self._rows if query == "side"})

    def cell(self, cohort: str, question: Question) -> Cell:
        return Cell(
            cohort=cohort,
            base=self._side(cohort, question.base),
            candidate=self._side(cohort, question.candidate),
            base_examples=self._examples(cohort, question.base),
            candidate_examples=self._examples(cohort, question.candidate),
        )

    def _side(self, cohort: str, arm: str) -> ArmSide:
        rows = self._rows.get(("side", cohort, arm), [])
        return _arm_side(rows[0], self._rows.get(("confounders", cohort, arm), [])) if rows else ArmSide()

    def _examples(self, cohort: str, arm: str) -> tuple[str, ...]:
        return tuple(row["trace_id"] for row in self._rows.get(("examples", cohort, arm), []))


def _arm_side(row: Row, tallied: Iterable[Row]) -> ArmSide:
    tallies: dict[str, dict[str, int]] = {factor: {} for factor in TALLIES}
    for tally in tallied:
        tallies[tally["factor"]][tally["factor_value"]] = tally["traces"]
    counts: Row = {item.name: row[item.name] for item in fields(ArmSide) if item.name not in TALLIES}
    return ArmSide(**(counts | tallies))
