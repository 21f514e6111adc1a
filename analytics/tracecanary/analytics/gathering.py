"""Reading the evidence of a question from one snapshot of the lake: from rollups, as far as they tell.

Theory of operation. Rollups have whole days; where a question cuts a day, its piece is counted from the traces with the
queries that make rollups, and added (`day_blocks`). From traces alone come pairs, exact quantiles while a question has
few traces, and everything where pairs are the clusters.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tracecanary.analytics.cluster_counts import MIN_SHARED_CLUSTERS, ClusterCounts, count_clusters
from tracecanary.analytics.day_blocks import (
    Coverage,
    Piece,
    cover,
    cut_hours,
    period_bounds,
    whole_hours,
    without_cut_days,
)
from tracecanary.analytics.engine import Row, Session
from tracecanary.analytics.evidence import CostGap, Evidence, Expiry, LeftFacts, MetricKey, Values
from tracecanary.analytics.metrics import METRICS_BY_NAME, MetricKind
from tracecanary.analytics.periods import Times, period_starts, periods_of
from tracecanary.analytics.question import Question, Selection, time_of
from tracecanary.analytics.rollup_arrays import Chosen, PartRollups, block_rows, tally
from tracecanary.analytics.rollup_loading import LakeRollups, load_piece
from tracecanary.analytics.sides import KeyTraces, examples_of, side_cells, told_by_key, worst_first
from tracecanary.analytics.statistics.histograms import Histograms
from tracecanary.analytics.statistics.pairs import PairedHits
from tracecanary.analytics.statistics.standardise import GroupSums
from tracecanary.analytics.tallies import (
    MEAN_NAMES,
    Cells,
    Tails,
    cap_at,
    cells_of,
    group_sums,
    histograms_of,
    stated_traces,
    tail_sums,
    tails_above,
)
from tracecanary.schema import InvalidQuestionError, UnknownArmError

__all__ = ["MIN_SHARED_CLUSTERS", "gather_evidence", "keys_of", "select_keys", "select_traces", "window_of"]

# A cap is frozen once so many of the base's values are known that their 99.9th percentile means something.
MIN_TRACES_FOR_CAP = 1000
CAP_QUANTILE = 0.999
# Up to so many traces in a window, of any arm, it takes some hundredths of a second to read what rollups round: exact
# quantiles, and the seconds at which the first and the last trace started.
MOST_TRACES_READ = 50_000
# Traces counted at once: what bounds the memory where all of them must be read.
MOST_TRACES_COUNTED = 250_000
# Arms named in an error, so that a person can correct a spelling.
_ARMS_SHOWN = 50

FreezeCaps = Callable[[Mapping[str, float]], Mapping[str, float]]


def select_traces(session: Session, parameters: Mapping[str, object]) -> None:
    """Materialise the traces of a selection and their metric values in `session`."""
    session.materialise("question_traces", "question_traces_v1", parameters)
    session.materialise("question_metric_values", "question_metric_values_v2")


def keys_of(selection: Selection) -> dict[str, Any]:
    """Return the parameters of `queries/question_keys_v1.sql`."""
    parameters = selection.parameters()
    return {name: parameters[name] for name in ("arm_by", "arms", "cohort_by", "cohorts", "routes", "pairs")}


def select_keys(session: Session, selection: Selection) -> None:
    """Materialise the rollup keys of a selection in `session`."""
    session.materialise("question_keys", "question_keys_v1", keys_of(selection))


def window_of(selection: Selection) -> dict[str, int]:
    """Return the bounds of a selection, ns since the epoch: from inclusive, to exclusive."""
    parameters = selection.parameters()
    return {"from_ns": parameters["from_ns"], "to_ns": parameters["to_ns"]}


def gather_evidence(session: Session, lake: LakeRollups, question: Question, *, freeze_caps: FreezeCaps) -> Evidence:
    """Read the evidence for `question`.

    Args:
        session: Of one snapshot.
        lake: Rollups of the same snapshot.
        question: What is asked.
        freeze_caps: Takes the caps that the base's values suggest now and returns those that the comparison keeps to:
            the largest value that each metric of means counts with.

    Raises:
        UnknownArmError: No stored trace has ever asked for the base or the candidate.
    """
    _check_arms(lake.arms(session, question.selection.arm_by), question)
    return _Gathering(session, lake, question).evidence(freeze_caps)


class _Gathering:
    """One question, and what it reads."""

    def __init__(self, session: Session, lake: LakeRollups, question: Question) -> None:
        self._session, self._lake, self._question = session, lake, question
        self._keys = {row["rollup_key"]: row for row in session.rows("question_keys_v1", keys_of(question.selection))}
        self._arm_of = {key: question.selection.arms.index(row["arm_name"]) for key, row in self._keys.items()}
        window = window_of(question.selection)
        self._from_ns, self._to_ns = without_cut_days(
            **window, facts_from_ns=lake.facts_from_ns, hours_ns=lake.hours.occupied_ns
        )
        self._refuse_part_of_a_day()
        self._own_metrics = {metric.name for metric in question.policy.metrics} - METRICS_BY_NAME.keys()
        self._has_expired = lake.hours.traces_between(self._from_ns, min(lake.facts_from_ns, self._to_ns)) > 0
        is_small = lake.hours.traces_between(self._from_ns, self._to_ns) <= MOST_TRACES_READ
        self._is_small = is_small and not self._has_expired

    def _refuse_part_of_a_day(self) -> None:
        if self._from_ns < self._to_ns:
            return
        asked = self._question.selection
        since = time_of(self._lake.facts_from_ns)
        raise InvalidQuestionError(
            "from",
            asked.from_time.isoformat() if asked.from_time else None,
            f"Traces before {since.isoformat()} have expired but for their sums of a day: ask for a whole day (UTC).",
        )

    def _expiry(self, *, uncapped: Sequence[str]) -> Expiry | None:
        """Tell what of the window is known by whole days alone."""
        window, lake = window_of(self._question.selection), self._lake
        if not self._has_expired and (self._from_ns, self._to_ns) == (window["from_ns"], window["to_ns"]):
            return None
        return Expiry(
            facts_from=time_of(lake.facts_from_ns),
            rollups_from=time_of(lake.rollups_from_ns) if window["from_ns"] < lake.rollups_from_ns else None,
            counted_from=time_of(self._from_ns) if self._from_ns != window["from_ns"] else None,
            counted_to=time_of(self._to_ns) if self._to_ns != window["to_ns"] else None,
            uncapped=tuple(uncapped),
        )

    def _left(self) -> LeftFacts | None:
        lake = self._lake
        if window_of(self._question.selection)["from_ns"] >= lake.missing_before_ns:
            return None
        return LeftFacts(before=time_of(lake.missing_before_ns), folders=tuple(lake.left_in))

    def evidence(self, freeze_caps: FreezeCaps) -> Evidence:
        """Read everything."""
        times = self._times()
        starts, side_by_side = period_starts(times, facts_from_ns=self._lake.facts_from_ns)
        bounds = period_bounds(self._from_ns, self._to_ns, starts)
        chosen = self._chosen(bounds)
        traces = KeyTraces.of(chosen, self._keys)
        cohorts = traces.cohorts()
        cells = self._cells(cohorts, traces, len(bounds))
        clusters = count_clusters(cells, chosen)
        paired = traces.paired()
        if not clusters.is_paired and paired > traces.fewest() and not self._has_expired:
            by_pair = self._chosen_by_pair(bounds, list(traces.keys))
            counted = count_clusters(cells, by_pair)
            if counted.is_paired:
                chosen, traces, clusters = by_pair, KeyTraces.of(by_pair, self._keys), counted
        values, caps = self._values(cells, chosen, traces, clusters, bounds, freeze_caps)
        tables = {"evaluator_versions": "rollup_evaluators", "tool_versions": "rollup_tools"}
        versioned = {factor: cells.pick(table, chosen) for factor, table in tables.items()}
        return Evidence(
            cells=side_cells(
                cells,
                traces,
                versioned,
                cohorts,
                self._question.selection.arms,
                self._examples(chosen, traces),
            ),
            values=values,
            evaluators=tuple(sorted({evaluator for _, evaluator in values.keys if evaluator is not None})),
            last_trace=time_of(int(times.last_ns.max())) if len(times.last_ns) else None,
            unmatched_evaluations=self._lake.unmatched,
            periods=periods_of(times, starts),
            side_by_side=side_by_side,
            caps=dict(caps),
            pairs=self._pairs() if paired else {},
            cost_gaps=self._cost_gaps(),
            stated=stated_traces(cells, cells.pick("rollup_measures", chosen), self._own_metrics, values.traces),
            expiry=self._expiry(uncapped=sorted(caps) if values.tails is None else ()),
            left=self._left() if self._lake.missing_before_ns else None,
        )

    def _cells(self, cohorts: Sequence[str], traces: KeyTraces, periods: int) -> Cells:
        place = {name: number for number, name in enumerate(cohorts)}
        return cells_of(
            {key: (place[self._keys[key]["cohort_name"]], self._arm_of[key]) for key in traces.keys},
            cohorts=len(cohorts),
            periods=periods,
        )

    def _times(self) -> Times:
        """Count each arm's traces by hour; of hours that the window cuts, from the traces."""
        begin, end = whole_hours(self._from_ns, self._to_ns)
        hours = self._lake.hours
        is_asked = np.array([key in self._keys for key in hours.keys.tolist()], dtype=np.bool_)
        inside = np.flatnonzero((hours.hour_ns >= begin) & (hours.hour_ns < end) & is_asked[hours.key_places])
        hour_ns, key = hours.hour_ns[inside], hours.keys[hours.key_places[inside]]
        rows = [(hour_ns, key, hours.traces[inside], hour_ns, hour_ns)]
        pieces = cut_hours(self._from_ns, self._to_ns, hours.occupied_ns)
        if self._is_small:
            rows, pieces = [], [Piece(from_ns=self._from_ns, to_ns=self._to_ns)]
        rows += [_hours_of(self._session.rows("question_times_v1", _bounds(piece)), self._keys) for piece in pieces]
        hour_ns, key, traces, first, last = (np.concatenate(one).astype(np.int64) for one in zip(*rows, strict=True))
        arm = np.array([self._arm_of[one] for one in key.tolist()], dtype=np.int64)
        return Times(hour_ns=hour_ns, arm=arm, traces=traces, first_ns=first, last_ns=last)

    def _chosen(self, bounds: Sequence[tuple[int, int]]) -> list[Chosen]:
        occupied_ns = self._lake.hours.occupied_ns
        return [self._chosen_of(cover(begin, end, occupied_ns)) for begin, end in bounds]

    def _chosen_of(self, coverage: Coverage) -> Chosen:
        hours = self._lake.hours
        pieces = [
            self._lake.piece(self._session, part)
            for piece in coverage.pieces
            for part in hours.pieces_of(piece.from_ns, piece.to_ns, most=MOST_TRACES_COUNTED)
        ]
        return Chosen(parts=self._lake.parts, blocks=coverage.blocks, pieces=pieces)

    def _chosen_by_pair(self, bounds: Sequence[tuple[int, int]], keys: Sequence[int]) -> list[Chosen]:
        """Count everything from the traces, since the rollups have cluster groups by conversation."""
        return [
            Chosen(
                parts=(),
                blocks=(),
                pieces=[
                    load_piece(self._session, piece, keys=keys, pairs_first=True)
                    for piece in self._lake.hours.pieces_of(begin, end, most=MOST_TRACES_COUNTED)
                ],
            )
            for begin, end in bounds
        ]

    def _values(
        self,
        cells: Cells,
        chosen: Sequence[Chosen],
        traces: KeyTraces,
        clusters: ClusterCounts,
        bounds: Sequence[tuple[int, int]],
        freeze_caps: FreezeCaps,
    ) -> tuple[Values, Mapping[str, float]]:
        is_clustered = clusters.is_paired or clusters.is_repeated
        places = traces.places_in(cells)
        keys, sums = group_sums(
            cells,
            (traces.rows, places),
            cells.pick("rollup_evaluators", chosen),
            cells.pick("rollup_measures", chosen),
            traces.told_rows(told_by_key(traces)),
            own_metrics=self._own_metrics,
            is_clustered=is_clustered,
            is_paired=clusters.is_paired,
        )
        histograms = histograms_of(cells, cells.pick("rollup_histograms", chosen))
        caps = freeze_caps(_base_caps(histograms))
        values = Values(
            keys=keys,
            sums=sums,
            tails=self._tails(cells, chosen, bounds, keys, sums, caps) if caps else None,
            traces=tally(places, traces.rows["traces"], cells.shape),
            units=clusters.units,
            unit_share=clusters.share,
            histograms=histograms,
            group_histograms=histograms_of(cells, cells.pick("rollup_group_histograms", chosen), is_by_group=True)
            if is_clustered
            else {},
            exact=self._exact() if self._is_small else {},
        )
        return values, caps

    def _tails(
        self,
        cells: Cells,
        chosen: Sequence[Chosen],
        bounds: Sequence[tuple[int, int]],
        keys: Sequence[MetricKey],
        sums: GroupSums,
        caps: Mapping[str, float],
    ) -> GroupSums | None:
        tails = tails_above(cells.pick("rollup_tails", chosen), caps)
        if tails is None and self._has_expired:
            return None
        if tails is None:
            tails = self._counted_tails(cells, bounds, caps, is_by_pair=not chosen[0].parts)
        return tail_sums(cells, tails, keys, sums)

    def _counted_tails(
        self, cells: Cells, bounds: Sequence[tuple[int, int]], caps: Mapping[str, float], *, is_by_pair: bool
    ) -> Tails:
        """Count tails from the traces: of arms so different that a cap of one lies far inside the other."""
        asked = {
            "keys": list(cells.code_of),
            "pairs_first": is_by_pair,
            "caps": {name: caps.get(name) for name in MEAN_NAMES},
        }
        pieces = []
        for begin, end in bounds:
            rows = self._session.arrays("question_tails_v2", {"from_ns": begin, "to_ns": end, **asked})
            counted = block_rows(rows)
            pieces.append(Chosen(parts=(), blocks=(), pieces=[PartRollups(tables={"tails": (counted,)})]))
        picked = cells.pick("tails", pieces)
        return Tails(
            places=picked.codes,
            g=picked["g"],
            metrics=picked.labelled("metric"),
            n=picked["n"],
            total=picked["total"],
            squares=picked["total_sq"],
            cubes=picked["total_cube"],
        )

    def _exact(self) -> dict[tuple[str, str | None, int], tuple[int, Mapping[float, float]]]:
        select_keys(self._session, self._question.selection)
        rows = self._session.rows("question_quantiles_v2", window_of(self._question.selection))
        arms = self._question.selection.arms
        return {
            (row["metric"], row["cohort"], arms.index(row["arm"])): (
                row["n"],
                {0.5: row["p50"], 0.95: row["p95"], 0.99: row["p99"]},
            )
            for row in rows
        }

    def _examples(self, chosen: Sequence[Chosen], traces: KeyTraces) -> Mapping[tuple[str, int], tuple[str, ...]]:
        own = sorted((row for one in chosen for piece in one.pieces for row in piece.examples), key=worst_first)
        place_of = {key: (self._keys[key]["cohort_name"], self._arm_of[key]) for key in traces.keys}
        rows = heapq.merge(self._lake.examples, own, key=worst_first) if own else self._lake.examples
        return examples_of(rows, place_of, from_ns=self._from_ns, to_ns=self._to_ns)

    def _cost_gaps(self) -> tuple[CostGap, ...]:
        selection = self._question.selection
        return tuple(gap for gap in self._lake.cost_gaps if selection.arm_by != "model" or gap.model in selection.arms)

    def _pairs(self) -> dict[tuple[str, MetricKey], PairedHits]:
        select_traces(self._session, self._question.selection.parameters())
        arms = {"base": self._question.base, "candidate": self._question.candidate}
        rates = [metric.name for metric in self._question.policy.metrics if metric.kind is MetricKind.RATE]
        return {
            (row["cohort"], (row["metric"], row["evaluator"])): PairedHits(
                both=row["both"],
                base_only=row["base_only"],
                candidate_only=row["candidate_only"],
                neither=row["neither"],
            )
            for row in self._session.rows("question_pairs_v1", {**arms, "metrics": rates})
        }


