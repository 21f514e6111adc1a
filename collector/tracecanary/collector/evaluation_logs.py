"""Evaluations that come as log records: events `gen_ai.evaluation.result`. Pure.

Source: OpenTelemetry semantic conventions for generative AI 1.39, "Event: gen_ai.evaluation.result".
"""

from __future__ import annotations

from tracecanary.collector.attributes import EVALUATION_EVENT
from tracecanary.collector.evaluations import EvaluationRow, evaluation_row, read_evaluations
from tracecanary.collector.otlp_logs import LoggedEvent
from tracecanary.collector.passing import EvaluatorRules

_TIME_LIMIT_NS = 2**63
NO_RESULT = "evaluations without a name, or without score, label and verdict"
NO_TRACE = "evaluations without a trace id or gen_ai.response.id"


def logged_evaluations(event: LoggedEvent, rules: EvaluatorRules, *, received_ns: int) -> list[EvaluationRow] | str:
    """Return the rows of the evaluations that `event` holds, or why it holds none; none of any other event."""
    if event.name != EVALUATION_EVENT:
        return []
    found = read_evaluations(event.attributes, rules=rules)
    if not found:
        return NO_RESULT
    if not event.trace_id and any(evaluation.response_id is None for evaluation in found):
        return NO_TRACE
    return [
        evaluation_row(
            evaluation,
            trace_id=event.trace_id.to_bytes(16).hex() if event.trace_id else None,
            span_id=event.span_id.to_bytes(8).hex() if event.trace_id and event.span_id else None,
            time_ns=event.time_ns if 0 < event.time_ns < _TIME_LIMIT_NS else received_ns,
            received_ns=received_ns,
        )
        for evaluation in found
    ]
