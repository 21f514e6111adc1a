"""Evaluations: reading them from the attributes of a span, an event or a log record, and their rows. Pure.

Never raises on what attributes hold: a value that can't be read is missing. Attributes that tell no result (no score,
label or verdict) are no evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, cast

from tracecanary.collector.coercion import MAX_WORD_LENGTH, to_bool, to_float, to_name, to_text
from tracecanary.collector.conventions.evaluation import (
    EVALUATOR_KIND,
    EVALUATOR_KINDS,
    EVALUATOR_OUTPUT,
    FORMS,
    INDEXED_EVALUATION,
    NAMED_EVALUATION,
    SCORE_FORM,
    SOURCES,
    EvaluationForm,
    indexed_form,
    named_form,
)
from tracecanary.collector.documents import parse_document
from tracecanary.collector.holdable import MAX_HELD_CHARACTERS
from tracecanary.collector.passing import NO_RULES, EvaluatorRules, derive_passed, normalised_label

Source = Literal["code", "llm", "human"]
# Values in the order of `EVALUATION_COLUMNS`.
EvaluationRow = tuple[Any, ...]

THUMBS = "thumbs"
ESCALATION = "escalation"
DEFAULT_VERSION = "1"
MAX_NAME_LENGTH = 256
MAX_EXPLANATION_LENGTH = 10_000
# One span's attributes hold at most 128, unless they come from elsewhere.
_MAX_EVALUATIONS = 256
_SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")
_NO_SPAN_ID = "0" * 16
# What OpenTelemetry's own example calls the feedback of a user; here it is called thumbs.
_FEEDBACK_NAMES = frozenset({"user_feedback", "thumbs_up_down", "thumb"})
_FEEDBACK_LABELS = {
    "up": True,
    "thumbs_up": True,
    "positive": True,
    "down": False,
    "thumbs_down": False,
    "negative": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One judgement, before it is tied to a trace.

    Attributes:
        name: Name of the evaluator.
        version: Its version: results of two versions are never mixed.
        score: In the evaluator's own scale.
        label: In the evaluator's own words; short.
        passed: Verdict; None when there is none.
        explanation: Why. May quote what was judged.
        source: What judged: code, llm or human.
        judged_span_id: 16 hex digits of the span judged, if it is another one than carries the evaluation.
        judges_trace: Whether the whole trace was judged.
        response_id: `gen_ai.response.id` of the answer judged.
    """

    name: str
    version: str = DEFAULT_VERSION
    score: float | None = None
    label: str | None = None
    passed: bool | None = None
    explanation: str | None = None
    source: Source = "code"
    judged_span_id: str | None = None
    judges_trace: bool = False
    response_id: str | None = None


def read_evaluations(
    attributes: Mapping[str, Any], *, rules: EvaluatorRules = NO_RULES, default_name: str | None = None
) -> list[Evaluation]:
    """Return the evaluations that `attributes` hold, of a span, a span event or a log record.

    Args:
        attributes: Names and values, as they were sent.
        rules: Thresholds of evaluators, by name.
        default_name: Name of an evaluation that states none, such as that of the evaluator's span.
    """
    found = [
        evaluation
        for form in evaluation_forms(tuple(attributes))
        if (evaluation := _read(form, attributes, rules, default_name)) is not None
    ]
    if not found and is_evaluator_span(attributes):
        found = _read_output(attributes[EVALUATOR_OUTPUT], rules, default_name)
    return found


def evaluation_forms(attribute_names: tuple[str, ...]) -> tuple[EvaluationForm, ...]:
    """Return the forms of evaluations that attributes of these names may hold."""
    is_held = sum(map(len, attribute_names)) <= MAX_HELD_CHARACTERS
    return _held_forms(attribute_names) if is_held else _forms(attribute_names)


# An application has few shapes; hostile ones must not fill the memory.
@lru_cache(maxsize=2_048)
def _held_forms(attribute_names: tuple[str, ...]) -> tuple[EvaluationForm, ...]:
    return _forms(attribute_names)


def _forms(attribute_names: tuple[str, ...]) -> tuple[EvaluationForm, ...]:
    present: Collection[str] = frozenset(attribute_names)
    forms: dict[str, EvaluationForm] = {}
    for name in attribute_names:
        indexed = INDEXED_EVALUATION.fullmatch(name)
        if indexed:
            forms[indexed["start"]] = indexed_form(indexed["start"], judges_trace=indexed["scope"] is not None)
            continue
        named = NAMED_EVALUATION.fullmatch(name)
        if named and named["start"] in present:
            forms[named["start"]] = named_form(named["start"], named["name"])
    fixed = [form for form in FORMS if any(mark in present for mark in form.marks)]
    return (*fixed, *forms.values())[:_MAX_EVALUATIONS]


