"""Every metric of every cell: effects, intervals, and what is needed to judge them. Pure, and vectorised over both.

Theory of operation. What does not depend on how the data is read (`summarise`) is worked out once; intervals are then
read off it at one confidence or another (`measure`). Columns of the arrays are rows of the answer: a metric, and its
evaluator.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.evidence import Floats
from tracecanary.analytics.metrics import Metric, MetricKind
from tracecanary.analytics.stacking import Stack
from tracecanary.analytics.statistics.arrays import Bounds, divide
from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.means import MeanArms, log_ratios, ratios_of
from tracecanary.analytics.statistics.planning import detectable_effect, traces_needed
from tracecanary.analytics.statistics.quantiles import log_quantile_bounds, quantile_ratios
from tracecanary.analytics.statistics.rates import rate_differences
from tracecanary.analytics.statistics.spread import ClusterEffect, MixedHistograms, cluster_effect, mix_histograms
from tracecanary.analytics.statistics.standardise import ArmMeans, standardise

MeasuredRow = tuple[Metric, str | None]
# Columns of an array.
Places = NDArray[np.intp] | Sequence[int]
# An effect this many times nearer to the margin than no difference would take so many traces that a number misleads.
_MAX_NEARNESS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantileSummary:
    """Values whose quantiles are measured.

    Args:
        quantiles: Fractions in (0, 1).
        mixed: Histograms of the values.
        clusters: What clusters do to the quantiles.
        groups: Cluster groups of the arm with fewer of them, shape (cells,); NaN for independent values.
        largest_group: Largest share that one group has of an arm's values, shape (cells,).
    """

    quantiles: tuple[float, ...]
    mixed: MixedHistograms
    clusters: ClusterEffect
    groups: Floats
    largest_group: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summaries:
    """What is measured of a stack, however it is read."""

    stack: Stack
    means: ArmMeans
    tails: ArmMeans | None
    quantiles: Mapping[str, QuantileSummary]

    def of_cells(self, places: Places) -> Summaries:
        """Return the cells at `places` alone, as far as measuring them takes."""
        stack, number = self.stack, {int(place): index for index, place in enumerate(places)}
        exact = {(name, number[cell], arm): found for (name, cell, arm), found in stack.exact.items() if cell in number}
        return Summaries(
            stack=dataclasses.replace(stack, totals=stack.totals[places], traces=stack.traces[places], exact=exact),
            means=self.means.of_cells(places),
            tails=None if self.tails is None else self.tails.of_cells(places),
            quantiles={name: _of_cells(summary, places) for name, summary in self.quantiles.items()},
        )


def _of_cells(summary: QuantileSummary, places: Places) -> QuantileSummary:
    clusters = summary.clusters
    return QuantileSummary(
        quantiles=summary.quantiles,
        mixed=summary.mixed.of_cells(places),
        clusters=ClusterEffect(design_effect=clusters.design_effect[places], correlation=clusters.correlation[places]),
        groups=summary.groups[places],
        largest_group=summary.largest_group[places],
    )


class MeasuredNumbers(NamedTuple):
    """The numbers of one row of one cell, as in `Measurements`."""

    base: float
    candidate: float
    base_n: float
    candidate_n: float
    effect: float
    low: float
    high: float
    crude: float
    error: float
    detectable: float
    mix_z: float
    mix_critical: float
    needed: float
    fewest: float
    events: float
    skewness: float
    groups: float
    largest_group: float
    tail_base: float
    tail_candidate: float
    tail_low: float
    tail_high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    """Arrays of shape (cells, rows); NaN is undefined, an infinite bound none.

    Args:
        base: The base's value, and `candidate` the candidate's: of all compared values, uncapped.
        base_n: Values behind it, as `candidate_n`.
        effect: Candidate against base over one mix of strata, with its interval `low` to `high`.
        crude: The same without regard to the mix.
        error: Standard error of the effect; of its logarithm for a ratio.
        detectable: Effect that would be told from none by now with a chance of 80 %, on the effect's scale.
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
    error: Floats
    detectable: Floats
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

    def rows_of(self, place: int) -> Iterator[MeasuredNumbers]:
        """Give the numbers of each row of a cell."""
        columns = (getattr(self, name)[place].tolist() for name in MeasuredNumbers._fields)
        return itertools.starmap(MeasuredNumbers, zip(*columns, strict=True))


