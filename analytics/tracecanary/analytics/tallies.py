"""What rollups say of a question's metrics: sums, histograms and tails by cohort, period, arm and group. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.evidence import MetricKey, Stated
from tracecanary.analytics.policy import EVALUATION_METRIC
from tracecanary.analytics.rollup_arrays import Chosen, Flags, Floats, Picked, Places, pick, tally
from tracecanary.analytics.statistics.histograms import COARSE_SCALE, SCALE, Histograms
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

# Bucket of zeros in the rollups.
_ZEROS = -32768
# Of the columns <name>_high.
_HIGH = 2.0**32
# Above all buckets.
_NO_BUCKET = 2**31
# Divided by, since 1e9 is exact in floating point and 1e-9 is not.
_NANOS, _MICROS, _MILLIS = 1e9, 1e6, 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    """A rate's columns in rollup_groups; `told_by` names the flags of keys whose traces would show a hit."""

    hits: str
    told_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mean:
    """A mean's columns in rollup_groups: `<name>_total`, `_sq` and `_cube`.

    Args:
        name: Of the columns.
        known: Column that counts the traces with a value.
        per_unit: How many units of the first two make one of the metric.
        per_cube_unit: How many of the last.
    """

    name: str
    known: str
    per_unit: float = 1.0
    per_cube_unit: float = 1.0


