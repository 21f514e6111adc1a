"""OTLP by columns, compiled or by Arrow, gives what the decoder of single spans gives, or leaves it to that one."""

from __future__ import annotations

import gc
import importlib.util
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.column_values import Coded, Typed
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.ingest import decode_otlp_file
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.otlp import spans_from_protobuf
from tracecanary.collector.otlp_columns import KEPT_EVENTS, DecodedColumns, columns_from_protobuf
from tracecanary.collector.otlp_scan import scan_requests
from tracecanary.collector.shaped_spans import captured_span
from tracecanary.collector.span_tables import grouped_table, span_table
from tracecanary.schema import MalformedInputError

TESTDATA = Path(__file__).parent / "testdata" / "captures"
CAPTURES = sorted(path.name.removesuffix(".otlp.pb") for path in TESTDATA.glob("*.otlp.pb") if "logs" not in path.name)
KEYS: list[tuple[str, Literal["ascending", "descending"]]] = [
    ("trace_id", "ascending"),
    ("span_id", "ascending"),
    ("name", "ascending"),
    ("start_unix_ns", "ascending"),
]


Decode = Callable[[Sequence[bytes]], DecodedColumns | None]
HAS_COMPILED = importlib.util.find_spec("tracecanary.collector._packed") is not None
BY_ARROW = pytest.param(columns_from_protobuf, id="arrow")
compiled = pytest.mark.skipif(not HAS_COMPILED, reason="no C compiler when this was installed")
COMPILED = pytest.param(scan_requests, id="compiled", marks=compiled)
both_ways = pytest.mark.parametrize("decode", [BY_ARROW, COMPILED])


def decoded(decode: Decode, *bodies: bytes) -> DecodedColumns:
    columns = decode(bodies)
    assert columns is not None
    return columns


def single_spans(columns: DecodedColumns) -> list[CapturedSpan]:
    grouped = [captured_span(group.shape, span) for group in columns.groups for span in group.spans]
    return [*grouped, *columns.single]


def without_unread_events(span: CapturedSpan, kept: CapturedSpan) -> CapturedSpan:
    """Spans in columns leave out events that tell nothing."""
    return span._replace(events=()) if not kept.events else span


@both_ways
@pytest.mark.parametrize("capture", CAPTURES)
def test_a_capture_gives_the_rows_and_evaluations_of_its_file(capture: str, decode: Decode) -> None:
    path = TESTDATA / f"{capture}.otlp.pb"
    expected_evaluations, evaluations = SpanEvaluations(received_ns=1), SpanEvaluations(received_ns=1)
    expected = span_table(decode_otlp_file(path.read_bytes()), Normaliser(), expected_evaluations)

    # Many copies, for groups that are large enough for columns.
    columns = decoded(decode, *[path.read_bytes()] * 30)
    table = grouped_table(columns.groups, columns.single, Normaliser(), evaluations)

    assert columns.spans_by_request == [expected.num_rows] * 30
    assert table.sort_by(KEYS).equals(pa.concat_tables([expected] * 30).sort_by(KEYS))
    assert sorted(map(str, evaluations.rows)) == sorted(map(str, expected_evaluations.rows * 30))


def any_values() -> st.SearchStrategy[AnyValue]:
    atoms = st.one_of(
        st.builds(AnyValue, string_value=st.text(max_size=8)),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
        st.builds(AnyValue, bytes_value=st.binary(max_size=4)),
        st.just(AnyValue()),
    )
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=3))),
            st.builds(AnyValue, kvlist_value=st.builds(KeyValueList, values=key_values(inner))),
        ),
        max_leaves=4,
    )


