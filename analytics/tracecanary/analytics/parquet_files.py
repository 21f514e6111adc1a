"""What the footers of Parquet files say, and which files can't be read."""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracecanary.schema import SCHEMA_VERSION, LakeError, StoreError

# Columns whose extents tell which files to look into.
_TIMES = ("start_unix_ns", "received_unix_ns")
# Says something of the machine, and nothing of the file: to call that damaged would have a sound one taken away.
_OF_THE_MACHINE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_MOVE_IT_OUT = "Move it out of the lake to go on without its rows, then run: tracecanary doctor --repair"


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
        LakeError: The machine can't read it now.
    """
    return _footer(path).statistics[column]


# Segments never change, so each is looked at once.
@functools.lru_cache(maxsize=100_000)
def _footer(path: Path) -> _Footer:
    try:
        metadata = pq.read_metadata(path)
        names = tuple(metadata.schema.to_arrow_schema().names)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable_error(path, error) from error
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
        LakeError: The machine can't read it now.
    """
    try:
        return {field.name: str(field.type) for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError) as error:
        raise _unreadable_error(path, error) from error


def check_segment(path: Path, *, is_seen_anew: bool = False) -> tuple[str, ...]:
    """Return the column names of a segment; refuse one that can't be read.

    With `is_seen_anew`, whatever was seen of it before is forgotten.

    Raises:
        StoreError: It is damaged, or newer than this version reads.
        LakeError: The machine can't read it now.
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


def refuse_damaged_content(paths: Iterable[Path]) -> None:
    """Read every file and refuse one that can't be: the engine doesn't name it. Costly, so only after it failed.

    Raises:
        StoreError: Names the damaged or missing file.
        LakeError: The machine can't read it now.
    """
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for number in range(file.num_row_groups):
                    file.read_row_group(number)
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable_error(path, error) from error


def _unreadable_error(path: Path, error: Exception) -> StoreError | LakeError:
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return LakeError(
            f"can't read the segment {path} now: {error}. Mend that; nothing is known to be wrong with it."
        )
    if isinstance(error, FileNotFoundError):
        return StoreError(
            f"the segment {path} is missing. Restore it from a backup, or go on without its rows: "
            "tracecanary doctor --repair"
        )
    return StoreError(f"the segment {path} is damaged: {str(error).rstrip('.')}. {_MOVE_IT_OUT}")
