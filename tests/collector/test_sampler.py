from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer

from tracecanary.collector import CanarySampler, CanarySpanProcessor, canary_context

Stored = Callable[[], list[dict[str, Any]]]
Setup = Callable[..., tuple[Tracer, InMemorySpanExporter, Callable[[], None]]]


@pytest.fixture
def setup(lake: Path) -> Iterator[Setup]:
    """Return a maker of tracers with our processor and a vendor's exporter behind one sampler."""
    providers = []

    def make(sampler: Sampler) -> tuple[Tracer, InMemorySpanExporter, Callable[[], None]]:
        vendor = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(CanarySpanProcessor(lake, flush_interval_s=3600))
        provider.add_span_processor(SimpleSpanProcessor(vendor))
        providers.append(provider)
        return provider.get_tracer("tests"), vendor, provider.shutdown

    yield make
    for provider in providers:
        provider.shutdown()


def test_dropped_canary_traffic_is_stored_but_not_exported_and_other_traffic_is_neither(
    setup: Setup, stored: Stored
) -> None:
    tracer, vendor, shutdown = setup(CanarySampler(ParentBased(ALWAYS_OFF)))

    with canary_context(variant="canary"), tracer.start_as_current_span("canary root", attributes={"a": 1}):
        tracer.start_span("canary child").end()
    with tracer.start_as_current_span("other root"):
        tracer.start_span("other child").end()
    shutdown()

    assert vendor.get_finished_spans() == ()
    assert sorted((row["name"], row["is_sampled"]) for row in stored()) == [
        ("canary child", False),
        ("canary root", False),
    ]
    assert next(row["attributes"] for row in stored() if row["name"] == "canary root") == {"a": "1"}


def test_what_the_delegate_samples_stays_sampled(setup: Setup, stored: Stored) -> None:
    tracer, vendor, shutdown = setup(CanarySampler(ALWAYS_ON))

    with canary_context(variant="canary"):
        tracer.start_span("canary").end()
    shutdown()

    assert [span.name for span in vendor.get_finished_spans()] == ["canary"]
    assert [row["is_sampled"] for row in stored()] == [True]


def test_child_follows_a_parent_that_was_recorded_for_the_canary(setup: Setup, stored: Stored) -> None:
    tracer, _, shutdown = setup(CanarySampler(ParentBased(ALWAYS_OFF), select={"gen_ai.request.model": "new"}))

    with tracer.start_as_current_span("root", attributes={"gen_ai.request.model": "new"}):
        tracer.start_span("child").end()
    shutdown()

    assert sorted(row["name"] for row in stored()) == ["child", "root"]


def test_unsampled_remote_parent_leaves_the_decision_to_the_baggage(setup: Setup, stored: Stored) -> None:
    tracer, _, shutdown = setup(CanarySampler(ParentBased(ALWAYS_ON)))
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0)))

    with trace.use_span(remote):
        tracer.start_span("other").end()
        with canary_context(cohort="eu"):
            tracer.start_span("canary").end()
    shutdown()

    assert [(row["name"], row["trace_id"]) for row in stored()] == [("canary", f"{1:032x}")]


def test_selection_that_fails_records(setup: Setup, stored: Stored) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError

    tracer, _, shutdown = setup(CanarySampler(ALWAYS_OFF, select=fail))

    tracer.start_span("chat").end()
    shutdown()

    assert [row["name"] for row in stored()] == ["chat"]


def test_description_names_the_delegate() -> None:
    assert CanarySampler(ALWAYS_OFF).get_description() == "CanarySampler{AlwaysOffSampler}"
