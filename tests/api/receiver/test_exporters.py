"""Real exporters against a real service: all arrives once, and as the processor would have written it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from tracecanary.api.service import ServiceAddresses, running_receiver
from tracecanary.collector import CanarySpanProcessor

NewExporter = Callable[[ServiceAddresses], SpanExporter]
TRACES = 60


def _grpc_exporter(service: ServiceAddresses, *, is_compressed: bool = False) -> SpanExporter:
    import grpc

    compression = grpc.Compression.Gzip if is_compressed else None
    return GrpcExporter(service.grpc, insecure=True, compression=compression)


def _work(tracer: Tracer) -> None:
    """Spans with values of every type, of several shapes: calls, failures, tools, streams, retries."""
    for number in range(TRACES):
        with tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER, attributes={"release.cohort": "eu"}):
            with tracer.start_as_current_span("chat m", kind=SpanKind.CLIENT) as call:
                call.set_attributes(
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": "openai",
                        "gen_ai.request.model": "m",
                        "gen_ai.usage.input_tokens": 2**40 + number,
                        "gen_ai.response.finish_reasons": ["stop"],
                        "gen_ai.request.temperature": 0.1 * number,
                        "app.flag": number % 2 == 0,
                        "app.word": f"wörd-{number}",
                        "app.numbers": [1, 2, number],
                        "app.bytes": b"\x00\xff",
                    }
                )
                call.add_event("gen_ai.first_chunk", {"index": number})
                if number % 5 == 0:
                    call.add_event("gen_ai.retry", {"attempt": 1})
                if number % 7 == 0:
                    call.record_exception(TimeoutError("too late"))
                    call.set_status(StatusCode.ERROR)
            with tracer.start_as_current_span("execute_tool search", attributes={"gen_ai.tool.name": "search"}):
                pass


@pytest.mark.parametrize(
    "new_exporter",
    [
        pytest.param(lambda service: HttpExporter(f"{service.url}/v1/traces"), id="http"),
        pytest.param(
            lambda service: HttpExporter(f"{service.url}/v1/traces", compression=Compression.Gzip), id="http-gzip"
        ),
        pytest.param(
            lambda service: HttpExporter(f"{service.url}/v1/traces", compression=Compression.Deflate),
            id="http-deflate",
        ),
        pytest.param(_grpc_exporter, id="grpc"),
        pytest.param(lambda service: _grpc_exporter(service, is_compressed=True), id="grpc-gzip"),
    ],
)
def test_an_exporter_delivers_everything_once_and_as_the_processor_writes_it(
    new_exporter: NewExporter, tmp_path: Path, rows: Callable[[Path], list[dict[str, Any]]]
) -> None:
    received, captured = tmp_path / "received", tmp_path / "captured"

    with running_receiver(received) as service:
        provider = TracerProvider(resource=Resource.create({"service.name": "shop", "service.version": "1.4.2"}))
        provider.add_span_processor(CanarySpanProcessor(captured))
        provider.add_span_processor(BatchSpanProcessor(new_exporter(service), max_export_batch_size=50))
        _work(provider.get_tracer("tests", "0.1"))
        provider.shutdown()

    expected = rows(captured)
    assert len(expected) == 3 * TRACES
    assert {row["input_tokens"] for row in expected} == {None, *range(2**40, 2**40 + TRACES)}
    assert rows(received) == expected


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_processor_may_send_to_the_service_in_place_of_writing_files(
    protocol: str, tmp_path: Path, rows: Callable[[Path], list[dict[str, Any]]]
) -> None:
    received, captured = tmp_path / "received", tmp_path / "captured"

    with running_receiver(received) as service:
        provider = TracerProvider(resource=Resource.create({"service.name": "shop", "service.version": "1.4.2"}))
        provider.add_span_processor(CanarySpanProcessor(captured))
        target = service.url if protocol == "http" else f"otlp://{service.grpc}"
        provider.add_span_processor(CanarySpanProcessor(target))
        _work(provider.get_tracer("tests", "0.1"))
        provider.shutdown()

    assert rows(received) == rows(captured)
