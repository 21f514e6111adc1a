"""What one encoded request of a file holds: spans, or events of a log; requests don't say which. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.otlp import spans_from_json, spans_from_protobuf
from tracecanary.collector.otlp_logs import LoggedEvent, events_from_json, events_from_protobuf, is_log_request
from tracecanary.collector.otlp_stream import OtlpRequest
from tracecanary.schema import MalformedInputError

_HEAD_BYTES = 256
_JSON_REQUESTS = ("resourceSpans", "resourceLogs", "resourceMetrics", "resourceProfiles")
_FIELDS_SHOWN, _MOST_SHOWN = 3, 40
_JSON_LOGS, _JSON_METRICS = b'"resourceLogs"', b'"resourceMetrics"'


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpContents:
    """Spans and events of one request; `is_other` is whether it holds neither, but metrics or plain log lines."""

    spans: Sequence[CapturedSpan] = ()
    events: Sequence[LoggedEvent] = ()
    is_other: bool = False


def read_contents(request: OtlpRequest) -> OtlpContents:
    """Decode one request.

    Raises:
        MalformedInputError: It is no OTLP request of traces, logs or metrics.
    """
    if request.encoding == "json":
        head = request.body[:_HEAD_BYTES]
        if _JSON_LOGS in head:
            return _logged(events_from_json(request.body))
        spans = spans_from_json(request.body)
        is_other = not spans and _JSON_METRICS in head
        if not spans and not is_other:
            _refuse_foreign_json(request.body)
        return OtlpContents(spans=spans, is_other=is_other)
    try:
        spans = spans_from_protobuf(request.body)
    except MalformedInputError:
        if is_log_request(request.body):
            return _logged(events_from_protobuf(request.body))
        raise
    # Log records that can be read as spans have no ids: the time of a record stands there, which is no text.
    if any(span.trace_id for span in spans) or not is_log_request(request.body):
        return OtlpContents(spans=spans)
    return _logged(events_from_protobuf(request.body))


def _refuse_foreign_json(body: bytes) -> None:
    """Refuse a document of something else; one without any field is an empty request."""
    fields = json.loads(body)
    if fields and fields.keys().isdisjoint(_JSON_REQUESTS):
        shown = ", ".join(repr(name[:_MOST_SHOWN]) for name in list(fields)[:_FIELDS_SHOWN])
        raise MalformedInputError(f"it is JSON, but no OTLP: it has {shown}, and none of {', '.join(_JSON_REQUESTS)}")


def _logged(events: list[LoggedEvent]) -> OtlpContents:
    return OtlpContents(events=events, is_other=not events)
