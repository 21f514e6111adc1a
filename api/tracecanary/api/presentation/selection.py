"""Which rows a reader is shown: by cohort, overall first, without rows that say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracecanary.analytics.answer import CellState, Verdict
from tracecanary.api.presentation.wording import (
    OVERALL,
    cohort_verdict_word,
    has_value,
    is_guardrail,
    is_required,
    metric_label,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracecanary.analytics.answer import Answer, ArmCounts, MetricRow

METRICS_THAT_MATTER = (
    "eval_fail_rate",
    "error_rate",
    "tool_error_rate",
    "latency_p50",
    "latency_p99",
    "cost_per_trace",
    "input_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortRows:
    """One block of a table: the whole candidate, or one cohort of it; `weight` is a share of traces, 0..1."""

    name: str
    is_overall: bool
    verdict: Verdict
    verdict_text: str
    weight: float
    traces: ArmCounts
    reasons: list[str]
    rows: list[MetricRow]


def rows_by_cohort(answer: Answer, *, metrics: Sequence[str] | None = None) -> list[CohortRows]:
    """Choose the rows of each cohort, overall first.

    By default the metrics that matter, and any guardrail that got worse whether or not it is one of them. With
    `metrics`, exactly those, in that order. A row without a value in either arm stays only if nothing ships without
    the metric.
    """
    overall = CohortRows(
        name=OVERALL,
        is_overall=True,
        verdict=answer.overall.verdict,
        verdict_text=answer.overall.verdict.replace("_", " "),
        weight=1.0,
        traces=answer.overall.traces,
        reasons=answer.overall.reasons,
        rows=_chosen(answer.overall.metrics, metrics),
    )
    return [overall] + [
        CohortRows(
            name=plain(cohort.cohort),
            is_overall=False,
            verdict=cohort.verdict,
            verdict_text=cohort_verdict_word(cohort.verdict),
            weight=cohort.weight,
            traces=cohort.traces,
            reasons=cohort.reasons,
            rows=_chosen(cohort.metrics, metrics),
        )
        for cohort in answer.cohorts
    ]


def _chosen(rows: Sequence[MetricRow], metrics: Sequence[str] | None) -> list[MetricRow]:
    order = METRICS_THAT_MATTER if metrics is None else tuple(metrics)
    telling = [row for row in rows if has_value(row) or is_required(row)]
    named = sorted((row for row in telling if row.metric in order), key=lambda row: order.index(row.metric))
    if metrics is not None:
        return named
    regressed = (CellState.HARM, CellState.WORSE)
    return named + [row for row in telling if row.metric not in order and row.state in regressed and is_guardrail(row)]


def labels_left_out(answer: Answer, shown: Sequence[CohortRows]) -> list[str]:
    """List the overall metrics that were recorded but that the blocks in `shown` leave out."""
    present = {metric_label(row) for block in shown for row in block.rows}
    labels = [metric_label(row) for row in answer.overall.metrics if has_value(row)]
    return [label for label in labels if label not in present]
