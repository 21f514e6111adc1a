"""From captured values to a row of the canonical columns. Pure; never raises on what attributes hold.

Theory of operation. The names of a span's attributes and its scope select a plan, compiled once: which attribute feeds
which column. A row starts as the plan's template, then come identity and times, the resource's values, plain
attributes, values inside documents, events, and last what follows from other columns. In each step the first value of a
column stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sized
from typing import Any

from tracecanary.collector import attributes as names
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.coercion import (
    COLUMN_COERCION,
    MAX_COUNT,
    MAX_TEXT_LENGTH,
    MAX_WORD_LENGTH,
    storable_text,
    to_count,
    to_duration_ns,
    to_name,
    to_text,
)
from tracecanary.collector.conventions import RESOURCE_COLUMNS
from tracecanary.collector.conventions.context import TAGS
from tracecanary.collector.derived import complete_row
from tracecanary.collector.documents import parse_document, read_path
from tracecanary.collector.events import is_wanted_flag, read_events
from tracecanary.collector.holdable import is_holdable
from tracecanary.collector.models import canonical_model
from tracecanary.collector.plans import COLUMN_INDEX, LEADING_COLUMNS, Plan, compile_plan
from tracecanary.collector.rules import Rules
from tracecanary.collector.sent_spans import is_sent_row, restore_columns
from tracecanary.schema import SPAN_COLUMNS

SpanRow = tuple[Any, ...]

OTEL_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
_SERVER, _CLIENT = 2, 3
_TELLING_KINDS = (_SERVER, _CLIENT)
_SAMPLING_THRESHOLD = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|$)")
_THRESHOLD_RANGE = 16**14
_WHITE_SPACE = re.compile(r"\s")
_DOCUMENT_STARTS = ("{", "[")
# Attribute names with indices or ids in them make new shapes without end: then all plans are made anew.
_MAX_PLANS = 2_048
_MAX_RESOURCES = 256
_MAX_MODELS = 4_096

_KIND = COLUMN_INDEX["kind"]
_FALLBACK_FROM = COLUMN_INDEX["fallback_from"]
_REQUEST_MODEL = COLUMN_INDEX["request_model"]
_RESPONSE_MODEL = COLUMN_INDEX["response_model"]
_MODEL = COLUMN_INDEX["model"]
_VARIANT = COLUMN_INDEX["variant"]
_COHORT = COLUMN_INDEX["cohort"]
_IS_SAMPLED = COLUMN_INDEX["is_sampled"]
_SAMPLING_PROBABILITY = COLUMN_INDEX["sampling_probability"]
_DROPPED = COLUMN_INDEX["dropped_attributes"]
_ATTRIBUTES = COLUMN_INDEX["attributes"]

_RESOURCE_READS = tuple(
    (COLUMN_INDEX[column], str(attribute), COLUMN_COERCION[column])
    for column, attributes in RESOURCE_COLUMNS.items()
    for attribute in attributes
)


class Normaliser:
    """Turns captured spans into rows. Safe to share between threads: its caches hold what can be made again."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules = rules or Rules()
        self._dimensions = rules.kept_attributes
        self._resource_dimensions = rules.resource_dimensions
        self._plans: dict[tuple[str | None, str | None, int, tuple[str, ...]], Plan] = {}
        # By identity, with the resource beside its values: while it is held, no other one gets its id.
        self._resources: dict[int, tuple[Mapping[str, Any], tuple[tuple[int, Any], ...]]] = {}
        self._models: dict[tuple[str | None, str | None], str | None] = {}

    @property
    def rules(self) -> Rules:
        """What the installation says about its spans."""
        return self._rules

    def row(self, span: CapturedSpan) -> SpanRow:
        """Return the values of `span`, whose ids are valid, in the order of `SPAN_COLUMNS`."""
        attributes = span.attributes
        if is_sent_row(attributes):
            return _restored_row(span)
        plan = self.plan(span.scope_name, span.scope_version, span.kind, tuple(span.attributes))
        row = _new_row(plan, span)
        for index, value in self.resource_values(span.resource):
            row[index] = value
        kind = kind_of(plan, span.name, attributes)
        if kind is not None:
            row[_KIND] = kind
        _read_attributes(row, plan, attributes)
        if plan.documents:
            _read_documents(row, plan, attributes)
        if self._rules.feature_flags or self._rules.cohort_tags:
            self._apply_rules(row, attributes)
        exception = read_events(row, span, self._rules.feature_flags) if span.events else None
        complete_row(row, span, exception)
        row[_MODEL] = self.model(row[_REQUEST_MODEL], row[_RESPONSE_MODEL])
        if row[_FALLBACK_FROM] is not None:
            row[_FALLBACK_FROM] = self.model(row[_FALLBACK_FROM], None)
        row[_ATTRIBUTES] = (row[_ATTRIBUTES] or ()) + _remaining_attributes(plan, attributes)
        return tuple(row)

    def plan(self, scope_name: str | None, scope_version: str | None, kind: int, attributes: tuple[str, ...]) -> Plan:
        """Return how to read a span of this scope and OTLP kind, with these attributes."""
        key = (scope_name, scope_version, kind if kind in _TELLING_KINDS else 0, attributes)
        plan = self._plans.get(key)
        if plan is None:
            plan = compile_plan(
                scope_name or "",
                scope_version or "",
                attributes,
                is_server=kind == _SERVER,
                is_client=kind == _CLIENT,
                dimensions=self._dimensions,
                taken=self._resource_dimensions,
            )
            if is_holdable(key):
                if len(self._plans) >= _MAX_PLANS:
                    self._plans.clear()
                self._plans[key] = plan
        return plan

    def resource_values(self, resource: Mapping[str, Any]) -> tuple[tuple[int, Any], ...]:
        """Return the columns that `resource` fills: index and value. What it adds to the map is a tuple of pairs."""
        held = self._resources.get(id(resource))
        if held is not None and held[0] is resource:
            return held[1]
        values: dict[int, Any] = {}
        for index, name, read in _RESOURCE_READS:
            if values.get(index) is None and name in resource:
                values[index] = read(resource[name])
        if self._resource_dimensions:
            found = ((stored_as, to_name(resource.get(name))) for stored_as, name in self._resource_dimensions.items())
            values[_ATTRIBUTES] = tuple((stored_as, value) for stored_as, value in found if value is not None)
        if is_holdable(resource):
            if len(self._resources) >= _MAX_RESOURCES:
                self._resources.clear()
            self._resources[id(resource)] = (resource, tuple(values.items()))
        return tuple(values.items())

    def model(self, request_model: str | None, response_model: str | None) -> str | None:
        """Return the canonical model of a call; see `canonical_model`."""
        key = (request_model, response_model)
        model = self._models.get(key)
        if model is None:
            model = canonical_model(request_model, response_model, self._rules.models)
            if len(self._models) >= _MAX_MODELS:
                self._models.clear()
            self._models[key] = model
        return model

    def _apply_rules(self, row: list[Any], attributes: Mapping[str, Any]) -> None:
        if names.RELEASE_VARIANT not in attributes and not is_wanted_flag(attributes, self._rules.feature_flags):
            row[_VARIANT] = None
        if row[_COHORT] is None and self._rules.cohort_tags:
            row[_COHORT] = _tagged_cohort(attributes, self._rules.cohort_tags)


