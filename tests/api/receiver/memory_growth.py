"""Prints by how many MB an intake grows over large resources, scopes and attribute names that come once each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracecanary.collector.config import IntakeSettings
from tracecanary.collector.intake import Intake
from tracecanary.collector.intake_requests import OtlpBody, TraceRequest
from tracecanary.collector.rules import Rules

_SIZE = 1_000_000
_REQUESTS = 100
_WARM_UP = 20
_DEADLINE_S = 60.0


def _request(number: int) -> TraceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = f"{number}" + _SIZE * "x"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = f"{number}" + _SIZE * "x"
    span = scope_spans.spans.add(trace_id=(number + 1).to_bytes(16), span_id=(number + 1).to_bytes(8))
    for mark in ("a", "b"):
        span.attributes.add(key=f"{mark}{number}" + _SIZE * "x").value.int_value = 1
    body = OtlpBody(contents=request.SerializeToString(), is_json=False, max_decompressed_bytes=10 * _SIZE)
    return TraceRequest(body)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


intake = Intake(Path(sys.argv[1]), IntakeSettings(), Rules())
before_mb = 0.0
for number in range(_REQUESTS + _WARM_UP):
    if number == _WARM_UP:
        before_mb = _resident_mb()
    intake.submit(_request(number)).result(_DEADLINE_S)
grown_mb = _resident_mb() - before_mb
intake.close()
print(grown_mb)  # noqa: T201  read by the test
