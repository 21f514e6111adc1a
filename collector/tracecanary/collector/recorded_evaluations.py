"""Recording what was judged, and what people say, on the span it is about or, when that is over, by trace id.

On a span it is OpenTelemetry's event `gen_ai.evaluation.result`, which every backend sees. A span that is over takes no
event: then the evaluation goes through the processors of this process, straight into their lakes. Never raises.
"""

from __future__ import annotations

import logging
import math
import re
import time
from typing import Any, Literal, cast

from opentelemetry import trace
from opentelemetry.trace import Span

from tracecanary.collector import attributes as names
from tracecanary.collector.coercion import MAX_WORD_LENGTH, storable_text
from tracecanary.collector.evaluation_sinks import add_evaluation
from tracecanary.collector.evaluations import (
    DEFAULT_VERSION,
    ESCALATION,
    MAX_EXPLANATION_LENGTH,
    MAX_NAME_LENGTH,
    THUMBS,
    Evaluation,
    Source,
)

_logger = logging.getLogger(__name__)
RATING = "rating"
_SOURCES = ("code", "llm", "human")
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_SPAN_ID = re.compile(r"[0-9a-fA-F]{16}")
_TRACE_ID_LIMIT, _SPAN_ID_LIMIT = 2**128, 2**64


def record_evaluation(
    name: str,
    *,
    score: float | None = None,
    label: str | None = None,
    passed: bool | None = None,
    version: str = DEFAULT_VERSION,
    explanation: str | None = None,
    source: Source = "code",
    span: Span | None = None,
    trace_id: str | int | None = None,
    span_id: str | int | None = None,
) -> bool:
    """Record how an answer was judged: on the current span, on `span`, or by trace id.

    Without `passed`, label and score tell the verdict as `docs/evaluations.md` says; if they don't, the evaluation
    stays unscored. A value that can't be stored is left out with a warning.

    Args:
        name: Evaluator, 1 to 256 characters.
        score: Score in the evaluator's own scale, a finite number.
        label: Label in the evaluator's own words, up to 128 characters.
        passed: Verdict.
        version: Version of the evaluator: results of two versions are never mixed.
        explanation: Why. An event carries it to your other backends, too; the lake keeps it only when told to.
        source: What judged: code, llm or human.
        span: Span judged, recording or over. Default: the current span.
        trace_id: Trace judged, 32 hex digits, when its span is not at hand. It must be one that this process captures.
        span_id: Span judged within that trace, 16 hex digits. Default: the whole trace.

    Returns:
        Whether it was recorded.
    """
    try:
        evaluation = _evaluation(name, score, label, passed, version, explanation, source)
        return evaluation is not None and _record(evaluation, span, trace_id, span_id)
    except Exception:
        _logger.debug("an evaluation could not be recorded", exc_info=True)
        return False


def record_feedback(
    *,
    thumbs: Literal["up", "down"] | bool | None = None,
    escalated: bool | None = None,
    rating: float | None = None,
    comment: str | None = None,
    span: Span | None = None,
    trace_id: str | int | None = None,
    span_id: str | int | None = None,
) -> bool:
    """Record what a person says about an answer: thumbs, escalation to a human, a rating.

    Feedback mostly comes in a request of its own, so keep the trace id with the answer and give it here:
    `format_trace_id(span.get_span_context().trace_id)`.

    Args:
        thumbs: "up" or "down", or True or False.
        escalated: Whether the request was handed to a person.
        rating: Stars or the like. It passes or fails by the threshold configured for the evaluator `rating`.
        comment: What the person wrote, an explanation as for `record_evaluation`.
        span: As for `record_evaluation`.
        trace_id: As for `record_evaluation`.
        span_id: As for `record_evaluation`.

    Returns:
        Whether all of it was recorded.
    """
    try:
        given = [
            evaluation
            for evaluation in (_thumbs(thumbs, comment), _escalation(escalated, comment), _rating(rating, comment))
            if evaluation is not None
        ]
        wanted = sum(value is not None for value in (thumbs, escalated, rating))
        if not wanted:
            _logger.warning("feedback was left out: give thumbs, escalated or rating")
        recorded = [_record(evaluation, span, trace_id, span_id) for evaluation in given]
        return 0 < wanted == sum(recorded)
    except Exception:
        _logger.debug("feedback could not be recorded", exc_info=True)
        return False


def _thumbs(thumbs: object, comment: object) -> Evaluation | None:
    if thumbs is None:
        return None
    is_up = {"up": True, "down": False}.get(thumbs) if isinstance(thumbs, str) else thumbs
    if not isinstance(is_up, bool):
        _logger.warning("thumbs was left out: it must be 'up' or 'down'")
        return None
    label = "up" if is_up else "down"
    return _evaluation(THUMBS, float(is_up), label, is_up, DEFAULT_VERSION, comment, "human")


