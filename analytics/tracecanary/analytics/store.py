"""The query engine over a lake: the only module that knows DuckDB.

Theory of operation. A snapshot holds trace facts built from the segments that were there when it was made, in memory,
and never changes. Asking for a snapshot makes a new one if segments were added since. Readers of an old snapshot keep
it until they are done, so every answer comes from one consistent state.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tracecanary.schema import (
    EVALUATION_COLUMNS,
    SCHEMA_VERSION,
    SPAN_COLUMNS,
    Column,
    FileLake,
    LakeError,
    LakeFiles,
    LakeTable,
    Lease,
    StoreError,
    arrow_schema,
    list_lake_files,
    local_copies,
)

_COLUMNS: Mapping[LakeTable, Sequence[Column]] = {
    LakeTable.SPANS: SPAN_COLUMNS,
    LakeTable.EVALUATIONS: EVALUATION_COLUMNS,
}
# Views and tables of a snapshot, in the order of their dependencies.
_SNAPSHOT_VIEWS = ("spans", "evaluations")
_SNAPSHOT_TABLES = ("attempts", "calls", "trace_facts", "trace_evaluations", "trace_feedback")

# Rows handed over at a time, and so those of a row group: pruning by trace wants them small, compression large.
_BATCH_ROWS = 65_536
# Each finds the files of another compaction; more in a row than these are no coincidence.
_TRIES = 5

Row = dict[str, Any]


class Session:
    """Runs queries on one snapshot, with temporary tables of its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def rows(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run the query file `query` and return its rows as dictionaries.

        Raises:
            StoreError: The engine failed, for instance on a damaged segment.
        """
        try:
            result = self._connection.execute(_query_text(query), dict(parameters or {}))
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        except duckdb.Error as error:
            raise _store_error(error) from error

    def columns(self, query: str, parameters: Mapping[str, Any] | None = None) -> dict[str, list[Any]]:
        """Run the query file `query` and return its columns: the same rows, for many of them.

        Raises:
            StoreError: The engine failed, for instance on a damaged segment.
        """
        try:
            result = self._connection.execute(_query_text(query), dict(parameters or {}))
            names = [column[0] for column in result.description or ()]
            columns = zip(*result.fetchall(), strict=True)
            return {name: list(column) for name, column in zip(names, columns, strict=False)} or {
                name: [] for name in names
            }
        except duckdb.Error as error:
            raise _store_error(error) from error

    def materialise(self, table: str, query: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Keep the result of the query file `query` as the temporary table `table` of this session."""
        try:
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {_query_text(query)}", parameters or {})
        except duckdb.Error as error:
            raise _store_error(error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What one query may take: memory in bytes, threads, and a folder for what does not fit into memory."""

    memory_bytes: int
    threads: int
    spill_folder: Path


class Store:
    """The numbers of one lake.

    Args:
        lake: Where the lake is; an empty one has no rows.
    """

    def __init__(self, lake: FileLake) -> None:
        self.lake = lake
        self._copies = local_copies(lake)
        # Guards the fields below, and lets one thread at a time build a snapshot.
        self._lock = threading.Lock()
        self._files: LakeFiles | None = None
        self._snapshot: tuple[duckdb.DuckDBPyConnection, Lease] | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session on the lake as it is now.

        Raises:
            LakeError: The lake can't be listed, or a file not be fetched.
            StoreError: A segment is damaged, or newer than this version reads.
        """
        snapshot, lease = self._current_snapshot()
        connection = snapshot.cursor()
        try:
            yield Session(connection)
        finally:
            connection.close()
            del lease  # until here the files stay, though others may have a newer snapshot

    def _current_snapshot(self) -> tuple[duckdb.DuckDBPyConnection, Lease]:
        with self._lock:
            for tries_left in reversed(range(_TRIES)):
                files = list_lake_files(self.lake)
                if self._snapshot is not None and files == self._files:
                    return self._snapshot
                try:
                    # Held as long as the snapshot: its views read the files.
                    lease = self._copies.lease(files.all_names())
                    paths = dict(zip(files.all_names(), lease.paths, strict=True))
                    segments = {table: [paths[name] for name in files.names(table)] for table in LakeTable}
                    self._snapshot = _build_snapshot(segments), lease
                except (StoreError, LakeError):
                    # Swept by a compaction since they were listed, which takes a reader slower than its grace period.
                    if tries_left == 0 or list_lake_files(self.lake) == files:
                        raise
                else:
                    self._files = files
                    return self._snapshot
        raise AssertionError("unreachable: the last try returns or raises")


def _build_snapshot(segments: Mapping[LakeTable, Sequence[Path]]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    try:
        for table, paths in segments.items():
            _add_landing_view(connection, table, paths)
        for view in _SNAPSHOT_VIEWS:
            connection.execute(f"CREATE VIEW {view} AS {_query_text(f'{view}_v1')}")
        for table_name in _SNAPSHOT_TABLES:
            connection.execute(f"CREATE TABLE {table_name} AS {_query_text(f'{table_name}_v1')}")
    except duckdb.Error as error:
        connection.close()
        refuse_damaged_content([path for paths in segments.values() for path in paths])
        raise _store_error(error) from error
    return connection


def _add_landing_view(connection: duckdb.DuckDBPyConnection, table: LakeTable, paths: Sequence[Path]) -> None:
    """Make the view `landing_<table>`; a column that a segment lacks reads as null."""
    for path in paths:
        check_segment(path)
    empty = f"no_{table}"
    # A table, not a registered Arrow object: that one would be unknown to the cursors of other threads.
    connection.from_arrow(arrow_schema(_COLUMNS[table]).empty_table()).create(empty)
    if paths:
        stored = connection.read_parquet(
            [_literal_pattern(path) for path in paths],
            union_by_name=True,
            hive_partitioning=False,  # a lake below a folder called env=prod gets no column env
        )
        stored.create_view(f"stored_{table}")
        connection.execute(f"CREATE VIEW landing_{table} AS FROM {empty} UNION ALL BY NAME FROM stored_{table}")
    else:
        connection.table(empty).create_view(f"landing_{table}")


def refuse_damaged_content(paths: Sequence[Path]) -> None:
    """Read every segment and refuse one that can't be: the engine doesn't name it. Costly, so only after it failed.

    Raises:
        StoreError: A segment is damaged.
    """
    for path in paths:
        try:
            pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged_error(path, error) from error


def _damaged_error(path: Path, error: Exception) -> StoreError:
    return StoreError(f"the segment {path} is damaged: {error}. Move it out of the lake to go on without its rows.")


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
    connection = duckdb.connect(
        config={
            "memory_limit": f"{limits.memory_bytes // 1_000_000}MB",
            "threads": limits.threads,
            "temp_directory": str(limits.spill_folder),
        }
    )
    try:
        _add_landing_view(connection, table, paths)
        query = _query_text(f"compacted_{table.value}_v1")
        yield connection.sql(query, params={"kept_from_unix_ns": kept_from_unix_ns}).to_arrow_reader(_BATCH_ROWS)
    except (duckdb.Error, pa.ArrowException) as error:
        raise StoreError(f"compacting {len(paths)} files of {table.value} failed: {error}") from error
    finally:
        connection.close()


@functools.lru_cache(maxsize=100_000)
def check_segment(path: Path) -> None:
    """Refuse a segment that can't be read; segments never change, so each is looked at once.

    Raises:
        StoreError: It is damaged, or newer than this version reads.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged_error(path, error) from error
    stated = metadata.get(b"tracecanary.schema_version", b"0")
    version = int(stated) if stated.isdigit() else None
    if version is None:
        raise StoreError(
            f"the segment {path} states the schema version {stated!r}, which is no number. "
            "Move it out of the lake to go on without its rows."
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the segment {path} has schema version {version}, but this tracecanary reads up to {SCHEMA_VERSION}. "
            "Upgrade tracecanary where it reads the lake."
        )


def _literal_pattern(path: Path) -> str:
    """Return a pattern that matches `path` alone: the engine takes every path for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


@functools.cache
def _query_text(query: str) -> str:
    folder = importlib.resources.files("tracecanary.analytics") / "queries"
    return (folder / f"{query}.sql").read_text(encoding="utf-8")


def _store_error(error: duckdb.Error) -> StoreError:
    return StoreError(
        f"the query engine failed: {error}. If it names a segment, move that out of the lake to go on without its rows."
    )
