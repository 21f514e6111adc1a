"""Writing sorted rows into files of one hour each."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator, Sequence
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
    LakeStorage,
    LakeTable,
    arrow_schema,
    compacted_name,
)

_COLUMNS = {LakeTable.SPANS: SPAN_COLUMNS, LakeTable.EVALUATIONS: EVALUATION_COLUMNS}
# By which the hour of a row is told. Evaluations go by their receipt: it only ever grows, so that an hour that is over
# stays as it is, while the time of judgement is whatever an evaluator claims. They are joined by trace, not by time.
TIME_COLUMNS: Final = {LakeTable.SPANS: "start_unix_ns", LakeTable.EVALUATIONS: "received_unix_ns"}
_NOT_STORED = frozenset({"hour_unix_ns", "duplicate_rank"})
_NS_PER_HOUR = 3_600 * 1_000_000_000
# Read more often than written; level 3 is 10 % smaller than 1 for twice the time.
_COMPRESSION_LEVEL = 3


def write_hours(
    storage: LakeStorage,
    table: LakeTable,
    rows: pa.RecordBatchReader,
    *,
    folder: Path,
    clock_ms: Callable[[], int],
) -> list[LakeFile]:
    """Write `rows`, which come an hour after the other, into one new file an hour; all are stored when this returns.

    No reader looks at them before a manifest lists them. Each is made in `folder` first.

    Raises:
        LakeError: They can't be written; nothing is left behind.
        pa.ArrowException: `rows` can't be read; nothing is left behind.
    """
    written: list[LakeFile] = []
    open_file: _HourFile | None = None
    try:
        for hour, part in _hourly(rows):
            if open_file is not None and open_file.hour != hour:
                written.append(_store(open_file, storage))
                open_file = None
            open_file = open_file or _HourFile.begin(folder, table, hour, part.schema, unix_ms=clock_ms())
            open_file.add(part)
        if open_file is not None:
            written.append(_store(open_file, storage))
            open_file = None
    except BaseException as error:
        if open_file is not None:
            open_file.abandon()
        remove_files(storage, written)
        if isinstance(error, OSError):
            raise LakeError(
                f"can't write {table.value} to {folder}: {error}. Check that the folder is writable and has free space."
            ) from error
        raise
    return written


def remove_files(storage: LakeStorage, files: Sequence[LakeFile]) -> None:
    """Delete files that no manifest lists."""
    for file in files:
        with contextlib.suppress(LakeError):  # the sweep finds what is left
            storage.delete(file.path)


def _store(made: _HourFile, storage: LakeStorage) -> LakeFile:
    entry = made.finish()
    # Mapped, not read: it may be large.
    with made.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        storage.publish(entry.path, contents, what=f"{entry.rows} compacted rows")
    made.path.unlink()
    return entry


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

    name: str
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
    def begin(cls, folder: Path, table: LakeTable, hour: int, read: pa.Schema, *, unix_ms: int) -> _HourFile:
        name = compacted_name(table, hour=hour, unix_ms=unix_ms)
        path = folder / name.rpartition("/")[2]
        schema = _stored_schema(table, read)
        by_trace = [pq.SortingColumn(schema.get_field_index("trace_id"))]
        writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=_COMPRESSION_LEVEL, sorting_columns=by_trace
        )
        return cls(name=name, path=path, table=table, hour=hour, schema=schema, writer=writer, made_unix_ms=unix_ms)

    def add(self, part: pa.RecordBatch) -> None:
        arrays = [part.column(field.name).cast(field.type) for field in self.schema]
        self.writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        times = part.column(TIME_COLUMNS[self.table]).to_numpy()
        self.rows += part.num_rows
        self.min_unix_ns = min(self.min_unix_ns, int(times.min()))
        self.max_unix_ns = max(self.max_unix_ns, int(times.max()))

    def finish(self) -> LakeFile:
        self.writer.close()
        return LakeFile(
            path=self.name,
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

    def abandon(self) -> None:
        with contextlib.suppress(OSError, pa.ArrowException):
            self.writer.close()
