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

from tracecanary.analytics.parquet_files import check_segment
from tracecanary.schema import (
    EVALUATION_COLUMNS,
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

# Version 2 has encodings that take a quarter less room for ids and times; higher levels of zstd only take time. Each
# group of rows states much of each column, and no question looks a value up that a Bloom filter would tell.
_FILE_FORMAT = (
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 245760, "
    "WRITE_BLOOM_FILTER false"
)

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
        if limits is not None:  # the engine makes the last folder alone, and only when it is needed
            limits.spill_folder.parent.mkdir(parents=True, exist_ok=True)
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
