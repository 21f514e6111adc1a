"""Decoding many requests at once: their spans share columns, while each has an outcome of its own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.evaluations import EvaluationRow
from tracecanary.collector.intake_requests import Decoded, IntakeRequest, TraceRequest
from tracecanary.collector.otlp_columns import DecodedColumns, columns_from_protobuf
from tracecanary.collector.otlp_scan import scan_requests
from tracecanary.collector.shaped_spans import SpanColumnGroup, SpanGroup, group_by_shape
from tracecanary.schema import TraceCanaryError

Outcome = Decoded | TraceCanaryError
_DecodeColumns: TypeAlias = Callable[[Sequence[bytes]], DecodedColumns | None]


@dataclass(slots=True, kw_only=True)
class DecodedRequests:
    """Spans and evaluations of all requests, and the outcome of each."""

    outcomes: list[Outcome]
    groups: list[SpanGroup | SpanColumnGroup] = field(default_factory=list)
    single: list[CapturedSpan] = field(default_factory=list)

    @property
    def spans(self) -> int:
        """How many spans there are."""
        return sum(one.column_spans + len(one.spans) for one in self.outcomes if isinstance(one, Decoded))

    @property
    def evaluations(self) -> list[EvaluationRow]:
        """The evaluations of all requests."""
        return [row for one in self.outcomes if isinstance(one, Decoded) for row in one.evaluations]


def decode_requests(requests: Sequence[tuple[IntakeRequest, bytes]], *, is_accelerated: bool = True) -> DecodedRequests:
    """Decode `requests`, given with their contents, by compiled code if `is_accelerated` and there is any."""
    outcomes: dict[int, Outcome] = {}
    decoders = [scan_requests, columns_from_protobuf] if is_accelerated else [columns_from_protobuf]
    columns = [part for decode in decoders for part in _decode_columns(requests, outcomes, decode)]
    for index, (request, contents) in enumerate(requests):
        if index not in outcomes:
            try:
                outcomes[index] = request.decode(contents)
            except TraceCanaryError as error:
                outcomes[index] = error
    in_order = [outcomes[index] for index in range(len(requests))]
    groups, single = group_by_shape(span for one in in_order if isinstance(one, Decoded) for span in one.spans)
    decoded = DecodedRequests(outcomes=in_order, groups=[*groups], single=single)
    for part in columns:
        decoded.groups += part.groups
        decoded.single += part.single
    return decoded


def without_spans(decoded: Decoded, spans: int, reason: str) -> Decoded:
    """Return `decoded` with so many of its spans rejected."""
    if not spans:
        return decoded
    return replace(decoded, spans=decoded.spans[spans:], rejected={**decoded.rejected, reason: spans})


def _decode_columns(
    requests: Sequence[tuple[IntakeRequest, bytes]], outcomes: dict[int, Outcome], decode: _DecodeColumns
) -> list[DecodedColumns]:
    """Decode the requests that can be by columns, and note their outcomes."""
    indices = [
        index
        for index, (request, _) in enumerate(requests)
        if index not in outcomes and isinstance(request, TraceRequest) and request.is_protobuf
    ]
    decoded = _columns(requests, indices, outcomes, decode)
    if decoded is not None:
        return [decoded]
    # One of them is out of the ordinary.
    parts = [_columns(requests, [index], outcomes, decode) for index in indices] if len(indices) > 1 else []
    return [part for part in parts if part is not None]


def _columns(
    requests: Sequence[tuple[IntakeRequest, bytes]],
    indices: Sequence[int],
    outcomes: dict[int, Outcome],
    decode: _DecodeColumns,
) -> DecodedColumns | None:
    if not indices:
        return None
    columns = decode([requests[index][1] for index in indices])
    if columns is not None:
        for index, spans in zip(indices, columns.spans_by_request, strict=True):
            outcomes[index] = Decoded(column_spans=spans)
    return columns
