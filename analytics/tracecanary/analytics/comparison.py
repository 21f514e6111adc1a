"""Answering a question: evidence from the store, judged cell by cell, with a verdict."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from tracecanary.analytics import checks
from tracecanary.analytics.answer import (
    Answer,
    ArmCounts,
    CellState,
    CohortAnswer,
    Examples,
    MetricRow,
    Overall,
    QuestionEcho,
)
from tracecanary.analytics.assessment import Judging, exceeds_margin, metric_rows
from tracecanary.analytics.evidence import Cell, Evidence, Flags, comparable_cells, merge_cells
from tracecanary.analytics.findings import name_findings
from tracecanary.analytics.freezing import keep, kept
from tracecanary.analytics.gathering import gather_evidence
from tracecanary.analytics.measurement import MeasuredRow, Measurements, Places, Summaries, measure, summarise
from tracecanary.analytics.pairing import paired_answer
from tracecanary.analytics.policy import EVALUATION_METRIC
from tracecanary.analytics.question import Question
from tracecanary.analytics.specification import rules, spec_hash
from tracecanary.analytics.stacking import Stack, Stacker
from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.multiplicity import confirmed_findings
from tracecanary.analytics.store import Store
from tracecanary.analytics.verdict import (
    Decision,
    JudgedCell,
    decide_cohort,
    decide_overall,
    is_taking_part,
    route_cohorts,
    row_label,
)
from tracecanary.schema import LakeError, LakeStorage, lake_storage

# Evaluators below this share of the busiest one's judgements take no part, unless the question names them.
MIN_EVALUATOR_SHARE = 0.01
# Among the reasons; the answer lists all.
_MOST_FINDINGS_TOLD = 3
# A shorter period says too little about how many traces come in a day.
_MIN_DAYS_FOR_RATE = 1 / 24
# Further away, a date would only pretend to know.
_MAX_DAYS_AHEAD = 3650.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An answer, and when the newest trace behind it started (None without traces)."""

    answer: Answer
    last_trace: datetime | None


def compare(store: Store, question: Question) -> Comparison:
    """Answer `question` from the lake as it is now; with mode=fixed, as it was at its one look.

    Raises:
        UnknownArmError: No stored trace has ever asked for the base or the candidate.
        LakeError, StoreError: The lake can't be read; or, with mode=fixed, the look can't be stored.
    """
    name, storage = spec_hash(question), lake_storage(store.lake)
    latched = kept(storage, name, "look") if question.mode == "fixed" else None
    if latched is not None:
        return _latched(latched)
    problems: list[str] = []

    def freeze_caps(suggested: Mapping[str, float]) -> Mapping[str, float]:
        if not suggested:
            return kept(storage, name, "caps") or {}
        found = keep(storage, name, "caps", suggested)
        problems.extend(filter(None, [found.problem]))
        return found.content

    with store.session() as session:
        evidence = gather_evidence(session, question, freeze_caps=freeze_caps)
    planned = keep(storage, name, "plan", rules(question))
    problems.extend(filter(None, [planned.problem]))
    answer = answer_question(question, evidence, plan_problem=problems[-1] if problems else None)
    made = Comparison(answer=answer, last_trace=evidence.last_trace)
    return _latch(storage, name, made) if _is_due(question, evidence) else made


def _latched(content: Mapping[str, Any]) -> Comparison:
    last = content["last_trace"]
    return Comparison(
        answer=Answer.model_validate(content["answer"]), last_trace=datetime.fromisoformat(last) if last else None
    )


def _latch(storage: LakeStorage, name: str, made: Comparison) -> Comparison:
    content = {
        "answer": made.answer.model_dump(mode="json", by_alias=True),
        "last_trace": made.last_trace.isoformat() if made.last_trace else None,
    }
    found = keep(storage, name, "look", content)
    if found.problem is not None:
        raise LakeError(f"{found.problem} Make the lake writable for mode=fixed, or use mode=sequential.")
    return _latched(found.content)


def _is_due(question: Question, evidence: Evidence) -> bool:
    return question.at_n is not None and min(_arm_traces(evidence.cells)) >= question.at_n


def _arm_traces(cells: Sequence[Cell]) -> tuple[int, int]:
    return sum(cell.base.traces for cell in cells), sum(cell.candidate.traces for cell in cells)