def key_values(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[list[KeyValue]]:
    names = st.sampled_from(["gen_ai.request.model", "gen_ai.operation.name", "app.x", "ключ", ""])
    return st.lists(st.builds(KeyValue, key=names, value=values), max_size=4)


ATTRIBUTES = key_values(any_values())
EVENT = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["exception", "gen_ai.first_chunk", "gen_ai.evaluation.result", "other"]),
        "time_unix_nano": st.integers(0, 2**63),
        "attributes": ATTRIBUTES,
    }
)
SPAN = st.fixed_dictionaries(
    {
        "trace_id": st.binary(min_size=16, max_size=16).filter(any),
        "span_id": st.binary(min_size=8, max_size=8).filter(any),
        "parent_span_id": st.sampled_from([b"", bytes(8), b"12345678", b"short"]),
        "name": st.text(max_size=6),
        "kind": st.integers(0, 5),
        "start_time_unix_nano": st.integers(0, 2**63 - 1),
        "end_time_unix_nano": st.integers(0, 2**63 - 1),
        "attributes": ATTRIBUTES,
        "events": st.lists(EVENT, max_size=2),
        "dropped_attributes_count": st.integers(0, 3),
        "flags": st.sampled_from([0, 1, 0x100, 0x101, 0x300]),
        "trace_state": st.sampled_from(["", "ot=th:8", "a=b"]),
        "status": st.sampled_from([{}, {"code": 1}, {"code": 2, "message": "wrong"}]),
    }
)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(draw(ATTRIBUTES))
        for _ in range(draw(st.integers(0, 2))):
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = draw(st.sampled_from(["", "scope"]))
            for span in draw(st.lists(SPAN, max_size=3)):
                scope_spans.spans.add(**span)
    return request


def key(span: CapturedSpan) -> str:
    return repr(span)


@both_ways
@given(made=st.lists(requests(), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_any_requests_give_the_spans_of_the_other_decoder(
    decode: Decode, made: list[ExportTraceServiceRequest]
) -> None:
    bodies = [request.SerializeToString() for request in made]
    expected = [spans_from_protobuf(body) for body in bodies]

    columns = decoded(decode, *bodies)

    assert columns.spans_by_request == [len(spans) for spans in expected]
    given_spans = sorted(single_spans(columns), key=lambda span: key(span._replace(events=())))
    in_order = sorted((span for spans in expected for span in spans), key=lambda span: key(span._replace(events=())))
    wanted = [without_unread_events(span, kept) for span, kept in zip(in_order, given_spans, strict=True)]
    assert list(map(key, given_spans)) == list(map(key, wanted))


@both_ways
@given(body=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused_by_both_decoders_or_read_alike(decode: Decode, body: bytes) -> None:
    columns = decode([body])

    try:
        spans: list[CapturedSpan] | None = spans_from_protobuf(body)
    except MalformedInputError:
        spans = None
    if columns is not None and columns.spans_by_request[0]:
        assert spans is not None
        assert len(spans) == columns.spans_by_request[0]


@both_ways
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="stop")])), id="array"),
        pytest.param(
            AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=AnyValue(string_value="stop"))])),
            id="map",
        ),
    ],
)
def test_a_damaged_value_in_an_attribute_is_noticed_before_the_sender_has_its_answer(
    value: AnyValue, decode: Decode
) -> None:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    span.attributes.add(key="gen_ai.response.finish_reasons", value=value)
    body = request.SerializeToString()

    assert decode([body]) is not None
    assert decode([body.replace(b"\x04stop", b"\x7fstop")]) is None


@st.composite
def damaged_bodies(draw: st.DrawFn) -> bytes:
    """Return a request with bytes that are others, missing, or there twice, as fields may be."""
    body = draw(requests()).SerializeToString()
    for _ in range(draw(st.integers(1, 4))):
        start, size = draw(st.integers(0, len(body))), draw(st.integers(0, 12))
        put = draw(st.one_of(st.binary(max_size=2), st.just(body[start : start + size] * 2)))
        body = body[:start] + put + body[start + draw(st.sampled_from([len(put), size])) :]
    return body


@both_ways
@given(body=damaged_bodies())
@settings(max_examples=60, deadline=None)
def test_damaged_requests_never_harm(decode: Decode, body: bytes) -> None:
    columns = decode([body])

    if columns is not None:
        grouped_table(columns.groups, columns.single, Normaliser(), SpanEvaluations(received_ns=1))


def told(columns: DecodedColumns) -> tuple[list[str], list[str]]:
    """Return spans, without events that tell nothing, and evaluations."""
    evaluations = SpanEvaluations(received_ns=1)
    evaluations.read(columns.groups, columns.single)
    kept = [
        span._replace(events=tuple(one for one in span.events if one.name in KEPT_EVENTS))
        for span in single_spans(columns)
    ]
    return sorted(map(repr, kept)), sorted(map(repr, evaluations.rows))


