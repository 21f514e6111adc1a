"""Evidence made of simulated values, and how an answer to it is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.answer import Answer, MetricRow
from tracecanary.analytics.evidence import ArmSide, Cell, Evidence, MetricKey, Values
from tracecanary.analytics.metrics import METRICS_BY_NAME, Metric
from tracecanary.analytics.policy import Policy
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.statistics.histograms import COARSE_SCALE, SCALE, Histograms, bucket_of
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

Floats = NDArray[np.float64]
RATE, MEAN = METRICS_BY_NAME["error_rate"], METRICS_BY_NAME["cost_per_trace"]
USERS, USER_TRACES, CORRELATION = 500, 5000, 0.15
_ALL_PLANNED = 5000


def asked(*metrics: Metric, sequential: bool, planned: int = _ALL_PLANNED, share: float | None = None) -> Question:
    """Ask for these metrics alone, at any time or in one look that is due."""
    return Question(
        selection=Selection(arms=("base", "candidate")),
        mode="sequential" if sequential else "fixed",
        at_n=None if sequential else 1,
        policy=Policy(metrics=metrics, planned_traces=planned, candidate_share=share),
    )


def with_margin(name: str, margin: float) -> Metric:
    """Return a metric of the catalogue with another margin."""
    return replace(METRICS_BY_NAME[name], margin=margin)


def evidence_of(values: Values) -> Evidence:
    """Wrap metrics in evidence; a cohort for each of axis 0."""
    counts = values.traces.sum(axis=1)
    return Evidence(
        cells=[
            Cell(cohort=f"{place:05}", base=ArmSide(traces=round(base)), candidate=ArmSide(traces=round(candidate)))
            for place, (base, candidate) in enumerate(counts)
        ],
        values=values,
    )


def rate_values(hits: Floats, n: Floats, keys: Sequence[str], **flags: bool) -> Values:
    """Make metrics of hits and traces, shape (cohorts, periods, 2, keys, groups)."""
    sums = GroupSums(n=n, total=hits, squares=hits, cubes=hits, **flags)
    traces = n.sum(axis=-1).max(axis=-1)
    named: tuple[MetricKey, ...] = tuple((key, None) for key in keys)
    return Values(keys=named, sums=sums, traces=traces, units=traces)


def one_rate(hits: Floats, n: Floats) -> Evidence:
    """Make evidence of one rate from hits and traces of shape (replicates, 2)."""
    shape = (len(hits), 1, 2, 1, 1)
    return evidence_of(
        rate_values(hits.reshape(shape), np.broadcast_to(n, hits.shape).reshape(shape) * 1.0, ["error_rate"])
    )


def one_mean(sums: Sequence[Floats], n: float) -> Evidence:
    """Make evidence of one mean from the sums of three powers, each of shape (replicates, 2)."""
    total, squares, cubes = (power.reshape(len(power), 1, 2, 1, 1) for power in sums)
    made = GroupSums(n=np.full_like(total, n), total=total, squares=squares, cubes=cubes)
    traces = np.full((len(total), 1, 2), n)
    return evidence_of(Values(keys=((MEAN.name, None),), sums=made, traces=traces, units=traces))


def powers(values: Floats) -> list[Floats]:
    """Sum three powers over the last axis."""
    return [(values**power).sum(axis=-1) for power in (1, 2, 3)]


def one_histogram(counts: Floats, first: int, coarse: Histograms | None = None, *, paired: bool = False) -> Evidence:
    """Make evidence of latencies from counts of shape (replicates, 2, buckets)."""
    traces = counts.sum(axis=-1)[:, None]
    empty = np.zeros((len(counts), 1, 2, 0, 1))
    sums = GroupSums(
        n=empty, total=empty, squares=empty, cubes=empty, is_clustered=coarse is not None, is_paired=paired
    )
    return evidence_of(
        Values(
            keys=(),
            sums=sums,
            traces=traces,
            units=traces,
            histograms={"latency": Histograms(counts=counts[:, None], first=first)},
            group_histograms={} if coarse is None else {"latency": coarse},
        )
    )


def bucketed(values: Floats, *, scale: int = SCALE) -> tuple[NDArray[np.intp], int, int]:
    """Return each value's column in a histogram, the first bucket, and the number of columns."""
    bucket = bucket_of(values, scale=scale).astype(np.intp)
    first = int(bucket.min())
    return bucket - first + 1, first, int(bucket.max()) - first + 2


