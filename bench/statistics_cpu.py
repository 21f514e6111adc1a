"""Measure the CPU time that the statistics of one whole `/compare` cost: 30 cohorts, 14 metrics, 5 evaluators.

OMP_NUM_THREADS=1 python bench/statistics_cpu.py
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmSide, Cell, Evidence, MetricKey, Period, Values
from tracecanary.analytics.metrics import METRICS, MetricKind
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.statistics.histograms import COARSE_SCALE, Histograms
from tracecanary.analytics.statistics.pairs import PairedHits
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

COHORTS, TRACES, EVALUATORS, ROUNDS = 30, 4000, 5, 25
TARGET_MS = 50.0
_MEANS = [metric.name for metric in METRICS if metric.kind is MetricKind.MEAN]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is compared: whether clusters repeat, are in both arms, and how many periods the traffic had."""

    name: str
    is_clustered: bool = False
    is_paired: bool = False
    periods: int = 1


CASES = (
    Case(name="independent"),
    Case(name="clustered", is_clustered=True),
    Case(name="paired", is_clustered=True, is_paired=True),
    Case(name="clustered, three periods", is_clustered=True, periods=3),
)


def evidence(rng: np.random.Generator, case: Case) -> Evidence:
    """Make a busy comparison: every metric recorded, costs and tokens capped, a few cohorts harmed."""
    keys: list[MetricKey] = [("eval_fail_rate", f"evaluator {number}") for number in range(EVALUATORS)]
    keys += [(metric.name, None) for metric in METRICS[1:] if metric.kind is not MetricKind.QUANTILE]
    groups = GROUPS if case.is_clustered else 1
    traces = np.full((COHORTS, case.periods, 2), TRACES / case.periods)
    shape = (COHORTS, case.periods, 2, groups)
    counts = rng.poisson(TRACES / case.periods / 200, (*shape[:3], 200)).astype(float)
    coarse = rng.poisson(TRACES / case.periods / GROUPS / 25, (*shape, 26)).astype(float)
    side = ArmSide(traces=TRACES, evaluated=TRACES, with_cost=TRACES, with_tokens=TRACES)
    cohorts = [f"cohort {number:02}" for number in range(COHORTS)]
    rates = [key for key in keys if key[0] not in _MEANS]
    hits = PairedHits(both=20, base_only=60, candidate_only=55, neither=TRACES - 135)
    return Evidence(
        cells=[Cell(cohort=cohort, base=side, candidate=side) for cohort in cohorts],
        values=Values(
            keys=tuple(keys),
            sums=_sums(rng, keys, shape, case),
            tails=_tails(rng, keys, shape, case),
            traces=traces,
            units=traces,
            histograms={"latency": Histograms(counts=counts, first=0)},
            group_histograms=(
                {"latency": Histograms(counts=coarse, first=0, scale=COARSE_SCALE)} if case.is_clustered else {}
            ),
        ),
        evaluators=tuple(evaluator for _, evaluator in keys if evaluator),
        last_trace=datetime(2026, 1, 2, tzinfo=UTC),
        periods=[Period(start=datetime(2026, 1, 1, tzinfo=UTC), days=1.0) for _ in range(case.periods)],
        caps=dict.fromkeys(_MEANS, 9.0),
        pairs={(cohort, key): hits for cohort in cohorts for key in rates} if case.is_paired else {},
    )


def _sums(rng: np.random.Generator, keys: Sequence[MetricKey], shape: tuple[int, ...], case: Case) -> GroupSums:
    n = np.full((*shape[:3], len(keys), shape[3]), np.ceil(TRACES / case.periods / shape[3]))
    is_mean = np.array([metric in _MEANS for metric, _ in keys])
    rate = np.full(n.shape, 0.03)
    rate[:3, :, 1] = 0.09
    hits = rng.binomial(n.astype(int), rate).astype(float)
    total, squares, cubes = (
        np.where(is_mean[:, None], n * moment + rng.normal(0, 1, n.shape), hits) for moment in (3.0, 12.0, 60.0)
    )
    return GroupSums(
        n=n, total=total, squares=squares, cubes=cubes, is_clustered=case.is_clustered, is_paired=case.is_paired
    )


def _tails(rng: np.random.Generator, keys: Sequence[MetricKey], shape: tuple[int, ...], case: Case) -> GroupSums:
    is_mean = np.array([metric in _MEANS for metric, _ in keys])
    over: NDArray[np.float64] = rng.poisson(0.001 * TRACES / case.periods / shape[3], (*shape[:3], len(keys), shape[3]))
    over = over * is_mean[:, None].astype(float)
    return GroupSums(
        n=over,
        total=0.1 * over,
        squares=over,
        cubes=10 * over,
        is_clustered=case.is_clustered,
        is_paired=case.is_paired,
    )


def main() -> None:
    """Print the median CPU time of one answer in each case."""
    question = Question(selection=Selection(arms=("base", "candidate")))
    for case in CASES:
        found = evidence(np.random.default_rng(1), case)
        answer = answer_question(question, found)
        rows = sum(len(cohort.metrics) for cohort in answer.cohorts) + len(answer.overall.metrics)
        times = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            answer_question(question, found)
            times.append(1000 * (time.process_time() - begun))
        cost = f"median {np.median(times):.1f} ms of CPU, target {TARGET_MS:.0f} ms"
        print(f"{case.name}: {rows} rows, verdict {answer.overall.verdict}: {cost}")


if __name__ == "__main__":
    main()
