"""Whatever the order of arrival, the duplicates, and the moments of compaction: readers see the same rows."""

from __future__ import annotations

import importlib.resources
import itertools
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.lake import stored_evaluations, stored_spans, write_evaluations, write_spans

from tracecanary.analytics.compaction import compact
from tracecanary.analytics.config import CompactionSettings

HOUR_NS = 3_600 * 10**9
HOUR_MS = 3_600_000
Row = dict[str, Any]

# All that tells duplicates apart is what the choice between them goes by.
SPANS = st.fixed_dictionaries(
    {
        "trace_id": st.sampled_from(["t1", "t2", "t3"]),
        "span_id": st.sampled_from(["a", "b"]),
        "start_unix_ns": st.sampled_from([0, HOUR_NS - 1, HOUR_NS, 5 * HOUR_NS]),
        "duration_ns": st.integers(0, 2),
        "status": st.sampled_from(["ok", "unset"]),
        "model": st.sampled_from([None, "m"]),
        "input_tokens": st.sampled_from([None, 1, 2]),
        "attributes": st.integers(0, 2).map(lambda size: {f"key{number}": "x" for number in range(size)}),
    }
)
EVALUATIONS = st.fixed_dictionaries(
    {
        # None waits for the span of its response, which is not there.
        "trace_id": st.sampled_from(["t1", "t2", None]),
        "span_id": st.sampled_from([None, "a"]),
        "response_id": st.sampled_from([None, "r1", "r2"]),
        "name": st.sampled_from(["reward", "thumbs"]),
        "version": st.sampled_from(["1", "2"]),
        "received_unix_ns": st.sampled_from([1, 2, HOUR_NS, 2 * HOUR_NS]),
        "time_unix_ns": st.integers(0, 1),
        "score": st.sampled_from([None, 0.0, 1.0]),
        "label": st.sampled_from([None, "pass", "fail"]),
        "passed": st.sampled_from([None, True, False]),
    }
)
SETTINGS = st.builds(
    CompactionSettings,
    settle_s=st.just(0.0),
    # Without one, or so short that everything unneeded is gone at the next compaction.
    grace_s=st.sampled_from([0.0, 3600.0]),
    max_files_per_hour=st.integers(1, 3),
    max_batch_files=st.integers(2, 4),
    target_bytes=st.sampled_from([1, 256 * 1024 * 1024]),
)
_folders = itertools.count()


def segments(data: st.DataObject, rows: list[Row]) -> list[list[Row]]:
    """Cut `rows`, some of them twice and in any order, into segments."""
    repeated = data.draw(st.lists(st.sampled_from(rows), max_size=3))
    arriving = data.draw(st.permutations([*rows, *repeated]))
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(arriving) - 1)), max_size=4)))
    return [arriving[start:end] for start, end in itertools.pairwise([0, *cuts, len(arriving)]) if start < end]


def maybe_compact(data: st.DataObject, lake: Path, hour: int) -> None:
    if data.draw(st.booleans()):
        compact(lake, data.draw(SETTINGS), clock_ms=lambda: hour * HOUR_MS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("invariance")


def kept_span(spans: list[Row]) -> Row:
    def rank(span: Row) -> tuple[Any, ...]:
        known = (span["model"] is None, span["input_tokens"] is None)
        last = (-span["duration_ns"], span["start_unix_ns"], span["status"], -(span["input_tokens"] or 0))
        return (-len(span["attributes"]), *known, *last)

    return min(spans, key=rank)


@settings(max_examples=30, deadline=None)
@given(st.lists(SPANS, min_size=1, max_size=12), st.data())
def test_spans_stay_the_same(folder: Path, spans: list[Row], data: st.DataObject) -> None:
    lake = folder / str(next(_folders))
    for number, segment in enumerate(segments(data, spans)):
        write_spans(lake, segment)
        maybe_compact(data, lake, hour=number * 3)

    compact(lake, data.draw(SETTINGS), clock_ms=lambda: 100 * HOUR_MS)

    by_key: dict[tuple[str, str], list[Row]] = {}
    for span in spans:
        by_key.setdefault((span["trace_id"], span["span_id"]), []).append(span)
    stored = [{name: row[name] for name in spans[0]} for row in stored_spans(lake)]
    assert stored == [kept_span(by_key[key]) for key in sorted(by_key)]


@settings(max_examples=30, deadline=None)
@given(st.lists(EVALUATIONS, min_size=1, max_size=12), st.data())
def test_evaluations_stay_the_same(folder: Path, evaluations: list[Row], data: st.DataObject) -> None:
    lake, plain = folder / str(next(_folders)), folder / str(next(_folders))
    write_evaluations(plain, evaluations)
    for number, segment in enumerate(segments(data, evaluations)):
        write_evaluations(lake, segment)
        maybe_compact(data, lake, hour=number)

    compact(lake, data.draw(SETTINGS), clock_ms=lambda: 100 * HOUR_MS)

    assert stored_evaluations(lake) == stored_evaluations(plain)


@pytest.mark.parametrize("table", ["spans", "evaluations"])
def test_compaction_and_readers_choose_between_duplicates_by_one_rule(table: str) -> None:
    queries = importlib.resources.files("tracecanary.analytics") / "queries"
    rules = [
        re.findall(
            r"PARTITION BY((?:(?!PARTITION BY).)*)\)\s+AS (?:age|duplicate)_rank",
            (queries / name).read_text(),
            flags=re.DOTALL,
        )
        for name in (f"{table}_v1.sql", f"compacted_{table}_v1.sql")
    ]

    assert len(rules[0]) == 1
    assert rules[0] == rules[1]


def test_spans_are_stored_as_they_came(folder: Path) -> None:
    lake = folder / str(next(_folders))
    segment = write_spans(lake, [{"trace_id": "t1", "span_id": "a", "parent_span_id": "a"}])  # read as a root
    before = pq.read_table(segment)

    compact(lake, CompactionSettings())

    (file,) = (lake / "compacted").rglob("*.parquet")
    assert pq.read_table(file).equals(before)
