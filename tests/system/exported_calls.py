"""The calls that exporters of other environments send, as they must be stored: once each, with their types intact."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from tracecanary.schema import LakeTable, landing_segments


def assert_delivered(lake: Path, calls: int) -> None:
    """Check that `lake` holds the calls of `javascript_exporters.mjs` or `python_json_exporter.py`."""
    rows = [row for path in landing_segments(lake, LakeTable.SPANS) for row in pq.read_table(path).to_pylist()]
    rows.sort(key=lambda row: row["input_tokens"])
    assert [row["input_tokens"] for row in rows] == list(range(1000, 1000 + calls))
    assert len({row["span_id"] for row in rows}) == calls
    assert {row["finish_reason"] for row in rows} == {"stop"}
    assert [row["fallback_used"] for row in rows] == [number % 2 == 0 for number in range(calls)]
    assert [dict(row["attributes"])["app.fraction"] for row in rows] == [f"{number}.5" for number in range(calls)]
    assert [dict(row["attributes"])["app.word"] for row in rows] == [f"wörd-{number}" for number in range(calls)]
