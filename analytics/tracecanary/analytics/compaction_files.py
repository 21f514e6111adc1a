"""Writing sorted rows into files of one hour each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracecanary.schema import (
    EVALUATION_COLUMNS,
    SCHEMA_VERSION,
    SPAN_COLUMNS,
    LakeError,
    LakeFile,
    LakeTable,
    arrow_schema,
    compacted_folder,
    relative_path,
    segment_name,
    sync_folder,
)

_COLUMNS = {LakeTable.SPANS: SPAN_COLUMNS, LakeTable.EVALUATIONS: EVALUATION_COLUMNS}
# By which the hour of a row is told. Evaluations go by their receipt: it only ever grows, so that an hour that is over
# stays as it is, while the time of judgement is whatever an evaluator claims. They are joined by trace, not by time.
_TIME_COLUMNS: Final = {LakeTable.SPANS: "start_unix_ns", LakeTable.EVALUATIONS: "received_unix_ns"}
_NOT_STORED = frozenset({"hour_unix_ns", "duplicate_rank"})
_NS_PER_HOUR = 3_600 * 1_000_000_000
# Read more often than written; level 3 is 10 % smaller than 1 for twice the time.
_COMPRESSION_LEVEL = 3


def write_hours(
    lake: Path, table: LakeTable, rows: pa.RecordBatchReader, *, clock_ms: Callable[[], int]
) -> list[LakeFile]:
    """Write `rows`, which come an hour after the other, into one new file an hour; all are on disk when this returns.

    No reader sees them before a manifest lists them.

    Raises:
        LakeError: They can't be written; nothing is left behind.
        pa.ArrowException: `rows` can't be read; nothing is left behind.
    """
    written: list[_HourFile] = []
    try:
        for hour, part in _hourly(rows):
            if not written or written[-1].hour != hour:
                if written:
                    written[-1].finish()
                written.append(_HourFile.begin(lake, table, hour, part.schema, unix_ms=clock_ms()))
            written[-1].add(part)
        if written:
            written[-1].finish()
        for folder in {file.path.parent for file in written}:
            sync_folder(folder)
            sync_folder(folder.parent)
        return [file.entry(lake) for file in written]
    except BaseException as error:
        for file in written:
            file.abandon()
        if isinstance(error, OSError):
            raise LakeError(
                f"can't write {table.value} to {compacted_folder(lake, table, hour=0).parent}: {error}. "
                "Check that the folder is writable and has free space."
            ) from error
        raise


def remove_files(lake: Path, files: list[LakeFile]) -> None:
    """Delete files that no manifest lists."""
    for file in files:
        with contextlib.suppress(OSError):  # the sweep finds what is left
            (lake / file.path).unlink(missing_ok=True)


def _hourly(rows: pa.RecordBatchReader) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Cut batches where the hour changes."""
    for batch in rows:
        if not batch.num_rows:
            continue
        hours = batch.column("hour_unix_ns").to_numpy() // _NS_PER_HOUR
        starts = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist()]
        kept = batch.select([name for name in batch.schema.names if name not in _NOT_STORED])
        for start, end in zip(starts, [*starts[1:], batch.num_rows], strict=True):
            yield int(hours[start]), kept.slice(start, end - start)


def _stored_schema(table: LakeTable, read: pa.Schema) -> pa.Schema:
    """Return the columns of `table`, with any that only a newer writer knows: they must not get lost here."""
    known = arrow_schema(_COLUMNS[table])
    others = [read.field(name) for name in read.names if name not in known.names]
    return pa.schema([*known, *others]).with_metadata({**known.metadata})


@dataclass(slots=True, kw_only=True)
class _HourFile:
    """A file that is being written."""

    path: Path
    table: LakeTable
    hour: int
    schema: pa.Schema
    writer: pq.ParquetWriter
    made_unix_ms: int
    rows: int = 0
    min_unix_ns: int = 2**63 - 1
    max_unix_ns: int = -(2**63)

    @classmethod
    def begin(cls, lake: Path, table: LakeTable, hour: int, read: pa.Schema, *, unix_ms: int) -> _HourFile:
        folder = compacted_folder(lake, table, hour=hour)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / segment_name(unix_ms=unix_ms)
        schema = _stored_schema(table, read)
        by_trace = [pq.SortingColumn(schema.get_field_index("trace_id"))]
        writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=_COMPRESSION_LEVEL, sorting_columns=by_trace
        )
        return cls(path=path, table=table, hour=hour, schema=schema, writer=writer, made_unix_ms=unix_ms)

    def add(self, part: pa.RecordBatch) -> None:
        arrays = [part.column(field.name).cast(field.type) for field in self.schema]
        self.writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        times = part.column(_TIME_COLUMNS[self.table]).to_numpy()
        self.rows += part.num_rows
        self.min_unix_ns = min(self.min_unix_ns, int(times.min()))
        self.max_unix_ns = max(self.max_unix_ns, int(times.max()))

    def finish(self) -> None:
        self.writer.close()
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())

    def abandon(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            self.writer.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def entry(self, lake: Path) -> LakeFile:
        return LakeFile(
            path=relative_path(lake, self.path),
            table=self.table,
            rows=self.rows,
            size_bytes=self.path.stat().st_size,
            hour=self.hour,
            min_unix_ns=self.min_unix_ns,
            max_unix_ns=self.max_unix_ns,
            schema_version=SCHEMA_VERSION,
            made_unix_ms=self.made_unix_ms,
            manifest=0,
        )
