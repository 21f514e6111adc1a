"""Cells stacked for measurement: every cohort on its own, or several together over one mix. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tracecanary.analytics.evidence import Flags, Floats, MetricKey, Values
from tracecanary.analytics.statistics.histograms import Histograms
from tracecanary.analytics.statistics.standardise import GroupSums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Cells to measure. Axis 0 is the cell, axis 1 its strata, axis 2 the arm; strata that are not compared hold zeros.

    Args:
        keys: Metrics with their evaluators: axis 3 of the sums.
        sums: Capped sums, shape (cells, strata, 2, keys, groups).
        tails: How many values lie above their cap, as sums of 0 and 1; None while nothing is capped.
        totals: Uncapped sums, shape (cells, 2, keys).
        traces: Compared traces, shape (cells, 2).
        histograms: Shape (cells, strata, 2, buckets).
        group_histograms: Shape (cells, strata, 2, groups, buckets).
        exact: Exact quantiles by values' name, cell and arm, as in `Values`.
    """

    keys: tuple[MetricKey, ...]
    sums: GroupSums
    tails: GroupSums | None
    totals: Floats
    traces: Floats
    histograms: Mapping[str, Histograms]
    group_histograms: Mapping[str, Histograms]
    exact: Mapping[tuple[str, int, int], tuple[int, Mapping[float, float]]]


def stack_cohorts(values: Values, names: tuple[str, ...]) -> Stack:
    """Stack every cohort as a cell of its own; its strata are the periods.

    Args:
        values: The metrics.
        names: Cohorts in the order of axis 0.
    """
    has_both = (values.traces > 0).all(axis=2)
    # Where the arms never met nothing is compared, but what each has is shown.
    compared: Flags = has_both | ~np.any(has_both, axis=1, keepdims=True)
    exact = {
        (name, names.index(cohort), arm): found
        for (name, cohort, arm), found in values.exact.items()
        if cohort is not None and cohort in names
    }
    return _stack(values, compared, exact)


def stack_together(values: Values, chosen: Flags, *, last_period_only: bool = False) -> Stack:
    """Stack the chosen cohorts as one cell; its strata are the cohorts in each period."""
    has_both = (values.traces > 0).all(axis=2) & chosen[:, None]
    if last_period_only:
        has_both[:, :-1] = False
    compared = has_both if has_both.any() else np.broadcast_to(chosen[:, None], has_both.shape)
    exact = {(name, 0, arm): found for (name, cohort, arm), found in values.exact.items() if cohort is None}
    apart = _stack(values, compared, exact)
    return dataclasses.replace(
        apart,
        sums=_together(apart.sums),
        tails=None if apart.tails is None else _together(apart.tails),
        totals=apart.totals.sum(axis=0, keepdims=True),
        traces=apart.traces.sum(axis=0, keepdims=True),
        histograms={name: _flat(histograms) for name, histograms in apart.histograms.items()},
        group_histograms={name: _flat(histograms) for name, histograms in apart.group_histograms.items()},
    )


def _stack(
    values: Values, compared: Flags, exact: Mapping[tuple[str, int, int], tuple[int, Mapping[float, float]]]
) -> Stack:
    def kept(array: Floats) -> Floats:
        return array * compared.reshape(*compared.shape, *(1,) * (array.ndim - 2))

    sums, tails = values.sums, values.tails
    raw = dataclasses.replace(
        sums, n=kept(sums.n), total=kept(sums.total), squares=kept(sums.squares), cubes=kept(sums.cubes)
    )
    capped, over = raw, None
    if tails is not None:
        capped = dataclasses.replace(
            raw,
            total=raw.total - kept(tails.total),
            squares=raw.squares - kept(tails.squares),
            cubes=raw.cubes - kept(tails.cubes),
        )
        count = kept(tails.n)
        over = dataclasses.replace(raw, total=count, squares=count, cubes=count)
    return Stack(
        keys=values.keys,
        sums=capped,
        tails=over,
        totals=raw.total.sum(axis=(1, 4)),
        traces=kept(values.traces).sum(axis=1),
        histograms={
            name: dataclasses.replace(histograms, counts=kept(histograms.counts))
            for name, histograms in values.histograms.items()
        },
        group_histograms={
            name: dataclasses.replace(histograms, counts=kept(histograms.counts))
            for name, histograms in values.group_histograms.items()
        },
        exact=exact,
    )


def _together(sums: GroupSums) -> GroupSums:
    return dataclasses.replace(
        sums,
        n=_one_cell(sums.n),
        total=_one_cell(sums.total),
        squares=_one_cell(sums.squares),
        cubes=_one_cell(sums.cubes),
    )


def _flat(histograms: Histograms) -> Histograms:
    return dataclasses.replace(histograms, counts=_one_cell(histograms.counts))


def _one_cell(array: Floats) -> Floats:
    """Make the cells strata of one cell."""
    return array.reshape(1, array.shape[0] * array.shape[1], *array.shape[2:])
