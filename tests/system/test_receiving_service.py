"""`tracecanary serve` as it is run: its ports, TLS, and a disk that is full for a while."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracecanary.collector.journal_files import JournalFile
from tracecanary.collector.segments import publish_segment
from tracecanary.schema import SPAN_COLUMNS, LakeTable, arrow_schema, journal_folder, landing_segments

TRACECANARY = Path(sys.executable).with_name("tracecanary")
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PRINTED = re.compile(r"at (?P<url>https?://\S+) \(.* gRPC at (?P<grpc>\S+?)\. ")


def body(first_span: int, spans: int = 1) -> bytes:
    request = ExportTraceServiceRequest()
    for number in range(first_span, first_span + spans):
        span = request.resource_spans.add().scope_spans.add().spans.add(name="chat")
        span.trace_id, span.span_id = number.to_bytes(16), number.to_bytes(8)
        span.attributes.add(key="app.word").value.string_value = f"{number:x}" * 20
    return request.SerializeToString()


@contextmanager
def serving(
    lake: Path, *options: str | Path, errors: IO[str] | None = None, command: Sequence[str | Path] = ()
) -> Iterator[re.Match[str]]:
    with subprocess.Popen(
        command or [TRACECANARY, "serve", "--lake", lake, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    ) as service:
        try:
            assert service.stdout is not None
            printed = PRINTED.search(service.stdout.readline())
            assert printed is not None
            yield printed
        finally:
            service.terminate()


def post(url: str, contents: bytes, **options: Any) -> int:
    headers = {"content-type": "application/x-protobuf"}
    return httpx.post(f"{url}/v1/traces", content=contents, headers=headers, timeout=60, **options).status_code


def stored_spans(lake: Path) -> list[int]:
    tables = [pq.read_table(path, columns=["span_id"]) for path in landing_segments(lake, LakeTable.SPANS)]
    return sorted(int(str(span_id), 16) for table in tables for span_id in table["span_id"].to_pylist())


def test_both_ports_are_printed_and_receive_and_stopping_loses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "lake") as printed:
        assert post(printed["url"], body(1)) == 200
        with grpc.insecure_channel(printed["grpc"]) as channel:
            export: Any = channel.unary_unary(EXPORT)
            assert export(body(2), timeout=60) == b""

    assert stored_spans(tmp_path / "lake") == [1, 2]


def test_the_log_can_be_json_and_says_what_a_person_has_to_do(tmp_path: Path) -> None:
    (tmp_path / "lake" / "journal").mkdir(parents=True)
    (tmp_path / "lake" / "journal" / "spans").write_text("in the way")
    log = tmp_path / "log"

    with log.open("w") as errors, serving(tmp_path / "lake", "--log-format", "json", errors=errors) as printed:
        assert [post(printed["url"], body(1)) for _ in range(3)] == [503] * 3
        host, port = printed["url"].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"no HTTP\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (line,) = [line for line in lines if line["logger"] == "tracecanary.collector.intake"]
    assert line["level"] == "ERROR"
    assert "Check that the folder is writable" in line["message"]
    assert ("uvicorn.error", "WARNING") in {(line["logger"], line["level"]) for line in lines}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes the certificate, is not installed")
def test_both_ports_speak_tls_with_a_certificate(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    new_certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*new_certificate, *names, *files], check=True, capture_output=True)

    with serving(tmp_path / "lake", "--ssl-certfile", certificate, "--ssl-keyfile", key) as printed:
        context = ssl.create_default_context(cafile=str(certificate))
        assert printed["url"].startswith("https://")
        assert post(printed["url"], body(1), verify=context) == 200
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(printed["grpc"], credentials) as channel:
            export: Any = channel.unary_unary(EXPORT)
            assert export(body(2), timeout=60) == b""

    assert stored_spans(tmp_path / "lake") == [1, 2]


def test_the_figures_tell_of_compactions(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[compaction]\nevery_s = 0.05\n")

    with serving(tmp_path / "lake", "--config", tmp_path / "config.toml") as printed:
        assert post(printed["url"], body(1)) == 200
        httpx.get(f"{printed['url']}/models", timeout=60)
        deadline = time.monotonic() + 30
        wanted = 'tracecanary_compacted_files_total{what="adopted"} 1.0'
        while wanted not in (figures := httpx.get(f"{printed['url']}/metrics").text):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    assert 'tracecanary_compaction_seconds_count{outcome="done"}' in figures
    assert "\ntracecanary_compaction_skipped_files 0.0\n" in figures


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no open files")
def test_idle_connections_take_no_file_away_from_the_lake(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1_000:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, hard))  # and 150 for the service, which inherits that

    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        command = f"ulimit -Sn 150; exec {TRACECANARY} serve --lake {tmp_path / 'lake'} --port 0"
        printed = stack.enter_context(serving(tmp_path / "lake", command=["sh", "-c", command]))
        host, port = printed["url"].removeprefix("http://").split(":")
        for _ in range(300):
            stack.enter_context(socket.create_connection((host, int(port))))

        assert post(printed["url"], body(1)) == 200
        assert httpx.get(f"{printed['url']}/readyz", timeout=60).status_code == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        os.name != "posix"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_answered_with_retry_and_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    lake, ballast = small_disk / "lake", small_disk / "ballast"
    acknowledged: list[int] = []

    with serving(lake) as printed:
        ballast.write_bytes(bytes(300_000))
        statuses = []
        for number in range(1, 400):
            first = number * 1_000
            statuses.append(post(printed["url"], body(first, 100)))
            if statuses[-1] == 200:
                acknowledged += range(first, first + 100)
            elif statuses[-5:] == [503] * 5:
                break
        assert set(statuses) == {200, 503}
        assert httpx.get(f"{printed['url']}/readyz", timeout=60).status_code == 503
        ballast.unlink()
        deadline = time.monotonic() + 60
        while post(printed["url"], body(1, 100)) != 200:
            assert time.monotonic() < deadline
        acknowledged += range(1, 101)

    assert set(acknowledged) <= set(stored_spans(lake))


def test_a_read_only_disk_is_answered_with_retry_and_the_service_recovers_by_itself(small_disk: Path) -> None:
    lake = small_disk / "lake"

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", small_disk], check=True)

    def readiness() -> httpx.Response:
        return httpx.get(f"{printed['url']}/readyz", timeout=60)

    with serving(lake) as printed:
        assert post(printed["url"], body(1)) == 200
        assert readiness().status_code == 200  # and no journal is open any more, which would keep the disk writable
        remount("ro")
        refused, reason = post(printed["url"], body(2)), readiness()
        alive = httpx.get(f"{printed['url']}/healthz", timeout=60).status_code
        remount("rw")
        accepted, ready = post(printed["url"], body(3)), readiness().status_code

    assert (refused, reason.status_code, alive) == (503, 503, 200)
    assert "Read-only file system" in reason.json()["detail"]
    assert "Check that the folder is writable" in reason.json()["detail"]
    assert (accepted, ready) == (200, 200)
    assert stored_spans(lake) == [1, 3]


def test_a_torn_journal_and_a_truncated_segment_cost_no_other_row(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    publish_segment(lake, LakeTable.SPANS, span_rows(1))
    truncated = publish_segment(lake, LakeTable.SPANS, span_rows(2))
    whole = truncated.read_bytes()
    truncated.write_bytes(whole[: len(whole) // 2])
    left = JournalFile(journal_folder(lake, LakeTable.SPANS), arrow_schema(SPAN_COLUMNS))
    left.append(span_rows(3))
    left.append(span_rows(4))
    left.close()
    os.truncate(left.path, left.size_bytes - 10)

    with serving(lake) as printed:
        assert post(printed["url"], body(5)) == 200
        unready = httpx.get(f"{printed['url']}/readyz", timeout=60)
        checked = subprocess.run([TRACECANARY, "doctor", "--lake", lake], capture_output=True, text=True, check=False)
        truncated.write_bytes(whole)
        deadline = time.monotonic() + 60
        while httpx.get(f"{printed['url']}/readyz", timeout=60).status_code != 200:
            assert time.monotonic() < deadline
        while any(journal_folder(lake, LakeTable.SPANS).iterdir()):
            assert time.monotonic() < deadline

    assert unready.status_code == 503
    assert truncated.name in unready.json()["detail"]
    assert checked.returncode == 1
    assert f"error: landing/spans/{truncated.name}: " in checked.stdout
    assert stored_spans(lake) == [1, 2, 3, 5], "4 was never acknowledged"


def span_rows(span_id: int) -> pa.Table:
    row = {"trace_id": f"{span_id:032x}", "span_id": f"{span_id:016x}", "start_unix_ns": 1, "duration_ns": 1}
    return pa.Table.from_pylist([{**row, "status": "unset"}], schema=arrow_schema(SPAN_COLUMNS))
