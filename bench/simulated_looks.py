"""Coverage of single looks, and false alarms of many, for every kind of metric."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from simulated_figures import Figure
from simulated_traffic import (
    MEAN,
    RATE,
    asked,
    bucketed,
    clustered_hits,
    clustered_latencies,
    counted,
    evidence_of,
    excluding,
    one_histogram,
    one_mean,
    one_rate,
    powers,
    rate_values,
    rows_of,
    share_covering,
)

from tracecanary.analytics.answer import Answer
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.metrics import METRICS_BY_NAME
from tracecanary.analytics.statistics.standardise import GROUPS

QUANTILES = {0.5: "latency_p50", 0.95: "latency_p95", 0.99: "latency_p99"}


def one_look(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Coverage of one look without a difference."""

    def figure(name: str, answer: Answer, metric: str, truth: float, *, most: float = 0.97) -> Figure:
        rows = rows_of(answer, metric)
        return Figure(
            section="coverage, one look",
            name=name,
            share=share_covering(rows, truth),
            replicates=len(rows),
            low=0.94,
            high=most,
        )

    question = asked(RATE, sequential=False)
    for p, n in ((0.01, (300, 300)), (0.01, (3000, 3000)), (0.05, (300, 300)), (0.05, (9500, 500))):
        hits = rng.binomial(np.array(n), p, (8 * size, 2)).astype(float)
        # Few events make the interval of a rate wider than it says: never narrower.
        answer = answer_question(question, one_rate(hits, np.array(n)))
        yield figure(f"rate {p:.0%}, {n[0]} and {n[1]} traces", answer, "error_rate", 0.0, most=0.98)
    question = asked(MEAN, sequential=False)
    for sigma, n in ((1.0, 500), (1.5, 5000), (2.0, 2000)):
        sums = [np.empty((2 * size, 2)) for _ in range(3)]
        for place in range(2 * size):
            for power, value in enumerate(powers(rng.lognormal(0, sigma, (2, n)))):
                sums[power][place] = value
        yield figure(
            f"mean, lognormal {sigma}, {n} traces", answer_question(question, one_mean(sums, n)), MEAN.name, 1.0
        )
    for p, n in ((0.5, 300), (0.95, 300), (0.95, 2000), (0.99, 5000)):
        name = QUANTILES[p]
        counts, first = counted(rng.lognormal(0, 1, (2 * size, 2, n)))
        answer = answer_question(asked(METRICS_BY_NAME[name], sequential=False), one_histogram(counts, first))
        yield figure(f"p{100 * p:g}, {n} traces", answer, name, 1.0, most=0.98)


def clustered(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Coverage where users repeat: 500 users, 5000 traces an arm, intra-class correlation 0.15."""
    section = "coverage, clusters"
    for paired in (False, True):
        told = "the same users in both arms" if paired else "users in one arm each"
        hits, n = clustered_hits(rng, 4 * size, paired=paired)
        values = rate_values(hits, n, ["error_rate"], is_clustered=True, is_paired=paired)
        answer = answer_question(asked(RATE, sequential=False), evidence_of(values))
        share = share_covering(rows_of(answer, "error_rate"), 0.0)
        yield Figure(section=section, name=f"rate 10%, {told}", share=share, replicates=4 * size, low=0.94, high=0.97)
        fine, first, coarse = clustered_latencies(rng, 2 * size, paired=paired)
        for p in (0.5, 0.95):
            metric = METRICS_BY_NAME[QUANTILES[p]]
            answer = answer_question(asked(metric, sequential=False), one_histogram(fine, first, coarse, paired=paired))
            share = share_covering(rows_of(answer, metric.name), 1.0)
            yield Figure(
                section=section, name=f"p{100 * p:g}, {told}", share=share, replicates=2 * size, low=0.94, high=0.97
            )


def any_look(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """False alarms of 100 looks at two equal arms, up to 10,000 traces each."""
    looks, step = 100, 100

    def figure(name: str, alarmed: NDArray[np.bool_]) -> Figure:
        return Figure(
            section="false alarms, 100 looks",
            name=name,
            share=float(alarmed.mean()),
            replicates=len(alarmed),
            high=0.05,
        )

    question = asked(RATE, sequential=True)
    for p in (0.01, 0.05, 0.2):
        hits, alarmed = np.zeros((2 * size, 2)), np.zeros(2 * size, dtype=np.bool_)
        for look in range(1, looks + 1):
            hits += rng.binomial(step, p, hits.shape)
            alarmed |= excluding(answer_question(question, one_rate(hits, np.full(2, look * step))), "error_rate", 0.0)
        yield figure(f"rate {p:.0%}", alarmed)
    question = asked(MEAN, sequential=True)
    for sigma in (1.0, 1.5):
        sums, alarmed = [np.zeros((size, 2)) for _ in range(3)], np.zeros(size, dtype=np.bool_)
        for look in range(1, looks + 1):
            for power, value in enumerate(powers(rng.lognormal(0, sigma, (size, 2, step)))):
                sums[power] += value
            alarmed |= excluding(answer_question(question, one_mean(sums, look * step)), MEAN.name, 1.0)
        yield figure(f"mean, lognormal {sigma}", alarmed)
    metrics = [METRICS_BY_NAME[name] for name in QUANTILES.values()]
    column, first, width = bucketed(rng.lognormal(0, 1, (size, 2, looks * step)))
    counts = np.zeros((size, 2, width))
    alarms = {metric.name: np.zeros(size, dtype=np.bool_) for metric in metrics}
    for look in range(looks):
        part = column[..., look * step : (look + 1) * step]
        np.add.at(counts, (*np.indices(part.shape)[:2], part), 1)
        answer = answer_question(asked(*metrics, sequential=True), one_histogram(counts, first))
        for metric in metrics:
            alarms[metric.name] |= excluding(answer, metric.name, 1.0)
    for name, alarmed in alarms.items():
        yield figure(name.replace("latency_", ""), alarmed)


def clustered_looks(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """False alarms of 50 looks where users repeat."""
    users, looks, step = 500, 50, 200
    question = asked(RATE, sequential=True)
    rates = rng.beta(0.1 * (1 / 0.15 - 1), 0.9 * (1 / 0.15 - 1), (size, 2, users))
    group = rng.integers(0, GROUPS, (size, 2, users))
    hits, n = np.zeros((size, 1, 2, 1, GROUPS)), np.zeros((size, 1, 2, 1, GROUPS))
    alarmed = np.zeros(size, dtype=np.bool_)
    place = np.indices((size, 2, step))[:2]
    for _ in range(looks):
        user = rng.integers(0, users, (size, 2, step))
        at = (place[0], 0, place[1], 0, group[(*place, user)])
        np.add.at(n, at, 1)
        np.add.at(hits, at, rng.random(user.shape) < rates[(*place, user)])
        values = rate_values(hits, n, ["error_rate"], is_clustered=True)
        alarmed |= excluding(answer_question(question, evidence_of(values)), "error_rate", 0.0)
    yield Figure(
        section="false alarms, 50 looks",
        name="rate 10%, 500 users, ICC 0.15",
        share=float(alarmed.mean()),
        replicates=size,
        high=0.05,
    )
