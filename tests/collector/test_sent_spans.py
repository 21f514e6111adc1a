"""What is sent to a server and read back there is what the application would have written into a lake."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.collector.otlp_sink import attributes_of
from tests.collector.test_hostile_values import NAMES, SCALARS, SCOPES
from tests.collector.test_span_tables import CAPTURES, NAMED, PLAIN, numbered

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.evaluations import Evaluation, evaluation_row, read_evaluations
from tracecanary.collector.normalise import default_normaliser
from tracecanary.collector.otlp import spans_from_protobuf
from tracecanary.collector.otlp_encoding import OtlpRequest, otlp_requests
from tracecanary.collector.otlp_wire import read_fields, varint_field
from tracecanary.collector.segments import segment_table
from tracecanary.collector.sent_spans import SENT_NAMES, VERSION_ATTRIBUTE
from tracecanary.collector.span_tables import span_table
from tracecanary.schema import EVALUATION_COLUMNS, LakeTable

PROMPT = "tell me about the secret recipe"


def table(spans: list[CapturedSpan]) -> pa.Table:
    return span_table(spans, default_normaliser())


def requests(rows: pa.Table, *, max_rows: int = 1_000, max_bytes: int = 10**7) -> list[OtlpRequest]:
    return list(otlp_requests(LakeTable.SPANS, rows, max_rows=max_rows, max_bytes=max_bytes))


def received(rows: pa.Table) -> pa.Table:
    return table([span for request in requests(rows) for span in spans_from_protobuf(request.body)])


def contents(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(
        ({**row, "attributes": dict(row["attributes"])} for row in rows.to_pylist()),
        key=lambda row: (row["trace_id"], row["span_id"], repr(row)),
    )


@pytest.mark.parametrize("capture", NAMED)
def test_every_capture_arrives_as_it_would_have_been_written(capture: str) -> None:
    bodies = sorted((CAPTURES / capture).rglob("*.pb")) or sorted(CAPTURES.glob(f"{capture}*.pb"))
    spans = [span for body in bodies if "logs" not in body.name for span in spans_from_protobuf(body.read_bytes())]
    written = table(spans)
    assert written.num_rows == len(spans)

    assert contents(received(written)) == contents(written)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_spans_hold_arrives_as_it_would_have_been_written(data: st.DataObject) -> None:
    names = st.sampled_from([*NAMES, *SENT_NAMES.values()]) | st.text(max_size=8)
    spans = [
        PLAIN._replace(
            span_id=number + 1,
            parent_span_id=data.draw(st.none() | st.integers(1, 2**64 - 1)),
            attributes=data.draw(st.dictionaries(names.filter(lambda name: name != VERSION_ATTRIBUTE), SCALARS)),
            resource=data.draw(st.dictionaries(st.sampled_from(["service.name", "service.version", "a"]), SCALARS)),
            name=data.draw(st.text(max_size=5)),
            kind=data.draw(st.integers(-1, 7)),
            start_ns=data.draw(st.integers(0, 2**63 - 1)),
            end_ns=data.draw(st.integers(0, 2**63 - 1)),
            scope_name=data.draw(st.none() | st.sampled_from(SCOPES)),
            scope_version=data.draw(st.none() | st.text(max_size=3)),
            status_code=data.draw(st.integers(-1, 4)),
            is_sampled=data.draw(st.booleans()),
            trace_state=data.draw(st.sampled_from(["", "ot=th:8", "a=b"])),
            dropped_attributes=data.draw(st.integers(0, 2**40)),
        )
        for number in range(3)
    ]
    written = table(spans)

    assert contents(received(written)) == contents(written)


def test_a_row_that_was_received_can_be_sent_on() -> None:
    written = table(numbered(PLAIN, 50))

    assert contents(received(received(written))) == contents(written)


def test_request_is_what_the_official_classes_read() -> None:
    span = PLAIN._replace(
        scope_name="openai", scope_version="2", resource={"service.name": "shop", "service.version": "1.4"}
    )

    (request,) = requests(table([span]))

    parsed = ExportTraceServiceRequest.FromString(request.body)
    (resource_spans,) = parsed.resource_spans
    assert {item.key: item.value.string_value for item in resource_spans.resource.attributes} == {
        "service.name": "shop",
        "service.version": "1.4",
    }
    (scope_spans,) = resource_spans.scope_spans
    assert (scope_spans.scope.name, scope_spans.scope.version) == ("openai", "2")
    (sent,) = scope_spans.spans
    assert (sent.trace_id, sent.span_id, sent.parent_span_id) == (bytes(15) + b"\x01", bytes(7) + b"\x01", b"")
    assert (sent.name, sent.kind, sent.start_time_unix_nano, sent.end_time_unix_nano) == ("chat", 3, 1_000, 3_000)
    assert sent.flags == 1
    attributes = {item.key: item.value for item in sent.attributes}
    assert attributes["gen_ai.request.model"].string_value == "m"
    assert attributes["tracecanary.model"].string_value == "m"
    assert attributes[VERSION_ATTRIBUTE].int_value == 1


def test_content_does_not_leave_the_process_but_the_hash_of_arguments_does() -> None:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.provider.name": "openai",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.call.arguments": json.dumps({"query": PROMPT}),
        "gen_ai.input.messages": PROMPT,
        "input.value": PROMPT,
        "app.own": PROMPT,
    }
    written = table([PLAIN._replace(attributes=attributes)])

    (request,) = requests(written)

    assert PROMPT.encode() not in request.body
    (tool_arguments_hash,) = received(written).column("tool_arguments_hash").to_pylist()
    assert tool_arguments_hash is not None
    assert tool_arguments_hash == written.column("tool_arguments_hash").to_pylist()[0]


def test_requests_keep_to_their_limits() -> None:
    rows = table(numbered(PLAIN, 100))

    by_spans = requests(rows, max_rows=30)
    by_bytes = requests(rows, max_bytes=2_000)

    assert [request.rows for request in by_spans] == [30, 30, 30, 10]
    assert sum(request.rows for request in by_bytes) == 100
    assert max(len(request.body) for request in by_bytes) < 2_200
    assert [request.rows for request in requests(rows, max_bytes=1)] == [1] * 100
    assert requests(rows) == requests(rows)


@pytest.mark.parametrize("column", sorted(SENT_NAMES))
def test_value_of_another_type_than_its_column_is_left_out(column: str) -> None:
    forged: dict[str, object] = {VERSION_ATTRIBUTE: 1, SENT_NAMES[column]: [b"\x00"]}

    (row,) = table([PLAIN._replace(attributes=forged)]).to_pylist()

    assert row[column] is None
    assert row["name"] == "chat"


@settings(max_examples=100, deadline=None)
@given(
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    label=st.none() | st.sampled_from(["pass", "correct", "bad"]),
    passed=st.booleans(),
    span_id=st.none() | st.just("00000000000000ab"),
    source=st.sampled_from(["code", "llm"]),
)
def test_an_evaluation_arrives_as_it_would_have_been_written(
    score: float | None, label: str | None, passed: bool, span_id: str | None, source: Any
) -> None:
    row = evaluation_row(
        Evaluation(name="quality", version="7", score=score, label=label, passed=passed, source=source),
        trace_id=f"{5:032x}",
        span_id=span_id,
        time_ns=1_234,
        received_ns=2_000,
    )

    (request,) = otlp_requests(
        LakeTable.EVALUATIONS, segment_table(EVALUATION_COLUMNS, [row]), max_rows=10, max_bytes=10**6
    )

    parsed = ExportLogsServiceRequest.FromString(request.body)
    (record,) = parsed.resource_logs[0].scope_logs[0].log_records
    assert record.event_name == "gen_ai.evaluation.result"
    (evaluation,) = read_evaluations(attributes_of(record.attributes))
    assert row == evaluation_row(
        evaluation,
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex() or None,
        time_ns=record.time_unix_nano,
        received_ns=2_000,
    )


@given(st.binary(max_size=40))
def test_reading_what_is_no_message_ends(message: bytes) -> None:
    try:
        fields = list(read_fields(message))
    except ValueError:
        return
    assert len(fields) <= len(message)


@given(st.integers(1, 1_000), st.integers(-(2**63), 2**63 - 1))
def test_integers_of_64_bits_survive(number: int, value: int) -> None:
    assert list(read_fields(varint_field(number, value))) == [(number, value % 2**64)]
