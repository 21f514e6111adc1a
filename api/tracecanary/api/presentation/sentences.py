"""Two sentences for a release manager: what to do and why, then what blocks, stands out or is missing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tracecanary.analytics.answer import CellState, Verdict
from tracecanary.api.presentation.wording import (
    CHECK_LABELS,
    change_text,
    cohorts_kept_on_base,
    counted,
    finding_text,
    has_value,
    is_guardrail,
    is_required,
    metric_phrase,
    name_list,
    no_difference_of,
    plain,
    verdict_clause,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracecanary.analytics.answer import Answer, CohortAnswer, MetricRow

_SETTLED = (CellState.SAFE, CellState.BETTER)
_REGRESSED = (CellState.HARM, CellState.WORSE)
_EARLY_SIGNS_NAMED = 2
_TELLING_FIRST = (CellState.HARM, CellState.WORSE, CellState.BETTER, CellState.SAFE, CellState.UNSURE)


def summary(answer: Answer) -> str:
    """Sum the answer up in two plain sentences, whatever the verdict.

    The first says what to do and the strongest finding behind it, with its interval; the second which cohorts stand
    out, or what is missing and how many more traces it takes.
    """
    empty = _empty_arms(answer)
    if empty:
        clauses = [_first_traces_clause(answer), *_warning_clauses(answer)]
        return f"{verdict_clause(answer)}: {_empty_text(answer, empty)}. {_capitalised('; '.join(clauses))}."
    return f"{verdict_clause(answer)}: {_why(answer)}. {_capitalised(_what_else(answer))}."


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


# No traces in an arm -----------------------------------------------------------------------------------------------


def _empty_arms(answer: Answer) -> list[str]:
    traces, question = answer.overall.traces, answer.question
    arms = ((question.candidate, traces.candidate), (question.base, traces.base))
    return [plain(name) for name, count in arms if count == 0]


def _empty_text(answer: Answer, empty: Sequence[str]) -> str:
    if len(empty) > 1:
        return "neither arm has a trace in this window"
    traces, question = answer.overall.traces, answer.question
    other = question.candidate if traces.base == 0 else question.base
    seen = counted(traces.base + traces.candidate, "trace")
    return f"there is no trace of {empty[0]} in this window to compare with the {seen} of {plain(other)}"


def _first_traces_clause(answer: Answer) -> str:
    needed = _more_traces(answer.overall.metrics)
    if needed:
        return f"a decision needs about {counted(needed, 'trace')} in each arm"
    return "how many traces a decision needs can be said once the first ones are in"


# Why: the strongest finding ----------------------------------------------------------------------------------------


def _why(answer: Answer) -> str:
    confidence = answer.question.confidence
    if answer.overall.verdict is Verdict.ROLL_BACK and not _in_state(answer.overall.metrics, CellState.HARM):
        for cohort in _heaviest_first(answer.cohorts):
            row = _strongest(_in_state(cohort.metrics, CellState.HARM))
            if row is not None:
                return f"in {plain(cohort.cohort)}, {finding_text(row, confidence=confidence)}"
    row = _strongest_overall(answer)
    if row is None:
        return "no difference could be measured yet"
    finding = f"overall, {finding_text(row, confidence=confidence)}"
    if row.state is CellState.UNSURE:
        return f"{finding}, which could still be chance"
    if row.state is CellState.NO_DATA:
        return f"{finding}, from too few traces to judge"
    if answer.overall.verdict is Verdict.HOLD and row.state in _SETTLED:
        return f"{finding}, but not everything is settled"
    regression = _strongest([row for row in answer.overall.metrics if row.state in _REGRESSED and is_guardrail(row)])
    if answer.overall.verdict in {Verdict.SHIP, Verdict.NARROW} and regression is not None and regression != row:
        return f"{finding}, though {change_text(regression)}"
    return finding


def _strongest_overall(answer: Answer) -> MetricRow | None:
    rows = answer.overall.metrics
    if answer.overall.verdict is Verdict.ROLL_BACK:
        harms = _in_state(rows, CellState.HARM)
        # As in the verdict's reasons: harm in a critical metric is why it is rolled back, however large another one is.
        return _strongest([row for row in harms if row.is_critical]) or _strongest(harms) or _strongest(rows)
    if answer.overall.verdict in {Verdict.SHIP, Verdict.NARROW}:  # the reason to ship is what got better
        gains = [row for row in _in_state(rows, CellState.BETTER) if is_guardrail(row)]
        return _strongest(gains) or _strongest(rows)
    return _strongest(rows)


def _strongest(rows: Sequence[MetricRow]) -> MetricRow | None:
    measured = [row for row in rows if row.effect is not None and (row.ci_low, row.ci_high) != (None, None)]
    return min(measured, key=lambda row: (not is_guardrail(row), _rank(row), -_strength(row)), default=None)


def _rank(row: MetricRow) -> int:
    return _TELLING_FIRST.index(row.state) if row.state in _TELLING_FIRST else len(_TELLING_FIRST)


def _strength(row: MetricRow) -> float:
    """Measure how far the interval lies from no difference, in margins; 0 if it includes no difference."""
    low, high = _margins(row, row.ci_low), _margins(row, row.ci_high)
    return max(low if low is not None else 0.0, -high if high is not None else 0.0, 0.0)


def _margins(row: MetricRow, bound: float | None) -> float | None:
    if bound is None or row.margin is None or row.margin <= no_difference_of(row):
        return None
    if row.effect_kind == "ratio":
        return math.log(bound) / math.log(row.margin) if bound > 0 else None
    return bound / row.margin


def _in_state(rows: Sequence[MetricRow], state: CellState) -> list[MetricRow]:
    return [row for row in rows if row.state is state]


def _heaviest_first(cohorts: Sequence[CohortAnswer]) -> list[CohortAnswer]:
    return sorted(cohorts, key=lambda cohort: -cohort.weight)


# What else: cohorts, gaps, warnings --------------------------------------------------------------------------------


def _what_else(answer: Answer) -> str:
    clauses = {
        Verdict.SHIP: _ship_clauses,
        Verdict.NARROW: _narrow_clauses,
        Verdict.HOLD: _hold_clauses,
        Verdict.ROLL_BACK: _roll_back_clauses,
    }[answer.overall.verdict](answer)
    return "; ".join([*clauses, *_warning_clauses(answer)])


def _warning_clauses(answer: Answer) -> list[str]:
    warnings = [CHECK_LABELS[name] for name, check in answer.checks if check.state == "warning"]
    return [f"mind the {'check' if len(warnings) == 1 else 'checks'} on {name_list(warnings)}"] if warnings else []


def _ship_clauses(answer: Answer) -> list[str]:
    regressed = [cohort.cohort for cohort in answer.cohorts if _has_regressed(cohort)]
    unverified = _unverified_clauses(answer)
    if not answer.cohorts:
        return ["the traces carry no cohort, so none was looked at on its own"]
    if regressed:
        return [f"watch {name_list(regressed)}, where a guardrail got worse", *unverified]
    if unverified:
        return unverified
    if len(answer.cohorts) == 1:
        return [f"the only cohort, {plain(answer.cohorts[0].cohort)}, shows no guardrail that got worse"]
    return [f"none of the {_cohorts_counted(answer)} shows a guardrail that got worse"]


def _has_regressed(cohort: CohortAnswer) -> bool:
    return any(row.state in _REGRESSED and is_guardrail(row) for row in cohort.metrics)


def _narrow_clauses(answer: Answer) -> list[str]:
    kept = cohorts_kept_on_base(answer)
    worst = _worst_cohort([cohort for cohort in answer.cohorts if cohort.cohort in kept])
    clause = f"keep {name_list(kept) if kept else 'the harmed cohorts'} on {plain(answer.question.base)}"
    if worst is not None:
        cohort, row = worst
        where = "where" if len(kept) == 1 else f"worst in {plain(cohort.cohort)}, where"
        clause += f", {where} {finding_text(row, confidence=answer.question.confidence)}"
    return [clause, *_unverified_clauses(answer)]


def _worst_cohort(cohorts: Sequence[CohortAnswer]) -> tuple[CohortAnswer, MetricRow] | None:
    found = [
        (cohort, row)
        for cohort in cohorts
        if (row := _strongest([row for row in cohort.metrics if row.state in _REGRESSED])) is not None
    ]
    return max(found, key=lambda pair: (-_rank(pair[1]), _strength(pair[1])), default=None)


def _roll_back_clauses(answer: Answer) -> list[str]:
    if not answer.cohorts:
        return ["the traces carry no cohort, so it cannot be said for whom it is safe"]
    harmed = [cohort.cohort for cohort in answer.cohorts if any(_in_state(cohort.metrics, CellState.HARM))]
    total = _cohorts_counted(answer)
    if not harmed:
        return [f"none of the {total} shows the harm on its own" if len(answer.cohorts) > 1 else _only_cohort(answer)]
    return [f"harm shows in {len(harmed):,} of {total}: {name_list(harmed)}"]


def _cohorts_counted(answer: Answer) -> str:
    total = counted(len(answer.cohorts), "cohort")
    return total if answer.overall.not_shown is None else f"{total} shown"


def _only_cohort(answer: Answer) -> str:
    return f"the only cohort, {plain(answer.cohorts[0].cohort)}, does not show the harm on its own"


def _hold_clauses(answer: Answer) -> list[str]:
    blocking = [row for row in answer.overall.metrics if _blocks(row)]
    harmful = _in_state(blocking, CellState.HARM)
    measured = [row for row in blocking if row.base.value is not None and row.candidate.value is not None]
    unsettled = [row for row in measured if row not in harmful]
    clauses = [f"{_named(harmful)} beyond the margin overall"] if harmful else []
    if unsettled:
        clauses.append(f"{_named(unsettled)} not settled overall{_need(unsettled)}")
    clauses += _missing_clauses([row for row in blocking if row not in measured])
    harmed = [cohort.cohort for cohort in answer.cohorts if any(_in_state(cohort.metrics, CellState.HARM))]
    if harmed:
        clauses.append(f"harm shows in {name_list(harmed)}")
    if not unsettled:
        clauses += _unverified_clauses(answer)
    clauses += _early_sign_clauses(answer)
    return clauses or [_first_reason(answer.overall.reasons)]


def _early_sign_clauses(answer: Answer) -> list[str]:
    """Name what already looks worse in a cohort, though on too few traces to decide."""
    signs = [
        (cohort, row)
        for cohort in answer.cohorts
        for row in cohort.metrics
        if row.state is CellState.NO_DATA and is_guardrail(row) and (_margins(row, row.ci_low) or 0) > 0
    ]
    strongest = sorted(signs, key=lambda sign: -_strength(sign[1]))[:_EARLY_SIGNS_NAMED]
    named = [f"in {plain(cohort.cohort)} {change_text(row)}" for cohort, row in strongest]
    return [f"early signs, on too few traces to decide: {name_list(named)}"] if named else []


def _blocks(row: MetricRow) -> bool:
    return is_guardrail(row) and row.state not in _SETTLED and (has_value(row) or is_required(row))


def _missing_clauses(rows: Sequence[MetricRow]) -> list[str]:
    groups = (
        (" for the candidate", [row for row in rows if row.base.value is not None]),
        (" for the base", [row for row in rows if row.candidate.value is not None]),
        (" in both arms", [row for row in rows if not has_value(row)]),
    )
    return [f"{_named(missing)} missing{where}" for where, missing in groups if missing]


def _named(rows: Sequence[MetricRow]) -> str:
    return f"{name_list([metric_phrase(row) for row in rows])} {_is(rows)}"


def _first_reason(reasons: Sequence[str]) -> str:
    return plain(reasons[0]).rstrip(".") if reasons else "every guardrail is settled, yet the answer is to wait"


def _unverified_clauses(answer: Answer) -> list[str]:
    names = answer.routing.unverified
    if not names:
        return []
    rows = [row for cohort in answer.cohorts if cohort.cohort in names for row in cohort.metrics if _blocks(row)]
    own = "its own" if len(names) == 1 else "their own"
    needed = _more_traces(rows)
    need = f" (about {counted(needed, 'more trace')} in each arm)" if needed else ""
    return [f"not verified on {own} yet: {name_list(names)}{need}"]


def _is(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _need(rows: Iterable[MetricRow]) -> str:
    needed = _more_traces(rows)
    return f": that takes about {counted(needed, 'more trace')} in each arm" if needed else ""


def _more_traces(rows: Iterable[MetricRow]) -> int:
    return max((row.more_traces for row in rows if row.more_traces is not None and is_guardrail(row)), default=0)
