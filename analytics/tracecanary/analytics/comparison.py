"""Answering a question: evidence from the store, judged cell by cell, with a verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tracecanary.analytics import checks
from tracecanary.analytics.answer import (
    Answer,
    ArmCounts,
    CohortAnswer,
    Examples,
    Overall,
    QuestionEcho,
)
from tracecanary.analytics.cohort_limit import limited
from tracecanary.analytics.evidence import Cell, Evidence, merge_cells
from tracecanary.analytics.findings import name_findings
from tracecanary.analytics.freezing import keep, kept
from tracecanary.analytics.gathering import gather_evidence
from tracecanary.analytics.judging import Judge
from tracecanary.analytics.pairing import paired_answer
from tracecanary.analytics.parts import with_parts
from tracecanary.analytics.question import MOST_COHORTS, Question
from tracecanary.analytics.specification import rules, spec_hash
from tracecanary.analytics.store import Snapshot, Store
from tracecanary.analytics.verdict import (
    Decision,
    JudgedCell,
    decide_cohort,
    decide_overall,
    route_cohorts,
)
from tracecanary.schema import LakeError, LakeStorage, lake_storage

# Among the reasons; the answer lists all.
_MOST_FINDINGS_TOLD = 3
# A shorter period says too little about how many traces come in a day.
_MIN_DAYS_FOR_RATE = 1 / 24
# Further away, a date would only pretend to know.
_MAX_DAYS_AHEAD = 3650.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An answer, and when the newest trace behind it started (None without traces).

    `snapshot` is the number of the store's snapshot that it is of; None for one that stays whatever comes, and for one
    whose caps or plan could not be fixed. One that is not `is_settled` has no caps: it changes when another window or
    process fixes some.
    """

    answer: Answer
    last_trace: datetime | None
    snapshot: int | None = None
    is_settled: bool = False


def compare(store: Store, question: Question) -> Comparison:
    """Answer `question` from the lake as it is now; with mode=fixed, as it was at its one look.

    Raises:
        UnknownArmError: No stored trace has ever asked for the base or the candidate.
        LakeError, StoreError: The lake can't be read; or, with mode=fixed, the look can't be stored.
    """
    name, storage = spec_hash(question, derivation=store.derivation), lake_storage(store.lake)
    latched = kept(storage, name, "look") if question.mode == "fixed" else None
    if latched is not None:
        return _shown(_latched(latched), question)
    with store.snapshot() as snapshot:
        store.check(question.selection)
        if question.mode == "fixed":
            read = _compared(snapshot, question, storage, store.derivation)
            return _shown(_latch(storage, name, read) if _is_due(question, read.answer) else read, question)
        # A window that moves is the same comparison, and another answer.
        key = (snapshot.number, name, question.selection, question.evaluators, question.max_cohorts)

        def answered() -> Comparison:
            made: Comparison = store.answers.answer(
                key, lambda: _compared(snapshot, question, storage, store.derivation)
            )
            return made

        made = answered()
        # Another window, or another process, may have fixed caps since.
        if not made.answer.question.caps and kept(storage, name, "caps"):
            store.answers.forget(key)
            made = answered()
        if made.answer.checks.plan.reason is not None:
            store.answers.forget(key)
        return made


