"""Evaluations that come as log records: events `gen_ai.evaluation.result`. Pure.

Source: OpenTelemetry semantic conventions for generative AI 1.39, "Event: gen_ai.evaluation.result".
"""

from __future__ import annotations

import time

from tracecanary.collector.coercion import to_float, to_name
from tracecanary.collector.intake_requests import EvaluationRow
from tracecanary.collector.otlp_logs import LoggedEvent

EVENT_NAME = "gen_ai.evaluation.result"
_TIME_LIMIT_NS = 2**63


def read_logged_evaluation(event: LoggedEvent) -> EvaluationRow | str | None:
    """Return the row of an evaluation, why it can't be one, or None for an event that is no evaluation."""
    if event.name != EVENT_NAME:
        return None
    attributes = event.attributes
    name = to_name(attributes.get("gen_ai.evaluation.name"))
    if name is None:
        return "evaluations without gen_ai.evaluation.name"
    response_id = to_name(attributes.get("gen_ai.response.id"))
    if not event.trace_id and response_id is None:
        return "evaluations without a trace id or gen_ai.response.id"
    received_ns = time.time_ns()
    return (
        event.trace_id.to_bytes(16).hex() if event.trace_id else None,
        event.span_id.to_bytes(8).hex() if event.span_id else None,
        name,
        "1",
        to_float(attributes.get("gen_ai.evaluation.score.value")),
        to_name(attributes.get("gen_ai.evaluation.score.label")),
        None,
        None,
        "code",
        event.time_ns if 0 < event.time_ns < _TIME_LIMIT_NS else received_ns,
        received_ns,
        response_id,
    )
