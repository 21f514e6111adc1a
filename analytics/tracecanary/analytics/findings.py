"""Losses that have a name: negative transfer, forgetting, and what won on pairs but loses over all traces. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tracecanary.analytics.answer import CellState, Finding, MetricRow, Paired
from tracecanary.analytics.policy import EVALUATION_METRIC
from tracecanary.analytics.verdict import JudgedCell, row_label

_GAINED = frozenset({CellState.BETTER})
_KEPT = frozenset({CellState.SAFE, CellState.BETTER})


def name_findings(overall: JudgedCell, cohorts: Sequence[JudgedCell], paired: Paired | None) -> list[Finding]:
    """Name what the rows say together and none of them says alone."""
    return [
        *_negative_transfers(overall, cohorts),
        *(finding for cell in (overall, *cohorts) for finding in _forgotten(cell)),
        *(_lost_live(paired, [overall, *cohorts]) if paired else []),
    ]


def _negative_transfers(overall: JudgedCell, cohorts: Sequence[JudgedCell]) -> list[Finding]:
    gained = {row_label(row) for row in overall.rows if row.state in _GAINED}
    return [
        _finding("negative_transfer", cell, row, f"{cell.cohort} loses in {row_label(row)} while the whole gains")
        for cell in cohorts
        for row in cell.rows
        if row_label(row) in cell.confirmed_harms and row_label(row) in gained
    ]


def _forgotten(cell: JudgedCell) -> list[Finding]:
    """Name critical evaluators that the base kept to and the candidate does not."""
    return [
        _finding("forgetting", cell, row, _forgetting_text(cell, row))
        for row in cell.rows
        if row.is_critical
        and row.metric == EVALUATION_METRIC
        and row_label(row) in cell.confirmed_harms
        # The base kept to it: it failed less often than the candidate may at most be worse.
        and row.base.value is not None
        and row.margin is not None
        and row.base.value <= row.margin
    ]


def _forgetting_text(cell: JudgedCell, row: MetricRow) -> str:
    where = "" if cell.cohort is None else f" in {cell.cohort}"
    values = (
        f"{row.base.value or 0:.2%} of the base's traces failed it, {row.candidate.value or 0:.2%} of the candidate's"
    )
    return f"{row_label(row)} is forgotten{where}: {values}"


def _lost_live(paired: Paired, cells: Sequence[JudgedCell]) -> list[Finding]:
    """Name what the candidate won or kept on pairs, and loses over all traces."""
    if not (paired.unpaired.base and paired.unpaired.candidate):
        return []
    won = {(row.cohort, row.metric, row.evaluator) for row in paired.rows if row.state in _KEPT}
    won_overall = {key[1:] for key in won if key[0] is None}
    return [
        _finding("lost_live", cell, row, f"{row_label(row)} held on pairs, but is lost live{_where(cell)}")
        for cell in cells
        for row in cell.rows
        if row_label(row) in cell.confirmed_harms
        and ((cell.cohort, row.metric, row.evaluator) in won or (row.metric, row.evaluator) in won_overall)
    ]


def _where(cell: JudgedCell) -> str:
    return "" if cell.cohort is None else f" in {cell.cohort}"


def _finding(kind: str, cell: JudgedCell, row: MetricRow, text: str) -> Finding:
    return Finding.model_validate(
        {"kind": kind, "cohort": cell.cohort, "metric": row.metric, "evaluator": row.evaluator, "text": text}
    )
