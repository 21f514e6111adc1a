"""Measure the CPU time that the statistics of one whole `/compare` cost: 30 cohorts, 14 metrics, 5 evaluators.

python bench/statistics.py
"""

from __future__ import annotations

import cProfile
import sys
import time

import numpy as np

from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmSide, Cell, Evidence, Values
from tracecanary.analytics.metrics import METRICS, MetricKind
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.statistics.histograms import COARSE_SCALE, Histograms
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

COHORTS, TRACES, EVALUATORS, ROUNDS = 30, 4000, 5, 15
TARGET_MS = 50.0


def evidence(rng: np.random.Generator, *, is_clustered: bool) -> Evidence:
    """Make a busy comparison: every metric recorded, a few cohorts harmed."""
    keys = [("eval_fail_rate", f"evaluator {number}") for number in range(EVALUATORS)]
    keys += [(metric.name, None) for metric in METRICS if metric.kind is not MetricKind.QUANTILE][1:]  # type: ignore[misc]
    groups = GROUPS if is_clustered else 1
    shape = (COHORTS, 1, 2, len(keys), groups)
    n = np.full(shape, TRACES / groups)
    is_mean = np.array(
        [metric in {"cost_per_trace", "input_tokens", "output_tokens", "steps_per_trace"} for metric, _ in keys]
    )
    rate = np.full(shape, 0.03)
    rate[:3, :, 1] = 0.09
    hits = rng.binomial(np.ceil(n).astype(int), rate).astype(float)
    values = [np.where(is_mean[:, None], n * moment + rng.normal(0, 1, shape), hits) for moment in (3.0, 12.0, 60.0)]
    counts = rng.poisson(TRACES / 200, (COHORTS, 1, 2, 200)).astype(float)
    coarse = rng.poisson(TRACES / GROUPS / 25, (COHORTS, 1, 2, GROUPS, 26)).astype(float)
    traces = np.full((COHORTS, 1, 2), float(TRACES))
    made = Values(
        keys=tuple(keys),
        sums=GroupSums(n=np.ceil(n), total=values[0], squares=values[1], cubes=values[2], is_clustered=is_clustered),
        traces=traces,
        units=traces,
        histograms={"latency": Histograms(counts=counts, first=0)},
        group_histograms={"latency": Histograms(counts=coarse, first=0, scale=COARSE_SCALE)} if is_clustered else {},
    )
    side = ArmSide(traces=TRACES, evaluated=TRACES, with_cost=TRACES, with_tokens=TRACES)
    cells = [Cell(cohort=f"cohort {number}", base=side, candidate=side) for number in range(COHORTS)]
    return Evidence(
        cells=cells, values=made, evaluators=tuple(evaluator for _, evaluator in keys[:EVALUATORS] if evaluator)
    )


def main() -> None:
    """Print the median CPU time of one answer, with independent traces and with clusters."""
    question = Question(selection=Selection(arms=("base", "candidate")))
    for is_clustered in (False, True):
        found = evidence(np.random.default_rng(1), is_clustered=is_clustered)
        answer = answer_question(question, found)
        rows = sum(len(cohort.metrics) for cohort in answer.cohorts) + len(answer.overall.metrics)
        times = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            answer_question(question, found)
            times.append(1000 * (time.process_time() - begun))
        if "--profile" in sys.argv:
            profile = cProfile.Profile()
            profile.runcall(answer_question, question, found)
            profile.print_stats("cumulative")
        told = "clustered" if is_clustered else "independent"
        cost = f"median {np.median(times):.1f} ms of CPU, target {TARGET_MS:.0f} ms"
        print(f"{told}: {rows} rows, verdict {answer.overall.verdict}: {cost}")


if __name__ == "__main__":
    main()