def _escalation(escalated: object, comment: object) -> Evaluation | None:
    if escalated is None:
        return None
    if not isinstance(escalated, bool):
        _logger.warning("escalated was left out: it must be True or False")
        return None
    # To be handed on is the failure: it passed if nobody had to.
    return _evaluation(ESCALATION, float(escalated), None, not escalated, DEFAULT_VERSION, comment, "human")


def _rating(rating: object, comment: object) -> Evaluation | None:
    return None if rating is None else _evaluation(RATING, rating, None, None, DEFAULT_VERSION, comment, "human")


def _evaluation(
    name: object, score: object, label: object, passed: object, version: object, explanation: object, source: object
) -> Evaluation | None:
    """Return the evaluation of what is valid among the arguments; None when that says nothing."""
    valid_name = _text("the name of an evaluation", name, MAX_NAME_LENGTH)
    if valid_name is None:
        return None
    if passed is None and isinstance(score, bool):
        passed = score
    if passed is not None and not isinstance(passed, bool):
        _logger.warning("passed was left out: it must be True or False")
        passed = None
    evaluation = Evaluation(
        name=valid_name,
        version=_text("the version of an evaluation", version, MAX_NAME_LENGTH) or DEFAULT_VERSION,
        score=_score(score),
        label=None if label is None else _text("a label", label, MAX_WORD_LENGTH),
        passed=passed,
        explanation=storable_text(explanation)[:MAX_EXPLANATION_LENGTH] if isinstance(explanation, str) else None,
        source=_source(source),
    )
    if evaluation.score is None and evaluation.label is None and evaluation.passed is None:
        _logger.warning("the evaluation %s was left out: give a score, a label or passed", valid_name)
        return None
    return evaluation


def _source(source: object) -> Source:
    if source in _SOURCES:
        return cast("Source", source)
    _logger.warning("the source of an evaluation was taken for code: it must be code, llm or human")
    return "code"


def _score(score: object) -> float | None:
    if score is None:
        return None
    if isinstance(score, int | float) and math.isfinite(score):
        return float(score)
    _logger.warning("a score was left out: it must be a finite number")
    return None


def _text(what: str, value: object, max_length: int) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= max_length and value.isprintable() and not value.isspace():
        return value
    _logger.warning("%s was left out: it must be printable text of 1 to %d characters", what, max_length)
    return None


def _record(evaluation: Evaluation, span: Span | None, trace_id: object, span_id: object) -> bool:
    if trace_id is not None:
        return _record_by_id(evaluation, trace_id, span_id)
    judged = trace.get_current_span() if span is None else span
    if judged.is_recording():
        judged.add_event(names.EVALUATION_EVENT, _event_attributes(evaluation))
        return True
    # A span of the SDK that is over; one that was never recorded belongs to a trace that nobody has.
    if getattr(judged, "end_time", None) is not None:
        context = judged.get_span_context()
        return _record_by_id(evaluation, context.trace_id, context.span_id)
    _logger.debug("the evaluation %s was left out: no span is recorded", evaluation.name)
    return False


def _record_by_id(evaluation: Evaluation, trace_id: object, span_id: object) -> bool:
    trace_text = _id_text(trace_id, _TRACE_ID, _TRACE_ID_LIMIT, 32)
    span_text = None if span_id is None else _id_text(span_id, _SPAN_ID, _SPAN_ID_LIMIT, 16)
    if trace_text is None or (span_id is not None and span_text is None):
        _logger.warning(
            "the evaluation %s was left out: a trace id has 32 hex digits, a span id 16, not all 0", evaluation.name
        )
        return False
    is_taken = add_evaluation(evaluation, trace_id=trace_text, span_id=span_text, time_ns=time.time_ns())
    if not is_taken:
        _logger.warning(
            "the evaluation %s was left out: no processor of this process takes it. "
            "Send it to the server: POST /v1/evaluations",
            evaluation.name,
        )
    return is_taken


def _id_text(value: object, pattern: re.Pattern[str], limit: int, digits: int) -> str | None:
    if isinstance(value, str) and pattern.fullmatch(value):
        value = int(value, 16)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < limit:
        return f"{value:0{digits}x}"
    return None


def _event_attributes(evaluation: Evaluation) -> dict[str, Any]:
    values = {
        names.EVALUATION_NAME: evaluation.name,
        names.EVALUATION_SCORE: evaluation.score,
        names.EVALUATION_LABEL: evaluation.label,
        names.EVALUATION_EXPLANATION: evaluation.explanation,
        names.EVALUATION_PASSED: evaluation.passed,
        names.EVALUATION_VERSION: evaluation.version,
        names.EVALUATION_SOURCE: evaluation.source,
    }
    return {name: value for name, value in values.items() if value is not None}
