"""Columns that follow from other columns of the same span."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tracecanary.collector import attributes as names
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.coercion import seconds_to_ns, to_hash, to_name
from tracecanary.collector.conventions.context import (
    AGENT_NAME_PREFIXES,
    AGENT_NAMES,
    NAME_BRACKETS,
    TOOL_ARGUMENTS,
    TOOL_NAME_PREFIXES,
    TOOL_NAMES,
)
from tracecanary.collector.events import TOOL_MESSAGE_EVENT
from tracecanary.collector.failures import error_class, failure_type
from tracecanary.collector.plans import COLUMN_INDEX

_KIND = COLUMN_INDEX["kind"]
_NAME = COLUMN_INDEX["name"]
_START = COLUMN_INDEX["start_unix_ns"]
_DURATION = COLUMN_INDEX["duration_ns"]
_STATUS = COLUMN_INDEX["status"]
_ERROR_TYPE = COLUMN_INDEX["error_type"]
_ERROR_CLASS = COLUMN_INDEX["error_class"]
_INPUT = COLUMN_INDEX["input_tokens"]
# What only an answer has.
_ANSWER = tuple(COLUMN_INDEX[column] for column in ("response_id", "finish_reason", "input_tokens", "output_tokens"))
_CACHE_READ = COLUMN_INDEX["cache_read_tokens"]
_CACHE_WRITE = COLUMN_INDEX["cache_write_tokens"]
_AGENT_NAME = COLUMN_INDEX["agent_name"]
_TOOL_NAME = COLUMN_INDEX["tool_name"]
_TOOL_ARGUMENTS_HASH = COLUMN_INDEX["tool_arguments_hash"]
_STEP = COLUMN_INDEX["step"]
_STEP_NAME = COLUMN_INDEX["step_name"]
_STEP_SOURCE = COLUMN_INDEX["step_source"]
_RETRY_COUNT = COLUMN_INDEX["retry_count"]
_RETRY_SOURCE = COLUMN_INDEX["retry_source"]
_FALLBACK_USED = COLUMN_INDEX["fallback_used"]
_FALLBACK_FROM = COLUMN_INDEX["fallback_from"]
_CONVENTION = COLUMN_INDEX["convention"]
_OPERATION = COLUMN_INDEX["operation"]
_TIME_TO_FIRST_TOKEN = COLUMN_INDEX["time_to_first_token_ns"]
_COMPLETION_START = "langfuse.observation.completion_start_time"
_MAX_TIME_LENGTH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP_SPAN = re.compile(r"step ([0-9]{1,9})")
_RESENDS = "http.request.resend_count"


def complete_row(row: list[Any], span: CapturedSpan, exception: Mapping[str, Any] | None) -> None:
    """Fill the columns of `row` that others tell."""
    if exception is not None or row[_STATUS] == "error":
        _complete_failure(row, span, exception)
    if row[_CACHE_READ] or row[_CACHE_WRITE]:
        row[_INPUT] = with_cached_tokens(row[_INPUT], row[_CACHE_READ], row[_CACHE_WRITE])
    if row[_STEP] is not None or row[_STEP_NAME] is not None or row[_OPERATION] == "agent_step":
        row[_STEP] = numbered_step(row[_STEP], span.name)
        if row[_STEP] is not None or row[_STEP_NAME] is not None:
            row[_STEP_SOURCE] = step_source(span.attributes)
    if row[_CONVENTION] == "logfire" and row[_KIND] == "llm":
        _complete_logfire(row, span)
    if row[_CONVENTION] == "langfuse" and row[_TIME_TO_FIRST_TOKEN] is None:
        row[_TIME_TO_FIRST_TOKEN] = _time_to(span, span.attributes.get(_COMPLETION_START))
    if row[_RETRY_COUNT] is not None and row[_RETRY_SOURCE] is None:
        row[_RETRY_SOURCE] = retry_source(row[_KIND], span.attributes)
    if row[_FALLBACK_USED] is None and (row[_FALLBACK_FROM] is not None or names.FALLBACK_TO in span.attributes):
        row[_FALLBACK_USED] = True
    _complete_kind(row, span)


def _complete_kind(row: list[Any], span: CapturedSpan) -> None:
    kind = row[_KIND]
    if kind == "tool":
        if row[_TOOL_NAME] is None:
            row[_TOOL_NAME] = tool_name(span.name, span.attributes)
        if row[_TOOL_ARGUMENTS_HASH] is None:
            row[_TOOL_ARGUMENTS_HASH] = tool_arguments_hash(span.attributes, span.events)
    elif kind == "agent" and row[_AGENT_NAME] is None:
        row[_AGENT_NAME] = agent_name(span.name, span.attributes)


def _complete_logfire(row: list[Any], span: CapturedSpan) -> None:
    """Make one call of the two spans that Logfire has for a stream: its message at the end is the call."""
    if "duration" in span.attributes:  # the message: a span of no length
        duration_ns = seconds_to_ns(span.attributes["duration"])
        if duration_ns and duration_ns <= span.end_ns:
            row[_START], row[_DURATION] = span.end_ns - duration_ns, duration_ns
    elif row[_STATUS] != "error" and all(row[index] is None for index in _ANSWER):
        row[_KIND] = "other"  # the request: it ends before there is an answer, unless it fails


def _complete_failure(row: list[Any], span: CapturedSpan, exception: Mapping[str, Any] | None) -> None:
    if row[_ERROR_TYPE] is None:
        row[_ERROR_TYPE] = failure_type(span.attributes, exception)
    if row[_STATUS] == "error":
        row[_ERROR_CLASS] = error_class(row[_ERROR_TYPE], span.attributes, exception, span.status_message)


def with_cached_tokens(input_tokens: int | None, cache_read: int | None, cache_write: int | None) -> int | None:
    """Add cached tokens to an input that leaves them out, as Anthropic's API counts.

    Source: GenAI semantic conventions: `gen_ai.usage.input_tokens` includes cached tokens. More cached than all input
    tells that they were not included.
    """
    cached = (cache_read or 0) + (cache_write or 0)
    return input_tokens + cached if input_tokens is not None and cached > input_tokens else input_tokens


def numbered_step(step: int | None, span_name: str) -> int | None:
    """Return the number of a span's step; the AI SDK numbers its steps by the name of the span alone."""
    if step is not None:
        return step
    numbered = _STEP_SPAN.fullmatch(span_name)
    return int(numbered.group(1)) if numbered else None


