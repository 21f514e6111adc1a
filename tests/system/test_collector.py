"""A real OpenTelemetry Collector, built from its modules, that forwards to the service."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tracecanary.api.service import ServiceAddresses, listening_socket, running_receiver
from tracecanary.schema import LakeTable, landing_segments

pytestmark = [pytest.mark.collector, pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")]
VERSION = "v0.165.0"
MODULES = "go.opentelemetry.io/collector"
SPANS = 500
START_LIMIT_S = 60.0
BUILD_LIMIT_S = 1_800.0
# A Collector that was built before, to save the minutes that it takes.
BUILT = os.environ.get("TRACECANARY_TEST_COLLECTOR")


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if BUILT:
        return Path(BUILT)
    folder = tmp_path_factory.mktemp("collector")
    (folder / "builder.yaml").write_text(f"""
dist: {{name: collector, output_path: ./dist}}
exporters:
  - gomod: {MODULES}/exporter/otlphttpexporter {VERSION}
  - gomod: {MODULES}/exporter/otlpexporter {VERSION}
receivers:
  - gomod: {MODULES}/receiver/otlpreceiver {VERSION}
""")
    command = ["go", "run", f"{MODULES}/cmd/builder@{VERSION}", "--config", "builder.yaml"]
    subprocess.run(command, cwd=folder, check=True, timeout=BUILD_LIMIT_S)
    return folder / "dist" / "collector"


@contextmanager
def running(collector: Path, config: Path, port: int) -> Iterator[None]:
    with subprocess.Popen([collector, "--config", config]) as process:
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while True:
                try:
                    httpx.post(f"http://127.0.0.1:{port}/v1/traces", json={})
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            yield
        finally:
            process.terminate()  # it delivers what it holds first


def _exporter(name: str, service: ServiceAddresses) -> str:
    endpoint = service.grpc if name == "otlp" else service.url
    return f"{name}: {{endpoint: '{endpoint}', tls: {{insecure: true}}}}"


@pytest.mark.parametrize("name", ["otlphttp", "otlp"])
def test_a_collector_forwards_everything_once(name: str, collector: Path, tmp_path: Path) -> None:
    lake, config = tmp_path / "lake", tmp_path / "config.yaml"
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]

    with running_receiver(lake) as service:
        config.write_text(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
exporters: {{{_exporter(name, service)}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [{name}]}}}}
""")
        with running(collector, config, port):
            provider = TracerProvider()
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces")))
            tracer = provider.get_tracer("tests")
            for number in range(SPANS):
                span = tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat"})
                span.set_attribute("gen_ai.usage.input_tokens", 2**40 + number)
                span.end()
            provider.shutdown()

    rows = [row for path in landing_segments(lake, LakeTable.SPANS) for row in pq.read_table(path).to_pylist()]
    assert sorted(row["input_tokens"] for row in rows) == list(range(2**40, 2**40 + SPANS))
    assert len({row["span_id"] for row in rows}) == SPANS