def answer_question(question: Question, evidence: Evidence, *, plan_problem: str | None = None) -> Answer:
    """Judge every cell, decide, and put the answer together. Pure.

    Args:
        question: What is asked.
        evidence: What is known.
        plan_problem: Why the plan could not be fixed for later looks; None if it was.
    """
    judged = _Judge(question, evidence).judged()
    overview = dataclasses.replace(judged.overview, plan_problem=plan_problem)
    checked = checks.run_checks(question, evidence, judged.compared, overview)
    decisions = [decide_cohort(cell, checked) for cell in judged.cohorts]
    settled_by = _settled_by(judged.overall, evidence)
    decision = decide_overall(judged.overall, judged.without_harmed, judged.cohorts, checked, settled_by=settled_by)
    is_awaited = _awaited_look(question, evidence) is not None
    paired = None if is_awaited else paired_answer(evidence, judged.rows, judged.look)
    findings = name_findings(judged.overall, judged.cohorts, paired)
    named = [f"{finding.kind.replace('_', ' ')}: {finding.text}" for finding in findings[:_MOST_FINDINGS_TOLD]]
    return Answer(
        question=_echo(question, evidence),
        overall=Overall(
            verdict=decision.verdict,
            reasons=[*decision.reasons, *named],
            traces=ArmCounts(base=_arm_traces(evidence.cells)[0], candidate=_arm_traces(evidence.cells)[1]),
            metrics=list(judged.overall.rows),
            findings=findings,
            settled_by=settled_by,
        ),
        cohorts=[
            _cohort_answer(cell, judged_cell, cohort_decision)
            for cell, judged_cell, cohort_decision in zip(evidence.cells, judged.cohorts, decisions, strict=True)
        ],
        routing=route_cohorts(
            [(cell.cohort or "", made) for cell, made in zip(judged.cohorts, decisions, strict=True)], decision, checked
        ),
        checks=checked,
        paired=paired,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """Every cell of a question, judged. `compared` are the cells behind `overall`."""

    rows: Sequence[MeasuredRow]
    look: Look
    compared: Sequence[Cell]
    overall: JudgedCell
    without_harmed: JudgedCell
    cohorts: Sequence[JudgedCell]
    overview: checks.Overview


class _Judge:
    """Measures and judges the cells of one question."""

    def __init__(self, question: Question, evidence: Evidence) -> None:
        self._question, self._evidence = question, evidence
        self._rows = measured_rows(question, evidence)
        planned = question.policy.planned_traces if question.mode == "sequential" else None
        self._look = Look(confidence=question.confidence, planned=planned)
        self._compared = comparable_cells(evidence.cells)
        self._stacker = Stacker(evidence.values, capped=evidence.caps)
        self._awaits = _awaited_look(question, evidence)

    def judged(self) -> _Judged:
        cells = self._evidence.cells
        chosen = np.array([cell in self._compared for cell in cells], dtype=np.bool_)
        cohorts = self._cohorts()
        harmed = np.array([bool(cell.confirmed_harms) for cell in cohorts], dtype=np.bool_)
        overall, measured = self._together(chosen)
        without_harmed = overall
        if harmed.any():
            without_harmed, _ = self._together(chosen & ~harmed)
        latest = None
        if len(self._evidence.periods) > 1:
            latest = self._together(chosen, last_period_only=True)[0].rows
        return _Judged(
            rows=self._rows,
            look=self._look,
            compared=self._compared,
            overall=overall,
            without_harmed=without_harmed,
            cohorts=cohorts,
            overview=checks.Overview(rows=overall.rows, measured=measured, latest=latest, plan_problem=None),
        )

    def _cohorts(self) -> list[JudgedCell]:
        cells = self._evidence.cells
        if not cells:
            return []
        stack = self._stacker.cohorts(tuple(cell.cohort or "" for cell in cells))
        summaries = summarise(stack, self._rows)
        measured = measure(summaries, self._rows, self._look)
        rows = [self._metric_rows(measured, place, stack, cell) for place, cell in enumerate(cells)]
        standing = self._confirmed(summaries, rows)
        total = sum(cell.traces for cell in self._compared)
        return [
            JudgedCell(
                cohort=cell.cohort,
                # A cohort that one arm alone saw has no part in the compared traces.
                weight=cell.traces / total if total and cell in self._compared else 0.0,
                rows=rows[place],
                confirmed_harms=frozenset(
                    row_label(row) for row, stands in zip(rows[place], standing[place], strict=True) if stands
                ),
            )
            for place, cell in enumerate(cells)
        ]

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
            unpriced=(cell.base.unpriced_models, cell.candidate.unpriced_models),
        )
        return metric_rows(self._rows, measured, place, judging)


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _awaited_look(question: Question, evidence: Evidence) -> str | None:
    if question.at_n is None or _is_due(question, evidence):
        return None
    base, candidate = _arm_traces(evidence.cells)
    return f"the one look is planned at {question.at_n:,} traces in each arm; there are {base:,} and {candidate:,}"


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


def _settled_by(overall: JudgedCell, evidence: Evidence) -> datetime | None:
    """Return about when the last unsettled guardrail has its traces, if they keep coming as in the latest period."""
    waiting = [row.more_traces for row in overall.blocking]
    needed = max((more for more in waiting if more is not None), default=0)
    if not needed or any(more is None for more in waiting) or evidence.last_trace is None:
        return None
    days = evidence.periods[-1].days
    arriving = float(evidence.values.traces[:, -1].sum(axis=0).min())
    if days < _MIN_DAYS_FOR_RATE or not arriving or needed * days / arriving > _MAX_DAYS_AHEAD:
        return None
    return evidence.last_trace + timedelta(days=needed * days / arriving)


def _cohort_answer(cell: Cell, judged: JudgedCell, decision: Decision) -> CohortAnswer:
    return CohortAnswer(
        cohort=judged.cohort or "",
        verdict=decision.verdict,
        reasons=decision.reasons,
        weight=judged.weight,
        traces=_traces(cell),
        metrics=list(judged.rows),
        examples=Examples(base=list(cell.base_examples), candidate=list(cell.candidate_examples)),
    )


def _traces(cell: Cell) -> ArmCounts:
    return ArmCounts(base=cell.base.traces, candidate=cell.candidate.traces)


def _echo(question: Question, evidence: Evidence) -> QuestionEcho:
    selection = question.selection
    return QuestionEcho.model_validate(
        {
            "base": question.base,
            "candidate": question.candidate,
            "arm_by": selection.arm_by,
            "cohort_by": ",".join(selection.cohort_by),
            "from": selection.from_time,
            "to": selection.to_time,
            "cohort": list(selection.cohorts),
            "route": list(selection.routes),
            "evaluator": list(question.evaluators),
            "mode": question.mode,
            "at_n": question.at_n,
            "confidence": question.confidence,
            "planned_traces": question.policy.planned_traces if question.mode == "sequential" else None,
            "caps": dict(evidence.caps),
            "spec_hash": spec_hash(question),
        }
    )
