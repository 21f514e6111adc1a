"""Writing immutable Parquet segments into a lake."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecanary.schema import (
    Column,
    FileLake,
    LakeTable,
    arrow_schema,
    lake_storage,
    landing_name,
    segment_name,
)

if TYPE_CHECKING:
    import pyarrow as pa

# What Arrow raises for a value that its column can't hold.
UNSTORABLE_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError)

# Their values hardly repeat.
_UNIQUE_COLUMNS = frozenset(
    {"trace_id", "span_id", "parent_span_id", "start_unix_ns", "duration_ns", "time_unix_ns", "received_unix_ns"}
)


def write_segment(lake: FileLake, table: LakeTable, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> Path:
    """Write `rows`, tuples in the order of `columns`, as one new segment and return its path.

    Raises:
        LakeError: As `publish_segment`.
        UNSTORABLE_ERRORS: A value does not fit its column; nothing was added. `storable_rows` leaves such rows out.
    """
    return publish_segment(lake, table, segment_table(columns, rows))


def publish_segment(lake: FileLake, table: LakeTable, contents: pa.Table) -> Path:
    """Add `contents` to the lake as one new segment and return its path; below an object store, a relative one.

    The segment is stored, under its final name, when this returns: a crash leaves all of it or none.

    Raises:
        LakeError: The lake can't be written. Trying again is safe: a row that is stored twice is one row to readers.
    """
    name = f"{landing_name(table)}/{segment_name(unix_ms=time.time_ns() // 1_000_000)}"
    lake_storage(lake).publish(name, segment_contents(contents), what=f"{contents.num_rows} rows")
    return lake / name if isinstance(lake, Path) else Path(name)


def segment_contents(rows: pa.Table) -> pa.Buffer:
    """Return the Parquet file of `rows`."""
    # Imported late: it costs the host application 90 ms and 50 MB.
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        compression_level=1,
        # The stubs know bool only.
        use_dictionary=_repeating_columns(rows.schema),  # type: ignore[arg-type]
    )
    return sink.getvalue()


def _repeating_columns(schema: pa.Schema) -> list[str]:
    """Return the Parquet paths of columns whose values repeat: a dictionary of ids or times costs time and bytes."""
    import pyarrow as pa

    paths = []
    for field in schema:
        if pa.types.is_map(field.type):
            paths += [f"{field.name}.key_value.key", f"{field.name}.key_value.value"]
        elif field.name not in _UNIQUE_COLUMNS:
            paths.append(field.name)
    return paths


def storable_rows(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return `rows` without those that hold a value which does not fit its column."""
    try:
        segment_table(columns, rows)
    except UNSTORABLE_ERRORS:
        if len(rows) == 1:
            return []
        # Halving finds one bad row among n with 2 log2(n) tries.
        middle = len(rows) // 2
        return storable_rows(columns, rows[:middle]) + storable_rows(columns, rows[middle:])
    return list(rows)


def storable_table(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Return `rows` as a table of `columns`; a row with a value that does not fit takes no other with it."""
    try:
        return segment_table(columns, rows)
    except UNSTORABLE_ERRORS:
        return segment_table(columns, storable_rows(columns, rows))


def segment_table(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Return `rows` as a table of `columns`.

    Raises:
        UNSTORABLE_ERRORS: A value does not fit its column.
    """
    import pyarrow as pa

    schema = arrow_schema(columns)
    values = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
