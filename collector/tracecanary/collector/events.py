"""What the events of a span say: exceptions, feature flags, retries, fallbacks, the first token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracecanary.collector import attributes as names
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.coercion import COLUMN_COERCION, to_name
from tracecanary.collector.conventions.context import (
    EVENT_COLUMNS,
    FALLBACK_EVENTS,
    FIRST_TOKEN_EVENTS,
    RETRY_EVENTS,
)
from tracecanary.collector.conventions.table import Reader
from tracecanary.collector.plans import COLUMN_INDEX

_RETRY_COUNT = COLUMN_INDEX["retry_count"]
_RETRY_SOURCE = COLUMN_INDEX["retry_source"]
_FALLBACK_USED = COLUMN_INDEX["fallback_used"]
_TIME_TO_FIRST_TOKEN = COLUMN_INDEX["time_to_first_token_ns"]
_READS: Mapping[str, tuple[tuple[int, str, Reader], ...]] = {
    event: tuple(
        (COLUMN_INDEX[column], attribute, COLUMN_COERCION[column])
        for column, attributes in columns.items()
        for attribute in attributes
    )
    for event, columns in EVENT_COLUMNS.items()
}
# Any other event tells nothing. An evaluation is no column, but spans with one are read one by one for it.
WANTED_EVENTS = frozenset({names.EXCEPTION_EVENT, names.EVALUATION_EVENT, *_READS}) | RETRY_EVENTS | FIRST_TOKEN_EVENTS
# The SDK keeps 128; what comes from elsewhere must not cost more.
_MAX_EVENTS = 1_024
FLAG_KEY = "feature_flag.key"
# The arguments of a tool call, for libraries that give them in no attribute.
TOOL_MESSAGE_EVENT = "gen_ai.tool.message"


def read_events(row: list[Any], span: CapturedSpan, feature_flags: frozenset[str]) -> Mapping[str, Any] | None:
    """Fill the columns of `row` that events tell and attributes did not; return the last exception's attributes."""
    exception = None
    retries = 0
    for event in span.events[:_MAX_EVENTS]:
        name, attributes = event[0], event[1]
        if name == names.EXCEPTION_EVENT:
            exception = attributes
        elif name in _READS:
            if feature_flags and not is_wanted_flag(attributes, feature_flags):
                continue
            _read_event(row, name, attributes)
        elif name in RETRY_EVENTS:
            retries += 1
        elif name in FIRST_TOKEN_EVENTS and row[_TIME_TO_FIRST_TOKEN] is None:
            row[_TIME_TO_FIRST_TOKEN] = _time_since_start(span, event)
    if retries and row[_RETRY_COUNT] is None:
        row[_RETRY_COUNT] = retries
        row[_RETRY_SOURCE] = "event"
    return exception


def is_wanted_flag(attributes: Mapping[str, Any], feature_flags: frozenset[str]) -> bool:
    """Tell whether the flag that `attributes` name, if any, is one of `feature_flags`; all are when it is empty."""
    return not feature_flags or FLAG_KEY not in attributes or to_name(attributes[FLAG_KEY]) in feature_flags


def _read_event(row: list[Any], name: str, attributes: Mapping[str, Any]) -> None:
    for index, attribute, read in _READS[name]:
        if row[index] is None and attribute in attributes:
            row[index] = read(attributes[attribute])
    if name in FALLBACK_EVENTS and row[_FALLBACK_USED] is None:
        row[_FALLBACK_USED] = True


def _time_since_start(span: CapturedSpan, event: tuple[Any, ...]) -> int | None:
    time_ns = event[2] if len(event) > 2 else 0
    return time_ns - span.start_ns if span.start_ns <= time_ns <= span.end_ns else None