def _bounds(piece: Piece) -> dict[str, int]:
    return {"from_ns": piece.from_ns, "to_ns": piece.to_ns}


def _hours_of(rows: Sequence[Row], keys: Mapping[int, Row]) -> tuple[Any, ...]:
    known = [row for row in rows if row["rollup_key"] in keys]
    names = ("hour_unix_ns", "rollup_key", "traces", "first_start_unix_ns", "last_start_unix_ns")
    return tuple(np.array([row[name] for row in known], dtype=np.int64) for name in names)


def _base_caps(histograms: Mapping[str, Histograms]) -> dict[str, float]:
    """Return where the bucket of the base's 99.9th percentile ends, for each mean that has values enough to tell it."""
    found = {
        name: cap_at(histograms[name], CAP_QUANTILE, least=MIN_TRACES_FOR_CAP)
        for name in MEAN_NAMES
        if name in histograms
    }
    return {name: cap for name, cap in found.items() if cap is not None}


def _check_arms(seen: Sequence[str], question: Question) -> None:
    """Look in the whole lake: an arm without traces in the window is a fresh one, not an unknown one."""
    arm_by = question.selection.arm_by
    for parameter, arm in (("base", question.base), ("candidate", question.candidate)):
        if arm not in seen:
            raise UnknownArmError(parameter, arm, arm_by=arm_by, seen=seen[:_ARMS_SHOWN])