def is_evaluator_span(attributes: Mapping[str, Any]) -> bool:
    """Tell whether `attributes` are those of an evaluator's span with an output."""
    return EVALUATOR_OUTPUT in attributes and any(attributes.get(name) == EVALUATOR_KIND for name in EVALUATOR_KINDS)


def evaluation_row(
    evaluation: Evaluation,
    *,
    trace_id: str | None,
    span_id: str | None,
    time_ns: int,
    received_ns: int,
    keeps_explanation: bool = False,
) -> EvaluationRow:
    """Return the row of `evaluation`, in the order of `EVALUATION_COLUMNS`.

    Args:
        evaluation: What was judged how.
        trace_id: 32 lower-case hex digits; None when only the response id tells what was judged.
        span_id: 16 lower-case hex digits of the span that carries the evaluation; None for the whole trace.
        time_ns: When it was judged, ns since the epoch.
        received_ns: When it came here: of two rows with the same key, the newest wins.
        keeps_explanation: Whether the explanation is stored, which may quote prompts and completions.
    """
    return (
        trace_id,
        None if evaluation.judges_trace else evaluation.judged_span_id or span_id,
        evaluation.name,
        evaluation.version,
        evaluation.score,
        evaluation.label,
        evaluation.passed,
        evaluation.explanation if keeps_explanation else None,
        evaluation.source,
        time_ns,
        received_ns,
        evaluation.response_id,
    )


def _read(
    form: EvaluationForm, attributes: Mapping[str, Any], rules: EvaluatorRules, default_name: str | None
) -> Evaluation | None:
    name = _text(_first(attributes, form.name) or form.default_name or default_name)
    if name is None:
        return None
    value, label = _first(attributes, form.score), _label(_first(attributes, form.label))
    score = value if isinstance(value, bool) else to_float(value)
    if label is None and isinstance(value, str) and not _is_number(value):
        label = _label(value)  # a verdict where a number should be
    passed = to_bool(_first(attributes, form.passed))
    if passed is None and label is not None:
        passed = form.verdicts.get(normalised_label(label))
    source = _source(_first(attributes, form.source))
    version = _text(_first(attributes, form.version))
    read = Evaluation(
        name=name,
        # OpenInference's identifier tells annotators apart, too: a person is no version of the evaluator.
        version=DEFAULT_VERSION if version is None or source == "human" else version,
        score=None if score is None else float(score),
        label=label,
        passed=derive_passed(passed=passed, label=label, score=score, rule=rules.get(name)),
        explanation=_explanation(_first(attributes, form.explanation)),
        source=source,
        judged_span_id=_span_id(_first(attributes, form.judged_span)),
        judges_trace=form.judges_trace,
        response_id=to_name(_first(attributes, form.response_id)),
    )
    if read.score is None and read.label is None and read.passed is None:
        return None
    return _feedback(read) if normalised_label(name) in _FEEDBACK_NAMES else read


def _read_output(output: object, rules: EvaluatorRules, default_name: str | None) -> list[Evaluation]:
    scores = parse_document(output)
    if isinstance(scores, Mapping):
        scores = [scores]
    if not isinstance(scores, Sequence) or isinstance(scores, str):
        return []
    return [
        evaluation
        for score in scores[:_MAX_EVALUATIONS]
        if isinstance(score, Mapping) and any(mark in score for mark in SCORE_FORM.marks)
        if (evaluation := _read(SCORE_FORM, score, rules, default_name)) is not None
    ]


def _feedback(evaluation: Evaluation) -> Evaluation:
    """Return a user's feedback under its own name if it says up or down."""
    is_up = evaluation.passed
    if evaluation.label is not None:
        is_up = _FEEDBACK_LABELS.get(normalised_label(evaluation.label), is_up)
    elif evaluation.passed is None and evaluation.score in (-1.0, 0.0, 1.0):
        is_up = evaluation.score == 1.0
    if is_up is None:
        return replace(evaluation, source="human")
    return replace(evaluation, name=THUMBS, passed=is_up, source="human", version=DEFAULT_VERSION)


def _first(attributes: Mapping[str, Any], sources: tuple[str, ...]) -> object:
    for name in sources:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def _text(value: object) -> str | None:
    name = to_name(value)
    return None if name is None else name[:MAX_NAME_LENGTH].strip() or None


def _label(value: object) -> str | None:
    # What is longer is no label but text, and so content.
    label = _text(value)
    return None if label is None or len(label) > MAX_WORD_LENGTH else label


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True  # also "nan", which is no label either


def _explanation(value: object) -> str | None:
    text = to_text(value) if isinstance(value, str) else None
    return None if text is None else text[:MAX_EXPLANATION_LENGTH]


def _source(value: object) -> Source:
    return cast("Source", SOURCES.get(value.lower(), "code")) if isinstance(value, str) else "code"


def _span_id(value: object) -> str | None:
    if isinstance(value, str) and _SPAN_ID.fullmatch(value) and value != _NO_SPAN_ID:
        return value.lower()
    return None
