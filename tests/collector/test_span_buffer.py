"""How much may wait, and who has to leave first."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags, Tracer

from tracecanary.collector import CanarySpanProcessor, canary_context

Stored = Callable[[], list[dict[str, Any]]]
HOUR_S = 3600


def traced(lake: Path, **settings: Any) -> tuple[CanarySpanProcessor, Tracer, Callable[[], None]]:
    """Return a processor whose writer can't write until `open_lake` is called: what it takes waits."""
    lake.write_text("a file where the folder should be")
    processor = CanarySpanProcessor(lake, flush_interval_s=HOUR_S, **settings)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("tests")
    assert processor.force_flush()
    return processor, tracer, lake.unlink


def finished_span(span_id: int, **values: Any) -> ReadableSpan:
    context = SpanContext(1, span_id, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan(**{"name": "chat", "context": context, "start_time": 1_000, "end_time": 3_000, **values})


def test_last_part_of_the_queue_is_for_canary_traffic(lake: Path, stored: Stored) -> None:
    processor, tracer, open_lake = traced(lake, max_pending_spans=10, canary_reserve=0.3)
    for number in range(9):
        tracer.start_span(f"other {number}").end()
    with canary_context(variant="canary"):
        for number in range(5):
            tracer.start_span(f"canary {number}").end()

    open_lake()
    assert processor.force_flush()

    kept = sorted(row["name"] for row in stored())
    assert kept == [*(f"canary {number}" for number in range(3)), *(f"other {number}" for number in range(7))]
    assert processor.dropped == {"queue_full": 4}
    processor.shutdown()


def test_spans_of_a_canary_trace_that_carry_no_mark_use_the_reserve_too(lake: Path, stored: Stored) -> None:
    processor, tracer, open_lake = traced(lake, max_pending_spans=4, canary_reserve=0.5)
    with tracer.start_as_current_span("root"):
        with canary_context(cohort="eu"):
            tracer.start_span("inside").end()
        for _ in range(4):
            tracer.start_span("other", context=None).end()

    open_lake()
    assert processor.force_flush()

    assert sorted(row["name"] for row in stored()) == ["inside", "other", "other", "other"]
    processor.shutdown()


def test_memory_of_waiting_spans_is_bounded(lake: Path, stored: Stored) -> None:
    processor, tracer, open_lake = traced(lake, max_pending_bytes=100_000, canary_reserve=0)
    for _ in range(200):
        tracer.start_span("chat", attributes={"text": "x" * 4_000}).end()

    open_lake()
    assert processor.force_flush()

    lost = processor.dropped["memory_full"]
    assert (len(stored()) + lost, 170 <= lost <= 180) == (200, True)
    tracer.start_span("again").end()
    assert processor.force_flush()
    assert processor.dropped == {"memory_full": lost}
    processor.shutdown()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"attributes": {"gen_ai.input.messages": "x" * 1_000_000}}, id="text"),
        pytest.param({"attributes": {"gen_ai.input.messages": ("x" * 1_000_000,)}}, id="list of texts"),
        pytest.param({"attributes": {"messages": {"a": [{"b": "x" * 1_000_000}]}}}, id="nested"),
        pytest.param({"attributes": {"blob": b"x" * 1_000_000}}, id="bytes"),
        pytest.param({"name": "x" * 1_000_000}, id="name"),
    ],
)
def test_prompt_of_a_megabyte_is_not_held(lake: Path, values: dict[str, Any]) -> None:
    processor, _, _ = traced(lake, max_pending_bytes=60_000)

    for number in range(1, 6):
        processor.on_end(finished_span(number, **values))

    assert processor.dropped == {}
    processor.shutdown()


def test_stack_trace_of_a_megabyte_is_not_held_and_its_type_is_stored(lake: Path, stored: Stored) -> None:
    processor, tracer, open_lake = traced(lake, max_pending_bytes=200_000)
    for _ in range(5):
        span = tracer.start_span("chat")
        span.record_exception(TimeoutError("x" * 1_000_000))
        span.set_status(Status(StatusCode.ERROR))
        span.end()

    open_lake()
    assert processor.force_flush()

    assert [row["error_type"] for row in stored()] == ["TimeoutError"] * 5
    processor.shutdown()


def test_estimate_of_the_memory_is_about_right(lake: Path) -> None:
    processor, tracer, _ = traced(lake)
    attributes = {f"attribute.{number}": number for number in range(10)}
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1_000):
            texts = {f"text.{key}": f"{number} {key} " + "x" * 40 for key in range(15)}
            tracer.start_span("chat", attributes={**attributes, **texts}).end()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    estimate = processor._writer._buffer.size_bytes

    assert 0.6 < estimate / held < 1.6
    processor.shutdown()


def test_spans_are_read_through_the_public_interface_when_the_sdk_has_changed(lake: Path, stored: Stored) -> None:
    class OtherSpan:
        """A span with none of the private attributes."""

        def __init__(self, span: ReadableSpan) -> None:
            for name in ("context", "parent", "resource", "name", "kind", "attributes", "events", "status"):
                setattr(self, name, getattr(span, name))
            self.start_time, self.end_time = span.start_time, span.end_time
            self.instrumentation_scope, self.dropped_attributes = span.instrumentation_scope, 3

    processor = CanarySpanProcessor(lake, flush_interval_s=HOUR_S)
    other: Any = OtherSpan(finished_span(1, attributes={"a": 1}))

    processor.on_end(other)
    processor.on_end(finished_span(2, attributes={"a": 1}))
    assert processor.force_flush()

    first, second = stored()
    assert (first["dropped_attributes"], first["attributes"]) == (3, {"a": "1"})
    same = {**first, "span_id": second["span_id"], "dropped_attributes": second["dropped_attributes"]}
    assert same == second
    processor.shutdown()
