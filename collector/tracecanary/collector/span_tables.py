"""From captured spans to a table of the canonical columns, by columns where spans are alike and else row by row."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.normalise import Normaliser, SpanRow
from tracecanary.collector.sdk_spans import captured_span
from tracecanary.collector.segments import UNSTORABLE_ERRORS, segment_table, storable_rows
from tracecanary.collector.span_columns import (
    ATTRIBUTES,
    KIND,
    RESOURCE,
    SCOPE,
    SCOPE_VERSION,
    SpanColumns,
    is_plain_plan,
    is_plain_span,
)
from tracecanary.schema import SPAN_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
# Fewer spans cost less row by row: 50 columns take 100 µs however few values they have.
_LEAST_GROUP = 24
_NO_RESOURCES: Mapping[int, Mapping[str, Any]] = {}

AnySpan = Sequence[Any]  # a `CapturedSpan`, or a record of the same layout


def span_table(
    spans: Sequence[AnySpan],
    normaliser: Normaliser,
    resources: Mapping[int, Mapping[str, Any]] = _NO_RESOURCES,
    evaluations: SpanEvaluations | None = None,
) -> pa.Table:
    """Return `spans` as rows of `SPAN_COLUMNS`, in any order; those that can't be stored are left out.

    Args:
        spans: `CapturedSpan`s, or records whose resource is a key of `resources`.
        normaliser: The conventions, with an installation's rules.
        resources: Attributes of resources, by the number in a record.
        evaluations: Takes the evaluations that the spans carry.
    """
    import pyarrow as pa

    groups: dict[Any, list[AnySpan]] = {}
    single: list[AnySpan] = []
    for span in spans:
        try:
            group = groups.setdefault(_shape(span), []) if is_plain_span(span) else single
        except Exception:  # noqa: BLE001  what it holds is looked at below
            group = single
        group.append(span)
    if evaluations is not None:
        evaluations.read(groups.values(), single)
    tables = []
    for group in groups.values():
        table = _columns(group, normaliser, resources) if len(group) >= _LEAST_GROUP else None
        if table is None:
            single += group
        else:
            tables.append(table)
    if single or not tables:
        tables.append(_rows_table(_rows(single, normaliser, resources)))
    return pa.concat_tables(tables) if len(tables) > 1 else tables[0]


def _shape(span: AnySpan) -> tuple[Any, ...]:
    resource = span[RESOURCE]
    number = resource if isinstance(resource, int) else id(resource)
    return (tuple(span[ATTRIBUTES]), span[SCOPE], span[SCOPE_VERSION], span[KIND], number)


def _columns(
    group: Sequence[AnySpan], normaliser: Normaliser, resources: Mapping[int, Mapping[str, Any]]
) -> pa.Table | None:
    """Return the table of spans of one shape; None when they have to be read one by one."""
    names, scope, scope_version, kind, _ = _shape(group[0])
    try:
        plan = normaliser.plan(scope, scope_version, kind, names)
        if not is_plain_plan(plan, names):
            return None
        columns = SpanColumns(group, plan, normaliser.resource_values(_resource(group[0], resources)), normaliser)
        return columns.table() if columns.are_valid() else None
    except Exception:
        _logger.debug("%d spans are read one by one", len(group), exc_info=True)
        return None


def _rows(
    spans: Sequence[AnySpan], normaliser: Normaliser, resources: Mapping[int, Mapping[str, Any]]
) -> list[SpanRow]:
    rows = []
    for span in spans:
        try:
            captured = span if isinstance(span, CapturedSpan) else captured_span(span, resources)
            if captured.is_valid:
                rows.append(normaliser.row(captured))
        except Exception:
            _logger.debug("a span could not be read", exc_info=True)
    return rows


def _rows_table(rows: list[SpanRow]) -> pa.Table:
    try:
        return segment_table(SPAN_COLUMNS, rows)
    except UNSTORABLE_ERRORS:  # a hostile value takes no other span with it
        return segment_table(SPAN_COLUMNS, storable_rows(SPAN_COLUMNS, rows))


def _resource(span: AnySpan, resources: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    resource: int | Mapping[str, Any] = span[RESOURCE]
    return resources[resource] if isinstance(resource, int) else resource
