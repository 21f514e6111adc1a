"""Judging: every cell of a question measured, with a state, and the harms that stand among all cells. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracecanary.analytics import checks
from tracecanary.analytics.answer import CellState, MetricRow
from tracecanary.analytics.assessment import Judging, exceeds_margin, metric_rows
from tracecanary.analytics.evidence import Cell, Evidence, Flags, comparable_cells, merge_cells
from tracecanary.analytics.measurement import MeasuredRow, Measurements, Places, Summaries, measure, summarise
from tracecanary.analytics.metrics import MetricKind
from tracecanary.analytics.policy import EVALUATION_METRIC
from tracecanary.analytics.question import Question
from tracecanary.analytics.stacking import Stack, Stacker
from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.heterogeneity import heterogeneity
from tracecanary.analytics.statistics.multiplicity import confirmed_findings
from tracecanary.analytics.verdict import JudgedCell, is_taking_part, row_label

# Evaluators below this share of the busiest one's judgements take no part, unless the question names them.
MIN_EVALUATOR_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Every cell of a question, judged. `compared` are the cells behind `overall`."""

    rows: Sequence[MeasuredRow]
    look: Look
    compared: Sequence[Cell]
    overall: JudgedCell
    without_harmed: JudgedCell
    cohorts: Sequence[JudgedCell]
    overview: checks.Overview


