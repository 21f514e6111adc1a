"""Deleting what no reader can have in hand any more.

Files go in two steps: a manifest stops listing them, and a grace period later they are deleted. Files that no manifest
has ever listed are the leavings of a process that was killed, or the work of one that runs: they are deleted when they
are older than the grace period.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path

from tracecanary.schema import (
    COMPACTED_FOLDER,
    SEGMENT_SUFFIX,
    LakeError,
    LakeTable,
    Manifest,
    landing_folder,
    landing_segments,
    manifest_folder,
    manifest_name,
    manifest_numbers,
    newest_manifest,
    relative_path,
    sweepable,
)

_logger = logging.getLogger(__name__)
# Of a number that is free, a compaction that was stopped for long could make a manifest again.
_KEPT_MANIFESTS = 20
_UNFINISHED_SUFFIX = ".tmp"
TEMPORARY_PREFIX = ".compaction-"


def compacted_files(lake: Path) -> frozenset[str]:
    """Return the paths of all rewritten files on disk, listed or not, relative to the lake.

    Raises:
        OSError: The folder can't be listed.
    """
    found = (lake / COMPACTED_FOLDER).glob(f"*/*/*{SEGMENT_SUFFIX}")
    return frozenset(relative_path(lake, path) for path in found)


def present_files(lake: Path) -> frozenset[str]:
    """Return the paths of all segments and rewritten files on disk, relative to the lake.

    Raises:
        LakeError: The lake can't be listed.
    """
    try:
        landing = {relative_path(lake, path) for table in LakeTable for path in landing_segments(lake, table)}
        return compacted_files(lake) | landing
    except OSError as error:
        raise LakeError(f"can't list the lake {lake}: {error}. Check the path and its rights.") from error


def missing_files(manifest: Manifest, present: frozenset[str]) -> tuple[str, ...]:
    """Return the files that `manifest` lists and that are not on disk."""
    return tuple(file.path for file in manifest.files if file.path not in present)


def sweep(lake: Path, *, now_ms: int, grace_ms: int) -> int:
    """Delete what has been unneeded for `grace_ms`; return the number of data files deleted.

    Raises:
        LakeError: The lake can't be read or written, or a listed file is missing: then nothing is deleted, since what
            would be deleted may be the only copy of its rows.
    """
    try:
        manifest, present = _complete_state(lake)
        unneeded = [path for path in sweepable(manifest, now_ms=now_ms, grace_ms=grace_ms) if path in present]
        unneeded += _orphans(lake, manifest, now_ms=now_ms, grace_ms=grace_ms)
        for path in unneeded:
            (lake / path).unlink(missing_ok=True)
        _remove_leavings(lake, now_ms=now_ms, grace_ms=grace_ms)
    except OSError as error:
        raise LakeError(f"can't tidy the lake {lake}: {error}. Check its rights.") from error
    return len(unneeded)


def _complete_state(lake: Path) -> tuple[Manifest, frozenset[str]]:
    manifest = newest_manifest(lake)
    while True:
        present = present_files(lake)
        missing = missing_files(manifest, present)
        if not missing:
            return manifest, present
        newer = newest_manifest(lake)
        if newer.number == manifest.number:
            break
        manifest = newer  # another compaction published, and swept, in between
    raise LakeError(
        f"{len(missing)} files that the manifest {manifest.number} of {lake} lists are missing, such as {missing[0]}. "
        "Nothing is deleted until they are back, or their rows given up: tracecanary doctor."
    )


def _orphans(lake: Path, manifest: Manifest, *, now_ms: int, grace_ms: int) -> list[str]:
    listed = {file.path for file in manifest.files} | manifest.gone_paths
    return [path for path in compacted_files(lake) - listed if _is_old(lake / path, now_ms=now_ms, grace_ms=grace_ms)]


def _remove_leavings(lake: Path, *, now_ms: int, grace_ms: int) -> None:
    """Delete old manifests, unfinished files, empty folders, and folders of compactions that were killed."""
    folder = manifest_folder(lake)
    unneeded = [folder / manifest_name(number) for number in manifest_numbers(lake)[:-_KEPT_MANIFESTS]]
    for written in (folder, *(landing_folder(lake, table) for table in LakeTable)):
        unneeded += written.glob(f"*{_UNFINISHED_SUFFIX}")
    for path in unneeded:
        if _is_old(path, now_ms=now_ms, grace_ms=grace_ms):
            path.unlink(missing_ok=True)
    for path in lake.glob(f"{TEMPORARY_PREFIX}*"):
        if _is_old(path, now_ms=now_ms, grace_ms=grace_ms):
            shutil.rmtree(path, ignore_errors=True)
    for path in (lake / COMPACTED_FOLDER).glob("*/*"):
        if _is_old(path, now_ms=now_ms, grace_ms=grace_ms):
            with contextlib.suppress(OSError):  # it holds files
                path.rmdir()


def _is_old(path: Path, *, now_ms: int, grace_ms: int) -> bool:
    try:
        return path.stat().st_mtime_ns // 1_000_000 <= now_ms - grace_ms
    except FileNotFoundError:
        return False
