"""OTLP trace requests by columns, straight from the bytes: the spans of `otlp_columns`, at a fraction of its cost.

Compiled code gives the columns of spans that hold nothing but attributes to read, and where the bytes of the others
lie, which the decoder of single spans reads. What it can't tell for certain it leaves to `otlp_columns`, which also
does everything where there is no compiled code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracecanary.collector.attributes import EVALUATION_EVENT
from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.collector.coded_spans import coded_group
from tracecanary.collector.evaluations import evaluation_forms
from tracecanary.collector.otlp import protobuf_event, protobuf_span
from tracecanary.collector.otlp_columns import KEPT_EVENTS, DecodedColumns
from tracecanary.collector.otlp_contexts import read_resource, read_scope
from tracecanary.collector.sent_spans import is_sent_row
from tracecanary.collector.shaped_spans import SpanShape

try:
    from tracecanary.collector import _packed
except ImportError:  # there was no C compiler when this was installed
    _packed = None  # type: ignore[assignment]

_KEPT_NAMES = tuple(name.encode() for name in sorted(KEPT_EVENTS))
_EVALUATION_NAME = EVALUATION_EVENT.encode()


def scan_requests(bodies: Sequence[bytes]) -> DecodedColumns | None:
    """Decode `ExportTraceServiceRequest`s; None when they have to be decoded otherwise."""
    if _packed is None:
        return None
    from google.protobuf.message import DecodeError

    scanned = _packed.scan(tuple(bodies), _KEPT_NAMES, _EVALUATION_NAME)
    if scanned is None:
        return None
    columns, shapes, serialised_resources, serialised_scopes, apart, judgements, spans_by_request = scanned
    try:
        resources, scopes = list(map(read_resource, serialised_resources)), list(map(read_scope, serialised_scopes))
        single = _single_spans(bodies, apart, resources, scopes)
        judged = _judgements(bodies, judgements)
    except DecodeError:  # a resource or scope is damaged, or part of a span that is not looked at above
        return None
    groups = []
    for number, (names, kind, resource, scope) in enumerate(shapes):
        shape = SpanShape(names, kind, resources[resource], *scopes[scope])
        group = coded_group(shape, columns[number], judged.get(number, {}))
        # What can't be told apart by whom it was judged is read one by one.
        if group.judgements and (evaluation_forms(names) or is_sent_row(names)):
            single += group.captured()
        else:
            groups.append(group)
    return DecodedColumns(groups=groups, single=single, spans_by_request=spans_by_request)


def _single_spans(
    bodies: Sequence[bytes],
    apart: Iterable[tuple[int, int, int, int, int]],
    resources: Sequence[Mapping[str, Any]],
    scopes: Sequence[tuple[str, str]],
) -> list[CapturedSpan]:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    return [
        protobuf_span(Span.FromString(bodies[body][start : start + size]), resources[resource], *scopes[scope])
        for resource, scope, body, start, size in apart
    ]


def _judgements(
    bodies: Sequence[bytes], judgements: Iterable[tuple[int, int, int, int, int]]
) -> Mapping[int, Mapping[int, tuple[CapturedEvent, ...]]]:
    """Return the evaluation events of spans, by shape and row."""
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    judged: dict[int, dict[int, tuple[CapturedEvent, ...]]] = defaultdict(dict)
    for shape, row, body, start, size in judgements:
        event = protobuf_event(Span.Event.FromString(bodies[body][start : start + size]))
        judged[shape][row] = (*judged[shape].get(row, ()), event)
    return judged
