"""Evidence made by hand. The plain arm is large and steady enough for every guardrail to be safe against itself."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from tracecanary.analytics.answer import Answer, MetricRow
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmEvidence, ArmSide, Cell, Evidence, MetricKey, Tally
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.statistics import Moments, Ordered

EVALUATOR = "reward"
PLAIN_RATES: Mapping[MetricKey, float] = {
    ("eval_fail_rate", EVALUATOR): 0.02,
    ("error_rate", None): 0.005,
    ("tool_error_rate", None): 0.005,
}
TRACES = 4000


def rate(hits: int, n: int) -> Moments:
    return Moments(n=n, total=float(hits), total_of_squares=float(hits))


def mean(value: float, n: int, *, deviation: float = 0.0) -> Moments:
    """Moments of n values, half of them above and half below `value` by `deviation`."""
    return Moments(n=n, total=n * value, total_of_squares=n * (value**2 + deviation**2))


def arm(
    traces: int = TRACES,
    *,
    rates: Mapping[MetricKey, float] | None = None,
    moments: Mapping[MetricKey, Moments] | None = None,
    slowdown: float = 1.0,
    evaluated: int | None = None,
    **factors: Tally | int,
) -> ArmEvidence:
    """One arm of `traces`: plain rates but for `rates`, `moments` beside them, latencies from 1 to 1.2 s."""
    hits = {key: rate(round(share * traces), traces) for key, share in {**PLAIN_RATES, **(rates or {})}.items()}
    side = ArmSide(
        traces=traces,
        with_tokens=traces,
        evaluated=traces if evaluated is None else evaluated,
        **factors,  # type: ignore[arg-type]  # counts and tallies by the names of ArmSide
    )
    return ArmEvidence(
        side=side,
        moments={**hits, **(moments or {})} if traces else {},
        latencies_s=Ordered.of(slowdown * np.linspace(1.0, 1.2, traces)),
    )


def cell(base: ArmEvidence, candidate: ArmEvidence, *, cohort: str = "shop") -> Cell:
    return Cell(cohort=cohort, base=base, candidate=candidate)


def evidence(cells: Iterable[Cell]) -> Evidence:
    cohorts = sorted(cells, key=lambda one: one.cohort or "")
    keys = {key for one in cohorts for side in (one.base, one.candidate) for key in side.moments}
    names = {evaluator for _, evaluator in keys if evaluator is not None}
    return Evidence(cohorts=cohorts, evaluators=tuple(sorted(names)), last_trace=datetime(2026, 1, 1, tzinfo=UTC))


def question(*, arm_by: str = "model", evaluators: Sequence[str] = (), confidence: float = 0.95) -> Question:
    return Question(
        selection=Selection(arms=("base", "candidate"), arm_by=arm_by),
        evaluators=tuple(evaluators),
        confidence=confidence,
    )


def answer(*cells: Cell, asked: Question | None = None) -> Answer:
    return answer_question(asked or question(), evidence(cells))


def row_of(rows: Iterable[MetricRow], metric: str, evaluator: str | None = None) -> MetricRow:
    return next(row for row in rows if row.metric == metric and row.evaluator == evaluator)
