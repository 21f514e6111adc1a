"""The values of one finished span, before any convention is applied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

_TRACE_ID_LIMIT = 2**128
_SPAN_ID_LIMIT = 2**64
_TIME_LIMIT_NS = 2**63  # the year 2262
_NO_TIME_NS = -1  # of a span that is not valid
ERROR = 2  # the status, as OTLP numbers it


class CapturedEvent(NamedTuple):
    """One event of a span; `time_ns` is 0 when it is not known."""

    name: str
    attributes: Mapping[str, Any]
    time_ns: int = 0


class CapturedSpan(NamedTuple):
    """Values copied from an SDK span or decoded from OTLP.

    Values, not the span: thousands of live spans slow every garbage collection of the host application.
    `kind` and `status_code` are OTLP's enum numbers, `status_message` is what a failed span says of its failure, and
    empty for any other. Times are ns since the epoch.
    """

    trace_id: int
    span_id: int
    parent_span_id: int | None
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status_code: int
    attributes: Mapping[str, Any]
    events: tuple[CapturedEvent, ...]
    resource: Mapping[str, Any]
    scope_name: str | None
    scope_version: str | None
    is_sampled: bool
    trace_state: str
    dropped_attributes: int
    status_message: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether the span has ids (an id of zero is none, by the OpenTelemetry specification) and storable times."""
        return (
            0 < self.trace_id < _TRACE_ID_LIMIT
            and 0 < self.span_id < _SPAN_ID_LIMIT
            and 0 <= self.start_ns < _TIME_LIMIT_NS
            and 0 <= self.end_ns < _TIME_LIMIT_NS
        )


def time_ns(value: object) -> int:
    """Return a time that an application has passed as whole ns; what is no time is one that no valid span has."""
    if type(value) is int:
        return value
    if value is None:
        return 0
    # Applications pass floats, too; NaN and infinity are no time.
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else _NO_TIME_NS
