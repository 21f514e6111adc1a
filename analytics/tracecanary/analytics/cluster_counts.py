"""Clusters of a question: how many there are, whether they repeat, and whether the same ones are in both arms. Pure.

Counted over a sample of clusters where there are many. Whether a cluster is in it does not depend on its arm, so that
shares of the sample are those of all, and its counts can be tested like those of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracecanary.analytics.rollup_arrays import Chosen, Floats
from tracecanary.analytics.statistics.standardise import GROUPS
from tracecanary.analytics.tallies import Cells

# Above this share of clusters in both arms the arms' clusters count as the same ones.
MIN_SHARED_CLUSTERS = 0.5
# Up to this many traces a cluster, values count as independent.
MAX_TRACES_PER_CLUSTER = 1.01
# More are not worth the time: a long window takes a smaller share of the clusters.
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterCounts:
    """Clusters of the sample.

    Args:
        units: By cohort, period and arm.
        share: Of all clusters that are in the sample, 0..1.
        is_paired: Whether the same clusters are in both arms.
        is_repeated: Whether a cluster has several traces.
    """

    units: Floats
    share: float
    is_paired: bool
    is_repeated: bool


def count_clusters(cells: Cells, chosen: Sequence[Chosen]) -> ClusterCounts:
    """Count the clusters of the chosen rows of rollup_clusters."""
    rows = cells.pick("rollup_clusters", chosen)
    groups = sample_groups(chosen)
    g = rows["g"]
    # Fewer groups of clusters than that would leave a test nothing to see.
    while groups > 1 and int((g < groups).sum()) > _MOST_ROWS:
        groups //= 2
    inside = np.flatnonzero(g < groups)
    places, traces = rows.codes[inside], rows["traces"][inside]
    names, cluster = np.unique(rows["cluster"][inside], return_inverse=True)
    size = int(np.prod(cells.shape))
    pairs, place = np.unique(cluster * size + places, return_inverse=True)
    net = np.bincount(place, weights=traces, minlength=len(pairs))
    pairs, net = pairs[net > 0], net[net > 0]
    units = np.bincount(pairs % size, minlength=size).reshape(cells.shape).astype(np.float64)
    arm = (pairs % size) % 2
    in_arm = np.zeros((len(names), 2), dtype=np.bool_)
    in_arm[pairs // size, arm] = True
    clusters, both = in_arm.sum(axis=0), int(in_arm.all(axis=1).sum())
    by_arm = np.bincount(arm, weights=net, minlength=2)
    smaller = int(clusters.min())
    return ClusterCounts(
        units=units,
        share=groups / GROUPS,
        is_paired=smaller > 0 and both / smaller > MIN_SHARED_CLUSTERS,
        is_repeated=bool((by_arm > MAX_TRACES_PER_CLUSTER * clusters).any()),
    )


def sample_groups(chosen: Sequence[Chosen]) -> int:
    """Return how many groups of clusters every day of the chosen rows has."""
    groups = GROUPS
    for period in chosen:
        for source, rows in period.rows_of("rollup_clusters"):
            groups = min(groups, int(source.arrays.columns["groups"][rows].min(initial=groups)))
    return groups