class Judge:
    """Measures and judges the cells of one question.

    Args:
        question: What is asked.
        evidence: What is known.
        awaits_look: Why nothing is judged yet, for one look that is not due; else None.
    """

    def __init__(self, question: Question, evidence: Evidence, *, awaits_look: str | None) -> None:
        self._question, self._evidence = question, evidence
        self._rows = measured_rows(question, evidence)
        planned = question.policy.planned_traces if question.mode == "sequential" else None
        self._look = Look(confidence=question.confidence, planned=planned)
        self._compared = comparable_cells(evidence.cells)
        has_both = np.array([cell.has_both_arms for cell in evidence.cells], dtype=np.bool_)
        self._is_compared = has_both if has_both.any() else np.ones(len(has_both), dtype=np.bool_)
        self._stacker = Stacker(evidence.values, capped=evidence.caps)
        self._awaits = awaits_look

    def judged(self) -> Judged:
        """Judge every cell, all together, and all but the harmed ones."""
        chosen = self._is_compared
        cohorts, measured_cohorts = self._cohorts()
        harmed = np.array([bool(cell.confirmed_harms) for cell in cohorts], dtype=np.bool_)
        overall, measured = self._together(chosen)
        without_harmed = overall
        if harmed.any():
            without_harmed, _ = self._together(chosen & ~harmed)
        latest = None
        if len(self._evidence.periods) > 1:
            latest = self._together(chosen, last_period_only=True)[0].rows
        if self._awaits is None:
            overall = self._compared_rows(overall, measured_cohorts, chosen, latest)
        return Judged(
            rows=self._rows,
            look=self._look,
            compared=self._compared,
            overall=overall,
            without_harmed=without_harmed,
            cohorts=cohorts,
            overview=checks.Overview(rows=overall.rows, measured=measured, latest=latest, plan_problem=None),
        )

    def _compared_rows(
        self, overall: JudgedCell, cohorts: Measurements | None, chosen: Flags, latest: Sequence[MetricRow] | None
    ) -> JudgedCell:
        """Put beside the overall rows how the cohorts differ, and the effect in the latest period."""
        if cohorts is None:
            return overall
        is_ratio = np.array([metric.kind is not MetricKind.RATE for metric, _ in self._rows])
        with np.errstate(all="ignore"):
            effects = np.where(is_ratio, np.log(cohorts.effect), cohorts.effect)[chosen]
        found = heterogeneity(effects, cohorts.error[chosen])
        rows = [
            row.model_copy(
                update={
                    "i_squared": _finite(i_squared),
                    "heterogeneity_p_value": _finite(p_value),
                    "latest_effect": None if latest is None else latest[place].effect,
                }
            )
            for place, (row, i_squared, p_value) in enumerate(
                zip(overall.rows, found.i_squared.tolist(), found.p_value.tolist(), strict=True)
            )
        ]
        return dataclasses.replace(overall, rows=rows)

    def _cohorts(self) -> tuple[list[JudgedCell], Measurements | None]:
        cells = self._evidence.cells
        if not cells:
            return [], None
        stack = self._stacker.cohorts(tuple(cell.cohort or "" for cell in cells))
        summaries = summarise(stack, self._rows)
        measured = measure(summaries, self._rows, self._look)
        rows = [self._metric_rows(measured, place, stack, cell) for place, cell in enumerate(cells)]
        standing = self._confirmed(summaries, rows)
        total = sum(cell.traces for cell in self._compared)
        judged = [
            JudgedCell(
                cohort=cell.cohort,
                # A cohort that one arm alone saw has no part in the compared traces.
                weight=cell.traces / total if total and self._is_compared[place] else 0.0,
                rows=rows[place],
                confirmed_harms=frozenset(
                    row_label(row) for row, stands in zip(rows[place], standing[place], strict=True) if stands
                ),
            )
            for place, cell in enumerate(cells)
        ]
        return judged, measured

    def _confirmed(self, summaries: Summaries, rows: Sequence[list[MetricRow]]) -> Flags:
        """Choose the harms that stand among all guardrail cells that were looked at, and measure them as such."""
        tests = sum(row.ci_low is not None and is_taking_part(row) for cell in rows for row in cell)
        found = np.array([[row.state is CellState.HARM and is_taking_part(row) for row in cell] for cell in rows])

        # Only where something was found does it matter whether it is at a higher confidence, too.
        places = np.flatnonzero(found.any(axis=1)) if found.size else np.zeros(0, dtype=np.intp)
        of_found = summaries.of_cells(places)
        raised: Measurements | None = None

        def is_found_at(confidence: float) -> Flags:
            nonlocal raised
            raised = measure(of_found, self._rows, self._look.at_confidence(confidence))
            exceeding = np.zeros_like(found)
            exceeding[places] = exceeds_margin(self._rows, raised)
            return exceeding

        standing, confidence = confirmed_findings(
            tests, found, is_found_at, false_discovery_rate=1 - self._question.confidence
        )
        if raised is not None:
            self._raise_confidence(rows, raised, places, standing, confidence)
        return standing

    @staticmethod
    def _raise_confidence(
        rows: Sequence[list[MetricRow]], raised: Measurements, places: Places, standing: Flags, confidence: float
    ) -> None:
        """Give harms that stand the interval of the confidence at which they do (false coverage rate)."""
        for index, place in enumerate(places):
            for column in np.flatnonzero(standing[place]).tolist():
                low, high = float(raised.low[index, column]), float(raised.high[index, column])
                interval = {"ci_low": _finite(low), "ci_high": _finite(high), "ci_confidence": confidence}
                rows[place][column] = rows[place][column].model_copy(update=interval)

    def _together(self, chosen: Flags, *, last_period_only: bool = False) -> tuple[JudgedCell, Measurements]:
        stack = self._stacker.together(chosen, last_period_only=last_period_only)
        measured = measure(summarise(stack, self._rows), self._rows, self._look)
        together = merge_cells([cell for cell, is_in in zip(self._evidence.cells, chosen, strict=True) if is_in])
        rows = self._metric_rows(measured, 0, stack, together)
        harms = frozenset(row_label(row) for row in rows if row.state is CellState.HARM and is_taking_part(row))
        return JudgedCell(cohort=None, weight=1.0, rows=rows, confirmed_harms=harms), measured

    def _metric_rows(self, measured: Measurements, place: int, stack: Stack, cell: Cell) -> list[MetricRow]:
        base, candidate = (round(float(count)) for count in stack.traces[place])
        judging = Judging(
            compared=(base, candidate),
            look=self._look,
            awaits_look=self._awaits,
            to_look=self._to_look(),
            unpriced=(cell.base.unpriced_models, cell.candidate.unpriced_models),
        )
        return metric_rows(self._rows, measured, place, judging)

    def _to_look(self) -> int | None:
        if self._awaits is None or self._question.at_n is None:
            return None
        arms = [(cell.base.traces, cell.candidate.traces) for cell in self._evidence.cells]
        return self._question.at_n - min((sum(traces) for traces in zip(*arms, strict=True)), default=0)


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def measured_rows(question: Question, evidence: Evidence) -> list[MeasuredRow]:
    """Return each metric with its evaluator; a metric of evaluators once for each of them, or once without any."""
    candidates = evidence.evaluators if question.evaluators else _main_evaluators(evidence)
    seen = [name for name in candidates if not question.evaluators or _is_asked(name, question.evaluators)]
    # An evaluator that was asked for and judged nothing is a gap to show, not one to pass over.
    silent = [name for name in question.evaluators if not any(_is_asked(other, (name,)) for other in seen)]
    evaluators: Sequence[str | None] = [*seen, *silent] or [None]
    return [
        (question.policy.metric(metric.name, evaluator), evaluator)
        for metric in question.policy.metrics
        for evaluator in (evaluators if metric.name == EVALUATION_METRIC else [None])
    ]


def _main_evaluators(evidence: Evidence) -> list[str]:
    """Leave out evaluators with a sliver of the judgements of the busiest one: a trial, or an old version's rest."""
    judgements = evidence.values.sums.n.sum(axis=(0, 1, 2, 4))
    judged = {
        evaluator: float(count)
        for (metric, evaluator), count in zip(evidence.values.keys, judgements, strict=True)
        if metric == EVALUATION_METRIC and evaluator is not None
    }
    most = max(judged.values(), default=0)
    return [name for name in evidence.evaluators if judged.get(name, 0) >= MIN_EVALUATOR_SHARE * most]


def _is_asked(evaluator: str, asked: Sequence[str]) -> bool:
    """Tell whether `asked` names the evaluator; one seen in two versions is called name@version."""
    return evaluator in asked or evaluator.rpartition("@")[0] in asked
