"""What OpenTelemetry's own tests ask of any span processor, asked of ours.

Those of opentelemetry-sdk are `trace/test_span_processor.py`, `trace/export/test_export.py` and
`shared_internal/test_batch_processor.py`; what is not here is in `test_processor.py` and `test_processes.py`.
"""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from tests.collector.test_processes import IN_CHILD, SETUP, run
from tests.collector.test_processor import DEADLINE_S, SlowText, finished_span, make_spans

from tracecanary.collector import CanarySpanProcessor, canary_context
from tracecanary.collector.config import capture_settings

Stored = Callable[[], list[dict[str, Any]]]
Multi = SynchronousMultiSpanProcessor | ConcurrentMultiSpanProcessor


class Recorder(SpanProcessor):
    """Notes what it is called with."""

    def __init__(self, calls: list[tuple[str, str]], name: str) -> None:
        self.calls, self.name = calls, name

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        self.calls.append((self.name, f"start {span.name}"))
        span.set_attribute(f"by.{self.name}", "start")

    def on_end(self, span: ReadableSpan) -> None:
        self.calls.append((self.name, f"end {span.name}"))

    def shutdown(self) -> None:
        self.calls.append((self.name, "shutdown"))


class Failing(SpanProcessor):
    """Fails to flush, as one whose backend is down."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return False


@pytest.fixture
def ours(lake: Path) -> Iterator[CanarySpanProcessor]:
    processor = CanarySpanProcessor(lake, flush_interval_s=3600, seal_interval_s=3600)
    yield processor
    processor.shutdown()


@pytest.fixture(params=[SynchronousMultiSpanProcessor, lambda: ConcurrentMultiSpanProcessor(3)], ids=["one", "threads"])
def multi(request: pytest.FixtureRequest) -> Iterator[Multi]:
    made: Multi = request.param()
    # At exit the SDK's own handler finds the threads of the pool gone: providers over it are not shut down there.
    yield made
    made.shutdown()


def names(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["name"] for row in rows)


def test_processors_around_ours_are_called_in_their_order(ours: CanarySpanProcessor, stored: Stored) -> None:
    calls: list[tuple[str, str]] = []
    provider = TracerProvider()
    for processor in (Recorder(calls, "before"), ours, Recorder(calls, "after")):
        provider.add_span_processor(processor)

    with provider.get_tracer("tests").start_as_current_span("chat"):
        pass
    provider.shutdown()

    both = [
        ("before", "start chat"), ("after", "start chat"), ("before", "end chat"), ("after", "end chat"),
        ("before", "shutdown"), ("after", "shutdown"),
    ]  # fmt: skip
    assert calls == both
    # What the others set as the span starts is stored, on whichever side of ours they stand.
    assert [row["attributes"] for row in stored()] == [{"by.before": "start", "by.after": "start"}]


def test_processor_added_in_the_middle_of_a_trace_stores_what_ends_from_then_on(
    ours: CanarySpanProcessor, stored: Stored
) -> None:
    provider = TracerProvider()
    tracer = provider.get_tracer("tests")

    with tracer.start_as_current_span("outer"):
        with tracer.start_as_current_span("inner"):
            tracer.start_span("ended before").end()
            provider.add_span_processor(ours)
        tracer.start_span("started after").end()
    provider.shutdown()

    assert names(stored()) == ["inner", "outer", "started after"]


def test_inside_a_multi_processor_ours_stores_each_span_once(
    multi: Multi, ours: CanarySpanProcessor, stored: Stored
) -> None:
    calls: list[tuple[str, str]] = []
    multi.add_span_processor(Recorder(calls, "other"))
    multi.add_span_processor(ours)
    provider = TracerProvider(active_span_processor=multi, shutdown_on_exit=False)
    tracer = provider.get_tracer("tests")
    remote = baggage.set_baggage("release.cohort", "eu")

    with tracer.start_as_current_span("outer", context=remote):
        tracer.start_span("inner", context=baggage.set_baggage("release.cohort", "us")).end()

    assert provider.force_flush()
    assert sorted((row["name"], row["cohort"]) for row in stored()) == [("inner", "us"), ("outer", "eu")]
    assert len(calls) == 4


def test_a_multi_processor_of_threads_knows_the_context_that_is_given_only(
    ours: CanarySpanProcessor, stored: Stored
) -> None:
    # It calls processors on threads of its own, where the application's current context is not. The cohort is still
    # on the span that canary_context was entered in.
    multi = ConcurrentMultiSpanProcessor(2)
    multi.add_span_processor(ours)
    provider = TracerProvider(active_span_processor=multi, shutdown_on_exit=False)
    tracer = provider.get_tracer("tests")

    with tracer.start_as_current_span("outer"), canary_context(cohort="eu"):
        tracer.start_span("inner").end()
    provider.shutdown()

    assert sorted((row["name"], row["cohort"]) for row in stored()) == [("inner", None), ("outer", "eu")]


def test_a_multi_processor_says_false_when_another_could_not_flush_and_ours_did(
    multi: Multi, ours: CanarySpanProcessor, stored: Stored
) -> None:
    multi.add_span_processor(Failing())
    multi.add_span_processor(ours)
    make_spans(TracerProvider(active_span_processor=multi, shutdown_on_exit=False).get_tracer("tests"), 1)

    assert not multi.force_flush()
    assert names(stored()) == ["span 0"]


def test_a_multi_processor_says_false_when_ours_needs_longer(multi: Multi, ours: CanarySpanProcessor) -> None:
    multi.add_span_processor(ours)
    slow = SlowText()
    ours.on_end(finished_span(attributes={"x": slow}))

    in_time = multi.force_flush(timeout_millis=50)
    slow.may_go_on.set()

    assert not in_time
    assert multi.force_flush()


def test_a_failed_lake_makes_the_provider_say_so(lake: Path) -> None:
    lake.write_text("a file where the folder should be")
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(lake, flush_interval_s=3600))
    make_spans(provider.get_tracer("tests"), 1)

    assert not provider.force_flush()

    lake.unlink()
    assert provider.force_flush()
    provider.shutdown()


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(TraceIdRatioBased(0.0))], ids=["off", "ratio"])
def test_spans_that_do_not_record_are_never_seen(ours: CanarySpanProcessor, stored: Stored, sampler: Any) -> None:
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(ours)
    tracer = provider.get_tracer("tests")

    with canary_context(cohort="eu"), tracer.start_as_current_span("dropped") as span:
        assert not span.is_recording()
        with canary_context(cohort="us"):
            trace.get_current_span().set_attribute("a", 1)

    assert provider.force_flush()
    assert (stored(), ours.dropped) == ([], {})


def test_no_span_is_stored_before_it_ends(ours: CanarySpanProcessor, stored: Stored) -> None:
    provider = TracerProvider()
    provider.add_span_processor(ours)
    span = provider.get_tracer("tests").start_span("chat", start_time=1_000)

    assert provider.force_flush()
    before = stored()
    span.end(end_time=3_000)
    span.end(end_time=9_000)  # the SDK warns, and calls no processor again
    span.set_attribute("late", 1)

    assert provider.force_flush()
    assert before == []
    assert [(row["duration_ns"], row["attributes"]) for row in stored()] == [(2_000, {})]


def test_flushing_nothing_succeeds_and_makes_no_lake(ours: CanarySpanProcessor, lake: Path) -> None:
    assert ours.force_flush()
    assert ours.shutdown()
    assert ours.force_flush()  # after shutdown, too
    assert not (lake / "landing").exists()


def test_shutdown_lets_the_write_in_hand_finish(lake: Path, stored: Stored) -> None:
    processor = CanarySpanProcessor(lake, flush_interval_s=3600)
    slow = SlowText()
    processor.on_end(finished_span(1, attributes={"x": slow}))
    processor.on_end(finished_span(2))
    said: list[bool] = []
    stopping = threading.Thread(target=lambda: said.append(processor.shutdown()))

    stopping.start()
    assert slow.is_being_read.wait(DEADLINE_S)
    processor.on_end(finished_span(3))  # while it is shutting down
    slow.may_go_on.set()
    stopping.join(DEADLINE_S)

    assert said == [True]
    assert sorted(int(row["span_id"], 16) for row in stored()) == [1, 2]
    assert processor.dropped == {"already_shutdown": 1}


def test_flushes_and_shutdowns_of_many_threads_agree(lake: Path, stored: Stored) -> None:
    processor = CanarySpanProcessor(lake, flush_interval_s=3600)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    make_spans(provider.get_tracer("tests"), 100)
    said: list[bool] = []
    start = threading.Barrier(8)

    def call(stop: Callable[[], bool]) -> None:
        start.wait(DEADLINE_S)
        said.append(stop())

    calls = [processor.force_flush, processor.shutdown] * 4
    threads = [threading.Thread(target=call, args=(each,)) for each in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert said == [True] * 8
    assert len({row["span_id"] for row in stored()}) == len(stored()) == 100


def test_settings_come_from_the_environment_unless_given(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECANARY_FLUSH_INTERVAL_S", "0.5")
    monkeypatch.setenv("TRACECANARY_MAX_PENDING_SPANS", "10")
    monkeypatch.setenv("TRACECANARY_SEAL_INTERVAL_S", "")

    settings = capture_settings(lake, max_pending_spans=20)

    assert (settings.flush_interval_s, settings.max_pending_spans, settings.seal_interval_s) == (0.5, 20, 5.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_a_processor_is_gone_is_silent(lake: Path) -> None:
    code = SETUP + "import gc\nprovider.shutdown()\ndel processor, provider, tracer\ngc.collect()"

    run(code + IN_CHILD.format(child="pass"), lake)  # which fails on any word on stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_multi_processor_of_threads_works_in_a_forked_child(lake: Path, stored: Stored) -> None:
    code = SETUP + (
        "from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor\n"
        "multi = ConcurrentMultiSpanProcessor(2)\n"
        "multi.add_span_processor(processor)\n"
        "tracer = TracerProvider(active_span_processor=multi, shutdown_on_exit=False).get_tracer('tests')\n"
        "tracer.start_span('parent').end()\n"
    )
    child = "tracer.start_span('child').end(); assert processor.force_flush(10_000)"

    run(code + IN_CHILD.format(child=child) + "tracer.start_span('later').end(); multi.shutdown()", lake)

    assert names(stored()) == ["child", "later", "parent"]


def test_provider_that_is_gone_takes_its_processor_with_it(lake: Path, stored: Stored) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    processor = CanarySpanProcessor(lake, flush_interval_s=3600)
    provider.add_span_processor(processor)
    make_spans(provider.get_tracer("tests"), 1)
    provider.shutdown()
    gone = weakref.ref(processor)

    del provider, processor
    gc.collect()

    assert gone() is None
    assert names(stored()) == ["span 0"]
