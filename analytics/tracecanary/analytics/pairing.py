"""Pairs beside all traces: the answers to the same requests, of a held-out data set or mirrored traffic. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracecanary.analytics.answer import ArmCounts, CellState, MetricRow, Paired, PairedRow, Part, PartCohort
from tracecanary.analytics.assessment import MIN_EVENTS
from tracecanary.analytics.evidence import Cell, Evidence, MetricKey, merge_cells
from tracecanary.analytics.judging import Judge, Judged
from tracecanary.analytics.metrics import Metric, MetricKind
from tracecanary.analytics.question import Question
from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.pairs import PairedHits, mcnemar_p_values, paired_rate_differences
from tracecanary.analytics.verdict import JudgedCell, decide_cohort, is_taking_part, row_label


def paired_answer(question: Question, evidence: Evidence, judged: Judged) -> Paired | None:
    """Compare pairs in every rate, over all cohorts and in each; None without any pair.

    Args:
        question: What is asked.
        evidence: What is known.
        judged: What all traces say: its rows, and how they are read.
    """
    if not evidence.pairs:
        return None
    together: dict[MetricKey, PairedHits] = {}
    for (_, key), hits in evidence.pairs.items():
        together[key] = together[key] + hits if key in together else hits
    by_cohort = [(None, together)] + [
        (cohort, {key: hits for (where, key), hits in evidence.pairs.items() if where == cohort})
        for cohort in sorted({cohort for cohort, _ in evidence.pairs})
    ]
    most = max(hits.pairs for hits in together.values())
    traces = merge_cells(evidence.cells)
    return Paired(
        pairs=most,
        unpaired=ArmCounts(base=max(traces.base.traces - most, 0), candidate=max(traces.candidate.traces - most, 0)),
        rows=_rows(
            [
                (cohort, metric, evaluator, found[metric.name, evaluator])
                for cohort, found in by_cohort
                for metric, evaluator in judged.rows
                if metric.kind is MetricKind.RATE and (metric.name, evaluator) in found
            ],
            judged.look,
        ),
        held_out=_part(question, evidence.held_out),
        live=_part(question, evidence.live),
    )


def _part(question: Question, evidence: Evidence | None) -> Part | None:
    """Judge a part of the traces on its own. No check holds it back: it explains, and decides nothing."""
    if evidence is None:
        return None
    judged = Judge(question, evidence, awaits_look=None).judged()
    return Part(
        traces=_arm_counts(evidence.cells),
        metrics=_standing_rows(judged.overall),
        cohorts=[
            PartCohort(
                cohort=cell.cohort or "",
                verdict=decide_cohort(of_cohort).verdict,
                traces=_arm_counts([cell]),
                metrics=_standing_rows(of_cohort),
            )
            for cell, of_cohort in zip(evidence.cells, judged.cohorts, strict=True)
        ],
    )


def _standing_rows(cell: JudgedCell) -> list[MetricRow]:
    """Return the rows; harm that does not stand among all cells is only worse."""
    return [
        row.model_copy(update={"state": CellState.WORSE})
        if row.state is CellState.HARM and is_taking_part(row) and row_label(row) not in cell.confirmed_harms
        else row
        for row in cell.rows
    ]


def _arm_counts(cells: Sequence[Cell]) -> ArmCounts:
    return ArmCounts(
        base=sum(cell.base.traces for cell in cells), candidate=sum(cell.candidate.traces for cell in cells)
    )


def _rows(compared: Sequence[tuple[str | None, Metric, str | None, PairedHits]], look: Look) -> list[PairedRow]:
    tables = [hits for *_, hits in compared]
    found = paired_rate_differences(tables, look)
    numbers = zip(
        compared,
        *(bound.tolist() for bound in (found.value, found.low, found.high, mcnemar_p_values(tables))),
        strict=True,
    )
    made = []
    for (cohort, metric, evaluator, hits), effect, low, high, p_value in numbers:
        is_known = math.isfinite(low) and math.isfinite(high)
        made.append(
            PairedRow(
                cohort=cohort,
                metric=metric.name,
                evaluator=evaluator,
                pairs=hits.pairs,
                base_only=hits.base_only,
                candidate_only=hits.candidate_only,
                effect=effect if math.isfinite(effect) else None,
                ci_low=low if is_known else None,
                ci_high=high if is_known else None,
                p_value=p_value if hits.pairs else None,
                margin=metric.margin,
                state=_state(low, high, metric.margin, hits) if is_known else CellState.NO_DATA,
            )
        )
    return made


def _state(low: float, high: float, margin: float, hits: PairedHits) -> CellState:
    if high < margin:
        return CellState.BETTER if high < 0 else CellState.SAFE
    if low > 0 and hits.base_only + hits.candidate_only < MIN_EVENTS:
        return CellState.NO_DATA
    if low > margin:
        return CellState.HARM
    return CellState.WORSE if low > 0 else CellState.UNSURE
