"""Evaluations that spans carry become rows of the lake, in the application and from OTLP alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from tracecanary.collector import CanarySpanProcessor, record_feedback
from tracecanary.collector.config import capture_settings
from tracecanary.collector.evaluation_flusher import MAX_WAITING, MAX_WAITING_CHARACTERS, EvaluationFlusher
from tracecanary.collector.evaluations import MAX_EXPLANATION_LENGTH, Evaluation
from tracecanary.collector.ingest import decode_otlp_file, store_spans
from tracecanary.collector.journal import publish_orphans
from tracecanary.collector.otlp import spans_from_protobuf
from tracecanary.schema import LakeTable, journal_folder, landing_segments

Row = dict[str, Any]
Evaluations = Callable[[], list[Row]]
CAPTURES = Path(__file__).parent / "testdata" / "captures"
EVENT = "gen_ai.evaluation.result"


@pytest.fixture
def evaluations(lake: Path) -> Evaluations:
    def read() -> list[Row]:
        paths = landing_segments(lake, LakeTable.EVALUATIONS)
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    return read


def told(rows: list[Row]) -> list[tuple[Any, ...]]:
    names = ("name", "version", "score", "label", "passed", "source", "explanation")
    return sorted(tuple(row[name] for name in names) for row in rows)


def without_receipt(rows: list[Row]) -> list[list[tuple[str, Any]]]:
    columns = ("span_id", "name", "trace_id", "version", "score", "label", "passed", "source", "time_unix_ns")
    return sorted([(column, str(row[column])) for column in columns] for row in rows)


def make_evaluated_spans(tracer: Tracer, count: int = 1) -> None:
    for index in range(count):
        with tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}) as span:
            span.add_event(
                EVENT,
                {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": index / count},
                timestamp=1_700_000_000_000_000_000 + index,
            )
        tracer.start_span(
            "judge",
            attributes={
                "openinference.span.kind": "EVALUATOR",
                "evaluations.0.evaluation.name": "correctness",
                "evaluations.0.evaluation.label": "incorrect",
                "evaluations.0.evaluation.annotator_kind": "LLM",
            },
        ).end()
        tracer.start_span("plain", attributes={"gen_ai.operation.name": "chat"}).end()


def test_events_and_attributes_of_spans_become_evaluations(
    capture: tuple[CanarySpanProcessor, Tracer], evaluations: Evaluations, stored: Callable[[], list[Row]]
) -> None:
    processor, tracer = capture

    make_evaluated_spans(tracer)
    assert processor.force_flush()

    spans = {row["name"]: row for row in stored()}
    rows = {row["name"]: row for row in evaluations()}
    assert told(list(rows.values())) == [
        ("correctness", "1", None, "incorrect", False, "llm", None),
        ("tone", "1", 0.0, None, None, "code", None),
    ]
    assert {rows[name]["span_id"] for name in rows} == {spans["chat"]["span_id"], spans["judge"]["span_id"]}
    assert rows["tone"]["trace_id"] == spans["chat"]["trace_id"]
    assert rows["tone"]["time_unix_ns"] == 1_700_000_000_000_000_000
    judge = spans["judge"]
    assert rows["correctness"]["time_unix_ns"] == judge["start_unix_ns"] + judge["duration_ns"]
    assert rows["tone"]["received_unix_ns"] >= judge["start_unix_ns"]


def test_many_alike_spans_lose_no_evaluation(
    capture: tuple[CanarySpanProcessor, Tracer], evaluations: Evaluations, stored: Callable[[], list[Row]]
) -> None:
    processor, tracer = capture

    make_evaluated_spans(tracer, 200)
    assert processor.force_flush()

    rows = evaluations()
    assert len(stored()) == 600
    assert len({(row["trace_id"], row["span_id"], row["name"]) for row in rows}) == len(rows) == 400


def test_evaluations_outlive_a_process_that_was_killed(lake: Path, evaluations: Evaluations) -> None:
    killed = EvaluationFlusher(capture_settings(lake))
    killed.add(Evaluation(name="tone", passed=True), trace_id="a" * 32, span_id=None, time_ns=1)
    assert killed.flush(is_publishing=False)
    assert evaluations() == []
    killed.forget()  # what the end of a process does: its locks are gone, its journal stays

    assert publish_orphans(lake) == 1

    assert told(evaluations()) == [("tone", "1", None, None, True, "code", None)]
    assert list(journal_folder(lake, LakeTable.EVALUATIONS).iterdir()) == []


def test_evaluations_wait_while_the_lake_cannot_be_written(lake: Path, evaluations: Evaluations) -> None:
    lake.write_text("a file where the folder should be")
    flusher = EvaluationFlusher(capture_settings(lake))
    judged = Evaluation(name="tone", passed=True)

    taken = [
        flusher.add(judged, trace_id=f"{index:032x}", span_id=None, time_ns=1) for index in range(1, MAX_WAITING + 2)
    ]

    assert taken == [True] * MAX_WAITING + [False]
    assert not flusher.flush(is_publishing=True)
    lake.unlink()
    assert flusher.flush(is_publishing=True)

    assert len(evaluations()) == MAX_WAITING
    assert flusher.losses.by_reason() == {"queue_full": 1}


def test_explanations_that_wait_take_bounded_memory(lake: Path, evaluations: Evaluations) -> None:
    flusher = EvaluationFlusher(capture_settings(lake, keep_explanations=True))
    judged = Evaluation(name="tone", passed=True, explanation="x" * MAX_EXPLANATION_LENGTH)
    room = MAX_WAITING_CHARACTERS // MAX_EXPLANATION_LENGTH

    def add(count: int) -> list[bool]:
        return [flusher.add(judged, trace_id=f"{index:032x}", span_id=None, time_ns=1) for index in range(1, count + 1)]

    assert add(room + 1) == [True] * room + [False]
    assert flusher.is_half_full
    assert flusher.flush(is_publishing=True)

    assert not flusher.is_half_full
    assert add(room) == [True] * room
    assert len(evaluations()) == room
    assert flusher.losses.by_reason() == {"memory_full": 1}


def test_the_same_evaluations_come_by_otlp(lake: Path, tmp_path: Path, evaluations: Evaluations) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(lake))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    make_evaluated_spans(provider.get_tracer("tests"), 30)
    provider.shutdown()
    in_process = evaluations()

    other = tmp_path / "other"
    body = encode_spans(exporter.get_finished_spans()).SerializeToString()
    store_spans(other, spans_from_protobuf(body))

    (path,) = landing_segments(other, LakeTable.EVALUATIONS)
    by_otlp = pq.read_table(path).to_pylist()
    assert len(by_otlp) == 60
    assert without_receipt(by_otlp) == without_receipt(in_process)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(
            "openai-v2-httpx-baggage",
            [
                ("helpfulness", "1", 0.2, "fail", False, "code", None),
                ("helpfulness", "1", 0.9, "pass", True, "code", None),
                ("helpfulness", "1", 0.9, "pass", True, "code", None),
            ],
            id="span-events",
        ),
        pytest.param(
            "openinference-openai", [("correctness", "1", 0.0, "incorrect", False, "llm", None)], id="openinference"
        ),
        pytest.param("traceloop-openai", [], id="none"),
    ],
)
def test_captured_evaluations_are_stored(
    lake: Path, evaluations: Evaluations, name: str, expected: list[tuple[Any, ...]]
) -> None:
    store_spans(lake, decode_otlp_file((CAPTURES / f"{name}.otlp.pb").read_bytes()))

    assert told(evaluations()) == expected


def test_explanations_are_stored_when_asked_for(lake: Path, evaluations: Evaluations) -> None:
    processor = CanarySpanProcessor(lake, keep_explanations=True)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    with provider.get_tracer("tests").start_as_current_span("chat") as span:
        span.add_event(
            EVENT,
            {
                "gen_ai.evaluation.name": "tone",
                "gen_ai.evaluation.score.label": "pass",
                "gen_ai.evaluation.explanation": "so polite",
            },
        )
    provider.shutdown()

    assert told(evaluations()) == [("tone", "1", None, "pass", True, "code", "so polite")]


def test_thresholds_of_the_configuration_decide(lake: Path, tmp_path: Path, evaluations: Evaluations) -> None:
    config = tmp_path / "tracecanary.toml"
    config.write_text('[evaluators."tone"]\npass_at_least = 0.5\n[evaluators."rating"]\npass_at_least = 3\n')
    processor = CanarySpanProcessor(lake, config=config)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    with provider.get_tracer("tests").start_as_current_span("chat") as span:
        span.add_event(EVENT, {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 0.4})
        span.add_event(EVENT, {"gen_ai.evaluation.name": "accuracy", "gen_ai.evaluation.score.value": 0.4})
    record_feedback(rating=4, span=span)
    provider.shutdown()

    assert {row["name"]: row["passed"] for row in evaluations()} == {"tone": False, "accuracy": None, "rating": True}