_default_normaliser = Normaliser()


def default_normaliser() -> Normaliser:
    """Return the normaliser without an installation's rules."""
    return _default_normaliser


def span_row(span: CapturedSpan) -> SpanRow:
    """Return the values of `span`, whose ids are valid, in the order of `SPAN_COLUMNS`, by no installation's rules."""
    return _default_normaliser.row(span)


def sampling_probability(trace_state: str) -> float | None:
    """Return the probability that the trace was kept, from `ot=th:` of the trace state; None when it has none.

    Source: OpenTelemetry specification, "TraceState: Probability Sampling", rejection threshold of up to 14 hex digits.
    """
    match = _SAMPLING_THRESHOLD.search(trace_state)
    if match is None:
        return None
    threshold = int(match.group(1).ljust(14, "0"), 16)
    return 1 - threshold / _THRESHOLD_RANGE


def _new_row(plan: Plan, span: CapturedSpan) -> list[Any]:
    """Return the row of `span` with its own fields: the leading columns, then the plan's template."""
    row = [*_own_fields(span), *plan.template]
    row[_IS_SAMPLED] = span.is_sampled
    if span.trace_state:
        row[_SAMPLING_PROBABILITY] = sampling_probability(span.trace_state)
    row[_DROPPED] = to_count(span.dropped_attributes) if span.dropped_attributes else 0
    return row


