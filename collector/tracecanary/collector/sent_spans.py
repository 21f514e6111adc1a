"""Rows of spans on their way to a server: as attributes, and back. Pure.

Theory of operation. What leaves the application is what it would have written into a lake, nothing else: content was
dropped before. Each column that a span, its scope or its resource has a field for goes there; the others become
attributes, under OpenTelemetry's names where there are any, else under `tracecanary.<column>`. A span that carries
`tracecanary.schema_version` is such a row, and its columns are read back as they are: no convention is applied twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from tracecanary.collector import attributes as names
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.coercion import (
    MAX_COST_NANO_USD,
    MAX_COUNT,
    MAX_DURATION_NS,
    MAX_NAME_LENGTH,
    storable_text,
)
from tracecanary.collector.plans import COLUMN_INDEX
from tracecanary.schema import SPAN_COLUMNS, ColumnType

OWN_PREFIX: Final = "tracecanary."
VERSION_ATTRIBUTE: Final = OWN_PREFIX + "schema_version"
# Attributes of columns that no column is read from would else be taken for a column's.
_OTHER_PREFIX: Final = OWN_PREFIX + "attribute."
_REMAINING: Final = "attributes"
_MAX_INT64 = 2**63 - 1

# Columns that a span or its scope has a field of its own for.
FIELD_COLUMNS: Final = frozenset(
    {
        *("trace_id", "span_id", "parent_span_id", "name", "otel_kind", "start_unix_ns", "duration_ns", "status"),
        *("scope_name", "scope_version"),
    }
)
RESOURCE_ATTRIBUTES: Final[Mapping[str, str]] = {
    "service_name": names.SERVICE_NAME,
    "release": names.SERVICE_VERSION,
    "environment": "deployment.environment.name",
}
_STANDARD_NAMES: Final[Mapping[str, str]] = {
    "error_type": names.ERROR_TYPE,
    "operation": names.OPERATION_NAME,
    "provider": names.PROVIDER_NAME,
    "request_model": names.REQUEST_MODEL,
    "response_model": names.RESPONSE_MODEL,
    "response_id": names.RESPONSE_ID,
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "agent_name": "gen_ai.agent.name",
    "tool_name": "gen_ai.tool.name",
    "conversation_id": "gen_ai.conversation.id",
    "user_id": "user.id",
    "route": names.ROUTE,
    "variant": names.RELEASE_VARIANT,
    "cohort": names.RELEASE_COHORT,
    "pair_id": names.RELEASE_PAIR_ID,
    "step": names.TRAJECTORY_STEP,
    "step_name": names.TRAJECTORY_STEP_NAME,
    "retry_count": names.RETRY_COUNT,
    "fallback_used": names.FALLBACK_USED,
    "fallback_from": names.FALLBACK_FROM,
    "fallback_reason": names.FALLBACK_REASON,
}
MAP_COLUMNS: Final = tuple(column.name for column in SPAN_COLUMNS if column.type is ColumnType.STRING_MAP)
# Of every column that is sent as an attribute, its name.
SENT_NAMES: Final[Mapping[str, str]] = {
    column.name: _STANDARD_NAMES.get(column.name, OWN_PREFIX + column.name)
    for column in SPAN_COLUMNS
    if column.name not in {*FIELD_COLUMNS, *RESOURCE_ATTRIBUTES, *MAP_COLUMNS}
}


# Of columns of an evaluation, its event's attributes. When it came in, the server decides.
EVALUATION_ATTRIBUTES: Final[Mapping[str, str]] = {
    "name": names.EVALUATION_NAME,
    "version": names.EVALUATION_VERSION,
    "score": names.EVALUATION_SCORE,
    "label": names.EVALUATION_LABEL,
    "passed": names.EVALUATION_PASSED,
    "explanation": names.EVALUATION_EXPLANATION,
    "source": names.EVALUATION_SOURCE,
    "response_id": names.RESPONSE_ID,
}


def map_entry_name(column: str, key: str) -> str:
    """Return the attribute that the entry `key` of the map `column` is sent as."""
    if column != _REMAINING:
        return f"{OWN_PREFIX}{column}.{key}"
    return _OTHER_PREFIX + key if key in _READERS or key.startswith(OWN_PREFIX) else key


def is_sent_row(attributes: Collection[str]) -> bool:
    """Tell whether a span with these attributes is a row that was sent."""
    return VERSION_ATTRIBUTE in attributes


def restore_columns(row: list[Any], span: CapturedSpan) -> None:
    """Set the columns of `row` that `span`, a row that was sent, carries as attributes; leave its own fields.

    Whoever sends can put anything there: a value of another type than the column's is left out.
    """
    maps: dict[str, list[tuple[str, str]]] = {column: [] for column in MAP_COLUMNS}
    for name, value in span.attributes.items():
        reader = _READERS.get(name)
        if reader is not None:
            index, read = reader
            row[index] = read(value)
        elif isinstance(value, str):
            _add_entry(maps, name, storable_text(value[:MAX_NAME_LENGTH]))
    for column, name in RESOURCE_ATTRIBUTES.items():
        row[COLUMN_INDEX[column]] = _text(span.resource.get(name))
    row[COLUMN_INDEX["scope_name"]] = _text(span.scope_name)
    row[COLUMN_INDEX["scope_version"]] = _text(span.scope_version)
    for column, entries in maps.items():
        row[COLUMN_INDEX[column]] = tuple(entries)


def _add_entry(maps: Mapping[str, list[tuple[str, str]]], name: str, value: str) -> None:
    if not name.startswith(OWN_PREFIX):
        maps[_REMAINING].append((name, value))
    elif name.startswith(_OTHER_PREFIX):
        maps[_REMAINING].append((name.removeprefix(_OTHER_PREFIX), value))
    else:
        column, _, key = name.removeprefix(OWN_PREFIX).partition(".")
        if key and column in maps:  # else of a newer version
            maps[column].append((key, value))


def _text(value: object) -> str | None:
    return storable_text(value[:MAX_NAME_LENGTH]) or None if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return value if type(value) is int and -_MAX_INT64 <= value <= _MAX_INT64 else None


def _duration_ns(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_DURATION_NS else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def _cost_nano_usd(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_COST_NANO_USD else None


def _number(value: object) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_READ_TYPES: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.STRING: _text,
    ColumnType.INT: _integer,
    ColumnType.FLOAT: _number,
    ColumnType.BOOL: _boolean,
}
# What is added up, and so must be bounded here as where it is read from an instrumentation's attributes.
_READ_COLUMNS: Mapping[str, Callable[[Any], Any]] = {
    "time_to_first_token_ns": _duration_ns,
    "reported_cost_nano_usd": _cost_nano_usd,
    **dict.fromkeys(
        (
            *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
            *("retry_count", "dropped_attributes"),
        ),
        _count,
    ),
}
_READERS: Mapping[str, tuple[int, Callable[[Any], Any]]] = {
    SENT_NAMES[column.name]: (
        COLUMN_INDEX[column.name],
        _READ_COLUMNS.get(column.name) or _READ_TYPES[column.type],
    )
    for column in SPAN_COLUMNS
    if column.name in SENT_NAMES
}
