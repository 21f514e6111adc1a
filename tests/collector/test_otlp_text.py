"""Text that is no UTF-8, which some senders pass on, costs itself and nothing else."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracecanary.api.service import running_receiver
from tracecanary.collector.otlp import spans_from_protobuf
from tracecanary.collector.otlp_logs import events_from_protobuf
from tracecanary.collector.otlp_text import with_readable_text
from tracecanary.schema import MalformedInputError

BAD = b"caf\xe9 \xff"
PLACEHOLDER = b"caf_-_"
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
READABLE = "caf\ufffd \ufffd"


def trace_request() -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in (1, 2):
        span = spans.add(trace_id=number.to_bytes(16), span_id=b"\xff" * 8, name="chat")
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="gen_ai.request.model").value.string_value = "m"
    spans[0].name = PLACEHOLDER.decode()
    spans[0].attributes.add(key=PLACEHOLDER.decode()).value.string_value = PLACEHOLDER.decode()
    spans[0].attributes.add(key="list").value.array_value.values.add().string_value = PLACEHOLDER.decode()
    return request.SerializeToString().replace(PLACEHOLDER, BAD)


def test_unreadable_characters_are_replaced_and_everything_else_stays() -> None:
    first, second = spans_from_protobuf(trace_request())

    assert first.name == READABLE
    assert first.attributes == {**CALL, READABLE: READABLE, "list": [READABLE]}
    assert (second.name, second.attributes) == ("chat", CALL)
    assert first.span_id == second.span_id == 2**64 - 1, "ids are bytes, and no text"


def test_events_of_logs_are_read_alike() -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(event_name="e", time_unix_nano=1)
    record.attributes.add(key="a").value.string_value = PLACEHOLDER.decode()

    (event,) = events_from_protobuf(request.SerializeToString().replace(PLACEHOLDER, BAD))

    assert event.attributes == {"a": READABLE}


def test_what_is_damaged_otherwise_is_still_refused() -> None:
    with pytest.raises(MalformedInputError, match="no OTLP trace request"):
        spans_from_protobuf(trace_request()[:-3])


@given(st.binary(max_size=60))
def test_any_bytes_become_a_sound_message_or_none(body: bytes) -> None:
    mended = with_readable_text(body, ExportTraceServiceRequest)

    if mended is not None:
        ExportTraceServiceRequest().ParseFromString(mended)


def test_the_receiver_stores_all_spans_of_such_a_request(tmp_path: Path) -> None:
    with running_receiver(tmp_path / "lake") as service:
        headers = {"content-type": "application/x-protobuf"}
        response = httpx.post(f"{service.url}/v1/traces", content=trace_request(), headers=headers)
        models = httpx.get(f"{service.url}/models").json()

    assert (response.status_code, response.content) == (200, b"")
    assert sum(row["traces"] for row in models) == 2