def step_source(attributes: Collection[str]) -> str:
    """Tell where a span with these attributes has its step from."""
    is_own = names.TRAJECTORY_STEP in attributes or names.TRAJECTORY_STEP_NAME in attributes
    return "attribute" if is_own else "framework"


def retry_source(kind: str, attributes: Collection[str]) -> str:
    """Tell where a span of this kind, with these attributes, has its retries from."""
    return "http_children" if _RESENDS in attributes and kind == "other" else "attribute"


def _time_to(span: CapturedSpan, time: object) -> int | None:
    """Return the ns from the start of `span` to `time`, ISO 8601 with an offset; None when that isn't within it."""
    try:
        at = datetime.fromisoformat(str(time)[:_MAX_TIME_LENGTH].strip('"'))
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    time_ns = (at - _EPOCH) // timedelta(microseconds=1) * 1_000
    return time_ns - span.start_ns if span.start_ns <= time_ns <= span.end_ns else None


def tool_name(span_name: str, attributes: Mapping[str, Any]) -> str | None:
    """Return the name of a tool that no attribute of its own gives."""
    return _name_from(span_name, attributes, TOOL_NAMES, TOOL_NAME_PREFIXES)


def agent_name(span_name: str, attributes: Mapping[str, Any]) -> str | None:
    """Return the name of an agent that no attribute of its own gives."""
    return _name_from(span_name, attributes, AGENT_NAMES, AGENT_NAME_PREFIXES)


def tool_arguments_hash(attributes: Mapping[str, Any], events: Sequence[tuple[Any, ...]]) -> str | None:
    """Return the hash of a tool's arguments, from its attributes, else its events."""
    arguments = next((attributes[name] for name in TOOL_ARGUMENTS if name in attributes), None)
    if arguments is None:
        arguments = next((event[1].get("content") for event in events if event[0] == TOOL_MESSAGE_EVENT), None)
    return to_hash(arguments)


def _name_from(
    span_name: str, attributes: Mapping[str, Any], candidates: tuple[str, ...], prefixes: tuple[str, ...]
) -> str | None:
    for candidate in candidates:
        name = to_name(attributes.get(candidate))
        if name is not None:
            return name
    name = span_name
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return to_name(name.strip(NAME_BRACKETS) if name != span_name else name)