_RATES: Mapping[str, _Rate] = {
    "error_rate": _Rate(hits="errors"),
    "tool_error_rate": _Rate(hits="with_tool_errors"),
    "retry_rate": _Rate(hits="retried", told_by="retries"),
    "fallback_rate": _Rate(hits="fell_back", told_by="fallbacks"),
    "thumbs_down_rate": _Rate(hits="thumbs_down", told_by="thumbs"),
    "escalation_rate": _Rate(hits="escalated", told_by="escalations"),
}
_MEANS: Mapping[str, _Mean] = {
    "cost_per_trace": _Mean(name="cost", known="with_cost", per_unit=_NANOS, per_cube_unit=_MICROS),
    "input_tokens": _Mean(name="input_tokens", known="input_tokens_known"),
    "output_tokens": _Mean(name="output_tokens", known="output_tokens_known"),
    "steps_per_trace": _Mean(name="steps", known="traces"),
}
MEAN_NAMES = tuple(_MEANS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Places of a question's cohorts, periods and arms in flattened arrays."""

    cohorts: int
    periods: int
    code_of: Mapping[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cohorts, periods, arms."""
        return self.cohorts, self.periods, 2

    def pick(self, table: str, chosen: Iterable[Chosen]) -> Picked:
        """Pick the rows of a table, with the places of their cells."""
        return pick(table, chosen, self.code_of, per_period=2)


def cells_of(place_of: Mapping[int, tuple[int, int]], *, cohorts: int, periods: int) -> Cells:
    """Return the cells of a question.

    Args:
        place_of: Cohort and arm (0 or 1) of each rollup key.
        cohorts: Number of cohorts.
        periods: Number of periods.
    """
    codes = {key: cohort * periods * 2 + arm for key, (cohort, arm) in place_of.items()}
    return Cells(cohorts=cohorts, periods=periods, code_of=codes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sums:
    """Sums of one metric, each of shape (cohorts, periods, 2, groups)."""

    n: Floats
    total: Floats
    squares: Floats
    cubes: Floats


def group_sums(
    cells: Cells,
    groups: tuple[Picked, Places],
    evaluators: Picked,
    measures: Picked,
    told: Mapping[str, Flags],
    *,
    own_metrics: Collection[str],
    is_clustered: bool,
    is_paired: bool,
) -> tuple[tuple[MetricKey, ...], GroupSums]:
    """Add up every metric by cell and cluster group.

    Args:
        cells: Where they go.
        groups: Rows of rollup_groups, and the place of each row's cell.
        evaluators: Rows of rollup_evaluators.
        measures: Rows of rollup_measures.
        told: Rows of `groups` whose traces would show a hit, by `told_by`.
        own_metrics: Names of the metrics that `measures` are taken of.
        is_clustered: Whether groups are kept apart.
        is_paired: Whether the same clusters are in both arms.

    Returns:
        Metrics with their evaluators, by name, and their sums.
    """
    rows, places = groups
    made: dict[MetricKey, _Sums] = {}
    adding = _Adding(cells, places, rows["g"] if is_clustered else None)
    for name, rate in _RATES.items():
        counted = rows["traces"] if rate.told_by is None else rows["traces"] * told[rate.told_by]
        hits = adding.sums(rows[rate.hits] if rate.told_by is None else rows[rate.hits] * told[rate.told_by])
        made[name, None] = _Sums(n=adding.sums(counted), total=hits, squares=hits, cubes=hits)
    for name, mean in _MEANS.items():
        made[name, None] = _Sums(
            n=adding.sums(rows[mean.known]),
            total=adding.sums(rows[f"{mean.name}_total"]) / mean.per_unit,
            squares=adding.wide_sums(rows, f"{mean.name}_sq") / mean.per_unit**2,
            cubes=adding.wide_sums(rows, f"{mean.name}_cube") / mean.per_cube_unit**3,
        )
    made |= _evaluator_sums(cells, evaluators, is_clustered=is_clustered)
    made |= _measure_sums(cells, measures, own_metrics, is_clustered=is_clustered)
    keys = tuple(sorted((key for key, sums in made.items() if sums.n.any()), key=lambda key: (key[0], key[1] or "")))
    return keys, _stacked(cells, [made[key] for key in keys], is_clustered=is_clustered, is_paired=is_paired)


class _Adding:
    """Adds up columns by cell, and by group if `g` is given."""

    def __init__(self, cells: Cells, places: Places, g: NDArray[Any] | None) -> None:
        self._shape = (*cells.shape, 1 if g is None else GROUPS)
        self._places = places if g is None else places * GROUPS + g

    def sums(self, weights: NDArray[Any]) -> Floats:
        return tally(self._places, weights, self._shape)

    def wide_sums(self, rows: Picked, name: str) -> Floats:
        """Add up whole numbers beyond 2^53, rounded once: what one part adds and another takes away leaves no trace."""
        return self.sums(rows[f"{name}_high"]) * _HIGH + self.sums(rows[f"{name}_low"])


def _evaluator_sums(cells: Cells, rows: Picked, *, is_clustered: bool) -> dict[MetricKey, _Sums]:
    made: dict[MetricKey, _Sums] = {}
    g = rows["g"] if is_clustered else None
    for name, chosen in named_evaluators(rows).items():
        adding = _Adding(cells, rows.codes[chosen], None if g is None else g[chosen])
        failed = adding.sums(rows["failed"][chosen])
        made[EVALUATION_METRIC, name] = _Sums(
            n=adding.sums(rows["judged"][chosen]), total=failed, squares=failed, cubes=failed
        )
    return made


def _measure_sums(
    cells: Cells, rows: Picked, own_metrics: Collection[str], *, is_clustered: bool
) -> dict[MetricKey, _Sums]:
    if not len(rows.codes):
        return {}
    made: dict[MetricKey, _Sums] = {}
    g = rows["g"] if is_clustered else None
    metrics, names = rows.labelled("metric")
    for number, name in enumerate(names):
        if name in own_metrics:
            chosen = np.flatnonzero(metrics == number)
            adding = _Adding(cells, rows.codes[chosen], None if g is None else g[chosen])
            wide = {
                power: adding.sums(rows[f"value_{power}_high"][chosen]) * _HIGH
                + adding.sums(rows[f"value_{power}_low"][chosen])
                for power in ("sq", "cube")
            }
            made[name, None] = _Sums(
                n=adding.sums(rows["known"][chosen]),
                total=adding.sums(rows["value_total"][chosen]) / _MICROS,
                squares=wide["sq"] / _MICROS**2,
                cubes=wide["cube"] / _MILLIS**3,
            )
    return made


def stated_traces(
    cells: Cells, rows: Picked, own_metrics: Collection[str], traces: Floats
) -> dict[str, tuple[Stated, Stated]]:
    """Count the traces of each arm that state an own metric, by its name; rows of rollup_measures.

    As of all that is said of the arms as a whole, cohorts that only one arm saw are left out, unless there are no
    others. `traces` are those of each cohort, period and arm, of the shape of `cells`.
    """
    if not len(rows.codes):
        return {}
    is_compared = (traces.sum(axis=1) > 0).all(axis=1)
    if not is_compared.any():
        is_compared = np.ones_like(is_compared)
    metrics, names = rows.labelled("metric")
    found = {}
    for number, name in enumerate(names):
        if name in own_metrics:
            chosen = np.flatnonzero(metrics == number)
            stated, known = (
                tally(rows.codes[chosen], rows[column][chosen], cells.shape)[is_compared].sum(axis=(0, 1))
                for column in ("stated", "known")
            )
            base, candidate = (
                Stated(known=round(float(known[arm])), unusable=round(float(stated[arm] - known[arm])))
                for arm in (0, 1)
            )
            found[name] = (base, candidate)
    return found


def named_evaluators(rows: Picked) -> dict[str, Places]:
    """Return the rows of each evaluator; one seen in several versions is several, called name@version."""
    if not len(rows.codes):
        return {}
    (evaluators, names), (versions, version_names) = rows.labelled("evaluator"), rows.labelled("version")
    judged = tally(evaluators * len(version_names) + versions, rows["judged"], (len(names), len(version_names)))
    named = {}
    for evaluator, version in np.argwhere(judged > 0).tolist():
        is_one = (judged[evaluator] > 0).sum() == 1
        name = names[evaluator] if is_one else f"{names[evaluator]}@{version_names[version]}"
        named[name] = np.flatnonzero((evaluators == evaluator) & (versions == version))
    return named


def _stacked(cells: Cells, sums: Sequence[_Sums], *, is_clustered: bool, is_paired: bool) -> GroupSums:
    def stack(arrays: Sequence[Floats]) -> Floats:
        if not arrays:
            return np.zeros((*cells.shape, 0, GROUPS if is_clustered else 1))
        return np.stack(arrays, axis=3)

    return GroupSums(
        n=stack([one.n for one in sums]),
        total=stack([one.total for one in sums]),
        squares=stack([one.squares for one in sums]),
        cubes=stack([one.cubes for one in sums]),
        is_clustered=is_clustered,
        is_paired=is_paired,
    )


def histograms_of(cells: Cells, rows: Picked, *, is_by_group: bool = False) -> dict[str, Histograms]:
    """Return the histograms of each metric of the rows, by cell, and by cluster group if asked for."""
    if not len(rows.codes):
        return {}
    metrics, names = rows.labelled("metric")
    bucket, n = rows["bucket"].astype(np.int64), rows["n"]
    places = rows.codes * GROUPS + rows["g"] if is_by_group else rows.codes
    shape = (*cells.shape, GROUPS) if is_by_group else cells.shape
    made = {}
    for number, name in enumerate(names):
        chosen = slice(None) if len(names) == 1 else np.flatnonzero(metrics == number)
        found = _histogram(places[chosen], bucket[chosen], n[chosen], shape, COARSE_SCALE if is_by_group else SCALE)
        if found.counts.any():
            made[name] = found
    return made


def _histogram(places: Places, bucket: Places, n: NDArray[Any], shape: tuple[int, ...], scale: int) -> Histograms:
    is_zero = bucket == _ZEROS
    numbers = bucket[~is_zero] if is_zero.any() else bucket
    first, last = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    columns = np.where(is_zero, 0, bucket - first + 1)
    width = last - first + 2
    return Histograms(counts=tally(places * width + columns, n, (*shape, width)), first=first, scale=scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tails:
    """What values beyond a cap are: rows by cell place, cluster group and metric, in the metric's unit."""

    places: Places
    g: NDArray[Any]
    metrics: tuple[Places, list[str]]
    n: Floats
    total: Floats
    squares: Floats
    cubes: Floats


def tails_above(rows: Picked, caps: Mapping[str, float]) -> Tails | None:
    """Return what values above their caps have beyond them; None where the rows do not reach down to a cap.

    Args:
        rows: Of rollup_tails.
        caps: Each the upper end of a bucket.
    """
    metrics, names = rows.labelled("metric")
    cut = np.array([_bucket_below(caps[name]) if name in caps else _NO_BUCKET for name in names], dtype=np.int64)[
        metrics
    ]
    if (rows["complete_from"] > cut + 1).any():
        return None
    chosen = np.flatnonzero(rows["bucket"] > cut)
    # Whole numbers are added up before anything is rounded, as in `_Adding.wide_sums`.
    one = (rows.codes[chosen] * GROUPS + rows["g"][chosen]) * len(names) + metrics[chosen]
    places, place = np.unique(one, return_inverse=True)
    metric: Places = places % max(len(names), 1)

    def summed(name: str) -> Floats:
        return tally(place, rows[name][chosen], (len(places),))

    def wide(name: str) -> Floats:
        return summed(f"{name}_high") * _HIGH + summed(f"{name}_low")

    def of_metric(value: Mapping[str, float]) -> Floats:
        return np.array([value.get(name, 1.0) for name in names] or [1.0])[metric]

    per_unit = of_metric({name: mean.per_unit for name, mean in _MEANS.items()})
    per_cube_unit = of_metric({name: mean.per_cube_unit for name, mean in _MEANS.items()})
    cap, n = of_metric(caps), summed("n")
    return Tails(
        places=places // max(len(names), 1) // GROUPS,
        g=places // max(len(names), 1) % GROUPS,
        metrics=(metric, names),
        n=n,
        total=summed("total") / per_unit - n * cap,
        squares=wide("total_sq") / per_unit**2 - n * cap**2,
        cubes=wide("total_cube") / per_cube_unit**3 - n * cap**3,
    )


def tail_sums(cells: Cells, tails: Tails, keys: Sequence[MetricKey], sums: GroupSums) -> GroupSums:
    """Add up tails in the shape of `sums`, whose metrics are `keys`."""
    groups = sums.n.shape[-1]
    number_of = {name: number for number, name in enumerate(tails.metrics[1])}
    made = []
    for name, _ in keys:
        chosen = np.flatnonzero(tails.metrics[0] == number_of.get(name, -1))
        adding = _Adding(cells, tails.places[chosen], tails.g[chosen] if groups > 1 else None)
        n, total, squares, cubes = (
            adding.sums(values[chosen]) for values in (tails.n, tails.total, tails.squares, tails.cubes)
        )
        made.append(_Sums(n=n, total=total, squares=squares, cubes=cubes))
    return _stacked(cells, made, is_clustered=sums.is_clustered, is_paired=sums.is_paired)


def cap_at(histograms: Histograms, quantile: float, *, least: int) -> float | None:
    """Return the upper end of the bucket that the base's quantile is in; None with fewer than `least` values."""
    counts = histograms.counts[:, :, 0].sum(axis=(0, 1))
    n = counts.sum()
    if n < least:
        return None
    column = int(np.searchsorted(np.cumsum(counts), np.ceil(n * quantile)))
    if column == 0:
        return None
    return float(2.0 ** float(histograms.end(np.array(float(column)))))


def _bucket_below(cap: float) -> int:
    """Return the bucket that ends at a cap."""
    bucket: float = math.log2(cap) * 2**SCALE
    return round(bucket) - 1
