"""Where files of a lake live.

A lake is a folder. Writers add immutable Parquet segments to `landing/<table>/`; a segment appears under its final
name only when it is complete, so that a reader needs no lock and a killed writer leaves nothing half readable. Rows
that wait for their segment stand in `journal/<table>/`, in one file a process. Compaction rewrites segments into
`compacted/<table>/hour=.../`, and says in `manifests/` which files count: see `manifests`.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

SEGMENT_SUFFIX = ".parquet"
JOURNAL_SUFFIX = ".arrows"
COMPACTED_FOLDER = "compacted"


class LakeTable(StrEnum):
    """The tables that writers add rows to."""

    SPANS = "spans"
    EVALUATIONS = "evaluations"


def landing_folder(lake: Path, table: LakeTable) -> Path:
    """Return the folder that new segments of `table` appear in."""
    return lake / "landing" / table.value


def segment_name(*, unix_ms: int) -> str:
    """Return a new name for a segment sealed at `unix_ms`."""
    return _new_name(unix_ms) + SEGMENT_SUFFIX


def journal_folder(lake: Path, table: LakeTable) -> Path:
    """Return the folder of journals: rows of `table` that are safe from a crash, but not visible yet."""
    return lake / "journal" / table.value


def journal_name(*, unix_ms: int) -> str:
    """Return a new name for a journal begun at `unix_ms`."""
    return _new_name(unix_ms) + JOURNAL_SUFFIX


def manifest_folder(lake: Path) -> Path:
    """Return the folder of manifests."""
    return lake / "manifests"


def manifest_name(number: int) -> str:
    """Return the name of the manifest `number`; names sort by it."""
    return f"{number:010d}.json"


def compacted_folder(lake: Path, table: LakeTable, *, hour: int) -> Path:
    """Return the folder of the rewritten files of `table` and `hour` (since the Unix epoch)."""
    try:
        shown = f"{datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%dT%H}"
    except (OverflowError, ValueError, OSError):  # no such year; rows may claim any time
        shown = str(hour)
    return lake / COMPACTED_FOLDER / table.value / f"hour={shown}"


def _new_name(unix_ms: int) -> str:
    # The time makes names sort by age; process id and random part keep forked and parallel writers apart.
    return f"{unix_ms:013d}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


def landing_segments(lake: Path, table: LakeTable) -> list[Path]:
    """List the complete segments of `table`, oldest first; an absent folder has none."""
    folder = landing_folder(lake, table)
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix == SEGMENT_SUFFIX and not path.name.startswith("."))
