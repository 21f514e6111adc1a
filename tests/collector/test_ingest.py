"""OTLP files: real captures against what their server counted, and everything that is no OTLP."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.ingest import decode_otlp_file, store_spans
from tracecanary.collector.normalise import span_row
from tracecanary.schema import LakeError, LakeTable, MalformedInputError, landing_segments

Stored = Callable[[], list[dict[str, Any]]]
TESTDATA = Path(__file__).parent / "testdata" / "captures"
CAPTURES = ("openai-v2-default", "openai-v2-httpx-baggage")
TRACE_ID, SPAN_ID = "0" * 31 + "1", "0" * 15 + "2"


def json_request(**span: Any) -> bytes:
    values = {"traceId": TRACE_ID, "spanId": SPAN_ID, "name": "chat", **span}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [values]}]}]}).encode()


def protobuf_request(**span: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    values = {"trace_id": bytes.fromhex(TRACE_ID), "span_id": bytes.fromhex(SPAN_ID), "name": "chat", **span}
    request.resource_spans.add().scope_spans.add().spans.add(**values)
    return request


def truth(capture: str) -> dict[str, Any]:
    captures: list[dict[str, Any]] = json.loads((TESTDATA / "manifest.json").read_text())["captures"]
    return next(made for made in captures if made["name"] == capture)


@pytest.mark.parametrize("capture", CAPTURES)
def test_protobuf_and_json_of_one_capture_give_equal_rows(capture: str) -> None:
    from_protobuf = decode_otlp_file((TESTDATA / f"{capture}.otlp.pb").read_bytes())
    from_json = decode_otlp_file((TESTDATA / f"{capture}.json").read_bytes())

    assert [span_row(span) for span in from_protobuf] == [span_row(span) for span in from_json]
    assert len(from_protobuf) == truth(capture)["spans"]


def test_tokens_models_and_errors_of_a_capture_are_what_the_server_counted(lake: Path, stored: Stored) -> None:
    manifest = truth("openai-v2-default")

    store_spans(lake, decode_otlp_file((TESTDATA / "openai-v2-default.otlp.pb").read_bytes()))

    rows = stored()
    calls = [row for row in rows if row["kind"] in {"llm", "embedding"}]
    expected = manifest["expect"]
    assert len([row for row in calls if row["status"] == "error"]) == expected["errors"] == 1
    # The stream without include_usage (120/38) and the responses API (110/38) never got tokens into a span.
    total = manifest["server_truth"]["total"]
    assert sum(row["input_tokens"] or 0 for row in calls) == total["input_tokens"] - 120 - 110
    assert sum(row["output_tokens"] or 0 for row in calls) == total["output_tokens"] - 38 - 38
    assert {row["model"] for row in calls} == set(manifest["server_truth"]["by_request_model"])
    failed = next(row for row in calls if row["status"] == "error")
    assert (failed["model"], failed["error_type"]) == ("down-gpt", "InternalServerError")
    assert {row["convention"] for row in calls} == {"otel_genai_1_36"}
    assert {row["is_sampled"] for row in rows} == {True}


def test_cohorts_and_tokens_of_a_capture_with_baggage(lake: Path, stored: Stored) -> None:
    manifest = truth("openai-v2-httpx-baggage")

    store_spans(lake, decode_otlp_file((TESTDATA / "openai-v2-httpx-baggage.json").read_bytes()))

    calls = [row for row in stored() if row["kind"] == "llm"]
    assert Counter(row["cohort"] for row in calls) == manifest["expect"]["cohorts"]
    by_model = {row["model"]: (row["input_tokens"], row["output_tokens"]) for row in calls}
    assert by_model == {
        model: (counted["input_tokens"], counted["output_tokens"])
        for model, counted in manifest["server_truth"]["by_request_model"].items()
    }


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(json_request()), id="gzip"),
        pytest.param(b"\n " + json_request(), id="leading white space"),
        pytest.param(json_request().replace(b'"kind"', b'"unknownField": {"a": 1}, "kind"'), id="unknown field"),
        pytest.param(protobuf_request().SerializeToString(), id="protobuf"),
        pytest.param(json_request(attributes=None, events=None, status=None, parentSpanId=None), id="nulls"),
    ],
)
def test_every_form_of_file_is_decoded(body: bytes) -> None:
    assert [(span.trace_id, span.span_id, span.name) for span in decode_otlp_file(body)] == [(1, 2, "chat")]


def test_enums_of_json_may_be_names_as_protobuf_writes_them() -> None:
    named = json_request(kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_ERROR"})

    assert decode_otlp_file(named) == decode_otlp_file(json_request(kind=3, status={"code": 2}))


def test_json_lines_are_decoded() -> None:
    body = json_request(name="first") + b"\n\n" + json_request(name="second") + b"\n"

    assert [span.name for span in decode_otlp_file(body)] == ["first", "second"]


@pytest.mark.parametrize("size", range(100, 140))
def test_protobuf_of_any_length_is_not_mistaken_for_json(size: int) -> None:
    # Length 123 is "{": after the line feed that starts every request, it looks like JSON.
    request = protobuf_request(name="x" * (size - len(protobuf_request(name="").resource_spans[0].SerializeToString())))

    (span,) = decode_otlp_file(request.SerializeToString())

    assert span.span_id == 2


def test_values_of_every_type_are_equal_in_json_and_protobuf() -> None:
    values: list[dict[str, Any]] = [
        {"stringValue": "a"},
        {"boolValue": True},
        {"intValue": "9007199254740993"},
        {"intValue": 5},
        {"doubleValue": 1},
        {"doubleValue": "Infinity"},
        {"bytesValue": "/wA="},
        {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}},
        {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}},
        {},
    ]
    request = protobuf_request()
    attributes = request.resource_spans[0].scope_spans[0].spans[0].attributes
    for number, value in enumerate(values):
        added = attributes.add(key=f"a{number}")
        for kind, content in value.items():
            if kind == "stringValue":
                added.value.string_value = content
            elif kind == "boolValue":
                added.value.bool_value = content
            elif kind == "intValue":
                added.value.int_value = int(content)
            elif kind == "doubleValue":
                added.value.double_value = float(content)
            elif kind == "bytesValue":
                added.value.bytes_value = b"\xff\x00"
            elif kind == "arrayValue":
                added.value.array_value.values.add().int_value = 1
                added.value.array_value.values.add().string_value = "b"
            else:
                added.value.kvlist_value.values.add(key="k").value.double_value = 0.5
    body = json_request(attributes=[{"key": f"a{number}", "value": value} for number, value in enumerate(values)])

    (from_json,), (from_protobuf,) = decode_otlp_file(body), decode_otlp_file(request.SerializeToString())

    assert from_json == from_protobuf
    assert from_json.attributes["a4"] == 1.0
    assert type(from_json.attributes["a4"]) is float


@pytest.mark.parametrize(
    ("flags", "is_sampled"),
    [
        pytest.param(0, True, id="not given"),
        pytest.param(0x100, True, id="only whether the parent is remote, as Python's exporter sends"),
        pytest.param(0x101, True, id="sampled"),
        pytest.param(0x102, False, id="random, not sampled"),
    ],
)
def test_span_counts_as_sampled_unless_its_trace_flags_deny_it(flags: int, is_sampled: bool) -> None:
    (from_json,) = decode_otlp_file(json_request(flags=flags))
    (from_protobuf,) = decode_otlp_file(protobuf_request(flags=flags).SerializeToString())

    assert (from_json.is_sampled, from_protobuf.is_sampled) == (is_sampled, is_sampled)


@pytest.mark.parametrize(
    "span",
    [
        pytest.param({"traceId": "0" * 32}, id="trace id of zeros"),
        pytest.param({"spanId": "0" * 16}, id="span id of zeros"),
        pytest.param({"traceId": "1" * 33}, id="trace id too long"),
        pytest.param({"traceId": "1" * 16}, id="trace id too short"),
        pytest.param({"spanId": "1" * 32}, id="span id too long"),
        pytest.param({"traceId": ""}, id="empty trace id"),
        pytest.param({"spanId": None}, id="no span id"),
        pytest.param({"startTimeUnixNano": str(2**63)}, id="start beyond 64 bits"),
        pytest.param({"endTimeUnixNano": "-1"}, id="end before the epoch"),
    ],
)
def test_span_without_valid_identity_or_time_is_left_out_and_the_others_stay(
    lake: Path, stored: Stored, caplog: pytest.LogCaptureFixture, span: dict[str, Any]
) -> None:
    spans = decode_otlp_file(json_request(**span)) + decode_otlp_file(json_request())

    assert store_spans(lake, spans) == 1
    assert [row["name"] for row in stored()] == ["chat"]
    assert caplog.messages == ["1 spans without a valid trace id, span id or time were left out"]


@pytest.mark.parametrize("length", [0, 8, 15, 17, 32])
def test_protobuf_ids_of_a_wrong_length_are_no_ids(lake: Path, length: int) -> None:
    body = protobuf_request(trace_id=b"\x01" * length, parent_span_id=b"\x01" * length).SerializeToString()

    (span,) = decode_otlp_file(body)

    assert (span.trace_id, span.is_valid) == (0, False)
    assert store_spans(lake, [span]) == 0
    assert not lake.exists()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n\t", id="white space"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\xff\xfe\x00", id="binary"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{", id="torn"),
        pytest.param(b'{"resourceSpans": 5}', id="number for a list"),
        pytest.param(b'{"resourceSpans": "ab"}', id="text for a list"),
        pytest.param(b'{"resourceSpans": [null, 5]}', id="number for an object"),
        pytest.param(b'{"resourceSpans": [{"resource": []}]}', id="list for an object"),
        pytest.param(json_request(traceId="g" * 32), id="trace id not in hex"),
        pytest.param(json_request(traceId="0x" + "1" * 30), id="trace id as Python writes hex"),
        pytest.param(json_request(traceId="1_1" + "1" * 29), id="trace id with an underscore"),
        pytest.param(json_request(traceId="AAAAAAAAAAAAAAAAAAAAAQ=="), id="trace id in base64"),
        pytest.param(json_request(traceId=5), id="number for an id"),
        pytest.param(json_request(name=5), id="number for a name"),
        pytest.param(json_request(attributes=5), id="number for attributes"),
        pytest.param(json_request(attributes={"a": 1}), id="object for attributes"),
        pytest.param(json_request(attributes=[{"key": 5}]), id="number for a key"),
        pytest.param(json_request(attributes=[{"key": "a", "value": "b"}]), id="text for a value"),
        pytest.param(json_request(attributes=[{"key": "a", "value": {"stringValue": 5}}]), id="number for text"),
        pytest.param(json_request(attributes=[{"key": "a", "value": {"intValue": 1.5}}]), id="fraction for integer"),
        pytest.param(json_request(attributes=[{"key": "a", "value": {"arrayValue": 5}}]), id="number for an array"),
        pytest.param(json_request(attributes=[{"key": "a", "value": {"doubleValue": "x"}}]), id="text for a number"),
        pytest.param(json_request(attributes=[{"key": "a", "value": {"doubleValue": 10**400}}]), id="huge number"),
        pytest.param(json_request(kind="SPAN_KIND_OTHER"), id="unknown name of an enum"),
        pytest.param(json_request(kind=True), id="boolean for an enum"),
        pytest.param(json_request(startTimeUnixNano="soon"), id="text for a time"),
        pytest.param(json_request(startTimeUnixNano=float("inf")), id="infinite time"),
        pytest.param(json_request(startTimeUnixNano=float("nan")), id="no number for a time"),
        pytest.param(json_request(startTimeUnixNano="9" * 5_000), id="time of 5,000 digits"),
        pytest.param(json_request(status=2), id="number for a status"),
        pytest.param(b'{"resourceSpans":' + b"[" * 100_000, id="depth bomb"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="depth bomb of objects"),
        pytest.param(b"\n\x7b" * 50_000, id="depth bomb of protobuf"),
        pytest.param(gzip.compress(json_request())[:-9], id="torn gzip"),
        pytest.param(gzip.compress(json_request())[:10] + b"garbage" * 9, id="gzip of garbage"),
        pytest.param(gzip.compress(b""), id="gzip of nothing"),
        pytest.param(b"\x1f\x8b", id="gzip magic alone"),
        pytest.param(json_request() + b"\n{broken}", id="broken second line"),
    ],
)
def test_what_is_no_otlp_is_malformed_input(body: bytes) -> None:
    with pytest.raises(MalformedInputError):
        decode_otlp_file(body)


def store_or_reject(folder: Path, body: bytes) -> None:
    try:
        spans = decode_otlp_file(body)
    except MalformedInputError:
        return
    store_spans(folder, spans)  # whatever is decoded can be stored


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    store_or_reject(tmp_path_factory.getbasetemp() / "fuzz", body)


@given(st.data())
def test_no_damaged_capture_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    body = bytearray((TESTDATA / f"openai-v2-default.{data.draw(st.sampled_from(['otlp.pb', 'json']))}").read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=5)):
        body[position] = data.draw(st.integers(0, 255))

    store_or_reject(tmp_path_factory.getbasetemp() / "fuzz", bytes(body))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
JSON_KEYS = st.sampled_from(
    [
        "traceId",
        "spanId",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "status",
        "attributes",
        "events",
        "flags",
        "traceState",
        "droppedAttributesCount",
    ]
)
VALUE_KINDS = st.sampled_from(
    ["stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue"]
)


@given(st.dictionaries(JSON_KEYS, ANYTHING, max_size=3), VALUE_KINDS, ANYTHING, st.text(st.characters(), max_size=5))
def test_no_json_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, span: dict[str, Any], kind: str, content: Any, key: str
) -> None:
    attribute = {"key": key, "value": {kind: content}}

    store_or_reject(tmp_path_factory.getbasetemp() / "fuzz", json_request(**{"attributes": [attribute], **span}))


def test_lone_surrogates_of_json_are_stored_readably(lake: Path, stored: Stored) -> None:
    store_spans(lake, decode_otlp_file(json_request(name="\ud800")))

    assert [row["name"] for row in stored()] == ["\\ud800"]


def test_lake_that_cannot_be_written_is_a_lake_error(lake: Path) -> None:
    lake.write_text("a file where the folder should be")

    with pytest.raises(LakeError, match="Check that the folder is writable"):
        store_spans(lake, decode_otlp_file(json_request()))


def test_storing_nothing_makes_no_segment(lake: Path) -> None:
    nothing: list[CapturedSpan] = []

    assert store_spans(lake, nothing) == 0
    assert not lake.exists()


def test_empty_requests_hold_no_spans() -> None:
    assert decode_otlp_file(b"{}") == []
    assert decode_otlp_file(ExportTraceServiceRequest(resource_spans=[ResourceSpans()]).SerializeToString()) == []


def test_file_read_again_does_not_overrule_a_newer_evaluation(lake: Path) -> None:
    attributes = [
        {"key": "gen_ai.evaluation.name", "value": {"stringValue": "reward"}},
        {"key": "gen_ai.evaluation.score.label", "value": {"stringValue": "pass"}},
    ]
    event = {"name": "gen_ai.evaluation.result", "timeUnixNano": "7", "attributes": attributes}

    store_spans(lake, decode_otlp_file(json_request(events=[event], endTimeUnixNano="9")))

    (segment,) = landing_segments(lake, LakeTable.EVALUATIONS)
    (row,) = pq.read_table(segment).to_pylist()
    assert (row["name"], row["label"], row["time_unix_ns"], row["received_unix_ns"]) == ("reward", "pass", 7, 7)
