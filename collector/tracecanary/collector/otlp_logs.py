"""Decoding OTLP log requests, protobuf and JSON: of the records, those that are events.

Bodies of log records are content and never looked at. An event is a record with a name, in its own field or, as older
SDKs send it, in the attribute `event.name`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracecanary.collector.otlp_text import with_readable_text
from tracecanary.collector.otlp_values import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    json_attributes,
    json_id,
    json_integer,
    json_object,
    json_objects,
    json_text,
    protobuf_attributes,
    protobuf_id,
)
from tracecanary.schema import MalformedInputError

_EVENT_NAME = "event.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """An event that came as a log record; ids are 0 and times (ns since the epoch) are 0 when they are not known."""

    name: str
    attributes: Mapping[str, Any]
    trace_id: int
    span_id: int
    time_ns: int


def events_from_protobuf(body: bytes) -> list[LoggedEvent]:
    """Decode an `ExportLogsServiceRequest` in protobuf.

    Raises:
        MalformedInputError: `body` is no such message.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        mended = with_readable_text(body, ExportLogsServiceRequest)
        if mended is None:
            raise MalformedInputError(f"this is no OTLP log request in protobuf: {error}") from error
        request.ParseFromString(mended)
    return [
        event
        for resource_logs in request.resource_logs
        for scope_logs in resource_logs.scope_logs
        for record in scope_logs.log_records
        for event in _protobuf_event(record)
    ]


def events_from_json(body: str | bytes) -> list[LoggedEvent]:
    """Decode an `ExportLogsServiceRequest` in OTLP/JSON.

    Raises:
        MalformedInputError: `body` is no JSON, or not of that shape.
    """
    try:
        return [
            event
            for resource_logs in json_objects(json_object(json.loads(body)), "resourceLogs")
            for scope_logs in json_objects(resource_logs, "scopeLogs")
            for record in json_objects(scope_logs, "logRecords")
            for event in _json_event(record)
        ]
    except (ValueError, OverflowError, RecursionError) as error:
        raise MalformedInputError(f"this is no OTLP log request in JSON: {error}") from error


def is_log_request(body: bytes) -> bool:
    """Tell whether `body` is a log request in protobuf, and no trace request, which has the same tags."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return False
    records = [
        record
        for resource_logs in request.resource_logs
        for scope_logs in resource_logs.scope_logs
        for record in scope_logs.log_records
    ]
    # These stand where a span has ids, its start or its links, in another form.
    return any(record.time_unix_nano or record.observed_time_unix_nano or record.event_name for record in records)


def _protobuf_event(record: Any) -> Iterator[LoggedEvent]:
    attributes = protobuf_attributes(record.attributes)
    name = record.event_name or attributes.get(_EVENT_NAME)
    if name:
        yield LoggedEvent(
            name=str(name),
            attributes=attributes,
            trace_id=protobuf_id(record.trace_id, TRACE_ID_BYTES),
            span_id=protobuf_id(record.span_id, SPAN_ID_BYTES),
            time_ns=record.time_unix_nano or record.observed_time_unix_nano,
        )


def _json_event(record: Mapping[str, Any]) -> Iterator[LoggedEvent]:
    attributes = json_attributes(record)
    name = json_text(record, "eventName") or attributes.get(_EVENT_NAME)
    if name:
        yield LoggedEvent(
            name=str(name),
            attributes=attributes,
            trace_id=json_id(record, "traceId", TRACE_ID_BYTES),
            span_id=json_id(record, "spanId", SPAN_ID_BYTES),
            time_ns=json_integer(record.get("timeUnixNano")) or json_integer(record.get("observedTimeUnixNano")),
        )
