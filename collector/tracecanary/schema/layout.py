"""Where files of a lake live.

A lake is a folder, or a prefix on an object store with the same names below it. Writers add immutable Parquet segments
to `landing/<table>/`; a segment appears under its final name only when it is complete, so that a reader needs no lock
and a killed writer leaves nothing half readable. Rows that wait for their segment stand in `journal/<table>/`, in one
file a process: in the lake's folder, or for an object store in a local one, the spool.
"""

from __future__ import annotations

import os
import uuid
from enum import StrEnum
from pathlib import Path

from tracecanary.schema.lake_storage import LakeStorage, StoredFile

SEGMENT_SUFFIX = ".parquet"
JOURNAL_SUFFIX = ".arrows"


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
