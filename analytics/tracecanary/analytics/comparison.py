"""Answering a question: evidence from the store, judged cell by cell, with a verdict."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tracecanary.analytics import assessment, checks, verdict
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
from tracecanary.analytics.assessment import is_harm_confirmed, metric_row
from tracecanary.analytics.evidence import Cell, Evidence, comparable_cells, gather_evidence, merge_cells
from tracecanary.analytics.metrics import METRICS, METRICS_BY_NAME, Metric
from tracecanary.analytics.question import Question
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

# Any change of a method that changes answers gets a new number, and so a new spec_hash.
_METHOD_VERSION = 1
# Evaluators below this share of the busiest one's judgements take no part, unless the question names them.
MIN_EVALUATOR_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An answer, and when the newest trace behind it started (None without traces)."""

    answer: Answer
    last_trace: datetime | None


def compare(store: Store, question: Question) -> Comparison:
    """Answer `question` from the lake as it is now.

    Raises:
        UnknownArmError: No stored trace has ever asked for the base or the candidate.
        LakeError, StoreError: The lake can't be read.
    """
    with store.session() as session:
        evidence = gather_evidence(session, question)
    return Comparison(answer=answer_question(question, evidence), last_trace=evidence.last_trace)


def answer_question(question: Question, evidence: Evidence) -> Answer:
    """Judge every cell, decide, and put the answer together. Pure."""
    judged = _judge_cells(question, evidence)
    checked = checks.run_checks(
        question, judged.compared, evidence.cohorts, unmatched_evaluations=evidence.unmatched_evaluations
    )
    decisions = [decide_cohort(cell, checked) for cell in judged.cohorts]
    decision = decide_overall(judged.overall, judged.without_harmed, judged.cohorts, checked)
    return Answer(
        question=_echo(question),
        overall=Overall(
            verdict=decision.verdict,
            reasons=decision.reasons,
            traces=_traces(merge_cells(evidence.cohorts)),
            metrics=list(judged.overall.rows),
        ),
        cohorts=[
            _cohort_answer(cell, judged_cell, cohort_decision)
            for cell, judged_cell, cohort_decision in zip(evidence.cohorts, judged.cohorts, decisions, strict=True)
        ],
        routing=route_cohorts(
            [(cell.cohort or "", made) for cell, made in zip(judged.cohorts, decisions, strict=True)]
        ),
        checks=checked,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """Every cell of a question, judged. `compared` is the evidence behind `overall`."""

    compared: Cell
    overall: JudgedCell
    without_harmed: JudgedCell
    cohorts: Sequence[JudgedCell]


def _judge_cells(question: Question, evidence: Evidence) -> _Judged:
    metrics = _judged_metrics(question, evidence)
    comparable = comparable_cells(evidence.cohorts)
    compared = merge_cells(comparable)
    names = {cell.cohort for cell in comparable}
    rows_by_cell = [_rows(metrics, cell, question.confidence) for cell in evidence.cohorts]
    # Every cohort's guardrail interval is one more chance to see harm where there is none.
    looks = sum(row.ci_low is not None and is_taking_part(row) for rows in rows_by_cell for row in rows)
    strict = 1 - (1 - question.confidence) / max(1, looks)
    cohorts = [
        # A cohort that one arm alone saw has no part in the compared traces.
        _judged(cell, rows, _share(cell, compared) if cell.cohort in names else 0.0, strict)
        for cell, rows in zip(evidence.cohorts, rows_by_cell, strict=True)
    ]
    harmed = {cell.cohort for cell in cohorts if cell.confirmed_harms}
    unharmed = merge_cells(cell for cell in comparable if cell.cohort not in harmed)
    overall, without_harmed = (
        _judged(cell, _rows(metrics, cell, question.confidence), _share(cell, compared), question.confidence)
        for cell in (compared, unharmed)
    )
    return _Judged(compared=compared, overall=overall, without_harmed=without_harmed, cohorts=cohorts)


def _share(cell: Cell, compared: Cell) -> float:
    return cell.traces / compared.traces if compared.traces else 0.0


def _judged_metrics(question: Question, evidence: Evidence) -> list[tuple[Metric, str | None]]:
    """Return each metric with its evaluator; a metric of evaluators once for each of them, or once without any."""
    candidates = evidence.evaluators if question.evaluators else _main_evaluators(evidence)
    seen = [name for name in candidates if not question.evaluators or _is_asked(name, question.evaluators)]
    # An evaluator that was asked for and judged nothing is a gap to show, not one to pass over.
    silent = [name for name in question.evaluators if not any(_is_asked(other, (name,)) for other in seen)]
    evaluators: Sequence[str | None] = [*seen, *silent] or [None]
    return [
        (metric, evaluator)
        for metric in METRICS
        for evaluator in (evaluators if metric.name == "eval_fail_rate" else [None])
    ]


def _main_evaluators(evidence: Evidence) -> list[str]:
    """Leave out evaluators with a sliver of the judgements of the busiest one: a trial, or an old version's rest."""
    everything = merge_cells(evidence.cohorts)
    judged = {
        name: sum(arm.values_of(("eval_fail_rate", name)).n for arm in (everything.base, everything.candidate))
        for name in evidence.evaluators
    }
    most = max(judged.values(), default=0)
    return [name for name in evidence.evaluators if judged[name] >= MIN_EVALUATOR_SHARE * most]


def _is_asked(evaluator: str, asked: Sequence[str]) -> bool:
    """Tell whether `asked` names the evaluator; one seen in two versions is called name@version."""
    return evaluator in asked or evaluator.rpartition("@")[0] in asked


def _rows(metrics: Sequence[tuple[Metric, str | None]], cell: Cell, confidence: float) -> list[MetricRow]:
    return [metric_row(metric, evaluator, cell, confidence=confidence) for metric, evaluator in metrics]


def _judged(cell: Cell, rows: Sequence[MetricRow], weight: float, strict: float) -> JudgedCell:
    return JudgedCell(
        cohort=cell.cohort,
        weight=weight,
        rows=rows,
        confirmed_harms=frozenset(
            row_label(row)
            for row in rows
            if row.state is CellState.HARM
            and is_taking_part(row)
            and is_harm_confirmed(METRICS_BY_NAME[row.metric], row.evaluator, cell, confidence=strict)
        ),
    )


def _cohort_answer(cell: Cell, judged: JudgedCell, decision: Decision) -> CohortAnswer:
    return CohortAnswer(
        cohort=judged.cohort or "",
        verdict=decision.verdict,
        reasons=decision.reasons,
        weight=judged.weight,
        traces=_traces(cell),
        metrics=list(judged.rows),
        examples=Examples(base=list(cell.base.examples), candidate=list(cell.candidate.examples)),
    )


def _traces(cell: Cell) -> ArmCounts:
    return ArmCounts(base=cell.base.side.traces, candidate=cell.candidate.side.traces)


def _echo(question: Question) -> QuestionEcho:
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
            "mode": "fixed",
            "confidence": question.confidence,
            "spec_hash": spec_hash(question),
        }
    )


def spec_hash(question: Question) -> str:
    """Name the settings that decide the answer: the same hash means the same rules. 16 hex digits."""
    spec = {
        "method": _METHOD_VERSION,
        "arm_by": question.selection.arm_by,
        "cohort_by": question.selection.cohort_by,
        "cohorts": sorted(question.selection.cohorts),
        "routes": sorted(question.selection.routes),
        "evaluators": sorted(question.evaluators),
        "confidence": question.confidence,
        "metrics": [dataclasses.asdict(metric) for metric in METRICS],
        "gates": [assessment.MIN_TRACES, assessment.MIN_EVENTS, assessment.MAX_COVERAGE_GAP],
        "checks": [
            checks.MIX_P_VALUE,
            checks.MAX_DROPPED_SHARE,
            checks.MAX_CONTAMINATED_SHARE,
            checks.MAX_FACTOR_SHIFT,
        ],
        "weights": [verdict.MAX_UNVERIFIED_WEIGHT, verdict.MAX_HARMED_WEIGHT],
    }
    return hashlib.blake2b(json.dumps(spec, sort_keys=True).encode(), digest_size=8).hexdigest()