def _compared(snapshot: Snapshot, question: Question, storage: LakeStorage, derivation: str) -> Comparison:
    """Answer `question` from one snapshot, and fix for later looks what it keeps to."""
    name = spec_hash(question, derivation=derivation)
    problems: list[str] = []

    def freeze_caps(suggested: Mapping[str, float]) -> Mapping[str, float]:
        if not suggested:
            return kept(storage, name, "caps") or {}
        found = keep(storage, name, "caps", suggested)
        problems.extend(filter(None, [found.problem]))
        return found.content

    def gathered(part: Question) -> Evidence:
        return gather_evidence(snapshot.session, snapshot.rollups, part, freeze_caps=lambda _: evidence.caps)

    evidence = gather_evidence(snapshot.session, snapshot.rollups, question, freeze_caps=freeze_caps)
    evidence = with_parts(evidence, question, gathered)
    # A look at no traces is none, and a filter that was mistyped is to leave nothing behind.
    if any(_arm_traces(evidence.cells)):
        planned = keep(storage, name, "plan", rules(question, derivation=derivation))
        problems.extend(filter(None, [planned.problem]))
    problem = problems[-1] if problems else None
    answer = answer_question(question, evidence, plan_problem=problem, derivation=derivation)
    # What is kept for the one look may be asked for with other limits.
    answer = limited(answer, MOST_COHORTS if question.mode == "fixed" else question.max_cohorts)
    return Comparison(
        answer=answer,
        last_trace=evidence.last_trace,
        snapshot=snapshot.number if problem is None else None,
        is_settled=bool(evidence.caps),
    )


def _shown(made: Comparison, question: Question) -> Comparison:
    return dataclasses.replace(made, answer=limited(made.answer, question.max_cohorts))


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


def _is_due(question: Question, answer: Answer) -> bool:
    traces = answer.overall.traces
    return question.at_n is not None and min(traces.base, traces.candidate) >= question.at_n


def _arm_traces(cells: Sequence[Cell]) -> tuple[int, int]:
    return sum(cell.base.traces for cell in cells), sum(cell.candidate.traces for cell in cells)


def answer_question(
    question: Question, evidence: Evidence, *, plan_problem: str | None = None, derivation: str = ""
) -> Answer:
    """Judge every cell, decide, and put the answer together. Pure.

    Args:
        question: What is asked.
        evidence: What is known.
        plan_problem: Why the plan could not be fixed for later looks; None if it was.
        derivation: Names what the facts depend on beside the traces.
    """
    awaits_look = _awaited_look(question, evidence)
    judged = Judge(question, evidence, awaits_look=awaits_look).judged()
    overview = dataclasses.replace(judged.overview, plan_problem=plan_problem)
    checked = checks.run_checks(question, evidence, judged.compared, overview)
    decisions = [decide_cohort(cell, checked) for cell in judged.cohorts]
    settled_by = _settled_by(judged.overall, evidence)
    decision = decide_overall(judged.overall, judged.without_harmed, judged.cohorts, checked, settled_by=settled_by)
    paired = None if awaits_look else paired_answer(question, evidence, judged)
    findings = name_findings(judged.overall, judged.cohorts, paired)
    named = [f"{finding.kind.replace('_', ' ')}: {finding.text}" for finding in findings[:_MOST_FINDINGS_TOLD]]
    return Answer(
        question=_echo(question, evidence, derivation),
        overall=Overall(
            verdict=decision.verdict,
            reasons=[*decision.reasons, *named, *_unseen(question, evidence)],
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


def _unseen(question: Question, evidence: Evidence) -> list[str]:
    """Name filters that no trace of either arm meets: as likely misspelt as without traffic."""
    together = merge_cells(evidence.cells)
    routes = {*together.base.routes, *together.candidate.routes}
    evaluators = {name for seen in evidence.evaluators for name in (seen, seen.rpartition("@")[0])}
    filters = (
        ("cohort", question.selection.cohorts, {cell.cohort for cell in evidence.cells}),
        ("route", question.selection.routes, routes),
        ("evaluator", question.evaluators, evaluators),
    )
    return [
        f"no trace of either arm in this window has the {what} {name!r}: check the spelling"
        for what, asked, seen in filters
        for name in asked
        if name not in seen
    ]


def _awaited_look(question: Question, evidence: Evidence) -> str | None:
    base, candidate = _arm_traces(evidence.cells)
    if question.at_n is None or min(base, candidate) >= question.at_n:
        return None
    return f"the one look is planned at {question.at_n:,} traces in each arm; there are {base:,} and {candidate:,}"


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


def _echo(question: Question, evidence: Evidence, derivation: str) -> QuestionEcho:
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
            "spec_hash": spec_hash(question, derivation=derivation),
        }
    )
