"""OTLP files of any size and form: bounded, resumable, and the same however often they are read."""

from __future__ import annotations

import base64
import functools
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracecanary.collector.file_ingest import (
    Batch,
    IngestCounts,
    StoredRows,
    files_below,
    ingest_file,
    ingest_stream,
    store_batch,
)
from tracecanary.collector.otlp_stream import StreamLimits
from tracecanary.schema import LakeError, LakeTable, MalformedInputError, landing_segments

Stored = Callable[[], list[dict[str, Any]]]
LIMITS = StreamLimits()


def json_request(number: int, *, name: str = "chat") -> bytes:
    span = {"traceId": f"{number + 1:032x}", "spanId": "1" * 16, "name": name, "endTimeUnixNano": "5"}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def protobuf_request(number: int) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="chat", end_time_unix_nano=5)
    span.trace_id, span.span_id = (number + 1).to_bytes(16), bytes.fromhex("1" * 16)
    return request.SerializeToString()


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4) + message for message in messages)


def lines(count: int, first: int = 0) -> bytes:
    return b"".join(json_request(number) + b"\n" for number in range(first, first + count))


def ingest(lake: Path, content: bytes, *, limits: StreamLimits = LIMITS, batch_bytes: int = 10_000) -> IngestCounts:
    store = functools.partial(store_batch, lake)
    return ingest_stream(io.BytesIO(content), store, limits=limits, batch_bytes=batch_bytes)


def trace_numbers(rows: list[dict[str, Any]]) -> list[int]:
    return sorted(int(row["trace_id"], 16) - 1 for row in rows)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lines(3), id="lines"),
        pytest.param(lines(3).rstrip(), id="lines without the last end"),
        pytest.param(b"\n\n" + lines(3).replace(b"\n", b"\r\n\n"), id="blank lines"),
        pytest.param(b"".join(map(protobuf_request, range(3))), id="protobuf"),
        pytest.param(framed(*map(protobuf_request, range(3))), id="framed protobuf"),
        pytest.param(framed(*map(json_request, range(3))), id="framed JSON"),
        pytest.param(framed(*(zstd(protobuf_request(n)) for n in range(3))), id="framed zstd of protobuf"),
        pytest.param(framed(*(zstd(json_request(n)) for n in range(3))), id="framed zstd of JSON"),
        pytest.param(gzip.compress(lines(3)), id="gzip"),
        pytest.param(gzip.compress(lines(2)) + gzip.compress(lines(1, 2)), id="gzip in two members"),
        pytest.param(zstd(lines(3)), id="zstd"),
        pytest.param(zstd(lines(2)) + zstd(lines(1, 2)), id="zstd in two frames"),
        pytest.param(gzip.compress(b"".join(map(protobuf_request, range(3)))), id="gzip of protobuf"),
    ],
)
def test_every_form_gives_its_spans(lake: Path, stored: Stored, content: bytes) -> None:
    counts = ingest(lake, content)

    assert counts == IngestCounts(requests=3, spans=3)
    assert trace_numbers(stored()) == [0, 1, 2]


def test_one_document_on_many_lines_is_read(lake: Path, stored: Stored) -> None:
    pretty = json.dumps(json.loads(json_request(7)), indent=2).encode()

    assert ingest(lake, pretty).spans == 1
    assert trace_numbers(stored()) == [7]


def test_metrics_and_logs_without_events_are_passed_over_and_counted(lake: Path, stored: Stored) -> None:
    counts = ingest(lake, b'{"resourceLogs":[]}\n' + lines(1) + b'{"resourceMetrics": []}\n')

    assert counts == IngestCounts(requests=3, spans=1, other_requests=2)


def logged_evaluation(number: int, *, event_name: str = "gen_ai.evaluation.result") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(time_unix_nano=4).body.string_value = "a line of a log"
    record = records.add(time_unix_nano=5, event_name=event_name, trace_id=(number + 1).to_bytes(16))
    record.attributes.add(key="gen_ai.evaluation.name").value.string_value = "tone"
    record.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = number / 10
    record.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 7
    return request


def logs_line(request: ExportLogsServiceRequest) -> bytes:
    """Return `request` as the Collector's file exporter writes it: ids in hex, not in protobuf's base64."""
    document = json_format.MessageToDict(request)
    for record in document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        if "traceId" in record:
            record["traceId"] = base64.b64decode(record["traceId"]).hex()
    return json.dumps(document).encode() + b"\n"


def evaluations(lake: Path) -> list[dict[str, Any]]:
    paths = landing_segments(lake, LakeTable.EVALUATIONS)
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