def summarise(stack: Stack, rows: Sequence[MeasuredRow]) -> Summaries:
    """Average every metric over its strata, alike in both arms."""
    quantiles: dict[str, QuantileSummary] = {}
    for name in {metric.values_from for metric, _ in rows if metric.kind is MetricKind.QUANTILE}:
        if name in stack.histograms:
            ps = tuple(_quantile_of(metric) for metric, _ in rows if metric.values_from == name)
            mixed = mix_histograms(stack.histograms[name])
            clusters = _cluster_effects(stack, name, mixed, np.array(ps))
            groups, largest = _group_sizes(stack, name)
            quantiles[name] = QuantileSummary(
                quantiles=ps, mixed=mixed, clusters=clusters, groups=groups, largest_group=largest
            )
    return Summaries(
        stack=stack,
        means=standardise(stack.sums),
        tails=None if stack.tails is None else standardise(stack.tails),
        quantiles=quantiles,
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
    quantiles: dict[str, list[int]] = {}
    for row, (metric, evaluator) in enumerate(rows):
        if metric.kind is MetricKind.QUANTILE:
            quantiles.setdefault(metric.values_from, []).append(row)
        elif (metric.name, evaluator) in keys:
            by_kind[metric.kind].append((row, keys[metric.name, evaluator]))
    for kind, measured in ((MetricKind.RATE, _measure_rates), (MetricKind.MEAN, _measure_means)):
        if by_kind[kind]:
            places = np.array(by_kind[kind])
            margins = np.array([rows[row][0].margin for row in places[:, 0]])
            measured(made, places[:, 0], summaries, places[:, 1], margins, look)
    for chosen in quantiles.values():
        _measure_quantiles(made, chosen, summaries, [rows[row][0] for row in chosen], look)
    return made


def _measure_rates(
    made: Measurements, rows: Places, summaries: Summaries, keys: Places, margins: Floats, look: Look
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
    with np.errstate(all="ignore"):
        made.error[:, rows] = np.sqrt((pulled * (1 - pulled) / traces).sum(axis=0) * shared)
        critical = look.critical(1 / (1 / traces).sum(axis=0))
    made.detectable[:, rows] = detectable_effect(made.error[:, rows], critical)
    _keep_quality(made, rows, summaries, keys)
    _keep_mix(made, rows, means, keys, traces, look)


def _measure_means(
    made: Measurements, rows: Places, summaries: Summaries, keys: Places, margins: Floats, look: Look
) -> None:
    means = summaries.means
    arms = MeanArms.of(means, keys)
    n = means.n[:, :, keys]
    shown = divide(np.moveaxis(summaries.stack.totals, 1, 0)[:, :, keys], n)
    logs = log_ratios(arms, look)
    found = ratios_of(logs, look)
    _keep(made, rows, found, n=n, values=shown, fewest=arms.traces.min(axis=0))
    made.skewness[:, rows] = logs.skewness
    made.error[:, rows] = logs.error
    made.detectable[:, rows] = _as_ratio(detectable_effect(logs.error, look.critical(logs.harmonic_traces)))
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
        _keep_tails(made, rows, summaries, keys, look)


def _keep_tails(made: Measurements, rows: Places, summaries: Summaries, keys: Places, look: Look) -> None:
    tails, places = summaries.tails, {key: place for place, key in enumerate(summaries.stack.tail_keys)}
    of_rows = [(row, summaries.stack.keys[key]) for row, key in zip(rows, keys, strict=True)]
    capped = [(row, places[key]) for row, key in of_rows if key in places]
    if tails is None or not capped:
        return
    rows, keys = [row for row, _ in capped], [place for _, place in capped]
    rates, traces = tails.mean[:, :, keys], tails.rate_traces[:, :, keys]
    found = rate_differences((rates[0], rates[1]), (traces[0], traces[1]), look)
    made.tail_base[:, rows], made.tail_candidate[:, rows] = rates[0], rates[1]
    made.tail_low[:, rows], made.tail_high[:, rows] = found.low, found.high


def _measure_quantiles(
    made: Measurements, rows: Sequence[int], summaries: Summaries, metrics: Sequence[Metric], look: Look
) -> None:
    """Measure quantiles of the same values."""
    name = metrics[0].values_from
    summary = summaries.quantiles.get(name)
    if summary is None:
        return
    mixed, clusters, ps = summary.mixed, summary.clusters, np.array(summary.quantiles)
    traces = mixed.traces[..., None] / clusters.design_effect
    arms = log_quantile_bounds(mixed.mixed, summary.quantiles, traces, look)
    base, candidate = (Bounds(value=arms.value[:, i], low=arms.low[:, i], high=arms.high[:, i]) for i in (0, 1))
    found = quantile_ratios(base, candidate, correlation=clusters.correlation)
    with np.errstate(all="ignore"):
        n = mixed.n[..., None]
        crude = np.exp(mixed.crude.log_value(1 + (n - 1) * ps))
        shown = _exact(summaries.stack, name, ps, mixed.n, crude)
        # The histogram's ratio with the exact values in place of its own, where those are known.
        factor = np.nan_to_num(divide(shown[:, 1] * crude[:, 0], shown[:, 0] * crude[:, 1]), nan=1.0)
        found = Bounds(value=found.value * factor, low=found.low * factor, high=found.high * factor)
        fewest = np.where(mixed.n.min(axis=1)[:, None] > 0, traces.min(axis=1), 0.0)
        counts = np.broadcast_to(np.moveaxis(n, 1, 0), (2, len(n), len(rows)))
        _keep(made, rows, found, n=counts, values=np.moveaxis(shown, 1, 0), fewest=fewest)
        made.crude[:, rows] = divide(shown[:, 1], shown[:, 0])
        critical = look.critical(1 / (1 / traces).sum(axis=1))
        errors = (arms.high - arms.low) / 2 / critical[:, None]
        made.error[:, rows] = np.sqrt((errors**2).sum(axis=1) * (1 - clusters.correlation))
        made.detectable[:, rows] = _as_ratio(detectable_effect(made.error[:, rows], critical))
        variance = n * errors**2
        # An arm with too few traces for both bounds is taken to be like the other one.
        variance = np.where(np.isfinite(variance), variance, variance[:, ::-1])
        both = variance.sum(axis=1) * (1 - clusters.correlation)
        margins = np.log(np.array([metric.margin for metric in metrics]))
        made.needed[:, rows] = _needed(both, margins, np.log(found.value), look)
    made.groups[:, rows] = summary.groups[:, None]
    made.largest_group[:, rows] = summary.largest_group[:, None]


def _group_sizes(stack: Stack, name: str) -> tuple[Floats, Floats]:
    """Return groups and largest group's share of each cell; NaN and 0 where values count as independent."""
    if name not in stack.group_counts:
        return np.full(len(stack.traces), np.nan), np.zeros(len(stack.traces))
    in_group = stack.group_counts[name].n.sum(axis=1)
    shares = np.nan_to_num(divide(in_group.max(axis=-1), in_group.sum(axis=-1)))
    return (in_group > 0).sum(axis=-1).min(axis=1).astype(np.float64), shares.max(axis=1)


def _as_ratio(log_effect: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.exp(log_effect)


def _quantile_of(metric: Metric) -> float:
    if metric.quantile is None:
        raise ValueError(f"metric {metric.name} is a quantile, but its catalogue entry does not say which")
    return metric.quantile


def _cluster_effects(stack: Stack, name: str, mixed: MixedHistograms, ps: Floats) -> ClusterEffect:
    groups = stack.group_counts.get(name)
    if groups is None:
        cells = len(mixed.n)
        return ClusterEffect(design_effect=np.ones((cells, 2, len(ps))), correlation=np.zeros((cells, len(ps))))
    log_values = mixed.mixed.log_value(1 + (mixed.n[..., None] - 1) * ps)
    return cluster_effect(groups, mixed, log_values, is_paired=stack.sums.is_paired)


def _exact(stack: Stack, name: str, ps: Floats, n: Floats, otherwise: Floats) -> Floats:
    """Return exact quantiles where those of just these values are known."""
    shown = otherwise.copy()
    for (values_name, cell, arm), (exact_n, by_quantile) in stack.exact.items():
        if values_name == name and exact_n == n[cell, arm]:
            for column, p in enumerate(ps.tolist()):
                shown[cell, arm, column] = by_quantile.get(p, shown[cell, arm, column])
    return shown


def _keep(made: Measurements, rows: Places, found: Bounds, *, n: Floats, values: Floats, fewest: Floats) -> None:
    made.effect[:, rows], made.low[:, rows], made.high[:, rows] = found.value, found.low, found.high
    made.base_n[:, rows], made.candidate_n[:, rows] = n[0], n[1]
    made.base[:, rows], made.candidate[:, rows] = values[0], values[1]
    made.fewest[:, rows] = np.nan_to_num(fewest)


def _keep_quality(made: Measurements, rows: Places, summaries: Summaries, keys: Places) -> None:
    if summaries.stack.sums.is_clustered:
        made.groups[:, rows] = summaries.means.groups.min(axis=0)[:, keys]
        made.largest_group[:, rows] = summaries.means.largest_group.max(axis=0)[:, keys]


def _keep_mix(made: Measurements, rows: Places, means: ArmMeans, keys: Places, traces: Floats, look: Look) -> None:
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
