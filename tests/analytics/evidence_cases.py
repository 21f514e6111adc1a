"""Evidence made by hand. The plain arm is large and steady enough for every guardrail to be safe against itself."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.answer import Answer, MetricRow
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmSide, Cell, Evidence, MetricKey, Tally, Values
from tracecanary.analytics.policy import Policy
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.statistics.histograms import Histograms, bucket_of
from tracecanary.analytics.statistics.standardise import GroupSums

EVALUATOR = "reward"
PLAIN_RATES: Mapping[MetricKey, float] = {
    ("eval_fail_rate", EVALUATOR): 0.02,
    ("error_rate", None): 0.005,
    ("tool_error_rate", None): 0.005,
}
TRACES = 4000
# The one look that most cases ask for: it is due at once, and needs fewer traces than an answer for any time.
AT_N = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Count and sums of powers of a metric's values."""

    n: int
    total: float
    squares: float
    cubes: float


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm in one cohort."""

    side: ArmSide = field(default_factory=ArmSide)
    moments: Mapping[MetricKey, Moments] = field(default_factory=dict)
    latencies_s: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both arms in one cohort."""

    cohort: str
    base: Arm
    candidate: Arm


def rate(hits: int, n: int) -> Moments:
    return Moments(n=n, total=float(hits), squares=float(hits), cubes=float(hits))


def mean(value: float, n: int, *, deviation: float = 0.0) -> Moments:
    """Moments of n values, half of them above and half below `value` by `deviation`."""
    return Moments(
        n=n,
        total=n * value,
        squares=n * (value**2 + deviation**2),
        cubes=n * (value**3 + 3 * value * deviation**2),
    )


def arm(
    traces: int = TRACES,
    *,
    rates: Mapping[MetricKey, float] | None = None,
    moments: Mapping[MetricKey, Moments] | None = None,
    slowdown: float = 1.0,
    evaluated: int | None = None,
    **factors: Tally | int,
) -> Arm:
    """One arm of `traces`: plain rates but for `rates`, `moments` beside them, latencies from 1 to 1.2 s."""
    hits = {key: rate(round(share * traces), traces) for key, share in {**PLAIN_RATES, **(rates or {})}.items()}
    side = ArmSide(
        traces=traces,
        with_tokens=traces,
        evaluated=traces if evaluated is None else evaluated,
        **factors,  # type: ignore[arg-type]  # counts and tallies by the names of ArmSide
    )
    return Arm(
        side=side,
        moments={**hits, **(moments or {})} if traces else {},
        latencies_s=slowdown * np.linspace(1.0, 1.2, traces),
    )


def cell(base: Arm, candidate: Arm, *, cohort: str = "shop") -> Pair:
    return Pair(cohort=cohort, base=base, candidate=candidate)


def evidence(cells: Iterable[Pair]) -> Evidence:
    cohorts = sorted(cells, key=lambda one: one.cohort)
    found = {key for one in cohorts for side in (one.base, one.candidate) for key in side.moments}
    keys = tuple(sorted(found, key=lambda key: (key[0], key[1] or "")))
    return Evidence(
        cells=[Cell(cohort=one.cohort, base=one.base.side, candidate=one.candidate.side) for one in cohorts],
        values=_values(cohorts, keys),
        evaluators=tuple(sorted({evaluator for _, evaluator in keys if evaluator is not None})),
        last_trace=datetime(2026, 1, 1, tzinfo=UTC),
    )


def _values(cohorts: Sequence[Pair], keys: tuple[MetricKey, ...]) -> Values:
    def sums(number: Callable[[Moments], float]) -> Floats:
        table = [
            [[number(side.moments[key]) if key in side.moments else 0.0 for key in keys] for side in _sides(one)]
            for one in cohorts
        ]
        return np.array(table, dtype=np.float64).reshape(len(cohorts), 1, 2, len(keys), 1)

    traces = np.array([[side.side.traces for side in _sides(one)] for one in cohorts], dtype=np.float64)
    traces = traces.reshape(len(cohorts), 1, 2)
    return Values(
        keys=keys,
        sums=GroupSums(
            n=sums(lambda values: values.n),
            total=sums(lambda values: values.total),
            squares=sums(lambda values: values.squares),
            cubes=sums(lambda values: values.cubes),
        ),
        traces=traces,
        units=traces,
        histograms={"latency": histograms([[side.latencies_s for side in _sides(one)] for one in cohorts])},
    )


def _sides(one: Pair) -> tuple[Arm, Arm]:
    return one.base, one.candidate


def histograms(values: Sequence[Sequence[Floats]]) -> Histograms:
    """Histograms of values by cohort and arm, shape (cohorts, 1, 2, buckets)."""
    everything = np.concatenate([np.empty(0), *(arm_values for one in values for arm_values in one)])
    numbers = bucket_of(everything[everything > 0])
    first, last = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)
    counts = np.zeros((len(values), 1, 2, last - first + 2))
    for place, one in enumerate(values):
        for side, arm_values in enumerate(one):
            counts[place, 0, side, 0] = (arm_values == 0).sum()
            buckets = bucket_of(arm_values[arm_values > 0]).astype(np.intp)
            np.add.at(counts[place, 0, side], buckets - first + 1, 1)
    return Histograms(counts=counts, first=first)


def question(
    *,
    arm_by: str = "model",
    evaluators: Sequence[str] = (),
    confidence: float = 0.95,
    at_n: int | None = AT_N,
    policy: Policy | None = None,
) -> Question:
    """A question for one look that is due; with `at_n` None, for any time."""
    return Question(
        selection=Selection(arms=("base", "candidate"), arm_by=arm_by),
        evaluators=tuple(evaluators),
        confidence=confidence,
        mode="sequential" if at_n is None else "fixed",
        at_n=at_n,
        policy=policy or Policy(),
    )


def answer(*cells: Pair, asked: Question | None = None) -> Answer:
    found = evidence(cells)
    return answer_question(asked or question(), found)


def row_of(rows: Iterable[MetricRow], metric: str, evaluator: str | None = None) -> MetricRow:
    return next(row for row in rows if row.metric == metric and row.evaluator == evaluator)


def without(one: Arm, key: MetricKey) -> Arm:
    return replace(one, moments={name: values for name, values in one.moments.items() if name != key})


def is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