@compiled
@given(bodies=st.lists(damaged_bodies() | requests().map(lambda one: one.SerializeToString()), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_what_compiled_code_takes_it_reads_as_the_other_decoder(bodies: list[bytes]) -> None:
    columns, expected = scan_requests(bodies), columns_from_protobuf(bodies)

    if columns is not None:
        assert expected is not None
        assert columns.spans_by_request == expected.spans_by_request
        assert told(columns) == told(expected)


@both_ways
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"trace_id": b"short"}, id="short-trace-id"),
        pytest.param({"span_id": bytes(8)}, id="no-span-id"),
        pytest.param({"end_time_unix_nano": 2**63}, id="after-2262"),
    ],
)
def test_spans_that_cant_be_stored_are_left_to_the_other_decoder(odd: dict[str, Any], decode: Decode) -> None:
    request = ExportTraceServiceRequest()
    values = {"trace_id": b"1" * 16, "span_id": b"2" * 8, **odd}
    request.resource_spans.add().scope_spans.add().spans.add(**values)

    assert decode([request.SerializeToString()]) is None


@both_ways
def test_judged_spans_stay_in_columns_and_their_judgements_are_read(decode: Decode) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(3):
        span = spans.add(trace_id=bytes([1]) * 16, span_id=bytes([number + 1]) * 8, name="chat", end_time_unix_nano=7)
        span.events.add(name="gen_ai.first_chunk")
    judged = spans[1].events.add(name="gen_ai.evaluation.result", time_unix_nano=5)
    judged.attributes.add(key="gen_ai.evaluation.name").value.string_value = "helpful"
    judged.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 0.5
    evaluations = SpanEvaluations(received_ns=9)

    columns = decoded(decode, request.SerializeToString())
    table = grouped_table(columns.groups, columns.single, Normaliser(), evaluations)

    assert ([group.size for group in columns.groups], columns.single, table.num_rows) == ([3], [], 3)
    assert [row[:5] for row in evaluations.rows] == [("01" * 16, "02" * 8, "helpful", "1", 0.5)]


def body_of(*attributes: dict[str, AnyValue], **values: Any) -> bytes:
    """Return a request of one span for each of `attributes`, which differ in their ids."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number, held in enumerate(attributes, 1):
        span = spans.add(trace_id=b"t" * 16, span_id=number.to_bytes(8), **values)
        span.attributes.extend(KeyValue(key=key, value=value) for key, value in held.items())
    return request.SerializeToString()


@compiled
def test_values_that_mostly_differ_come_as_arrays_and_others_once_each() -> None:
    body = body_of(
        *(
            {"id": AnyValue(string_value=f"ü{n}"), "n": AnyValue(int_value=-n), "of": AnyValue(int_value=n % 2)}
            for n in range(40)
        )
    )

    columns = scan_requests([body])

    assert columns is not None
    [group] = columns.groups
    attributes = group.fields().attributes
    assert [type(attributes[name]) for name in ("id", "n", "of")] == [Typed, Typed, Coded]
    assert attributes.row(39) == {"id": "ü39", "n": -39, "of": 1}


@compiled
@pytest.mark.parametrize(
    ("attributes", "values"),
    [
        pytest.param({f"a{n}": AnyValue() for n in range(200)}, {}, id="many-attributes"),
        pytest.param({}, {"dropped_attributes_count": 300}, id="many-dropped"),
        pytest.param({}, {"status": {"code": 2, "message": "wrong"}}, id="failed"),
        pytest.param({}, {"events": [{"name": "exception"}]}, id="exception"),
        pytest.param({}, {"events": [{"name": "gen_ai.evaluation.result"}] * 9}, id="much-judged"),
    ],
)
def test_spans_that_columns_cant_hold_are_read_one_by_one(
    attributes: dict[str, AnyValue], values: dict[str, Any]
) -> None:
    body = body_of(attributes, **values)

    columns = scan_requests([body])

    assert columns is not None
    assert (list(columns.groups), columns.single) == ([], spans_from_protobuf(body))


@compiled
def test_reading_keeps_no_memory() -> None:
    bodies = [path.read_bytes() for path in TESTDATA.glob("*.otlp.pb")]
    cut = [body[:-3] for body in bodies]

    def use() -> None:
        for body in (*bodies, *cut):
            scan_requests([body])

    use()
    tracemalloc.start()
    use()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(20):
        use()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after - before < 20_000  # one leaked column in each round would be more