LOGS = [logged_evaluation(number) for number in range(3)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"".join(map(logs_line, LOGS)), id="lines"),
        pytest.param(logs_line(LOGS[0]) + lines(1) + logs_line(LOGS[1]) + logs_line(LOGS[2]), id="between traces"),
        pytest.param(b"".join(request.SerializeToString() for request in LOGS), id="protobuf"),
        pytest.param(framed(*(zstd(request.SerializeToString()) for request in LOGS)), id="framed zstd of protobuf"),
        pytest.param(gzip.compress(b"".join(map(logs_line, LOGS))), id="gzip"),
    ],
)
def test_evaluations_of_log_records_are_stored_and_as_old_as_they_say(lake: Path, content: bytes) -> None:
    counts = ingest(lake, content)

    assert (counts.evaluations, counts.other_requests) == (3, 0)
    rows = sorted(evaluations(lake), key=lambda row: str(row["trace_id"]))
    assert [(row["trace_id"], row["name"], row["score"]) for row in rows] == [
        (f"{number + 1:032x}", "tone", number / 10) for number in range(3)
    ]
    assert {(row["time_unix_ns"], row["received_unix_ns"]) for row in rows} == {(5, 5)}


def test_events_that_repeat_a_calls_usage_are_no_calls(lake: Path, stored: Stored) -> None:
    details = logged_evaluation(0, event_name="gen_ai.client.inference.operation.details")

    counts = ingest(lake, logs_line(details) + lines(1))

    assert (counts.spans, counts.evaluations) == (1, 0)
    assert [row["input_tokens"] for row in stored()] == [None]
    assert evaluations(lake) == []


def test_an_evaluation_that_judges_nothing_known_is_left_out_and_said(
    lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = logged_evaluation(0)
    request.resource_logs[0].scope_logs[0].log_records[1].ClearField("trace_id")

    assert ingest(lake, request.SerializeToString()).evaluations == 0
    assert "1 evaluations without a trace id or gen_ai.response.id were left out" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lines(2) + json_request(2)[:-9], id="line"),
        pytest.param(framed(protobuf_request(0), protobuf_request(1)) + b"\0\0", id="length"),
        pytest.param(framed(protobuf_request(0), protobuf_request(1)) + b"\0\0\0\x09abc", id="framed request"),
        pytest.param(protobuf_request(0) + protobuf_request(1) + protobuf_request(2)[:-1], id="protobuf"),
    ],
)
def test_what_stands_before_a_torn_end_is_stored(lake: Path, stored: Stored, content: bytes) -> None:
    counts = ingest(lake, content)

    assert counts == IngestCounts(requests=2, spans=2, is_torn=True)
    assert trace_numbers(stored()) == [0, 1]


def test_what_stands_before_a_broken_request_is_stored_and_its_place_is_named(lake: Path, stored: Stored) -> None:
    place = len(lines(2)) + len(b"{broken}\n")

    with pytest.raises(MalformedInputError, match=rf"this is no OTLP .* \(in the request that ends at byte {place}\)"):
        ingest(lake, lines(2) + b"{broken}\n" + lines(1))

    assert trace_numbers(stored()) == [0, 1]


@pytest.mark.parametrize(
    ("content", "limits", "remedy"),
    [
        pytest.param(json_request(1) * 9, StreamLimits(max_request_bytes=400), "--max-request-mb", id="document"),
        pytest.param(lines(9), StreamLimits(max_decompressed_bytes=400), "--max-decompressed-gb", id="stream"),
        pytest.param(b"\x0a\xff\xff\xff\xff\x0f", LIMITS, "--max-request-mb", id="protobuf that claims 4 GB"),
        pytest.param(
            b"\x07\xff\xff\xff\xff{}",
            StreamLimits(max_request_bytes=400),
            "--max-request-mb",
            id="frame that claims 128 MB",
        ),
        pytest.param(
            framed(zstd(b"{" + b" " * 10_000_000)),
            StreamLimits(max_request_bytes=1_000_000),
            "--max-request",
            id="bomb",
        ),
        pytest.param(
            gzip.compress(b" " * 10_000_000), StreamLimits(max_decompressed_bytes=1_000_000), "--max-", id="gzip bomb"
        ),
    ],
)
def test_what_is_too_large_is_refused_with_the_option_that_allows_it(
    lake: Path, content: bytes, limits: StreamLimits, remedy: str
) -> None:
    with pytest.raises(MalformedInputError, match=remedy):
        ingest(lake, content, limits=limits)


