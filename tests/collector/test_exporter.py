from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from tracecanary.collector import CanarySpanExporter
from tracecanary.collector.journal_files import claimed
from tracecanary.schema import ConfigurationError

Stored = Callable[[], list[dict[str, Any]]]


def finished_span(span_id: int) -> ReadableSpan:
    context = SpanContext(1, span_id, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan(name=f"span {span_id}", context=context, start_time=1_000, end_time=3_000)


def test_batch_processor_stores_through_it(lake: Path, stored: Stored) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(CanarySpanExporter(lake)))
    for number in range(5):
        provider.get_tracer("tests").start_span(f"span {number}").end()

    assert provider.force_flush()

    assert [row["name"] for row in stored()] == [f"span {number}" for number in range(5)]
    provider.shutdown()


def test_success_means_stored(lake: Path, stored: Stored) -> None:
    exporter = CanarySpanExporter(lake)

    assert exporter.export([finished_span(1), finished_span(2)]) is SpanExportResult.SUCCESS

    assert len(stored()) == 2


def test_spans_that_could_not_be_written_are_stored_by_the_next_export(lake: Path, stored: Stored) -> None:
    lake.write_text("a file where the folder should be")
    exporter = CanarySpanExporter(lake)
    assert exporter.export([finished_span(1)]) is SpanExportResult.FAILURE
    assert not exporter.force_flush()
    lake.unlink()

    assert exporter.export([finished_span(2)]) is SpanExportResult.SUCCESS

    assert [row["name"] for row in stored()] == ["span 1", "span 2"]
    assert exporter.dropped == {}


def test_what_waits_for_a_broken_lake_is_bounded_and_counted(lake: Path) -> None:
    lake.write_text("a file where the folder should be")
    exporter = CanarySpanExporter(lake, max_pending_spans=2)

    assert exporter.export([finished_span(number) for number in range(1, 6)]) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert exporter.export([finished_span(9)]) is SpanExportResult.FAILURE

    assert exporter.dropped == {"queue_full": 3, "not_written": 2, "already_shutdown": 1}


def test_span_that_is_none_takes_no_other_with_it(lake: Path, stored: Stored) -> None:
    exporter = CanarySpanExporter(lake)

    assert exporter.export([ReadableSpan(name="no context"), finished_span(1)]) is SpanExportResult.FAILURE

    assert [row["name"] for row in stored()] == ["span 1"]
    assert exporter.dropped == {"internal": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_leaves_its_parents_journal_to_whoever_comes_next(tmp_path: Path) -> None:
    exporter = CanarySpanExporter("http://127.0.0.1:1", spool=tmp_path)  # nobody takes spans there
    assert exporter.export([finished_span(1)]) is SpanExportResult.SUCCESS
    reading, writing = os.pipe()
    started, starting = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(starting, b"x")
        os.read(reading, 1)  # lives on
        os._exit(0)
    try:
        os.read(started, 1)  # before that it still holds what its parent held
        exporter.shutdown()

        (journal,) = tmp_path.rglob("*.arrows")
        with claimed(journal) as is_orphan:
            assert is_orphan
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        for descriptor in (reading, writing, started, starting):
            os.close(descriptor)


def test_missing_lake_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACECANARY_LAKE", raising=False)

    with pytest.raises(ConfigurationError, match="TRACECANARY_LAKE"):
        CanarySpanExporter()
