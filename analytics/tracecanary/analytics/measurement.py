"""Every metric of every cell: effects, intervals, and what is needed to judge them. Pure, and vectorised over both.

Theory of operation. What does not depend on how the data is read (`summarise`) is worked out once; intervals are then
read off it at one confidence or another (`measure`). Columns of the arrays are rows of the answer: a metric, and its
evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from tracecanary.analytics.evidence import Floats
from tracecanary.analytics.metrics import Metric, MetricKind
from tracecanary.analytics.stacking import Stack
from tracecanary.analytics.statistics.arrays import Bounds, divide
from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.means import MeanArms, log_ratios, mean_ratios
from tracecanary.analytics.statistics.planning import traces_needed
from tracecanary.analytics.statistics.quantiles import log_quantile_bounds, quantile_ratios
from tracecanary.analytics.statistics.rates import rate_differences
from tracecanary.analytics.statistics.spread import ClusterEffect, MixedHistograms, cluster_effect, mix_histograms
from tracecanary.analytics.statistics.standardise import ArmMeans, standardise

MeasuredRow = tuple[Metric, str | None]
# An effect this many times nearer to the margin than no difference would take so many traces that a number misleads.
_MAX_NEARNESS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summaries:
    """What is measured of a stack, however it is read."""

    stack: Stack
    means: ArmMeans
    tails: ArmMeans | None
    histograms: Mapping[str, MixedHistograms]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    """Arrays of shape (cells, rows); NaN is undefined, an infinite bound none.

    Args:
        base: The base's value, and `candidate` the candidate's: of all compared values, uncapped.
        base_n: Values behind it, as `candidate_n`.
        effect: Candidate against base over one mix of strata, with its interval `low` to `high`.
        crude: The same without regard to the mix.
        mix_z: What the mix alone makes of the difference, in standard errors; `mix_critical` is the clock's value.
        needed: Traces of each arm that settle the row at its margin; NaN if no number does, or none is known.
        fewest: Effective traces of the smaller arm.
        events: Values that count as hits, both arms together; NaN for what is no rate.
        skewness: Of the estimate; 0 for what is no mean.
        groups: Cluster groups of the arm with fewer of them; NaN for independent values.
        largest_group: Largest share that one group has of an arm's values.
        tail_base: Share of the base's values above the cap, as `tail_candidate`; NaN for what has none.
        tail_low: Lower bound of their difference, as `tail_high` the upper one.
    """

    base: Floats
    candidate: Floats
    base_n: Floats
    candidate_n: Floats
    effect: Floats
    low: Floats
    high: Floats
    crude: Floats
    mix_z: Floats
    mix_critical: Floats
    needed: Floats
    fewest: Floats
    events: Floats
    skewness: Floats
    groups: Floats
    largest_group: Floats
    tail_base: Floats
    tail_candidate: Floats
    tail_low: Floats
    tail_high: Floats


def summarise(stack: Stack) -> Summaries:
    """Average every metric over its strata, alike in both arms."""
    return Summaries(
        stack=stack,
        means=standardise(stack.sums),
        tails=None if stack.tails is None else standardise(stack.tails),
        histograms={name: mix_histograms(histograms) for name, histograms in stack.histograms.items()},
    )


def measure(summaries: Summaries, rows: Sequence[MeasuredRow], look: Look) -> Measurements:
    """Measure every row in every cell."""
    cells = summaries.stack.traces.shape[0]
    made = Measurements(
        **{item.name: np.full((cells, len(rows)), np.nan) for item in fields(Measurements)},
    )
    made.base_n[:], made.candidate_n[:], made.skewness[:], made.largest_group[:] = 0.0, 0.0, 0.0, 0.0
    made.fewest[:] = 0.0
    keys = {key: place for place, key in enumerate(summaries.stack.keys)}
    by_kind: dict[MetricKind, list[tuple[int, int]]] = {MetricKind.RATE: [], MetricKind.MEAN: []}
    for row, (metric, evaluator) in enumerate(rows):
        if metric.kind is MetricKind.QUANTILE:
            _measure_quantile(made, row, summaries, metric, look)
        elif (metric.name, evaluator) in keys:
            by_kind[metric.kind].append((row, keys[metric.name, evaluator]))
    for kind, measured in ((MetricKind.RATE, _measure_rates), (MetricKind.MEAN, _measure_means)):
        if by_kind[kind]:
            places = np.array(by_kind[kind])
            margins = np.array([rows[row][0].margin for row in places[:, 0]])
            measured(made, places[:, 0], summaries, places[:, 1], margins, look)
    return made


def _measure_rates(
    made: Measurements, rows: Floats, summaries: Summaries, keys: Floats, margins: Floats, look: Look
) -> None:
    means = summaries.means
    rates, traces = means.mean[:, :, keys], means.rate_traces[:, :, keys]
    n, crude = means.n[:, :, keys], means.crude[:, :, keys]
    found = rate_differences((rates[0], rates[1]), (traces[0], traces[1]), look, correlation=means.correlation[:, keys])
    _keep(made, rows, found, n=n, values=crude, fewest=traces.min(axis=0))
    made.crude[:, rows] = crude[1] - crude[0]
    hits = np.nan_to_num(crude) * n
    made.events[:, rows] = np.round(hits.sum(axis=0))
    # Half a hit towards the rate of both arms: an arm without hits does not look free of variance.
    centre = (hits.sum(axis=0) + 0.5) / (n.sum(axis=0) + 1)
    pulled = (hits + centre) / (n + 1)
    design = np.where(traces > 0, divide(n, traces), 1.0)
    shared = 1 - means.correlation[:, keys]
    variance = (pulled * (1 - pulled) * design).sum(axis=0) * shared
    variance = np.where(n.sum(axis=0) > 0, variance, np.nan)
    made.needed[:, rows] = _needed(variance, margins, found.value, look)
    _keep_quality(made, rows, summaries, keys)
    _keep_mix(made, rows, means, keys, traces, look)


def _measure_means(
    made: Measurements, rows: Floats, summaries: Summaries, keys: Floats, margins: Floats, look: Look
) -> None:
    means = summaries.means
    arms = MeanArms(
        mean=means.mean[:, :, keys],
        variance=means.variance[:, :, keys],
        third_moment=means.third_moment[:, :, keys],
        freedom=means.freedom[:, :, keys],
        traces=means.traces[:, :, keys],
        covariance=means.covariance[:, keys],
    )
    n = means.n[:, :, keys]
    shown = divide(np.moveaxis(summaries.stack.totals, 1, 0)[:, :, keys], n)
    found = mean_ratios(arms, look)
    _keep(made, rows, found, n=n, values=shown, fewest=arms.traces.min(axis=0))
    logs = log_ratios(arms, look)
    made.skewness[:, rows] = logs.skewness
    crude = means.crude[:, :, keys]
    made.crude[:, rows] = np.where((crude > 0).all(axis=0), divide(crude[1], crude[0]), np.nan)
    with np.errstate(all="ignore"):
        relative = arms.variance / arms.mean**2
        # Of one trace in each arm; what pairing saves and the t factor costs stays the same share of it.
        variance = (relative * n).sum(axis=0) * divide(logs.error**2, relative.sum(axis=0))
        made.needed[:, rows] = _needed(variance, np.log(margins), np.log(found.value), look)
    _keep_quality(made, rows, summaries, keys)
    _keep_mix(made, rows, means, keys, arms.traces, look)
    if summaries.tails is not None:
        _keep_tails(made, rows, summaries.tails, keys, look)


def _keep_tails(made: Measurements, rows: Floats, tails: ArmMeans, keys: Floats, look: Look) -> None:
    rates, traces = tails.mean[:, :, keys], tails.rate_traces[:, :, keys]
    found = rate_differences((rates[0], rates[1]), (traces[0], traces[1]), look)
    made.tail_base[:, rows], made.tail_candidate[:, rows] = rates[0], rates[1]
    made.tail_low[:, rows], made.tail_high[:, rows] = found.low, found.high


def _measure_quantile(made: Measurements, row: int, summaries: Summaries, metric: Metric, look: Look) -> None:
    p = metric.quantile
    if p is None:
        raise ValueError(f"metric {metric.name} is a quantile, but its catalogue entry does not say which")
    mixed = summaries.histograms.get(metric.values_from)
    if mixed is None:
        return
    clusters = _clusters_of(summaries, metric.values_from, mixed, p)
    traces = mixed.traces / clusters.design_effect
    arms = log_quantile_bounds(mixed.mixed, p, traces, look)
    base, candidate = (Bounds(value=arms.value[:, i], low=arms.low[:, i], high=arms.high[:, i]) for i in (0, 1))
    found = quantile_ratios(base, candidate, correlation=clusters.correlation)
    with np.errstate(all="ignore"):
        crude = np.exp(mixed.crude.log_value((1 + (mixed.n - 1) * p)[..., None])[..., 0])
        shown = _exact(summaries.stack, metric.values_from, p, mixed.n, crude)
        # The histogram's ratio with the exact values in place of its own, where those are known.
        factor = np.nan_to_num(divide(shown[:, 1] * crude[:, 0], shown[:, 0] * crude[:, 1]), nan=1.0)
        found = Bounds(value=found.value * factor, low=found.low * factor, high=found.high * factor)
        n = np.moveaxis(mixed.n, 1, 0)
        rows = np.array([row])
        by_row = Bounds(value=found.value[:, None], low=found.low[:, None], high=found.high[:, None])
        fewest = np.where(n.min(axis=0) > 0, traces.min(axis=1), 0.0)
        _keep(made, rows, by_row, n=n[:, :, None], values=shown.T[:, :, None], fewest=fewest[:, None])
        made.crude[:, row] = divide(shown[:, 1], shown[:, 0])
        width = (arms.high - arms.low) / 2
        harmonic = 1 / (1 / traces).sum(axis=1)
        variance = mixed.n * (width / look.critical(harmonic)[:, None]) ** 2
        # An arm with too few traces for both bounds is taken to be like the other one.
        variance = np.where(np.isfinite(variance), variance, variance[:, ::-1])
        both = variance.sum(axis=1) * (1 - clusters.correlation)
        made.needed[:, row] = _needed(both[:, None], np.log(np.array([metric.margin])), np.log(by_row.value), look)[
            :, 0
        ]
    if summaries.stack.group_histograms:
        in_group = summaries.stack.group_histograms[metric.values_from].counts.sum(axis=(1, 4))
        made.groups[:, row] = (in_group > 0).sum(axis=-1).min(axis=1)
        made.largest_group[:, row] = np.nan_to_num(divide(in_group.max(axis=-1), in_group.sum(axis=-1))).max(axis=1)


def _clusters_of(summaries: Summaries, name: str, mixed: MixedHistograms, p: float) -> ClusterEffect:
    groups = summaries.stack.group_histograms.get(name)
    if groups is None:
        return ClusterEffect(design_effect=np.ones_like(mixed.n), correlation=np.zeros(len(mixed.n)))
    log_value = mixed.mixed.log_value((1 + (mixed.n - 1) * p)[..., None])[..., 0]
    return cluster_effect(groups, mixed, log_value, is_paired=summaries.stack.sums.is_paired)


def _exact(stack: Stack, name: str, p: float, n: Floats, otherwise: Floats) -> Floats:
    """Return exact quantiles where those of just these values are known."""
    shown = otherwise.copy()
    for (values_name, cell, arm), (exact_n, by_quantile) in stack.exact.items():
        if values_name == name and p in by_quantile and exact_n == n[cell, arm]:
            shown[cell, arm] = by_quantile[p]
    return shown


def _keep(made: Measurements, rows: Floats, found: Bounds, *, n: Floats, values: Floats, fewest: Floats) -> None:
    made.effect[:, rows], made.low[:, rows], made.high[:, rows] = found.value, found.low, found.high
    made.base_n[:, rows], made.candidate_n[:, rows] = n[0], n[1]
    made.base[:, rows], made.candidate[:, rows] = values[0], values[1]
    made.fewest[:, rows] = np.nan_to_num(fewest)


def _keep_quality(made: Measurements, rows: Floats, summaries: Summaries, keys: Floats) -> None:
    if summaries.stack.sums.is_clustered:
        made.groups[:, rows] = summaries.means.groups.min(axis=0)[:, keys]
        made.largest_group[:, rows] = summaries.means.largest_group.max(axis=0)[:, keys]


def _keep_mix(made: Measurements, rows: Floats, means: ArmMeans, keys: Floats, traces: Floats, look: Look) -> None:
    with np.errstate(all="ignore"):
        harmonic = 1 / (1 / traces).sum(axis=0)
        error = means.mix_error[:, keys]
        mix = means.mix[:, keys]
        scale = np.abs(means.crude[:, :, keys]).max(axis=0)
        # Sums of weights round: a mix that is no more than that is none.
        real = np.abs(mix) > 1e-9 * scale
        made.mix_z[:, rows] = np.where(real, divide(mix, error), 0.0)
        made.mix_critical[:, rows] = look.critical(harmonic)


def _needed(variance: Floats, margins: Floats, effect: Floats, look: Look) -> Floats:
    """Return the traces of each arm that settle the row; the nearer the effect to its margin, the more.

    NaN where the effect is so near that a number would mislead.
    """
    with np.errstate(all="ignore"):
        distance = np.abs(margins - np.nan_to_num(effect))
        nearness = np.maximum(1.0, divide(margins + np.zeros_like(distance), distance))
        needed = traces_needed(variance, margins / nearness, look)
        return np.where(nearness > _MAX_NEARNESS, np.nan, needed)
