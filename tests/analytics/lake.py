"""Small lakes for tests: real segments, with the columns that a test does not name left null."""

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from tracecanary.collector.segments import write_segment
from tracecanary.schema import EVALUATION_COLUMNS, SPAN_COLUMNS, Column, LakeTable, arrow_schema, list_lake_files

_SPAN_DEFAULTS: Mapping[str, Any] = {"start_unix_ns": 0, "duration_ns": 0, "status": "unset", "attributes": {}}
_EVALUATION_DEFAULTS: Mapping[str, Any] = {
    "version": "1",
    "source": "code",
    "time_unix_ns": 0,
    "received_unix_ns": 0,
}


def write_spans(lake: Path, spans: Sequence[Mapping[str, Any]]) -> Path:
    """Write one segment of spans; each needs a trace_id and a span_id."""
    return write_segment(lake, LakeTable.SPANS, SPAN_COLUMNS, _rows(SPAN_COLUMNS, _SPAN_DEFAULTS, spans))


def write_evaluations(lake: Path, evaluations: Sequence[Mapping[str, Any]]) -> Path:
    """Write one segment of evaluations; each needs a trace_id and a name."""
    rows = _rows(EVALUATION_COLUMNS, _EVALUATION_DEFAULTS, evaluations)
    return write_segment(lake, LakeTable.EVALUATIONS, EVALUATION_COLUMNS, rows)


def stored_spans(lake: Path) -> list[dict[str, Any]]:
    """Return the spans that readers see, as they are stored, by trace and span."""
    return _deduplicated(lake, LakeTable.SPANS)


def stored_evaluations(lake: Path) -> list[dict[str, Any]]:
    """Return the evaluations that readers see, with their outcomes, by key."""
    return _deduplicated(lake, LakeTable.EVALUATIONS)


def _deduplicated(lake: Path, table: LakeTable) -> list[dict[str, Any]]:
    connection = duckdb.connect()
    for stored, columns in ((LakeTable.SPANS, SPAN_COLUMNS), (LakeTable.EVALUATIONS, EVALUATION_COLUMNS)):
        paths = [str(lake / name) for name in list_lake_files(lake).names(stored)]
        if paths:
            rows_of = connection.read_parquet(paths, union_by_name=True, hive_partitioning=False)
            rows_of.create_view(f"landing_{stored.value}")
        else:
            connection.from_arrow(arrow_schema(columns).empty_table()).create(f"landing_{stored.value}")
        connection.execute(f"CREATE VIEW {stored.value} AS {_query(stored)}")
    result = connection.execute(f"FROM {table.value}")
    names = [column[0] for column in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    keys = ("trace_id", "span_id", "name", "version", "source")
    return sorted(rows, key=lambda row: [*(str(row.get(key)) for key in keys), repr(row)])


def _query(table: LakeTable) -> str:
    return (importlib.resources.files("tracecanary.analytics") / "queries" / f"{table.value}_v1.sql").read_text()


def _rows(
    columns: Sequence[Column], defaults: Mapping[str, Any], partial: Sequence[Mapping[str, Any]]
) -> list[tuple[Any, ...]]:
    names = [column.name for column in columns]
    misspelt = {name for row in partial for name in row} - set(names)
    if misspelt:
        raise ValueError(f"no such columns: {sorted(misspelt)}")
    rows = []
    for row in partial:
        values = {**defaults, **row}
        if isinstance(values.get("attributes"), Mapping):
            values["attributes"] = list(values["attributes"].items())
        rows.append(tuple(values.get(name) for name in names))
    return rows
