"""The query engine: the only module that knows DuckDB.

An engine is one database in memory, with views of Parquet files, and views and tables of query files. Its sessions may
run in several threads, each with temporary tables of its own.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tracecanary.schema import (
    EVALUATION_COLUMNS,
    SCHEMA_VERSION,
    SPAN_COLUMNS,
    Column,
    LakeTable,
    StoreError,
    arrow_schema,
)

LAKE_COLUMNS: Mapping[LakeTable, Sequence[Column]] = {
    LakeTable.SPANS: SPAN_COLUMNS,
    LakeTable.EVALUATIONS: EVALUATION_COLUMNS,
}

# Rows handed over at a time, and so those of a row group: pruning by trace wants them small, compression large.
_BATCH_ROWS = 65_536

# Columns whose extents tell which files to look into.
_TIMES = ("start_unix_ns", "received_unix_ns")
# Version 2 has encodings that take a quarter less room for ids and times; higher levels of zstd only take time. Each
# group of rows states much of each column, and no question looks a value up that a Bloom filter would tell.
_FILE_FORMAT = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 245760, "
    "WRITE_BLOOM_FILTER false"
)

_MOVE_IT_OUT = "Move it out of the lake to go on without its rows, then run: tracecanary doctor --repair"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What one query may take: memory in bytes, threads, and a folder for what does not fit into memory."""

    memory_bytes: int
    threads: int
    spill_folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Rows with an integer of `column` from `least`, inclusive, to `below`, exclusive."""

    column: str
    least: int
    below: int = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrays:
    """Columns of numbers, by name; of texts, the places of the texts in `labels`. No value is null."""

    columns: Mapping[str, npt.NDArray[Any]]
    labels: Mapping[str, tuple[str, ...]]


class Session:
    """Runs queries on one engine, with temporary tables of its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run the query file `query` and return its rows as dictionaries.

        Raises:
            StoreError: The engine failed, for instance on a damaged segment.
        """
        names, rows = self._fetched(query, parameters)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def columns(self, query: str, parameters: Mapping[str, Any] | None = None) -> dict[str, list[Any]]:
        """Run the query file `query` and return its columns: the same rows, for many of them.

        Raises:
            StoreError: The engine failed, for instance on a damaged segment.
        """
        names, rows = self._fetched(query, parameters)
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return {name: list(column) for name, column in zip(names, columns, strict=True)}

    def integers(self, query: str) -> npt.NDArray[np.int64]:
        """Run the query file `query`, of one column of integers without nulls, and return it."""
        try:
            columns = self._connection.execute(_query_text(query)).fetchnumpy()
        except duckdb.Error as error:
            raise _store_error(error) from error
        (column,) = columns.values()
        return np.asarray(column, dtype=np.int64)

    def arrays(self, query: str, parameters: Mapping[str, Any] | None = None) -> Arrays:
        """Run the query file `query` and return its columns as arrays; it must give no nulls.

        Raises:
            StoreError: The engine failed, for instance on a damaged segment.
        """
        try:
            table = self._connection.sql(_query_text(query), params=dict(parameters or {})).to_arrow_table()
        except duckdb.Error as error:
            raise _store_error(error) from error
        columns: dict[str, npt.NDArray[Any]] = {}
        labels: dict[str, tuple[str, ...]] = {}
        for name in table.column_names:
            column = table[name].combine_chunks()
            if pa.types.is_string(column.type):
                coded = column.dictionary_encode()
                labels[name] = tuple(coded.dictionary.to_pylist())
                column = coded.indices
            columns[name] = column.to_numpy(zero_copy_only=False)
        return Arrays(columns=columns, labels=labels)

    def materialise(self, table: str, query: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Keep the result of the query file `query` as the temporary table `table` of this session."""
        self._run(f"CREATE OR REPLACE TEMP TABLE {table} AS {_query_text(query)}", parameters)

    @contextmanager
    def materialised(self, table: str, query: str) -> Iterator[None]:
        """Keep a result as a temporary table for a while, in place of a view of that name."""
        self.materialise(table, query)
        try:
            yield
        finally:
            self._run(f"DROP TABLE temp.{table}")

    def write(self, name: str, path: Path) -> None:
        """Write the rows of `name` into the new Parquet file `path`."""
        target = str(path).replace("'", "''")
        self._run(f"COPY (FROM {name}) TO '{target}' ({_FILE_FORMAT})")

    def close(self) -> None:
        """Drop the session's temporary tables."""
        self._connection.close()

    def _fetched(self, query: str, parameters: Mapping[str, Any] | None) -> tuple[list[str], list[tuple[Any, ...]]]:
        try:
            result = self._connection.execute(_query_text(query), dict(parameters or {}))
            return [column[0] for column in result.description or ()], result.fetchall()
        except duckdb.Error as error:
            raise _store_error(error) from error

    def _run(self, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        try:
            self._connection.execute(statement, dict(parameters or {}))
        except duckdb.Error as error:
            raise _store_error(error) from error


class Engine(Session):
    """One database in memory.

    Raises:
        StoreError: From any method: the engine failed, or a file is damaged or of a newer version.
    """

    def __init__(self, limits: EngineLimits | None = None) -> None:
        super().__init__(duckdb.connect(config={} if limits is None else _engine_config(limits)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def session(self) -> Session:
        """Open a session of another thread."""
        return Session(self._connection.cursor())

    def view(self, name: str, query: str) -> None:
        """Make `name` the result of the query file `query`, computed when it is read."""
        self._run(f"CREATE OR REPLACE VIEW {name} AS {_query_text(query)}")

    def table(self, name: str, query: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Keep the result of the query file `query` as the table `name`."""
        self._run(f"CREATE OR REPLACE TABLE {name} AS {_query_text(query)}", parameters)

    def arrow_table(self, name: str, rows: pa.Table) -> None:
        """Keep the rows of an Arrow table as the table `name`."""
        self.forget(name)
        self._connection.from_arrow(rows).create(name)

    def union(self, name: str, parts: Iterable[str]) -> None:
        """Make `name` all rows of `parts`; a column that one lacks reads as null."""
        self._run(f"CREATE OR REPLACE VIEW {name} AS " + " UNION ALL BY NAME ".join(f"FROM {part}" for part in parts))

    def forget(self, name: str) -> None:
        """Drop the table `name`; views of it read what has its name next."""
        self._run(f"DROP TABLE IF EXISTS {name}")

    def count(self, name: str) -> int:
        """Count the rows of `name`."""
        return int(self._connection.table(name).count("*").fetchall()[0][0])

    def batches(self, query: str, parameters: Mapping[str, Any]) -> pa.RecordBatchReader:
        """Run the query file `query`, and give its rows in batches."""
        reader: pa.RecordBatchReader = self._connection.sql(
            _query_text(query), params=dict(parameters)
        ).to_arrow_reader(_BATCH_ROWS)
        return reader

    def lake_view(self, name: str, table: LakeTable, paths: Sequence[Path]) -> None:
        """Make the view `name` of lake files of `table`; a column that a file lacks reads as null."""
        schemas = {check_segment(path) for path in paths}
        empty = f"no_{table}"
        # A table, not a registered Arrow object: that one would be unknown to the cursors of other threads.
        self._connection.execute(f"DROP VIEW IF EXISTS {name}")
        if not self._has(empty):
            self._connection.from_arrow(arrow_schema(LAKE_COLUMNS[table]).empty_table()).create(empty)
        if schemas == {tuple(column.name for column in LAKE_COLUMNS[table])}:
            self.files_view(name, paths)
        elif paths:
            self.files_view(f"stored_{name}", paths, has_several_schemas=True)
            self.union(name, [empty, f"stored_{name}"])
        else:
            self.union(name, [empty])

    def cast_view(self, name: str, path: Path, *, like: Path) -> None:
        """Make the view `name` of the rows of the Parquet file `path`, with the types of the columns of `like`."""
        try:
            wanted = self._connection.read_parquet(_literal_pattern(like), hive_partitioning=False)
            stored = self._connection.read_parquet(_literal_pattern(path), hive_partitioning=False)
            columns = zip(wanted.columns, wanted.types, strict=True)
            stored.select(
                *(duckdb.ColumnExpression(column).cast(kind).alias(column) for column, kind in columns)
            ).create_view(name)
        except duckdb.Error as error:
            raise _store_error(error) from error

    def files_view(
        self, name: str, paths: Sequence[Path], *, has_several_schemas: bool = False, within: Within | None = None
    ) -> None:
        """Make the view `name` of the rows of the Parquet files `paths`, of which there is at least one."""
        try:
            stored = self._connection.read_parquet(
                [_literal_pattern(path) for path in paths],
                union_by_name=has_several_schemas,
                hive_partitioning=False,  # a lake below a folder called env=prod gets no column env
            )
            if within is not None:
                value = duckdb.ColumnExpression(within.column)
                stored = stored.filter(value >= within.least).filter(value < within.below)
            stored.create_view(name)
        except duckdb.Error as error:
            raise _store_error(error) from error

    def _has(self, name: str) -> bool:
        found = self._connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = $name", {"name": name})
        return bool(found.fetchall())


@contextmanager
def compacted_rows(
    table: LakeTable, paths: Sequence[Path], *, kept_from_unix_ns: int, limits: EngineLimits
) -> Iterator[pa.RecordBatchReader]:
    """Read the rows of `paths` as compaction stores them: without duplicates, an hour after the other, sorted by trace.

    Columns are those of the table and any that a file has besides, then `hour_unix_ns` and `duplicate_rank`, which are
    not to be stored. What does not fit into memory goes to `limits.spill_folder`.

    Raises:
        StoreError: A segment is damaged, or newer than this version reads; or the limits don't suffice.
    """
    with Engine(limits) as engine:
        engine.lake_view(f"landing_{table}", table, paths)
        try:
            yield engine.batches(f"compacted_{table.value}_v1", {"kept_from_unix_ns": kept_from_unix_ns})
        except (duckdb.Error, pa.ArrowException) as error:
            raise StoreError(f"compacting {len(paths)} files of {table.value} failed: {error}") from error


def _engine_config(limits: EngineLimits) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": f"{limits.memory_bytes // 1_000_000}MB",
        "threads": limits.threads,
        "temp_directory": str(limits.spill_folder),
        # Else one thread alone fills a table or file with rows that no ORDER BY has sorted. Sorted ones stay sorted.
        "preserve_insertion_order": False,
    }


def refuse_damaged_content(paths: Iterable[Path]) -> None:
    """Read every file and refuse one that can't be: the engine doesn't name it. Costly, so only after it failed.

    Raises:
        StoreError: Names the damaged or missing file.
    """
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for number in range(file.num_row_groups):
                    file.read_row_group(number)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged_error(path, error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStatistics:
    """What a file's footer says of its rows: how many, and the extent of a column; None where it does not say."""

    rows: int
    smallest: int | None
    largest: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Footer:
    """What is used of a segment's footer; `statistics` by column of time."""

    columns: tuple[str, ...]
    version: bytes
    statistics: Mapping[str, FileStatistics]


def file_statistics(path: Path, column: str) -> FileStatistics:
    """Return what the footer of a lake file says of a column of times.

    Raises:
        StoreError: The file is damaged.
    """
    return _footer(path).statistics[column]


# Segments never change, so each is looked at once.
@functools.lru_cache(maxsize=100_000)
def _footer(path: Path) -> _Footer:
    try:
        metadata = pq.read_metadata(path)
        names = tuple(metadata.schema.to_arrow_schema().names)
    except (pa.ArrowException, OSError) as error:
        raise _damaged_error(path, error) from error
    return _Footer(
        columns=names,
        version=(metadata.metadata or {}).get(b"tracecanary.schema_version", b"0"),
        statistics={column: _statistics(metadata, column) for column in _TIMES},
    )


def _statistics(metadata: pq.FileMetaData, column: str) -> FileStatistics:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # The same in each row group; asking for one is much faster than looking through all.
    paths = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    found = [group.column(paths.index(column)).statistics for group in groups] if column in paths else []
    known = [one for one in found if one is not None and one.has_min_max]
    if not known or len(known) < len(groups):
        return FileStatistics(rows=metadata.num_rows, smallest=None, largest=None)
    return FileStatistics(
        rows=metadata.num_rows,
        smallest=min(int(one.min or 0) for one in known),
        largest=max(int(one.max or 0) for one in known),
    )


def file_columns(path: Path) -> dict[str, str]:
    """Return the types of a Parquet file's columns by their names.

    Raises:
        StoreError: The file is damaged.
    """
    try:
        return {field.name: str(field.type) for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError) as error:
        raise _damaged_error(path, error) from error


def _damaged_error(path: Path, error: Exception) -> StoreError:
    if isinstance(error, FileNotFoundError):
        return StoreError(
            f"the segment {path} is missing. Restore it from a backup, or go on without its rows: "
            "tracecanary doctor --repair"
        )
    return StoreError(f"the segment {path} is damaged: {str(error).rstrip('.')}. {_MOVE_IT_OUT}")


def check_segment(path: Path, *, is_seen_anew: bool = False) -> tuple[str, ...]:
    """Return the column names of a segment; refuse one that can't be read.

    With `is_seen_anew`, whatever was seen of it before is forgotten.

    Raises:
        StoreError: It is damaged, or newer than this version reads.
    """
    if is_seen_anew:
        _footer.cache_clear()
    footer = _footer(path)
    stated = footer.version
    version = int(stated) if stated.isdigit() else None
    if version is None:
        raise StoreError(f"the segment {path} states the schema version {stated!r}, which is no number. {_MOVE_IT_OUT}")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the segment {path} has schema version {version}, but this tracecanary reads up to {SCHEMA_VERSION}. "
            "Upgrade tracecanary where it reads the lake."
        )
    return footer.columns


def _literal_pattern(path: Path) -> str:
    """Return a pattern that matches `path` alone: the engine takes every path for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


@functools.cache
def _query_text(query: str) -> str:
    folder = importlib.resources.files("tracecanary.analytics") / "queries"
    return (folder / f"{query}.sql").read_text(encoding="utf-8")


def query_texts() -> dict[str, str]:
    """Return the text of every query file by its name, in order of names."""
    folder = importlib.resources.files("tracecanary.analytics") / "queries"
    names = sorted(path.name.removesuffix(".sql") for path in folder.iterdir() if path.name.endswith(".sql"))
    return {name: _query_text(name) for name in names}


def _store_error(error: duckdb.Error) -> StoreError:
    return StoreError(
        f"the query engine failed: {error}. If it names a segment, move that out of the lake to go on without its "
        "rows, then run: tracecanary doctor --repair"
    )
