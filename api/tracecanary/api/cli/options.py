"""What several commands say and check about a lake."""

from __future__ import annotations

from pathlib import Path

from tracecanary.schema import LakeError


def lake_folder(lake: Path) -> Path:
    """Return the absolute path of a lake that must exist.

    Raises:
        LakeError: It does not.
    """
    if not lake.is_dir():
        raise LakeError(f"there is no lake at {lake}. Check --lake; tracecanary demo --lake PATH makes one to look at.")
    return lake.absolute()


def counted(number: int, noun: str) -> str:
    """Return "1 file", "2 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
