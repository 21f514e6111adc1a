"""What the lake knows about a question: sufficient statistics by cohort, period and arm, read from one snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.statistics.histograms import Histograms
from tracecanary.analytics.statistics.pairs import PairedHits
from tracecanary.analytics.statistics.standardise import GroupSums

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Traces by the value that they have of a factor, such as 40 with release 2.1.
Tally = Mapping[str, int]
# What may differ between the arms other than the model: the tallies of an arm's side.
FACTORS = (
    "conventions",
    "step_sources",
    "releases",
    "prompts",
    "routes",
    "environments",
    "tool_versions",
    "evaluator_versions",
)
# Every tally of an arm's side.
TALLIES = (*FACTORS, "cost_sources", "unpriced_models")
# Periods are told apart if at least this share of the candidate's traces came in periods that the base had, too.
MIN_SHARE_SIDE_BY_SIDE = 0.9
# A metric and its evaluator; None for metrics that have none.
MetricKey = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSide:
    """Facts of one arm that may differ for reasons other than the model, and what is missing. Counts are traces.

    `sampling_weight_milli` is the number of traces that these stand for by their sampler, times 1000. Tallies of
    versions are by name@version, and count a trace once for each.
    """

    traces: int = 0
    without_root: int = 0
    with_dropped_attributes: int = 0
    with_lost_spans: int = 0
    sampling_weight_milli: int = 0
    with_tokens: int = 0
    with_cost: int = 0
    evaluated: int = 0
    retries_visible: int = 0
    with_thumbs: int = 0
    contaminated: int = 0
    conventions: Tally = field(default_factory=dict)
    step_sources: Tally = field(default_factory=dict)
    releases: Tally = field(default_factory=dict)
    prompts: Tally = field(default_factory=dict)
    routes: Tally = field(default_factory=dict)
    environments: Tally = field(default_factory=dict)
    tool_versions: Tally = field(default_factory=dict)
    evaluator_versions: Tally = field(default_factory=dict)
    cost_sources: Tally = field(default_factory=dict)
    unpriced_models: Tally = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Both arms in one cohort, or in several together (`cohort` None): what is no metric."""

    cohort: str | None
    base: ArmSide = field(default_factory=ArmSide)
    candidate: ArmSide = field(default_factory=ArmSide)
    base_examples: tuple[str, ...] = ()
    candidate_examples: tuple[str, ...] = ()

    @property
    def traces(self) -> int:
        """Traces of both arms together."""
        return self.base.traces + self.candidate.traces

    @property
    def has_both_arms(self) -> bool:
        """Whether there is anything to compare: traces in either arm."""
        return self.base.traces > 0 and self.candidate.traces > 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """The metrics' sufficient statistics. Axis 0 is the cohort, axis 1 the period of constant split, axis 2 the arm.

    Args:
        keys: Metrics with their evaluators: axis 3 of the sums.
        sums: Group sums, shape (cohorts, periods, 2, keys, groups).
        tails: What values above their cap have beyond it, of the same shape; None while nothing is capped.
        traces: Traces, shape (cohorts, periods, 2).
        units: Clusters, of the same shape; of a sample of them where there are many.
        unit_share: Share of all clusters that `units` counts, 0..1.
        histograms: By the name of the values: shape (cohorts, periods, 2, buckets).
        group_histograms: Coarse, shape (cohorts, periods, 2, groups, buckets); empty where values are independent.
        exact: Exact quantiles where they are known, by the values' name, cohort (None for all together) and arm (0 or
            1): the number of values, and the value by quantile.
    """

    keys: tuple[MetricKey, ...]
    sums: GroupSums
    traces: Floats
    units: Floats
    unit_share: float = 1.0
    tails: GroupSums | None = None
    histograms: Mapping[str, Histograms] = field(default_factory=dict)
    group_histograms: Mapping[str, Histograms] = field(default_factory=dict)
    exact: Mapping[tuple[str, str | None, int], tuple[int, Mapping[float, float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time of constant traffic split: its start, None for the first, and how long its traces came in, in days."""

    start: datetime | None
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGap:
    """What calls of a model cost by their instrumentation and by its price, over those calls that have both."""

    model: str
    calls: int
    reported_usd: float
    computed_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Traces of one arm that state an own metric: with a value, or with none that can be used."""

    known: int
    unusable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """What has expired of the traces in a question's window: of those that started before `facts_from`, their facts.

    Args:
        facts_from: Since when facts are kept; older days are known as a whole.
        rollups_from: Since when anything is known; None while no rollups have expired.
        counted_from: The start that the window was narrowed to, as it cut a day that is known as a whole; else None.
        counted_to: Likewise its end.
        uncapped: Metrics of means whose values above the cap are not known.
    """

    facts_from: datetime
    rollups_from: datetime | None = None
    counted_from: datetime | None = None
    counted_to: datetime | None = None
    uncapped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftFacts:
    """Facts that outlived their spans, and could not be taken over from other definitions.

    Args:
        before: Traces of the question's window that started before may be missing.
        folders: Names of the folders below `derived/` that they were left in.
    """

    before: datetime
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Everything behind an answer; cohorts are sorted by name.

    Args:
        cells: One a cohort.
        values: Their metrics, axis 0 in the order of `cells`.
        evaluators: Names of those that judged any trace.
        last_trace: When the newest trace started, None without traces.
        unmatched_evaluations: Judgements of the whole lake that belong to no stored trace.
        periods: In order of time: axis 1 of `values`.
        side_by_side: Share of the candidate's traces in periods that the base had traces in, too, 0..1.
        caps: Largest value that a metric of means counts with, frozen for the comparison.
        pairs: Pairs of answers to the same request, by cohort and metric.
        cost_gaps: Of the models that are the arms, or of all, those with a reported and a computed cost of a call.
        stated: Traces of base and candidate that state own metrics, by their names.
        expiry: What of the window is known by whole days alone; None if none of it is.
        left: Facts of the window that another version left; None if there are none.
        held_out: The same of the traces that have a pair id; None unless both arms have such and others.
        live: The same of the traces that have none.
    """

    cells: Sequence[Cell]
    values: Values
    evaluators: tuple[str, ...] = ()
    last_trace: datetime | None = None
    unmatched_evaluations: int = 0
    periods: Sequence[Period] = (Period(start=None, days=0.0),)
    side_by_side: float = 1.0
    caps: Mapping[str, float] = field(default_factory=dict)
    pairs: Mapping[tuple[str, MetricKey], PairedHits] = field(default_factory=dict)
    cost_gaps: Sequence[CostGap] = ()
    stated: Mapping[str, tuple[Stated, Stated]] = field(default_factory=dict)
    expiry: Expiry | None = None
    left: LeftFacts | None = None
    held_out: Evidence | None = None
    live: Evidence | None = None


def merge_cells(cells: Iterable[Cell]) -> Cell:
    """Add up what is no metric of several cohorts."""
    merged = list(cells)
    return Cell(
        cohort=None,
        base=_merge_sides([cell.base for cell in merged]),
        candidate=_merge_sides([cell.candidate for cell in merged]),
    )


def _merge_sides(sides: Sequence[ArmSide]) -> ArmSide:
    """Add counts, and tallies value by value."""
    merged: dict[str, Any] = {}
    for item in fields(ArmSide):
        parts = [getattr(side, item.name) for side in sides]
        if item.name in TALLIES:
            tally: Counter[str] = Counter()
            for part in parts:
                tally.update(part)
            merged[item.name] = dict(tally)
        else:
            merged[item.name] = sum(parts)
    return ArmSide(**merged)


def comparable_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with traces in both arms; all of them if none has.

    What one arm alone saw would enter that arm's overall value and not the other's.
    """
    return [cell for cell in cells if cell.has_both_arms] or list(cells)
