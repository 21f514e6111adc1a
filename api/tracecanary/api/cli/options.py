"""What several commands say and check about a lake."""

from __future__ import annotations

from pathlib import Path

from tracecanary.schema import FileLake, LakeError, parse_file_lake


def existing_lake(setting: str) -> FileLake:
    """Return the lake that `setting` names; a folder must be there.

    Raises:
        ConfigurationError: It names no lake that has files.
        LakeError: There is no such folder.
    """
    lake = parse_file_lake(setting)
    if isinstance(lake, Path) and not lake.is_dir():
        raise LakeError(f"there is no lake at {lake}. Check --lake; tracecanary demo --lake PATH makes one to look at.")
    return lake


def counted(number: int, noun: str) -> str:
    """Return "1 file", "2 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
