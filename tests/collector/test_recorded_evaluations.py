"""Evaluations and feedback that the application records: on spans for every backend, and in the lake."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Tracer, format_span_id, format_trace_id

from tracecanary.collector import CanarySpanProcessor, record_evaluation, record_feedback
from tracecanary.schema import LakeTable, landing_segments

Row = dict[str, Any]
Capture = tuple[CanarySpanProcessor, Tracer]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"


@pytest.fixture
def evaluations(capture: Capture, lake: Path) -> Callable[[], list[Row]]:
    def read() -> list[Row]:
        assert capture[0].force_flush()
        paths = landing_segments(lake, LakeTable.EVALUATIONS)
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    return read


Evaluations = Callable[[], list[Row]]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Iterator[Tracer]:
    """Return a tracer of an application that has no processor of ours."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("tests")
    provider.shutdown()


def test_an_evaluation_is_an_event_that_every_backend_sees(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("chat"):
        assert record_evaluation("tone", score=0.9, label="polite", passed=True, version="3", explanation="thanks")

    (event,) = exporter.get_finished_spans()[0].events
    assert event.name == "gen_ai.evaluation.result"
    assert event.attributes == {
        "gen_ai.evaluation.name": "tone",
        "gen_ai.evaluation.score.value": 0.9,
        "gen_ai.evaluation.score.label": "polite",
        "gen_ai.evaluation.explanation": "thanks",
        "gen_ai.evaluation.passed": True,
        "gen_ai.evaluation.version": "3",
        "gen_ai.evaluation.source": "code",
    }


def test_an_evaluation_on_a_span_reaches_the_lake(capture: Capture, evaluations: Evaluations) -> None:
    with capture[1].start_as_current_span("chat") as span:
        record_evaluation("tone", score=0.9, version="3", source="llm", explanation="thanks")

    (row,) = evaluations()
    context = span.get_span_context()
    assert (row["trace_id"], row["span_id"]) == (format_trace_id(context.trace_id), format_span_id(context.span_id))
    assert (row["name"], row["version"], row["score"], row["source"]) == ("tone", "3", 0.9, "llm")
    assert (row["label"], row["passed"], row["explanation"]) == (None, None, None)


def test_a_span_that_is_over_is_judged_by_its_ids(capture: Capture, evaluations: Evaluations) -> None:
    with capture[1].start_as_current_span("chat") as span:
        pass

    assert record_evaluation("tone", passed=False, span=span)

    (row,) = evaluations()
    assert row["span_id"] == format_span_id(span.get_span_context().span_id)
    assert row["passed"] is False


@pytest.mark.parametrize(
    ("trace_id", "span_id", "expected"),
    [
        pytest.param(TRACE_ID.upper(), None, (TRACE_ID, None), id="whole-trace"),
        pytest.param(int(TRACE_ID, 16), int(SPAN_ID, 16), (TRACE_ID, SPAN_ID), id="numbers-as-the-api-has-them"),
        pytest.param(TRACE_ID, SPAN_ID, (TRACE_ID, SPAN_ID), id="span"),
    ],
)
def test_a_trace_that_is_over_is_judged_by_its_id(
    evaluations: Evaluations, trace_id: str | int, span_id: str | int | None, expected: tuple[str, str | None]
) -> None:
    assert record_evaluation("tone", label="pass", trace_id=trace_id, span_id=span_id)

    (row,) = evaluations()
    assert (row["trace_id"], row["span_id"]) == expected
    assert row["passed"] is True


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        pytest.param({"thumbs": "down"}, [("thumbs", 0.0, "down", False)], id="down"),
        pytest.param({"thumbs": True}, [("thumbs", 1.0, "up", True)], id="up"),
        pytest.param({"escalated": True}, [("escalation", 1.0, None, False)], id="escalated"),
        pytest.param({"escalated": False}, [("escalation", 0.0, None, True)], id="not-escalated"),
        pytest.param({"rating": 4}, [("rating", 4.0, None, None)], id="rating-is-unscored-without-a-threshold"),
        pytest.param(
            {"thumbs": "down", "escalated": True},
            [("escalation", 1.0, None, False), ("thumbs", 0.0, "down", False)],
            id="both",
        ),
    ],
)
@pytest.mark.parametrize("by_id", [False, True], ids=["on-span", "by-trace-id"])
def test_feedback_is_an_evaluation_by_a_person(
    capture: Capture,
    evaluations: Evaluations,
    feedback: dict[str, Any],
    expected: list[tuple[Any, ...]],
    *,
    by_id: bool,
) -> None:
    if by_id:
        assert record_feedback(**feedback, trace_id=TRACE_ID)
    else:
        with capture[1].start_as_current_span("POST /feedback"):
            assert record_feedback(**feedback)

    rows = sorted(evaluations(), key=lambda row: str(row["name"]))
    assert [(row["name"], row["score"], row["label"], row["passed"]) for row in rows] == expected
    assert {row["source"] for row in rows} == {"human"}


