"""What the lake knows about a question: sufficient statistics by cohort and arm, read from one snapshot."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np

from tracecanary.analytics.question import Question, time_of
from tracecanary.analytics.statistics import Moments, Ordered, Rate
from tracecanary.analytics.store import Row, Session
from tracecanary.schema import UnknownArmError

EXAMPLES_PER_ARM = 3
# Arms named in an error, so that a person can correct a spelling.
_ARMS_SHOWN = 50
NO_VALUES = Moments(n=0, total=0.0, total_of_squares=0.0)

# Traces by the value that they have of a factor, such as 40 with release 2.1.
Tally = Mapping[str, int]
# What may differ between the arms other than the model: the tallies of an arm's side.
FACTORS = ("conventions", "step_sources", "releases", "prompts", "routes")
# A metric and its evaluator; None for metrics that have none.
MetricKey = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSide:
    """Facts of one arm that may differ for reasons other than the model, and what is missing. Counts are traces."""

    traces: int = 0
    without_root: int = 0
    with_dropped_attributes: int = 0
    with_tokens: int = 0
    with_cost: int = 0
    evaluated: int = 0
    retries_visible: int = 0
    contaminated: int = 0
    conventions: Tally = field(default_factory=dict)
    step_sources: Tally = field(default_factory=dict)
    releases: Tally = field(default_factory=dict)
    prompts: Tally = field(default_factory=dict)
    routes: Tally = field(default_factory=dict)

    def __add__(self, other: ArmSide) -> ArmSide:
        """Add counts, and tallies value by value."""
        merged: dict[str, Any] = {}
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            merged[item.name] = dict(Counter(mine) + Counter(theirs)) if isinstance(mine, Mapping) else mine + theirs
        return ArmSide(**merged)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEvidence:
    """One arm in one cohort, or in several together."""

    side: ArmSide = field(default_factory=ArmSide)
    moments: Mapping[MetricKey, Moments] = field(default_factory=dict)
    latencies_s: Ordered = field(default_factory=lambda: Ordered.of(()))
    examples: tuple[str, ...] = ()

    def values_of(self, key: MetricKey) -> Moments:
        """Return count and sums of the metric's values; empty when there are none."""
        return self.moments.get(key, NO_VALUES)

    def rate_of(self, key: MetricKey) -> Rate:
        """Return the hits of a metric whose values are 0 or 1."""
        values = self.values_of(key)
        return Rate(hits=round(values.total), n=values.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Both arms in one cohort, or in several together (`cohort` None)."""

    cohort: str | None
    base: ArmEvidence
    candidate: ArmEvidence

    @property
    def traces(self) -> int:
        """Traces of both arms together."""
        return self.base.side.traces + self.candidate.side.traces

    @property
    def has_both_arms(self) -> bool:
        """Whether there is anything to compare: traces in either arm."""
        return self.base.side.traces > 0 and self.candidate.side.traces > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The cells of a question, one a cohort, sorted by name.

    `last_trace` is when the newest trace started, None without traces. `unmatched_evaluations` counts judgements of the
    whole lake that belong to no stored trace.
    """

    cohorts: Sequence[Cell]
    evaluators: tuple[str, ...]
    last_trace: datetime | None
    unmatched_evaluations: int = 0


def comparable_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with traces in both arms; all of them if none has.

    What one arm alone saw would enter that arm's overall value and not the other's.
    """
    return [cell for cell in cells if cell.has_both_arms] or list(cells)


def merge_cells(cells: Iterable[Cell]) -> Cell:
    """Add up the evidence of several cohorts, to the same result in any order."""
    merged = list(cells)
    return Cell(
        cohort=None,
        base=_merge_arms([cell.base for cell in merged]),
        candidate=_merge_arms([cell.candidate for cell in merged]),
    )


def _merge_arms(arms: Sequence[ArmEvidence]) -> ArmEvidence:
    keys = {key for arm in arms for key in arm.moments}
    return ArmEvidence(
        side=sum((arm.side for arm in arms), start=ArmSide()),
        moments={key: _sum_of_moments([arm.values_of(key) for arm in arms]) for key in keys},
        latencies_s=Ordered.of(np.concatenate([np.empty(0), *(arm.latencies_s.values for arm in arms)])),
    )


def _sum_of_moments(parts: Sequence[Moments]) -> Moments:
    # fsum rounds once, whatever the order: adding up pairs would let the order of cohorts decide a last digit.
    return Moments(
        n=sum(part.n for part in parts),
        total=math.fsum(part.total for part in parts),
        total_of_squares=math.fsum(part.total_of_squares for part in parts),
    )


def gather_evidence(session: Session, question: Question) -> Evidence:
    """Read the evidence for `question`.

    Raises:
        UnknownArmError: No stored trace has ever asked for the base or the candidate.
    """
    _check_arms(session, question)
    select_traces(session, question.selection.parameters())
    arms = {"arms": list(question.selection.arms)}
    rows = _RowsByArm()
    rows.add("side", session.rows("question_sides_v1", arms))
    rows.add("confounders", session.rows("question_confounders_v1"))
    rows.add("moments", session.rows("question_cells_v1"))
    rows.add("latencies", session.rows("question_latencies_v1"))
    rows.add("examples", session.rows("question_examples_v1", {"most": EXAMPLES_PER_ARM}))
    last = max((row["last_start_unix_ns"] for row in rows.all("side")), default=None)
    return Evidence(
        cohorts=tuple(
            Cell(
                cohort=cohort,
                base=rows.arm_evidence(cohort, question.base),
                candidate=rows.arm_evidence(cohort, question.candidate),
            )
            for cohort in rows.cohorts()
        ),
        evaluators=tuple(sorted({row["evaluator"] for row in rows.all("moments")} - {None})),
        last_trace=None if last is None else time_of(last),
        unmatched_evaluations=session.rows("unmatched_evaluations_v1")[0]["unmatched"],
    )


def select_traces(session: Session, parameters: Mapping[str, object]) -> None:
    """Materialise the traces of a selection and their metric values in `session`."""
    session.materialise("question_traces", "question_traces_v1", parameters)
    session.materialise("question_metric_values", "question_metric_values_v1")


def _check_arms(session: Session, question: Question) -> None:
    """Look in the whole lake: an arm without traces in the window is a fresh one, not an unknown one."""
    arm_by = question.selection.arm_by
    seen = [str(row["arm_name"]) for row in session.rows("arms_v1", {"arm_by": arm_by})]
    for parameter, arm in (("base", question.base), ("candidate", question.candidate)):
        if arm not in seen:
            raise UnknownArmError(parameter, arm, arm_by=arm_by, seen=seen[:_ARMS_SHOWN])


class _RowsByArm:
    """Rows of several queries, found by query, cohort and arm."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], list[Row]] = {}

    def add(self, query: str, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows.setdefault((query, row["cohort_name"], row["arm_name"]), []).append(row)

    def all(self, query: str) -> list[Row]:
        return [row for key, rows in self._rows.items() if key[0] == query for row in rows]

    def cohorts(self) -> list[str]:
        return sorted({cohort for query, cohort, _ in self._rows if query == "side"})

    def arm_evidence(self, cohort: str, arm: str) -> ArmEvidence:
        def rows_of(query: str) -> list[Row]:
            return self._rows.get((query, cohort, arm), [])

        return ArmEvidence(
            side=next((_arm_side(row, rows_of("confounders")) for row in rows_of("side")), ArmSide()),
            moments={
                (row["metric"], row["evaluator"]): Moments(
                    n=row["n"], total=row["total"], total_of_squares=row["total_of_squares"]
                )
                for row in rows_of("moments")
            },
            latencies_s=Ordered.of(next((row["latencies_s"] for row in rows_of("latencies")), ())),
            examples=tuple(row["trace_id"] for row in rows_of("examples")),
        )


def _arm_side(row: Row, tallied: Iterable[Row]) -> ArmSide:
    tallies: dict[str, dict[str, int]] = {factor: {} for factor in FACTORS}
    for tally in tallied:
        tallies[tally["factor"]][tally["factor_value"]] = tally["traces"]
    counts: Row = {item.name: row[item.name] for item in fields(ArmSide) if item.name not in FACTORS}
    return ArmSide(**(counts | tallies))
