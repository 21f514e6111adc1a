"""Losses that have a name: negative transfer, forgetting, and what won offline but loses live. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tracecanary.analytics.answer import CellState, Finding, MetricRow, Paired, PairedRow, Part
from tracecanary.analytics.policy import EVALUATION_METRIC
from tracecanary.analytics.verdict import JudgedCell, is_taking_part, row_label

_GAINED = frozenset({CellState.BETTER})
_KEPT = frozenset({CellState.SAFE, CellState.BETTER})


def name_findings(overall: JudgedCell, cohorts: Sequence[JudgedCell], paired: Paired | None) -> list[Finding]:
    """Name what the rows say together and none of them says alone."""
    return [
        *_negative_transfers(overall, cohorts),
        *(finding for cell in (overall, *cohorts) for finding in _forgotten(cell)),
        *(_lost_live(paired) if paired else []),
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


def _lost_live(paired: Paired) -> list[Finding]:
    """Name what the candidate won or kept on held-out answers and loses live, overall and by cohort."""
    if paired.held_out is None or paired.live is None:
        return []
    # Few held-out items may settle as pairs what they do not settle as two arms.
    offline: list[tuple[str | None, MetricRow | PairedRow]] = [(row.cohort, row) for row in paired.rows]
    offline += _rows_by_cohort(paired.held_out)
    kept: dict[tuple[str | None, str, str | None], bool] = {}
    for cohort, row in offline:
        if row.state in _KEPT:
            key = (cohort, row.metric, row.evaluator)
            kept[key] = kept.get(key, False) or row.state is CellState.BETTER
    return [
        Finding(
            kind="won_offline_loses_live",
            cohort=cohort,
            metric=row.metric,
            evaluator=row.evaluator,
            text=_lost_live_text(cohort, row, has_won=kept[cohort, row.metric, row.evaluator]),
        )
        for cohort, row in _rows_by_cohort(paired.live)
        if row.state is CellState.HARM and is_taking_part(row) and (cohort, row.metric, row.evaluator) in kept
    ]


def _lost_live_text(cohort: str | None, row: MetricRow, *, has_won: bool) -> str:
    where = "" if cohort is None else f" in {cohort}"
    return f"{row_label(row)} {'won' if has_won else 'held'} offline, loses live{where}"


def _rows_by_cohort(part: Part) -> list[tuple[str | None, MetricRow]]:
    overall: list[tuple[str | None, MetricRow]] = [(None, row) for row in part.metrics]
    return overall + [(cohort.cohort, row) for cohort in part.cohorts for row in cohort.metrics]


def _finding(kind: str, cell: JudgedCell, row: MetricRow, text: str) -> Finding:
    return Finding.model_validate(
        {"kind": kind, "cohort": cell.cohort, "metric": row.metric, "evaluator": row.evaluator, "text": text}
    )