def _own_fields(span: CapturedSpan) -> list[Any]:
    kind, status, parent_span_id = span.kind, span.status_code, span.parent_span_id
    return [
        span.trace_id.to_bytes(16).hex(),  # half the cost of a format
        span.span_id.to_bytes(8).hex(),
        parent_span_id.to_bytes(8).hex() if parent_span_id else None,
        to_name(span.name),
        OTEL_KINDS[kind if 0 <= kind < len(OTEL_KINDS) else 0],
        span.start_ns,
        to_duration_ns(span.start_ns, span.end_ns),
        STATUSES[status if 0 <= status < len(STATUSES) else 0],
    ]


def _restored_row(span: CapturedSpan) -> SpanRow:
    """Return the row that an application has sent as `span`."""
    row = [*_own_fields(span), *([None] * (len(SPAN_COLUMNS) - len(LEADING_COLUMNS)))]
    restore_columns(row, span)
    return tuple(row)


def kind_of(plan: Plan, span_name: str, attributes: Mapping[str, Any]) -> str | None:
    """Return the kind of a span as its convention tells it; None when it doesn't."""
    for start, kind in plan.kinds_by_name:
        if span_name.startswith(start):
            return kind
    for name in plan.kind_from:
        value = attributes[name]
        if isinstance(value, str):
            known = plan.kinds.get(value) or plan.kinds.get(value[:MAX_TEXT_LENGTH].strip('"').lower())
            if known is not None:
                return known
    return None


def _read_attributes(row: list[Any], plan: Plan, attributes: Mapping[str, Any]) -> None:
    # The plainest values are read here: calling their readers would cost as much again.
    for index, name in plan.texts:
        if row[index] is None:
            value = attributes[name]
            is_plain = type(value) is str and value.isascii() and len(value) <= MAX_TEXT_LENGTH and value[:1] != "["
            row[index] = (value or None) if is_plain else to_name(value)
    for index, name, read in plan.counts:
        if row[index] is None:
            value = attributes[name]
            row[index] = value if type(value) is int and 0 <= value <= MAX_COUNT else read(value)
    for index, name, read in plan.reads:
        if row[index] is None:
            row[index] = read(attributes[name])


def _read_documents(row: list[Any], plan: Plan, attributes: Mapping[str, Any]) -> None:
    for name, targets in plan.documents:
        wanted = [target for target in targets if row[target[0]] is None]
        if not wanted:
            continue
        document: Any = parse_document(attributes[name])
        if document is None:
            document = attributes[name]  # not everything that should be in quotes is
        is_object = isinstance(document, dict)
        for index, path, read in wanted:
            if row[index] is None:
                value = document.get(path[0]) if is_object and len(path) == 1 else read_path(document, path)
                if value is not None:
                    row[index] = read(value)


def _tagged_cohort(attributes: Mapping[str, Any], cohort_tags: Mapping[str, str]) -> str | None:
    for name in TAGS:
        tags = attributes.get(name)
        if isinstance(tags, str):
            tags = parse_document(tags) if tags.startswith("[") else tags[:MAX_TEXT_LENGTH].split(",")
        if isinstance(tags, list | tuple):
            for tag in tags[:MAX_TEXT_LENGTH]:
                if isinstance(tag, str) and tag.strip() in cohort_tags:
                    return cohort_tags[tag.strip()]
    return None


def _remaining_attributes(plan: Plan, attributes: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    remaining = []
    for stored_name, name in plan.remaining:
        text = remaining_text(attributes[name])
        if text is not None:
            remaining.append((stored_name, text))
    for name in plan.dimensions:
        value = to_name(attributes[name])
        if value is not None:
            remaining.append((name, value))
    # A tuple: the garbage collector stops following tuples of plain values, and so the whole row.
    return tuple(remaining)


def remaining_text(value: object) -> str | None:
    """Return what is stored of an attribute that no column is read from; None for what may be content."""
    text: str | None
    if isinstance(value, str):
        # A document is no word, even without white space: the arguments of a tool call are one.
        if len(value) > MAX_WORD_LENGTH or value.startswith(_DOCUMENT_STARTS):
            return None
        text = storable_text(value)
    else:
        text = _text_of(value)
    # No list of names knows every attribute that may hold a prompt: a word is a fact, text is content.
    if text and len(text) <= MAX_WORD_LENGTH and not _WHITE_SPACE.search(text):
        return text
    return None


def _text_of(value: object) -> str | None:
    # The text of a longer list is longer still: not made to be dropped.
    return None if isinstance(value, Sized) and len(value) > MAX_TEXT_LENGTH else to_text(value)
