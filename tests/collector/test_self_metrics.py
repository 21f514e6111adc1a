from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from tracecanary.collector import CanarySpanProcessor

Values = dict[tuple[str, object], float]


def values(reader: InMemoryMetricReader) -> Values:
    read = reader.get_metrics_data()
    found: Values = {}
    for resource in read.resource_metrics if read is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if not metric.name.startswith("otel.sdk.processor."):
                    continue  # the reader reports on itself, too
                for point in metric.data.data_points:
                    found[metric.name, (point.attributes or {}).get("error.type")] = getattr(point, "value", -1)
    return found


def measure(lake: Path) -> Values:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    processor = CanarySpanProcessor(lake, flush_interval_s=3600, max_pending_spans=100, meter_provider=meters)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("tests")
    for _ in range(3):
        tracer.start_span("chat").end()
    assert processor.force_flush()
    processor.on_end(ReadableSpan(name="no context"))
    late = [tracer.start_span("late"), tracer.start_span("late")]
    tracer.start_span("waiting").end()
    before = values(reader)
    provider.shutdown()
    for span in late:
        span.end()
    after = values(reader)
    meters.shutdown()
    return {**after, **{key: value for key, value in before.items() if key[0].endswith(("size", "capacity"))}}


def test_processor_reports_on_itself_under_the_names_of_the_sdk(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")

    assert measure(lake) == {
        ("otel.sdk.processor.span.processed", None): 4,
        ("otel.sdk.processor.span.processed", "internal"): 1,
        ("otel.sdk.processor.span.processed", "already_shutdown"): 2,
        ("otel.sdk.processor.span.queue.size", None): 1,
        ("otel.sdk.processor.span.queue.capacity", None): 100,
    }


def test_nothing_is_reported_unless_asked_for(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", raising=False)

    assert measure(lake) == {}
