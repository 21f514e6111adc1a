"""What `/v1/traces` and `/v1/logs` answer, by the OTLP specification."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pyarrow as pa
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tracecanary.api.receiver.config import ReceiverSettings
from tracecanary.api.receiver.tokens import Tokens
from tracecanary.api.service import ServiceAddresses, running_receiver
from tracecanary.collector.config import IntakeSettings
from tracecanary.schema import LakeTable, journal_folder

Rows = Callable[[Path], list[dict[str, Any]]]
PROTOBUF, JSON = "application/x-protobuf", "application/json"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def protobuf_body(*span_ids: str, **span: Any) -> bytes:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for span_id in span_ids:
        spans.add(trace_id=bytes.fromhex(TRACE_ID), span_id=bytes.fromhex(span_id), name="chat", **span)
    return request.SerializeToString()


def json_body(*span_ids: str) -> bytes:
    spans = [{"traceId": TRACE_ID, "spanId": span_id, "name": "chat"} for span_id in span_ids]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def post(service: ServiceAddresses, body: bytes, media_type: str = PROTOBUF, **headers: str) -> httpx.Response:
    return httpx.post(f"{service.url}/v1/traces", content=body, headers={"content-type": media_type, **headers})


def grpc_failure(service: ServiceAddresses, message: bytes, **headers: str) -> grpc.RpcError:
    with grpc.insecure_channel(service.grpc) as channel:
        export: Any = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as raised:
            export(message, metadata=tuple(headers.items()), timeout=30)
    return raised.value


def retry_delay_s(error: Any) -> float | None:
    """Return what the RetryInfo in the details of a gRPC failure says; None without one."""
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    for detail in Status.FromString(details).details:
        retry = RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return None


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(protobuf_body("00f067aa0ba902b7"), "identity", id="plain"),
        pytest.param(gzip.compress(protobuf_body("00f067aa0ba902b7")), "gzip", id="gzip"),
        pytest.param(zlib.compress(protobuf_body("00f067aa0ba902b7")), "deflate", id="deflate"),
        pytest.param(zlib.compress(protobuf_body("00f067aa0ba902b7"), wbits=-15), "deflate", id="raw-deflate"),
        pytest.param(pa.compress(protobuf_body("00f067aa0ba902b7"), "zstd", asbytes=True), "zstd", id="zstd"),
    ],
)
def test_a_body_is_read_in_every_encoding(body: bytes, encoding: str, lake: Path, rows: Rows) -> None:
    with running_receiver(lake) as service:
        response = post(service, body, **{"content-encoding": encoding})

    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == PROTOBUF
    assert [(row["trace_id"], row["span_id"]) for row in rows(lake)] == [(TRACE_ID, "00f067aa0ba902b7")]


def test_json_is_answered_in_json(receiver: ServiceAddresses) -> None:
    response = post(receiver, json_body("00f067aa0ba902b7"), f"{JSON}; charset=utf-8")

    assert (response.status_code, response.json()) == (200, {})
    assert response.headers["content-type"] == JSON


def test_spans_without_ids_are_rejected_and_the_others_stored(lake: Path, rows: Rows) -> None:
    with running_receiver(lake) as service:
        in_protobuf = post(service, protobuf_body("00f067aa0ba902b7", "00", "0000000000000000"))
        in_json = post(service, json_body("00f067aa0ba902b8", "0000000000000000"), JSON)

    answer = ExportTraceServiceResponse.FromString(in_protobuf.content)
    assert (in_protobuf.status_code, answer.partial_success.rejected_spans) == (200, 2)
    assert "without a valid trace id" in answer.partial_success.error_message
    assert in_json.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert [row["span_id"] for row in rows(lake)] == ["00f067aa0ba902b7", "00f067aa0ba902b8"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param(b"\x0a\xff", {"content-type": PROTOBUF}, 400, 3, id="no-protobuf"),
        pytest.param(b"{", {"content-type": JSON}, 400, 3, id="no-json"),
        pytest.param(b'{"resourceSpans": 3}', {"content-type": JSON}, 400, 3, id="other-json"),
        pytest.param(b"x", {"content-type": PROTOBUF, "content-encoding": "gzip"}, 400, 3, id="no-gzip"),
        pytest.param(
            gzip.compress(b"x" * 100)[:-4], {"content-type": PROTOBUF, "content-encoding": "gzip"}, 400, 3, id="cut"
        ),
        pytest.param(b"x", {"content-type": PROTOBUF, "content-encoding": "zstd"}, 400, 3, id="no-zstd"),
        pytest.param(b"", {"content-type": "text/plain"}, 415, 3, id="other-type"),
        pytest.param(b"", {}, 415, 3, id="no-type"),
        pytest.param(b"", {"content-type": PROTOBUF, "content-encoding": "br"}, 415, 3, id="other-encoding"),
    ],
)
def test_what_cant_be_read_is_refused_for_good(
    body: bytes, headers: dict[str, str], status: int, code: int, receiver: ServiceAddresses
) -> None:
    response = httpx.post(f"{receiver.url}/v1/traces", content=body, headers=headers)

    assert response.status_code == status
    is_json = headers.get("content-type") == JSON
    said = response.json()["code"] if is_json else Status.FromString(response.content).code
    assert said == code
    assert "retry-after" not in response.headers


def test_bodies_above_the_limits_are_refused_without_being_held(tmp_path: Path) -> None:
    limits = IntakeSettings(max_body_bytes=10_000, max_decompressed_bytes=100_000)

    with running_receiver(tmp_path / "lake", ReceiverSettings(intake=limits)) as service:
        stated = post(service, bytes(10_001))
        chunked = httpx.post(
            f"{service.url}/v1/traces", content=iter([bytes(6_000)] * 2), headers={"content-type": PROTOBUF}
        )
        bomb = post(service, gzip.compress(bytes(50_000_000))[:9_000], **{"content-encoding": "gzip"})
        zstd_bomb = post(service, pa.compress(bytes(50_000_000), "zstd", asbytes=True), **{"content-encoding": "zstd"})
        by_grpc = grpc_failure(service, bytes(10_001))

        assert [response.status_code for response in (stated, chunked, bomb, zstd_bomb)] == [413] * 4
        assert by_grpc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_delay_s(by_grpc) is None, "it will never fit"
        assert post(service, protobuf_body("00f067aa0ba902b7")).status_code == 200


def test_an_overloaded_service_asks_to_come_back_and_holds_no_more(tmp_path: Path) -> None:
    limits = IntakeSettings(max_waiting_bytes=100)

    with running_receiver(tmp_path / "lake", ReceiverSettings(intake=limits)) as service:
        by_http = post(service, bytes(101))
        by_grpc = grpc_failure(service, bytes(101))

        assert (by_http.status_code, by_http.headers["retry-after"]) == (429, "1")
        assert Status.FromString(by_http.content).code == 8
        assert by_grpc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_delay_s(by_grpc) == 1.0
        assert post(service, protobuf_body("00f067aa0ba902b7")).status_code == 200, "small ones still fit"


def test_a_lake_that_cant_be_written_is_a_failure_to_retry_and_heals_by_itself(lake: Path, rows: Rows) -> None:
    folder = journal_folder(lake, LakeTable.SPANS)
    folder.parent.mkdir(parents=True)
    folder.write_text("a file stands where the folder of journals should be")

    with running_receiver(lake) as service:
        by_http = post(service, protobuf_body("00f067aa0ba902b7"))
        by_grpc = grpc_failure(service, protobuf_body("00f067aa0ba902b7"))
        readiness = httpx.get(f"{service.url}/readyz")
        folder.unlink()
        again = post(service, protobuf_body("00f067aa0ba902b7"))

        assert (by_http.status_code, by_http.headers["retry-after"]) == (503, "5")
        assert by_grpc.code() is grpc.StatusCode.UNAVAILABLE
        assert retry_delay_s(by_grpc) == 5.0
        assert readiness.status_code == 503
        assert str(folder) in readiness.json()["detail"]
        assert again.status_code == 200
        assert httpx.get(f"{service.url}/readyz").status_code == 200
    assert [row["span_id"] for row in rows(lake)] == ["00f067aa0ba902b7"]


def test_who_sends_needs_one_of_the_tokens(tmp_path: Path) -> None:
    settings = ReceiverSettings(tokens=Tokens(["first-token", "second-token"]))
    body = protobuf_body("00f067aa0ba902b7")

    with running_receiver(tmp_path / "lake", settings) as service:
        refused = [
            post(service, body),
            post(service, body, authorization="Bearer third-token"),
            post(service, body, authorization="Basic first-token"),
            httpx.post(f"{service.url}/v1/evaluations", json=[]),
        ]
        accepted = [post(service, body, authorization=f"bearer {name}-token") for name in ("first", "second")]
        by_grpc = grpc_failure(service, body, authorization="Bearer third-token")
        with grpc.insecure_channel(service.grpc) as channel:
            export: Any = channel.unary_unary(EXPORT)
            answer = export(body, metadata=(("authorization", "Bearer first-token"),))

    assert [response.status_code for response in refused] == [401] * 4
    assert {response.headers["www-authenticate"] for response in refused} == {"Bearer"}
    assert [response.status_code for response in accepted] == [200, 200]
    assert by_grpc.code() is grpc.StatusCode.UNAUTHENTICATED
    assert answer == b""


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/evaluations"])
def test_a_sender_that_hangs_up_is_counted_and_is_no_failure(
    path: str, receiver: ServiceAddresses, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = receiver.url.removeprefix("http://").split(":")
    counted = 'tracecanary_refused_requests_total{reason="disconnected"} 1.0'

    with socket.create_connection((host, int(port))) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {JSON}\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(f"{head}half of it".encode())
    deadline = time.monotonic() + 30
    while counted not in (figures := httpx.get(f"{receiver.url}/metrics").text):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert 'status="500"' not in figures
    assert "\ntracecanary_waiting_bytes 0.0\n" in figures
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_other_sites_pages_may_not_send(receiver: ServiceAddresses) -> None:
    response = httpx.options(
        f"{receiver.url}/v1/traces",
        headers={"origin": "https://elsewhere.example", "access-control-request-method": "POST"},
    )

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "access-control-allow-origin" not in response.headers


def test_the_figures_tell_what_was_accepted_rejected_and_refused(receiver: ServiceAddresses) -> None:
    post(receiver, protobuf_body("00f067aa0ba902b7", "00"))
    post(receiver, b"\x0a\xff")
    httpx.get(f"{receiver.url}/models")

    lines = httpx.get(f"{receiver.url}/metrics").text.splitlines()

    assert 'tracecanary_accepted_total{table="spans"} 1.0' in lines
    assert 'tracecanary_rejected_total{reason="spans without a valid trace id, span id or time"} 1.0' in lines
    assert 'tracecanary_refused_requests_total{reason="malformed"} 1.0' in lines
    assert "tracecanary_waiting_bytes 0.0" in lines
    assert "tracecanary_journal_bytes 0.0" in lines, "a question has made everything visible"
    assert 'tracecanary_request_seconds_count{endpoint="/models",status="200"} 1.0' in lines
