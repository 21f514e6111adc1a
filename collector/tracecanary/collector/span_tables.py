"""From captured spans to a table of the canonical columns, by columns where spans are alike and else row by row."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.normalise import Normaliser, SpanRow
from tracecanary.collector.segments import storable_table
from tracecanary.collector.shaped_spans import SpanColumnGroup, SpanGroup, captured_span, group_by_shape
from tracecanary.collector.span_columns import SpanColumns, is_plain_plan
from tracecanary.schema import SPAN_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
# Fewer spans cost less row by row: 50 columns take 100 µs however few values they have.
_LEAST_GROUP = 24


def span_table(
    spans: Iterable[CapturedSpan], normaliser: Normaliser, evaluations: SpanEvaluations | None = None
) -> pa.Table:
    """Return `spans` as rows of `SPAN_COLUMNS`, in any order; those that can't be stored are left out.

    `evaluations` takes the evaluations that the spans carry.
    """
    return grouped_table(*group_by_shape(spans), normaliser, evaluations)


def grouped_table(
    groups: Sequence[SpanGroup | SpanColumnGroup],
    single: Sequence[CapturedSpan],
    normaliser: Normaliser,
    evaluations: SpanEvaluations | None = None,
) -> pa.Table:
    """Return the spans of `groups` and `single` ones as rows of `SPAN_COLUMNS`, as `span_table` does."""
    import pyarrow as pa

    if evaluations is not None:
        evaluations.read(groups, single)
    tables = []
    left = list(single)
    for group in groups:
        table = _columns(group, normaliser) if group.size >= _LEAST_GROUP else None
        if table is not None:
            tables.append(table)
        else:
            left += [captured_span(group.shape, span) for span in group.spans]
    if left or not tables:
        tables.append(storable_table(SPAN_COLUMNS, _rows(left, normaliser)))
    # In one piece, for what is written of it: each piece costs as much again, however small.
    return pa.concat_tables(tables).combine_chunks() if len(tables) > 1 else tables[0]


def _columns(group: SpanGroup | SpanColumnGroup, normaliser: Normaliser) -> pa.Table | None:
    """Return the table of spans of one shape; None when they have to be read one by one."""
    shape = group.shape
    try:
        plan = normaliser.plan(shape.scope_name, shape.scope_version, shape.kind, shape.attributes)
        if not is_plain_plan(plan, shape.attributes):
            return None
        return SpanColumns(group, plan, normaliser).table()
    except Exception:
        _logger.debug("spans of one shape are read one by one", exc_info=True)
        return None


def _rows(spans: Iterable[CapturedSpan], normaliser: Normaliser) -> list[SpanRow]:
    rows = []
    for span in spans:
        try:
            if span.is_valid:
                rows.append(normaliser.row(span))
        except Exception:
            _logger.debug("a span could not be read", exc_info=True)
    return rows
