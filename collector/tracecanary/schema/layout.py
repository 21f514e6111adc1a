"""Where files of a lake live.

A lake is a folder, or a prefix on an object store with the same names below it. Writers add immutable Parquet segments
to `landing/<table>/`; a segment appears under its final name only when it is complete, so that a reader needs no lock
and a killed writer leaves nothing half readable. Rows that wait for their segment stand in `journal/<table>/`, in one
file a process: in the lake's folder, or for an object store in a local one, the spool. Compaction rewrites segments
into `compacted/<table>/hour=.../`, and says in `manifests/` which files count: see `manifests`.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from tracecanary.schema.lake_storage import LakeStorage, StoredFile

SEGMENT_SUFFIX = ".parquet"
JOURNAL_SUFFIX = ".arrows"
MANIFEST_FOLDER = "manifests"
COMPACTED_FOLDER = "compacted"


class LakeTable(StrEnum):
    """The tables that writers add rows to."""

    SPANS = "spans"
    EVALUATIONS = "evaluations"


def landing_name(table: LakeTable) -> str:
    """Return the name, below the lake, of the folder that new segments of `table` appear in."""
    return f"landing/{table.value}"


def landing_folder(lake: Path, table: LakeTable) -> Path:
    """Return the folder that new segments of `table` appear in."""
    return lake / landing_name(table)


def segment_name(*, unix_ms: int) -> str:
    """Return a new name for a segment sealed at `unix_ms`."""
    return _new_name(unix_ms) + SEGMENT_SUFFIX


def journal_folder(lake: Path, table: LakeTable) -> Path:
    """Return the folder of journals: rows of `table` that are safe from a crash, but not visible yet."""
    return lake / "journal" / table.value


def journal_name(*, unix_ms: int) -> str:
    """Return a new name for a journal begun at `unix_ms`."""
    return _new_name(unix_ms) + JOURNAL_SUFFIX


def manifest_name(number: int) -> str:
    """Return the name, below the lake, of the manifest `number`; names sort by it."""
    return f"{MANIFEST_FOLDER}/{number:010d}.json"


def compacted_name(table: LakeTable, *, hour: int, unix_ms: int) -> str:
    """Return a new name, below the lake, for rewritten rows of `table` and `hour` (since the Unix epoch)."""
    return f"{COMPACTED_FOLDER}/{table.value}/hour={hour_text(hour)}/{segment_name(unix_ms=unix_ms)}"


def hour_text(hour: int) -> str:
    """Return the hour `hour` since the Unix epoch as `2026-11-01T12`, UTC."""
    try:
        return f"{datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%dT%H}"
    except (OverflowError, ValueError, OSError):  # no such year; rows may claim any time
        return str(hour)


def _new_name(unix_ms: int) -> str:
    # The time makes names sort by age; process id and random part keep forked and parallel writers apart.
    return f"{unix_ms:013d}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


def landing_files(storage: LakeStorage, table: LakeTable) -> list[StoredFile]:
    """List the complete segments of `table`, oldest first.

    Raises:
        LakeError: The lake can't be listed.
    """
    return [file for file in storage.files(landing_name(table)) if file.name.endswith(SEGMENT_SUFFIX)]


def landing_segments(lake: Path, table: LakeTable) -> list[Path]:
    """List the complete segments of `table`, oldest first; an absent folder has none."""
    folder = landing_folder(lake, table)
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix == SEGMENT_SUFFIX and not path.name.startswith("."))
