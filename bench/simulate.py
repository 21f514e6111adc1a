"""Measure what the intervals and verdicts promise, on simulated traffic: coverage, false alarms, power, false ships.

Every figure goes through `answer_question`, the function behind `/compare`; where replicates are independent they are
asked as cohorts of one question. Seeded; half-widths of 95 % Monte-Carlo intervals stand behind the figures.

    python bench/simulate.py [--size small|full] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.answer import Answer, CellState, MetricRow, Verdict
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmSide, Cell, Evidence, MetricKey, Values
from tracecanary.analytics.metrics import METRICS_BY_NAME, Metric
from tracecanary.analytics.policy import Policy
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.statistics.histograms import COARSE_SCALE, SCALE, Histograms, bucket_of
from tracecanary.analytics.statistics.ramp import ramp_starts
from tracecanary.analytics.statistics.sample_ratio import log_sample_ratio_e_value
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

SEED = 20261123
Floats = NDArray[np.float64]
RATE, MEAN = METRICS_BY_NAME["error_rate"], METRICS_BY_NAME["cost_per_trace"]
QUANTILES = {0.5: "latency_p50", 0.95: "latency_p95", 0.99: "latency_p99"}
FOUR_RATES = ("error_rate", "tool_error_rate", "retry_rate", "fallback_rate")
_ALL_PLANNED = 5000


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured share beside its target; `low` and `high` are what it should lie between, as fractions."""

    section: str
    name: str
    share: float
    replicates: int
    low: float = 0.0
    high: float = 1.0

    @property
    def half_width(self) -> float:
        """Half of the 95 % Monte-Carlo interval (Agresti-Coull)."""
        n = self.replicates + 4
        centre = (self.share * self.replicates + 2) / n
        return 1.96 * math.sqrt(centre * (1 - centre) / n)

    @property
    def is_met(self) -> bool:
        """Whether the target lies within reach of what was measured."""
        return self.low - self.half_width <= self.share <= self.high + self.half_width


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


# Evidence from simulated values ------------------------------------------------------------------------------------


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


# Scenarios ---------------------------------------------------------------------------------------------------------


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


USERS, USER_TRACES, CORRELATION = 500, 5000, 0.15


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


def excluding(answer: Answer, metric: str, truth: float) -> NDArray[np.bool_]:
    """Tell in which cohorts the interval leaves out the truth."""
    return np.array([_low(row) > truth or _high(row) < truth for row in rows_of(answer, metric)])


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


