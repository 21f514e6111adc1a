from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tracecanary.api.demo import RecordedRun, load_runs, replay_runs, replay_tracer_provider


@pytest.fixture(scope="session")
def runs() -> list[RecordedRun]:
    return load_runs()


@pytest.fixture(scope="session")
def spans(runs: list[RecordedRun]) -> Sequence[ReadableSpan]:
    """Every span of one whole replay."""
    exporter = InMemorySpanExporter()
    provider = replay_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    replay_runs(runs, tracer_provider=provider)
    provider.shutdown()
    return exporter.get_finished_spans()