def rows_of(answer: Answer, metric: str) -> list[MetricRow]:
    """Return one metric's row of every cohort."""
    return [next(row for row in cohort.metrics if row.metric == metric) for cohort in answer.cohorts]


def share_covering(rows: Sequence[MetricRow], truth: float) -> float:
    """Return the share of intervals that hold the truth; a side without a bound holds all."""
    return float(np.mean([_low(row) <= truth <= _high(row) for row in rows]))


def _low(row: MetricRow) -> float:
    return -math.inf if row.ci_low is None else row.ci_low


def _high(row: MetricRow) -> float:
    return math.inf if row.ci_high is None else row.ci_high


def clustered_hits(rng: np.random.Generator, replicates: int, *, paired: bool) -> tuple[Floats, Floats]:
    """Draw hits and traces by cluster group, shape (replicates, 1, 2, 1, groups); users differ in their rates."""
    hits, n = (np.zeros((replicates, 1, 2, 1, GROUPS)) for _ in range(2))
    spread = 1 / CORRELATION - 1
    for place in range(replicates):
        groups = rng.integers(0, GROUPS, (2, USERS))
        rates = rng.beta(0.1 * spread, 0.9 * spread, (2, USERS))
        for arm in range(2):
            who = 0 if paired else arm
            user = rng.integers(0, USERS, USER_TRACES)
            group, hit = groups[who][user], rng.random(USER_TRACES) < rates[who][user]
            n[place, 0, arm, 0] = np.bincount(group, minlength=GROUPS)
            hits[place, 0, arm, 0] = np.bincount(group, weights=hit, minlength=GROUPS)
    return hits, n


def clustered_latencies(rng: np.random.Generator, replicates: int, *, paired: bool) -> tuple[Floats, int, Histograms]:
    """Draw lognormal latencies of users that differ in their speed, and count them, also by cluster group."""
    latencies = np.empty((replicates, 2, USER_TRACES))
    groups = np.empty((replicates, 2, USER_TRACES), dtype=np.intp)
    for place in range(replicates):
        group = rng.integers(0, GROUPS, (2, USERS))
        speed = rng.normal(0, math.sqrt(CORRELATION), (2, USERS))
        for arm in range(2):
            who = 0 if paired else arm
            user = rng.integers(0, USERS, USER_TRACES)
            noise = rng.normal(0, math.sqrt(1 - CORRELATION), USER_TRACES)
            latencies[place, arm] = np.exp(speed[who][user] + noise)
            groups[place, arm] = group[who][user]
    fine, first = counted(latencies)
    return fine, first, counted_by_group(latencies, groups)


def counted(values: Floats) -> tuple[Floats, int]:
    """Count values of shape (replicates, 2, n) by bucket."""
    column, first, width = bucketed(values)
    counts = np.zeros((*values.shape[:2], width))
    np.add.at(counts, (*np.indices(values.shape)[:2], column), 1)
    return counts, first


def counted_by_group(values: Floats, groups: NDArray[np.intp]) -> Histograms:
    """Count values coarsely by cluster group."""
    column, first, width = bucketed(values, scale=COARSE_SCALE)
    counts = np.zeros((*values.shape[:2], GROUPS, width))
    np.add.at(counts, (*np.indices(values.shape)[:2], groups, column), 1)
    return Histograms(counts=counts[:, None], first=first, scale=COARSE_SCALE)


def excluding(answer: Answer, metric: str, truth: float) -> NDArray[np.bool_]:
    """Tell in which cohorts the interval leaves out the truth."""
    return np.array([_low(row) > truth or _high(row) < truth for row in rows_of(answer, metric)])
