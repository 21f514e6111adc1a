from __future__ import annotations

import resource
import shlex
import shutil
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from tracecanary.collector import CanarySpanProcessor
from tracecanary.collector.config import CaptureSettings
from tracecanary.schema import ConfigurationError

Capture = tuple[CanarySpanProcessor, Tracer]
Stored = Callable[[], list[dict[str, Any]]]
DEADLINE_S = 20.0


class SlowText:
    """An attribute value that is read only when allowed: it holds the writer as a slow disk would."""

    def __init__(self) -> None:
        self.is_being_read, self.may_go_on = threading.Event(), threading.Event()

    def __str__(self) -> str:
        self.is_being_read.set()
        assert self.may_go_on.wait(DEADLINE_S)
        return "slow"


class UnreadableText:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def finished_span(span_id: int = 1, *, trace_id: int = 1, **values: Any) -> ReadableSpan:
    context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan(**{"name": "chat", "context": context, "start_time": 1_000, "end_time": 3_000, **values})


def make_spans(tracer: Tracer, count: int) -> None:
    for number in range(count):
        tracer.start_span(f"span {number}").end()


def test_compiled_code_copies_spans_where_it_could_be_compiled(lake: Path) -> None:
    compiler, *_ = shlex.split(sysconfig.get_config_var("CC") or "none")
    has_headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    processor = CanarySpanProcessor(lake)

    is_accelerated = processor.is_accelerated
    processor.shutdown()

    assert is_accelerated or shutil.which(compiler) is None or not has_headers


def test_values_of_a_finished_span_arrive_in_the_lake(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture
    with tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER, start_time=1_000) as root:
        child = tracer.start_span("chat gpt-x", kind=SpanKind.CLIENT, start_time=2_000)
        child.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-x",
                "gen_ai.usage.input_tokens": 12,
                "app.shelf": 7,
            }
        )
        child.record_exception(TimeoutError("late"))
        child.set_status(Status(StatusCode.ERROR, "late"))
        child.end(end_time=5_000)

    assert processor.force_flush()
    row = next(row for row in stored() if row["name"] == "chat gpt-x")

    expected = {
        "trace_id": f"{root.get_span_context().trace_id:032x}",
        "span_id": f"{child.get_span_context().span_id:016x}",
        "parent_span_id": f"{root.get_span_context().span_id:016x}",
        "otel_kind": "client",
        "start_unix_ns": 2_000,
        "duration_ns": 3_000,
        "status": "error",
        "error_type": "TimeoutError",
        "convention": "otel_genai",
        "scope_name": "tests",
        "scope_version": "0.1",
        "service_name": "shop",
        "release": "1.4.2",
        "kind": "llm",
        "model": "gpt-x",
        "input_tokens": 12,
        "output_tokens": None,
        "is_sampled": True,
        "attributes": {"app.shelf": "7"},
    }
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("description", ["Error code: 429 - slow down", "RateLimitError: " + "x" * 20_000])
def test_what_the_status_of_a_failure_says_tells_its_class(capture: Capture, stored: Stored, description: str) -> None:
    processor, tracer = capture
    with tracer.start_as_current_span("chat") as span:
        span.set_status(Status(StatusCode.ERROR, description))

    assert processor.force_flush()
    [row] = stored()

    assert (row["error_type"], row["error_class"]) == (None, "rate_limit")


def test_on_start_copies_the_release_baggage_of_the_parent_context_and_no_other(
    capture: Capture, stored: Stored
) -> None:
    processor, tracer = capture
    context = baggage.set_baggage("release.cohort", "eu", baggage.set_baggage("secret", "s3cr3t"))

    tracer.start_span("chat", context=context).end()
    processor.force_flush()

    (row,) = stored()
    assert (row["cohort"], row["variant"], row["attributes"]) == ("eu", None, {})


