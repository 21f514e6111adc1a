"""From captured values to a row of the canonical columns. Pure; never raises on what attributes hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracecanary.collector import attributes as names
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.coercion import COLUMN_COERCION, MAX_TEXT_LENGTH, storable_text, to_int, to_text
from tracecanary.collector.conventions import (
    CONTEXT_COLUMNS,
    CONVENTIONS,
    RESOURCE_COLUMNS,
    Convention,
    is_content,
)
from tracecanary.collector.models import canonical_model
from tracecanary.schema import SPAN_COLUMNS

SpanRow = tuple[Any, ...]

_OTEL_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_SAMPLING_THRESHOLD = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|$)")
_THRESHOLD_RANGE = 16**14


def span_row(span: CapturedSpan) -> SpanRow:
    """Return the values of `span` in the order of `SPAN_COLUMNS`."""
    values = _fixed_values(span)
    consumed: set[str] = set()
    convention = find_convention(span.attributes)
    if convention is not None:
        values["convention"] = convention.name
        kind = span.attributes.get(convention.kind_from)
        values["kind"] = convention.kinds.get(kind, "other") if isinstance(kind, str) else "other"
        _read(convention.columns, span.attributes, values, consumed)
    _read(CONTEXT_COLUMNS, span.attributes, values, consumed)
    _read(RESOURCE_COLUMNS, span.resource, values, set())
    _complete(values, span)
    values["attributes"] = _remaining_attributes(span.attributes, consumed)
    return tuple(values.get(column.name) for column in SPAN_COLUMNS)


def find_convention(attributes: Mapping[str, Any]) -> Convention | None:
    """Return the first convention whose marks are all there, or None."""
    for convention in CONVENTIONS:
        if all(mark in attributes for mark in convention.marked_by):
            return convention
    return None


def sampling_probability(trace_state: str) -> float | None:
    """Return the probability that the trace was kept, from `ot=th:` of the trace state; None when it has none.

    Source: OpenTelemetry specification, "TraceState: Probability Sampling", rejection threshold of up to 14 hex digits.
    """
    match = _SAMPLING_THRESHOLD.search(trace_state)
    if match is None:
        return None
    threshold = int(match.group(1).ljust(14, "0"), 16)
    return 1 - threshold / _THRESHOLD_RANGE


def _fixed_values(span: CapturedSpan) -> dict[str, Any]:
    return {
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "parent_span_id": f"{span.parent_span_id:016x}" if span.parent_span_id else None,
        "name": to_text(span.name),
        "otel_kind": _named(_OTEL_KINDS, span.kind),
        "start_unix_ns": span.start_ns,
        # A clock that was set back must not give a negative latency.
        "duration_ns": max(0, span.end_ns - span.start_ns),
        "status": _named(_STATUSES, span.status_code),
        "scope_name": to_text(span.scope_name),
        "scope_version": to_text(span.scope_version),
        "kind": "other",
        "is_sampled": span.is_sampled,
        "sampling_probability": sampling_probability(span.trace_state) if span.trace_state else None,
        "dropped_attributes": to_int(span.dropped_attributes),
    }


def _named(labels: tuple[str, ...], number: int) -> str:
    return labels[number] if 0 <= number < len(labels) else labels[0]


def _read(
    columns: Mapping[str, tuple[str, ...]], source: Mapping[str, Any], values: dict[str, Any], consumed: set[str]
) -> None:
    for column, candidates in columns.items():
        for name in candidates:
            if name not in source:
                continue
            consumed.add(name)
            if values.get(column) is None:
                values[column] = COLUMN_COERCION[column](source[name])


def _complete(values: dict[str, Any], span: CapturedSpan) -> None:
    """Fill the columns that follow from others."""
    values["model"] = canonical_model(values.get("request_model"), values.get("response_model"))
    if values.get("step") is not None:
        values["step_source"] = "attribute"
    if values.get("retry_count") is not None:
        values["retry_source"] = "attribute"
    if values.get("error_type") is None:
        for event_name, attributes in span.events:
            if event_name == names.EXCEPTION_EVENT:
                values["error_type"] = to_text(attributes.get(names.EXCEPTION_TYPE))


def _remaining_attributes(attributes: Mapping[str, Any], consumed: set[str]) -> list[tuple[str, str]]:
    remaining = []
    for name, value in attributes.items():
        if name in consumed or is_content(name):
            continue
        text = to_text(value)
        if text is not None and len(text) <= MAX_TEXT_LENGTH:
            remaining.append((storable_text(name), text))
    return remaining