def discoveries(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """False discoveries over 30 cohorts and 4 rates in 50 looks, the harmless ones worse by just their margin."""
    cohorts, looks, step, margin = 30, 50, 80, 0.01
    base = np.array([0.05, 0.1, 0.15, 0.2])
    metrics = [with_margin(name, margin) for name in FOUR_RATES]
    question = asked(*metrics, sequential=True, planned=4000)
    replicates = max(size // 4, 20)
    for name, harmed_share in (("15 % of the cells harmed by 60 %", 0.15), ("none harmed", 0.0)):
        false_shares, found, any_false = [], [], []
        for _ in range(replicates):
            harmed = rng.random((cohorts, len(base))) < harmed_share
            rate = np.stack([np.broadcast_to(base, harmed.shape), np.where(harmed, 1.6 * base, base + margin)], axis=1)
            hits, flagged = np.zeros((cohorts, 2, len(base))), np.zeros_like(harmed)
            for look in range(1, looks + 1):
                hits += rng.binomial(step, rate)
                n = np.full(hits.shape, float(look * step))
                values = rate_values(hits[:, None, :, :, None], n[:, None, :, :, None], FOUR_RATES)
                flagged |= confirmed(answer_question(question, evidence_of(values)))
            false_shares.append((flagged & ~harmed).sum() / max(flagged.sum(), 1))
            any_false.append(bool((flagged & ~harmed).any()))
            found.append((flagged & harmed).sum() / max(harmed.sum(), 1))
        section = "discoveries, 30 cohorts x 4 rates, 50 looks"
        if harmed_share:
            yield Figure(
                section=section,
                name=f"false share of the flagged, {name}",
                share=float(np.mean(false_shares)),
                replicates=replicates,
                high=0.05,
            )
            yield Figure(section=section, name=f"power, {name}", share=float(np.mean(found)), replicates=replicates)
        else:
            yield Figure(
                section=section,
                name=f"any false flag, {name}",
                share=float(np.mean(any_false)),
                replicates=replicates,
                high=0.05,
            )


def confirmed(answer: Answer) -> NDArray[np.bool_]:
    """Tell which cells are harms that stand among all: those with an interval of raised confidence."""
    return np.array(
        [
            [row.state is CellState.HARM and (row.ci_confidence or 0) > 0.95 for row in cohort.metrics]
            for cohort in answer.cohorts
        ]
    )


def decisions(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Verdicts on a rate of 5 % with a margin of 2 points, planned for 3,570 traces an arm, 100 looks up to twice that."""
    planned, looks = 3570, 100
    step = 2 * planned / looks
    question = asked(with_margin("error_rate", 0.02), sequential=True, planned=planned)
    section = "decisions, rate 5 %, margin 2 points"
    for name, rate, wanted in (
        ("no difference ships by the plan", 0.05, (0.8, 1.0)),
        ("worse by the margin ships at any look", 0.07, (0.0, 0.025)),
        ("5 % -> 9 %: named as worse by the plan", 0.09, (0.95, 1.0)),
        ("5 % -> 9 %: harm beyond the margin by twice the plan", 0.09, (0.9, 1.0)),
        ("5 % -> 11 %: harm beyond the margin by the plan", 0.11, (0.95, 1.0)),
        ("no difference called harm at any look", 0.05, (0.0, 0.025)),
    ):
        hits, event = np.zeros((2 * size, 2)), np.zeros(2 * size, dtype=np.bool_)
        n = 0
        for look in range(1, looks + 1):
            added = round(look * step) - n
            n += added
            hits += rng.binomial(added, [0.05, rate], hits.shape)
            if "by the plan" in name and n > planned:
                break
            answer = answer_question(question, one_rate(hits, np.full(2, n)))
            event |= np.array(
                [_has_happened(name, cohort.verdict, cohort.metrics[0].state) for cohort in answer.cohorts]
            )
        yield Figure(
            section=section, name=name, share=float(event.mean()), replicates=2 * size, low=wanted[0], high=wanted[1]
        )


def _has_happened(name: str, verdict: Verdict, state: CellState) -> bool:
    if "ships" in name:
        return verdict is Verdict.SHIP
    if "named" in name:
        return state in {CellState.WORSE, CellState.HARM}
    return state is CellState.HARM


def one_of_twelve(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """A regression from 5 % to 9 % in one of 12 cohorts: found by the plan of that cohort, and by what verdict."""
    planned, cohorts, replicates = 3570, 12, max(size // 4, 50)
    question = asked(with_margin("error_rate", 0.02), sequential=True, planned=planned)
    rate = np.full((cohorts, 2), 0.05)
    rate[3, 1] = 0.09
    named, narrowed, wrong = [], [], []
    for _ in range(replicates):
        hits = np.zeros((cohorts, 2))
        is_named = is_narrowed = is_wrong = False
        for look in range(1, 21):
            hits += rng.binomial(planned // 10, rate)
            n = np.full(2, look * (planned // 10))
            answer = answer_question(question, one_rate(hits, n))
            states = [cohort.metrics[0].state for cohort in answer.cohorts]
            is_named |= look <= 10 and states[3] in {CellState.WORSE, CellState.HARM}
            is_narrowed |= answer.overall.verdict is Verdict.NARROW and answer.routing.base == ["00003"]
            is_wrong |= answer.overall.verdict is Verdict.ROLL_BACK
        named.append(is_named)
        narrowed.append(is_narrowed)
        wrong.append(is_wrong)
    section = "one of 12 cohorts worse, 5 % -> 9 %"
    yield Figure(
        section=section,
        name="found and named by the plan",
        share=float(np.mean(named)),
        replicates=replicates,
        low=0.95,
    )
    yield Figure(
        section=section,
        name="verdict narrow to just it by twice the plan",
        share=float(np.mean(narrowed)),
        replicates=replicates,
    )
    yield Figure(
        section=section,
        name="rolled back as a whole at any look",
        share=float(np.mean(wrong)),
        replicates=replicates,
        high=0.05,
    )


def mixes(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Equal arms over different mixes of cohorts, and over a ramp in which the error rate drifts."""
    question = asked(RATE, sequential=False)
    section = "equal arms, different traffic, one look"
    n = np.array([[2100.0, 900.0], [900.0, 2100.0]])
    found = {"over one mix": [], "crude": [], "mix shift flagged": []}
    for _ in range(size):
        hits = rng.binomial(n.astype(int), [[0.02], [0.10]]).astype(float)
        answer = answer_question(
            question, evidence_of(rate_values(hits[:, None, :, None, None], n[:, None, :, None, None], ["error_rate"]))
        )
        row = answer.overall.metrics[0]
        found["over one mix"].append(_low(row) > 0 or _high(row) < 0)
        found["crude"].append(_is_crude_off(row))
        found["mix shift flagged"].append(answer.checks.mix_shift.figures["metrics"] == ["error_rate"])
    for name, wanted in (("over one mix", (0.03, 0.06)), ("crude", (0.0, 1.0)), ("mix shift flagged", (0.99, 1.0))):
        yield Figure(
            section=section,
            name=f"70/30 against 30/70 cohorts: {name}",
            share=float(np.mean(found[name])),
            replicates=size,
            low=wanted[0],
            high=wanted[1],
        )
    pooled, stratified = [], []
    for _ in range(size):
        hours = np.concatenate([np.tile([950.0, 50.0], (12, 1)), np.tile([500.0, 500.0], (12, 1))])
        hours = rng.poisson(hours).astype(float)
        rate = np.repeat([0.02, 0.08], 12)[:, None]
        hits = rng.binomial(hours.astype(int), rate).astype(float)
        for starts, alarms in (([0], pooled), (list(ramp_starts(hours)), stratified)):
            traces, failed = (np.add.reduceat(values, starts, axis=0) for values in (hours, hits))
            values = rate_values(failed[None, :, :, None, None], traces[None, :, :, None, None], ["error_rate"])
            row = answer_question(question, evidence_of(values)).overall.metrics[0]
            alarms.append(_low(row) > 0 or _high(row) < 0)
    yield Figure(
        section=section, name="ramp 5 -> 50 % with drift: pooled", share=float(np.mean(pooled)), replicates=size
    )
    yield Figure(
        section=section,
        name="ramp 5 -> 50 % with drift: by detected period",
        share=float(np.mean(stratified)),
        replicates=size,
        low=0.03,
        high=0.06,
    )


def _is_crude_off(row: MetricRow) -> bool:
    crude, effect = row.crude_effect or 0.0, row.effect or 0.0
    return crude > effect - _low(row) or crude < effect - _high(row)


def sample_ratios(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Alarms of the split's test in 100 looks, and what it finds."""
    section = "sample ratio, 100 looks up to 20,000"
    for name, share, wanted in (
        ("10 % as planned", 0.10, (0.0, 0.001)),
        ("11.5 % instead of 10 %", 0.115, (0.95, 1.0)),
    ):
        arrivals = rng.binomial(200, share, (4 * size, 100)).cumsum(axis=1)
        alarmed = [
            any(
                log_sample_ratio_e_value(np.array([[200 * (look + 1) - row[look], row[look]]]), np.array([[0.9, 0.1]]))
                > math.log(1000)
                for look in range(4, 100, 5)
            )
            for row in arrivals[:size]
        ]
        yield Figure(
            section=section, name=name, share=float(np.mean(alarmed)), replicates=size, low=wanted[0], high=wanted[1]
        )


SCENARIOS: tuple[Callable[[np.random.Generator, int], Iterator[Figure]], ...] = (
    one_look,
    clustered,
    any_look,
    clustered_looks,
    discoveries,
    decisions,
    one_of_twelve,
    mixes,
    sample_ratios,
)
SIZES = {"small": 60, "full": 400}


def main() -> None:
    """Run every scenario, print the table, and exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--only", help="part of a scenario's name")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    figures: list[Figure] = []
    for number, scenario in enumerate(SCENARIOS):
        if options.only and options.only not in scenario.__name__:
            continue
        begun = time.process_time()
        made = list(scenario(np.random.default_rng([SEED, number]), SIZES[options.size]))
        print_figures(made, time.process_time() - begun, is_first=not figures)
        figures += made
    if options.json:
        options.json.write_text(json.dumps([vars(figure) | {"is_met": figure.is_met} for figure in figures], indent=1))
    missed = [figure.name for figure in figures if not figure.is_met]
    print(
        f"\n{len(figures) - len(missed)} of {len(figures)} within their targets"
        + (f"; missed: {missed}" if missed else "")
    )
    raise SystemExit(1 if missed else 0)


def print_figures(figures: Sequence[Figure], seconds: float, *, is_first: bool) -> None:
    """Print a Markdown table's rows, and what they cost."""
    if is_first:
        print("| what | measured | target | replicates |\n|---|---|---|---|")
    for figure in figures:
        target = "" if (figure.low, figure.high) == (0.0, 1.0) else _target(figure)
        mark = "" if figure.is_met else " **missed**"
        print(
            f"| {figure.section}: {figure.name} | {figure.share:.1%} ± {figure.half_width:.1%} | {target}{mark} | {figure.replicates:,} |",
            flush=True,
        )
    print(f"<!-- {figures[0].section}: {seconds:.1f} s of CPU -->", flush=True)


def _target(figure: Figure) -> str:
    if figure.low == 0.0:
        return f"at most {figure.high:.1%}"
    return f"at least {figure.low:.0%}" if figure.high == 1.0 else f"{figure.low:.0%} to {figure.high:.0%}"


if __name__ == "__main__":
    main()