def test_baggage_does_not_overwrite_what_the_application_set_itself(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture
    remote = baggage.set_baggage("release.cohort", "forged")

    tracer.start_span("chat", context=remote, attributes={"release.cohort": "own"}).end()
    processor.force_flush()

    assert [row["cohort"] for row in stored()] == ["own"]


@pytest.mark.parametrize("forged", ["", "x" * 257, "a\r\nb", "\ud800", 5])
def test_invalid_baggage_values_are_not_copied(capture: Capture, stored: Stored, forged: object) -> None:
    processor, tracer = capture

    tracer.start_span("chat", context=baggage.set_baggage("release.cohort", forged)).end()
    processor.force_flush()

    assert [row["cohort"] for row in stored()] == [None]


def test_full_queue_drops_the_newest_spans_and_counts_them(lake: Path, stored: Stored) -> None:
    processor = CanarySpanProcessor(lake, flush_interval_s=3600, max_pending_spans=4)
    slow = SlowText()
    processor.on_end(finished_span(100, attributes={"x": slow}))
    processor.on_end(finished_span(101))  # half full: the writer starts, and is held
    assert slow.is_being_read.wait(DEADLINE_S)

    for number in range(1, 8):
        processor.on_end(finished_span(number))
    slow.may_go_on.set()
    processor.shutdown()

    assert sorted(int(row["span_id"], 16) for row in stored()) == [1, 2, 3, 4, 100, 101]
    assert processor.dropped == {"queue_full": 3}


def test_default_queue_takes_a_burst_of_30000_spans_without_loss(capture: Capture, lake: Path, stored: Stored) -> None:
    processor, tracer = capture

    make_spans(tracer, 30_000)

    assert processor.force_flush()
    assert len({row["span_id"] for row in stored()}) == 30_000
    assert processor.dropped == {}


def test_half_full_queue_is_written_without_waiting_for_the_interval(lake: Path, stored: Stored) -> None:
    processor = CanarySpanProcessor(lake, flush_interval_s=3600, max_pending_spans=4)
    slow = SlowText()

    processor.on_end(finished_span(1, attributes={"x": slow}))
    processor.on_end(finished_span(2))

    assert slow.is_being_read.wait(DEADLINE_S)
    slow.may_go_on.set()
    processor.shutdown()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param("caf\u00e9\udc80", "caf\u00e9\\udc80", id="lone surrogate"),
        pytest.param(10**5_000, None, id="integer of 5,000 digits"),
        pytest.param(2**70, str(2**70), id="integer beyond 64 bits"),
        pytest.param(float("nan"), "nan", id="not a number"),
        pytest.param(b"\xff\x00", "ff00", id="bytes"),
        pytest.param([b"\xff", 1], '["ff",1]', id="bytes in a list"),
        pytest.param("x" * 1_000_000, None, id="1 MB of text"),
        pytest.param(["x" * 1_000_000], None, id="1 MB of text in a list"),
        pytest.param({"a": {"b": [1, None]}}, '{"a":{"b":[1,null]}}', id="mapping"),
    ],
)
def test_hostile_attribute_values_cost_at_most_themselves(
    capture: Capture, stored: Stored, value: Any, kept: str | None
) -> None:
    processor, tracer = capture
    span = tracer.start_span("chat")
    span.set_attributes({"hostile": value, "harmless": "yes"})
    for column in ("finish_reasons", "model", "id"):
        span.set_attribute(f"gen_ai.response.{column}", value)
    for column in ("gen_ai.operation.name", "gen_ai.usage.input_tokens", "gen_ai.fallback.used", "release.cohort"):
        span.set_attribute(column, value)
    span.add_event("exception", {"exception.type": value})
    span.end()

    assert processor.force_flush()

    (row,) = stored()
    expected = {"harmless": "yes"} if kept is None else {"harmless": "yes", "hostile": kept}
    assert row["attributes"] == expected
    assert (row["kind"], row["input_tokens"], row["fallback_used"]) == ("other", None, None)
    assert processor.dropped == {}


def test_deeply_nested_attribute_costs_only_itself(capture: Capture, stored: Stored) -> None:
    processor, _ = capture
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]

    processor.on_end(finished_span(attributes={"nested": nested, "harmless": "yes"}))
    assert processor.force_flush()

    assert [row["attributes"] for row in stored()] == [{"harmless": "yes"}]


def test_hostile_names_of_spans_and_attributes_are_stored_readably(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture
    tracer.start_span("\ud800", attributes=dict(zip(["\udc80", "\udc81"], [1, 2], strict=True))).end()

    assert processor.force_flush()

    (row,) = stored()
    assert row["name"] == "\\ud800"
    assert row["attributes"] == {"\\udc80": "1", "\\udc81": "2"}


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param({"attributes": {"x": UnreadableText()}}, id="text that raises"),
        pytest.param({"end_time": 2**63}, id="time beyond 64 bits"),
        pytest.param({"start_time": -5}, id="time before the epoch"),
        pytest.param({"start_time": float("nan")}, id="time that is no number"),
        pytest.param({"end_time": float("inf")}, id="time without end"),
        pytest.param({"end_time": "now"}, id="time in words"),
        pytest.param({"end_time": [1], "status": Status(StatusCode.ERROR)}, id="list of times of a failure"),
        pytest.param({"attributes": {1: "x"}}, id="attribute without a name"),
        pytest.param({"trace_id": 0}, id="no trace id"),
        pytest.param({"span_id": 0}, id="no span id"),
    ],
)
def test_span_that_cannot_be_stored_takes_no_other_span_with_it(
    capture: Capture, stored: Stored, hostile: dict[str, Any]
) -> None:
    processor, _ = capture
    for number in range(1, 6):
        processor.on_end(finished_span(number))
        processor.on_end(finished_span(**{"span_id": 1_000 + number, **hostile}))

    assert processor.force_flush()

    assert sorted(int(row["span_id"], 16) for row in stored()) == [1, 2, 3, 4, 5]
    assert processor.dropped == {"malformed": 5}