def test_memory_does_not_grow_with_the_file(lake: Path) -> None:
    class Endless(io.RawIOBase):
        """Gives 40 MB of requests without having them."""

        left = 40_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            if not self.left:
                return 0
            self.left -= 1
            line = json_request(self.left, name="x" * 1_000)[: len(buffer) - 1] + b"\n"
            buffer[: len(line)] = line
            return len(line)

    def count(batch: Batch) -> StoredRows:
        return StoredRows(spans=len(batch.spans), evaluations=0)

    tracemalloc.start()
    try:
        stored = ingest_stream(
            io.BufferedReader(Endless()),
            count,
            limits=LIMITS,
            batch_bytes=1_000_000,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert stored.spans == 40_000
    assert peak < 12_000_000


class InterruptionError(Exception):
    """What happens in the middle of a file."""


def interrupted_after(batches: int, lake: Path) -> Callable[[Batch], StoredRows]:
    left = [batches]

    def store(batch: Batch) -> StoredRows:
        if not left[0]:
            raise InterruptionError
        left[0] -= 1
        return store_batch(lake, batch)

    return store


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_interrupted_reading_goes_on_where_it_stopped(
    tmp_path: Path, lake: Path, stored: Stored, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(compress(lines(500)))
    with pytest.raises(InterruptionError):
        ingest_file(path, lake, interrupted_after(2, lake), limits=LIMITS, batch_bytes=10_000)
    before = len(stored())
    assert 0 < before < 500

    counts = ingest_file(path, lake, functools.partial(store_batch, lake), limits=LIMITS, batch_bytes=10_000)

    assert counts.resumed_from == len(lines(before))
    assert (counts.requests, counts.spans) == (500, 500)
    assert trace_numbers(stored()) == list(range(500)), "no span is read twice"
    assert not list((lake / "ingest").iterdir()), "the bookmark is gone"


def test_another_file_of_the_same_name_is_read_from_its_start(tmp_path: Path, lake: Path, stored: Stored) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(lines(500))
    with pytest.raises(InterruptionError):
        ingest_file(path, lake, interrupted_after(1, lake), limits=LIMITS, batch_bytes=10_000)
    path.write_bytes(lines(10, first=1_000))

    counts = ingest_file(path, lake, functools.partial(store_batch, lake), limits=LIMITS)

    assert counts == IngestCounts(requests=10, spans=10)
    assert trace_numbers(stored())[-10:] == list(range(1_000, 1_010))


def test_a_damaged_bookmark_costs_only_time(tmp_path: Path, lake: Path, stored: Stored) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(lines(500))
    with pytest.raises(InterruptionError):
        ingest_file(path, lake, interrupted_after(1, lake), limits=LIMITS, batch_bytes=10_000)
    (bookmark,) = (lake / "ingest").iterdir()
    bookmark.write_text("{")

    counts = ingest_file(path, lake, functools.partial(store_batch, lake), limits=LIMITS)

    assert (counts.resumed_from, counts.spans) == (0, 500)


def test_lake_that_can_not_be_written_keeps_the_place(tmp_path: Path, lake: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(lines(3))
    lake.write_text("a file where the folder should be")

    with pytest.raises(LakeError, match="Check that the folder is writable"):
        ingest_file(path, lake, functools.partial(store_batch, lake), limits=LIMITS)


def test_folders_patterns_and_files_are_found(tmp_path: Path) -> None:
    for name in ("b/2.json", "b/deep/1.pb", "b/.hidden/3.json", "b/.3.json", "a.json", "literal[1].json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(name: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in files_below([str(tmp_path / name)])]

    assert found("b") == ["b/2.json", "b/deep/1.pb"]
    assert found("*.json") == ["a.json", "literal[1].json"]
    assert found("**/*.pb") == ["b/deep/1.pb"]
    assert found("literal[1].json") == ["literal[1].json"]
    with pytest.raises(MalformedInputError, match=r"\*\.zip' stands for no file"):
        found("*.zip")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(
            b'{"hello": 1, "b": 2}', r"no OTLP: it has 'hello', 'b', and none of resourceSpans", id="document"
        ),
        pytest.param(b'{}\n{"level": "info"}\n', r"no OTLP: it has 'level'.* ends at byte 21", id="line"),
    ],
)
def test_json_of_something_else_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(MalformedInputError, match=problem):
        ingest_stream(io.BytesIO(content), lambda _: StoredRows(spans=0, evaluations=0), limits=LIMITS)


@pytest.mark.parametrize("content", [b"{}", b'{"resourceSpans": []}', b'{"resourceMetrics": []}'])
def test_an_empty_request_is_no_mistake(content: bytes) -> None:
    counts = ingest_stream(io.BytesIO(content), lambda _: StoredRows(spans=0, evaluations=0), limits=LIMITS)

    assert (counts.requests, counts.spans) == (1, 0)