def test_a_boolean_score_is_a_verdict(evaluations: Evaluations) -> None:
    record_evaluation("valid", score=False, trace_id=TRACE_ID)

    (row,) = evaluations()
    assert (row["score"], row["passed"]) == (0.0, False)


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        pytest.param({"name": "tone"}, "give a score, a label or passed", id="nothing-said"),
        pytest.param({"name": "", "score": 1}, "the name of an evaluation was left out", id="no-name"),
        pytest.param({"name": "tone", "score": float("nan")}, "a score was left out", id="not-a-number"),
        pytest.param({"name": "tone", "label": "x" * 129}, "a label was left out", id="text-is-no-label"),
        pytest.param({"name": "tone", "passed": "yes"}, "passed was left out", id="passed-is-no-boolean"),
        pytest.param({"name": "tone", "score": 1, "trace_id": "12"}, "a trace id has 32 hex digits", id="trace-id"),
        pytest.param({"name": "tone", "score": 1, "trace_id": "0" * 32}, "not all 0", id="trace-id-of-zeros"),
        pytest.param({"name": "tone", "score": 1, "trace_id": TRACE_ID, "span_id": "x"}, "a span id 16", id="span-id"),
    ],
)
def test_what_cannot_be_recorded_is_left_out_with_a_warning(
    capture: Capture,
    evaluations: Evaluations,
    caplog: pytest.LogCaptureFixture,
    given: dict[str, Any],
    warning: str,
) -> None:
    with caplog.at_level(logging.WARNING), capture[1].start_as_current_span("chat"):
        assert not record_evaluation(**given)

    assert warning in caplog.text
    assert evaluations() == []


def test_an_evaluation_that_could_not_be_written_is_tried_again(
    capture: Capture, evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert record_evaluation("tone", score=0.9, trace_id=TRACE_ID)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyarrow", None)  # makes its import fail
        assert not capture[0].force_flush()

    assert [row["name"] for row in evaluations()] == ["tone"]
    assert capture[0].dropped_evaluations == {}


def test_without_a_processor_a_trace_id_is_refused_with_the_remedy(
    lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processor = CanarySpanProcessor(lake)
    processor.shutdown()

    assert not record_feedback(thumbs="up", trace_id=TRACE_ID)

    assert "POST /v1/evaluations" in caplog.text


def test_nothing_is_recorded_of_a_trace_that_is_not_recorded(capture: Capture, evaluations: Evaluations) -> None:
    unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("tests")

    with unsampled.start_as_current_span("chat") as span:
        assert not record_evaluation("tone", passed=True)
        assert not record_evaluation("tone", passed=True, span=span)
    assert not record_evaluation("tone", passed=True)

    assert evaluations() == []


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.text())
    | st.builds(object)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.tuples(*[ANYTHING] * 10))
def test_helpers_never_raise(tracer: Tracer, values: tuple[Any, ...]) -> None:
    name, score, label, passed, version, explanation, source, span, trace_id, span_id = values
    judged = {"span": span, "trace_id": trace_id, "span_id": span_id}
    verdict = {"score": score, "label": label, "passed": passed, "version": version}
    with tracer.start_as_current_span("chat"):
        assert record_evaluation(name, **verdict, explanation=explanation, source=source, **judged) in (True, False)
        assert record_feedback(thumbs=score, escalated=label, rating=passed, comment=name, **judged) in (True, False)


def test_evaluations_in_hand_at_a_shutdown_that_times_out_are_counted(tmp_path: Path) -> None:
    # To store so many takes tens of milliseconds; where a busy machine is too late to stop in their middle, once more.
    recorded = 9_000  # fewer than would wake the writer

    def dropped_by_shutdown(lake: Path) -> int:
        processor = CanarySpanProcessor(lake, flush_interval_s=3600)
        provider = TracerProvider()
        provider.add_span_processor(processor)
        for _ in range(recorded):
            assert record_evaluation("tone", score=0.5, trace_id=TRACE_ID)
        processor.force_flush(timeout_millis=3)
        processor.shutdown(timeout_millis=0)
        dropped = processor.dropped_evaluations.get("not_written", 0)
        processor.force_flush()  # the writer comes to its end
        return dropped

    assert any(dropped_by_shutdown(tmp_path / f"lake-{number}") == recorded for number in range(10))
