"""Where files of a lake live.

A lake is a folder. Writers add immutable Parquet segments to `landing/<table>/`; a segment appears under its final
name only when it is complete, so that a reader needs no lock and a killed writer leaves nothing half readable.
"""

from __future__ import annotations

import os
import uuid
from enum import StrEnum
from pathlib import Path

SEGMENT_SUFFIX = ".parquet"


class LakeTable(StrEnum):
    """The tables that writers add rows to."""

    SPANS = "spans"
    EVALUATIONS = "evaluations"


def landing_folder(lake: Path, table: LakeTable) -> Path:
    """Return the folder that new segments of `table` appear in."""
    return lake / "landing" / table.value


def segment_name(*, unix_ms: int) -> str:
    """Return a new name for a segment sealed at `unix_ms`.

    The time makes names sort by age; process id and random part keep forked and parallel writers apart.
    """
    return f"{unix_ms:013d}-{os.getpid()}-{uuid.uuid4().hex[:12]}{SEGMENT_SUFFIX}"


def landing_segments(lake: Path, table: LakeTable) -> list[Path]:
    """List the complete segments of `table`, oldest first; an absent folder has none."""
    folder = landing_folder(lake, table)
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix == SEGMENT_SUFFIX and not path.name.startswith("."))