def test_span_that_is_no_span_is_counted_and_does_not_reach_the_application(capture: Capture) -> None:
    processor, _ = capture

    processor.on_end(ReadableSpan(name="without context"))

    assert processor.dropped == {"internal": 1}


def test_failing_baggage_does_not_reach_the_application(capture: Capture) -> None:
    processor, tracer = capture

    span = tracer.start_span("chat")
    no_context: Any = "no context"
    assert isinstance(span, Span)

    processor.on_start(span, parent_context=no_context)

    assert processor.dropped == {}


def test_float_times_of_an_application_are_stored(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture
    start_time: Any = 1.5e18  # time.time() * 1e9
    span = tracer.start_span("chat", start_time=start_time)
    span.end(end_time=1_500_000_000_000_000_500)

    processor.force_flush()

    assert [(row["start_unix_ns"], row["duration_ns"]) for row in stored()] == [(1_500_000_000_000_000_000, 500)]


@pytest.mark.parametrize("obstacle", ["lake", "lake/landing", "lake/landing/spans"])
def test_spans_are_kept_while_the_lake_cannot_be_written(
    capture: Capture, tmp_path: Path, stored: Stored, obstacle: str
) -> None:
    processor, tracer = capture
    obstacle_path = tmp_path / obstacle
    obstacle_path.parent.mkdir(parents=True, exist_ok=True)
    obstacle_path.write_text("a file where the folder should be")
    make_spans(tracer, 3)
    assert not processor.force_flush()
    make_spans(tracer, 2)
    assert not processor.force_flush()

    obstacle_path.unlink()

    assert processor.force_flush()
    assert sorted(row["name"] for row in stored()) == ["span 0", "span 0", "span 1", "span 1", "span 2"]
    assert processor.dropped == {}


def test_shutdown_counts_what_it_could_not_write(lake: Path, caplog: pytest.LogCaptureFixture) -> None:
    lake.write_text("a file where the folder should be")
    processor = CanarySpanProcessor(lake, flush_interval_s=3600)
    for number in range(1, 4):
        processor.on_end(finished_span(number))

    is_all_written = processor.shutdown()

    assert not is_all_written
    assert not processor.shutdown()  # asked again, it says the same
    assert processor.dropped == {"not_written": 3}
    assert f"3 spans could not be written to {lake}" in caplog.text
    assert not processor.force_flush()


def test_broken_lake_is_logged_once_and_its_recovery_too(
    capture: Capture, lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tracecanary")
    processor, tracer = capture
    lake.write_text("a file where the folder should be")
    make_spans(tracer, 1)
    for _ in range(3):
        processor.force_flush()
    lake.unlink()
    processor.force_flush()

    messages = [record.getMessage() for record in caplog.records]

    assert len(messages) == 2
    assert messages[0].startswith("can't write 1 rows to ")
    assert messages[1] == f"writing to {lake} works again"


def test_disk_with_room_for_a_few_spans_is_logged_once(
    capture: Capture, stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tracecanary")
    processor, tracer = capture
    make_spans(tracer, 3_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        outcomes = [processor.force_flush() for _ in range(4)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    is_flushed = processor.force_flush()

    assert not any(outcomes)
    assert is_flushed
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert len({row["span_id"] for row in stored()}) == 3_000


def test_force_flush_keeps_its_time_limit_while_the_writer_is_busy(capture: Capture, stored: Stored) -> None:
    processor, _ = capture
    slow = SlowText()
    processor.on_end(finished_span(attributes={"x": slow}))

    in_time = processor.force_flush(timeout_millis=50)
    slow.may_go_on.set()
    later = processor.force_flush()

    assert (in_time, later) == (False, True)
    assert [row["attributes"] for row in stored()] == [{"x": '"slow"'}]


@pytest.mark.parametrize("timeout_millis", [-1, 10**30])
def test_force_flush_bears_any_time_limit(capture: Capture, timeout_millis: int) -> None:
    processor, _ = capture

    assert processor.force_flush(timeout_millis) is (timeout_millis > 0)


def test_shutdown_of_a_busy_writer_keeps_its_time_limit_and_counts_what_is_left(lake: Path) -> None:
    processor = CanarySpanProcessor(lake, flush_interval_s=3600, max_segment_spans=2)
    slow = SlowText()
    processor.on_end(finished_span(1, attributes={"x": slow}))
    for number in range(2, 6):
        processor.on_end(finished_span(number))
    assert slow.is_being_read.wait(DEADLINE_S)

    processor.shutdown(timeout_millis=50)
    dropped = dict(processor.dropped)
    flushed = processor.force_flush(timeout_millis=50)
    slow.may_go_on.set()

    assert (dropped, flushed) == ({"not_written": 5}, False)
    assert processor.force_flush()  # the writer has stopped


def test_shutdown_says_that_all_was_written(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture
    make_spans(tracer, 3)

    assert processor.shutdown()
    assert processor.shutdown()

    assert len(stored()) == 3


def test_spans_that_end_after_shutdown_are_counted(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture
    late = tracer.start_span("late")
    processor.shutdown()

    late.end()
    processor.shutdown()

    assert processor.dropped == {"already_shutdown": 1}
    assert stored() == []


def test_8_threads_of_1000_spans_each_arrive_once(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture
    threads = [threading.Thread(target=make_spans, args=(tracer, 1_000)) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert processor.force_flush()

    rows = stored()
    assert (len(rows), len({row["span_id"] for row in rows})) == (8_000, 8_000)
    assert processor.dropped == {}


def test_threads_that_lose_spans_lose_no_count(lake: Path, stored: Stored) -> None:
    processor = CanarySpanProcessor(lake, flush_interval_s=3600, max_pending_spans=1_000, max_segment_spans=100)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("tests")
    threads = [threading.Thread(target=make_spans, args=(tracer, 2_000)) for _ in range(8)]

    for thread in threads:
        thread.start()
    provider.shutdown()  # in the middle of it
    for thread in threads:
        thread.join()

    assert len(stored()) + sum(processor.dropped.values()) == 16_000


def test_spans_that_the_sampler_records_but_does_not_keep_are_marked(lake: Path, stored: Stored) -> None:
    class RecordOnly(Sampler):
        def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self) -> str:
            return "record only"

    provider = TracerProvider(sampler=RecordOnly())
    provider.add_span_processor(CanarySpanProcessor(lake))
    make_spans(provider.get_tracer("tests"), 1)
    provider.shutdown()

    assert [row["is_sampled"] for row in stored()] == [False]


def test_other_processors_keep_working_beside_ours(lake: Path) -> None:
    lake.write_text("a file where the folder should be")
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(lake, flush_interval_s=3600))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    make_spans(provider.get_tracer("tests"), 2)
    provider.shutdown()

    assert [span.name for span in exporter.get_finished_spans()] == ["span 0", "span 1"]


def test_sdk_still_keeps_attributes_in_the_dict_that_is_read_for_speed(tracer_span: ReadableSpan) -> None:
    # If this fails, captured_span falls back to the slow public mapping: still right, 20 times slower.
    attributes: Any = tracer_span._attributes
    event_attributes: Any = tracer_span.events[0].attributes

    assert (attributes._dict, event_attributes._dict) == ({"a": 1}, {"b": 2})


@pytest.fixture
def tracer_span() -> ReadableSpan:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = provider.get_tracer("tests").start_span("chat", attributes={"a": 1})
    span.add_event("event", {"b": 2})
    span.end()
    return exporter.get_finished_spans()[0]


def test_attributes_in_a_plain_mapping_are_read_too(capture: Capture, stored: Stored) -> None:
    processor, _ = capture

    processor.on_end(finished_span(attributes={"a": 1}))
    processor.on_end(finished_span(2, attributes=None))
    processor.force_flush()

    assert [row["attributes"] for row in stored()] == [{"a": "1"}, {}]


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e12, "5"])
def test_flush_interval_that_cannot_be_waited_for_is_refused(lake: Path, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"flush_interval_s is .*, but must be greater than 0"):
        CanarySpanProcessor(lake, flush_interval_s=value)


def test_every_problem_of_the_settings_is_named(lake: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CaptureSettings(lake=lake, flush_interval_s=0, max_pending_spans=0, max_segment_spans=1.5)  # type: ignore[arg-type]

    assert [problem.split()[0] for problem in caught.value.problems] == [
        "flush_interval_s",
        "max_pending_spans",
        "max_segment_spans",
    ]


def test_missing_lake_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACECANARY_LAKE", raising=False)

    with pytest.raises(ConfigurationError, match="TRACECANARY_LAKE"):
        CanarySpanProcessor()


def test_lake_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, lake: Path, stored: Stored) -> None:
    monkeypatch.setenv("TRACECANARY_LAKE", str(lake))
    processor = CanarySpanProcessor()

    processor.on_end(finished_span())
    processor.shutdown()

    assert len(stored()) == 1
