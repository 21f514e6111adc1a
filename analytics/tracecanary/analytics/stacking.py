"""Cells stacked for measurement: every cohort on its own, or several together over one mix. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from tracecanary.analytics.evidence import Flags, Floats, MetricKey, Values
from tracecanary.analytics.statistics.histograms import Histograms
from tracecanary.analytics.statistics.spread import GroupCounts
from tracecanary.analytics.statistics.standardise import GroupSums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Cells to measure. Axis 0 is the cell, axis 1 its strata, axis 2 the arm; strata that are not compared hold zeros.

    Args:
        keys: Metrics with their evaluators: axis 3 of the sums.
        sums: Capped sums, shape (cells, strata, 2, keys, groups).
        tail_keys: Metrics that have a cap: axis 3 of the tails.
        tails: How many values lie above their cap, as sums of 0 and 1; None while nothing is capped.
        totals: Uncapped sums, shape (cells, 2, keys).
        traces: Compared traces, shape (cells, 2).
        histograms: Shape (cells, strata, 2, buckets).
        group_counts: Shape (cells, strata, 2, groups, buckets).
        exact: Exact quantiles by values' name, cell and arm, as in `Values`.
    """

    keys: tuple[MetricKey, ...]
    sums: GroupSums
    tail_keys: tuple[MetricKey, ...]
    tails: GroupSums | None
    totals: Floats
    traces: Floats
    histograms: Mapping[str, Histograms]
    group_counts: Mapping[str, GroupCounts]
    exact: Mapping[tuple[str, int, int], tuple[int, Mapping[float, float]]]


class Stacker:
    """Stacks the cells of one question; what all stacks share is worked out once.

    Args:
        values: The metrics.
        capped: Names of the metrics that have a cap.
    """

    def __init__(self, values: Values, *, capped: Collection[str]) -> None:
        self._values = values
        sums, tails = values.sums, values.tails
        # Of the powers no group is looked at on its own.
        squares, cubes = (powers.sum(axis=-1, keepdims=True) for powers in (sums.squares, sums.cubes))
        self._group_counts = {name: GroupCounts.of(one) for name, one in values.group_histograms.items()}
        self._totals = sums.total.sum(axis=-1)
        self._tail_keys = tuple(key for key in values.keys if tails is not None and key[0] in capped)
        self._sums, self._tails = dataclasses.replace(sums, squares=squares, cubes=cubes), None
        if tails is not None and self._tail_keys:
            self._sums = dataclasses.replace(
                sums,
                total=sums.total - tails.total,
                squares=squares - tails.squares.sum(axis=-1, keepdims=True),
                cubes=cubes - tails.cubes.sum(axis=-1, keepdims=True),
            )
            places = [values.keys.index(key) for key in self._tail_keys]
            over = tails.n[:, :, :, places]
            self._tails = dataclasses.replace(sums, n=sums.n[:, :, :, places], total=over, squares=over, cubes=over)

    def cohorts(self, names: tuple[str, ...]) -> Stack:
        """Stack every cohort as a cell of its own; its strata are the periods.

        Args:
            names: Cohorts in the order of axis 0.
        """
        has_both = (self._values.traces > 0).all(axis=2)
        # Where the arms never met nothing is compared, but what each has is shown.
        compared: Flags = has_both | ~np.any(has_both, axis=1, keepdims=True)
        exact = {
            (name, names.index(cohort), arm): found
            for (name, cohort, arm), found in self._values.exact.items()
            if cohort is not None and cohort in names
        }
        return self._stack(_Choice(compared), exact)

    def together(self, chosen: Flags, *, last_period_only: bool = False) -> Stack:
        """Stack the chosen cohorts as one cell; its strata are the cohorts in each period."""
        has_both = (self._values.traces > 0).all(axis=2) & chosen[:, None]
        if last_period_only:
            has_both[:, :-1] = False
        compared = has_both if has_both.any() else np.broadcast_to(chosen[:, None], has_both.shape)
        exact = {(name, 0, arm): found for (name, cohort, arm), found in self._values.exact.items() if cohort is None}
        return self._stack(_Choice(compared, is_one_cell=True), exact)

    def _stack(self, choice: _Choice, exact: Mapping[tuple[str, int, int], tuple[int, Mapping[float, float]]]) -> Stack:
        values = self._values
        return Stack(
            keys=values.keys,
            sums=choice.sums(self._sums),
            tail_keys=self._tail_keys,
            tails=None if self._tails is None else choice.sums(self._tails),
            totals=choice.of(self._totals).sum(axis=1),
            traces=choice.of(values.traces).sum(axis=1),
            histograms={name: choice.histograms(one) for name, one in values.histograms.items()},
            group_counts={
                name: dataclasses.replace(one, cumulative=choice.of(one.cumulative))
                for name, one in self._group_counts.items()
            },
            exact=exact,
        )


class _Choice:
    """Which strata are compared, shape (cells, strata); as one cell, all of them become its strata."""

    def __init__(self, compared: Flags, *, is_one_cell: bool = False) -> None:
        self._is_one_cell = is_one_cell
        # Zeros cost as much as numbers do: what nobody compares is cut off, where that can be done at the edges.
        cells = compared.any(axis=1) if is_one_cell and compared.any() else np.ones(len(compared), dtype=np.bool_)
        periods = compared.any(axis=0) if is_one_cell and compared.any() else np.ones(compared.shape[1], dtype=np.bool_)
        self._cells = None if cells.all() else np.flatnonzero(cells)
        self._periods = None if periods.all() else np.flatnonzero(periods)
        kept = compared[cells][:, periods]
        self._factor = None if kept.all() else kept.astype(np.float64)

    def of(self, array: Floats) -> Floats:
        """Return the compared strata of an array whose first axes are cells and strata."""
        if self._cells is not None:
            array = array[self._cells]
        if self._periods is not None:
            array = array[:, self._periods]
        if self._factor is not None:
            array = array * self._factor.reshape(*self._factor.shape, *(1,) * (array.ndim - 2))
        return array.reshape(1, array.shape[0] * array.shape[1], *array.shape[2:]) if self._is_one_cell else array

    def sums(self, sums: GroupSums) -> GroupSums:
        """Return the compared strata of sums."""
        return dataclasses.replace(
            sums,
            n=self.of(sums.n),
            total=self.of(sums.total),
            squares=self.of(sums.squares),
            cubes=self.of(sums.cubes),
        )

    def histograms(self, histograms: Histograms) -> Histograms:
        """Return the compared strata of histograms."""
        return dataclasses.replace(histograms, counts=self.of(histograms.counts))
