"""Columns that follow from other columns of the same span."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tracecanary.collector import attributes as names
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.coercion import to_hash, to_name
from tracecanary.collector.conventions.context import (
    AGENT_NAME_PREFIXES,
    AGENT_NAMES,
    TOOL_ARGUMENTS,
    TOOL_NAME_PREFIXES,
    TOOL_NAMES,
)
from tracecanary.collector.failures import error_class, failure_type
from tracecanary.collector.plans import COLUMN_INDEX

_KIND = COLUMN_INDEX["kind"]
_NAME = COLUMN_INDEX["name"]
_STATUS = COLUMN_INDEX["status"]
_ERROR_TYPE = COLUMN_INDEX["error_type"]
_ERROR_CLASS = COLUMN_INDEX["error_class"]
_INPUT = COLUMN_INDEX["input_tokens"]
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
        _include_cached_tokens(row)
    if row[_STEP] is not None or row[_STEP_NAME] is not None or row[_OPERATION] == "agent_step":
        _complete_step(row, span)
    if row[_CONVENTION] == "langfuse" and row[_TIME_TO_FIRST_TOKEN] is None:
        row[_TIME_TO_FIRST_TOKEN] = _time_to(span, span.attributes.get(_COMPLETION_START))
    if row[_RETRY_COUNT] is not None and row[_RETRY_SOURCE] is None:
        is_of_http = _RESENDS in span.attributes and row[_KIND] == "other"
        row[_RETRY_SOURCE] = "http_children" if is_of_http else "attribute"
    if row[_FALLBACK_USED] is None and (row[_FALLBACK_FROM] is not None or "gen_ai.fallback.to" in span.attributes):
        row[_FALLBACK_USED] = True
    kind = row[_KIND]
    if kind == "tool":
        _complete_tool(row, span)
    elif kind == "agent" and row[_AGENT_NAME] is None:
        row[_AGENT_NAME] = _name_from(span, AGENT_NAMES, AGENT_NAME_PREFIXES)


def _complete_failure(row: list[Any], span: CapturedSpan, exception: Mapping[str, Any] | None) -> None:
    if row[_ERROR_TYPE] is None:
        row[_ERROR_TYPE] = failure_type(span.attributes, exception)
    if row[_STATUS] == "error":
        row[_ERROR_CLASS] = error_class(row[_ERROR_TYPE], span.attributes, exception)


def _include_cached_tokens(row: list[Any]) -> None:
    """Add cached tokens to an input that leaves them out, as Anthropic's API counts.

    Source: GenAI semantic conventions: `gen_ai.usage.input_tokens` includes cached tokens. More cached than all input
    tells that they were not included.
    """
    cached = (row[_CACHE_READ] or 0) + (row[_CACHE_WRITE] or 0)
    if row[_INPUT] is not None and cached > row[_INPUT]:
        row[_INPUT] += cached


def _complete_step(row: list[Any], span: CapturedSpan) -> None:
    is_own = names.TRAJECTORY_STEP in span.attributes or names.TRAJECTORY_STEP_NAME in span.attributes
    if row[_STEP] is None:  # the AI SDK numbers its steps by the name of the span alone
        numbered = _STEP_SPAN.fullmatch(span.name)
        row[_STEP] = int(numbered.group(1)) if numbered else None
    if row[_STEP] is not None or row[_STEP_NAME] is not None:
        row[_STEP_SOURCE] = "attribute" if is_own else "framework"


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


def _complete_tool(row: list[Any], span: CapturedSpan) -> None:
    if row[_TOOL_NAME] is None:
        row[_TOOL_NAME] = _name_from(span, TOOL_NAMES, TOOL_NAME_PREFIXES)
    if row[_TOOL_ARGUMENTS_HASH] is None:
        arguments = next((span.attributes[name] for name in TOOL_ARGUMENTS if name in span.attributes), None)
        if arguments is None:
            arguments = next(
                (event[1].get("content") for event in span.events if event[0] == "gen_ai.tool.message"), None
            )
        row[_TOOL_ARGUMENTS_HASH] = to_hash(arguments)


def _name_from(span: CapturedSpan, candidates: tuple[str, ...], prefixes: tuple[str, ...]) -> str | None:
    for candidate in candidates:
        name = to_name(span.attributes.get(candidate))
        if name is not None:
            return name
    name = span.name
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return to_name(name)
