"""Deleting what no reader can have in hand any more.

Files go in two steps: a manifest stops listing them, and a grace period later they are deleted. Files that no manifest
has ever listed are the leavings of a process that was killed, or the work of one that runs: they are deleted when they
are older than the grace period.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from tracecanary.schema import (
    COMPACTED_FOLDER,
    MANIFEST_FOLDER,
    FileLake,
    LakeError,
    LakeStorage,
    LakeTable,
    Manifest,
    StoredFile,
    lake_storage,
    landing_files,
    landing_name,
    manifest_name,
    manifest_numbers,
    newest_manifest,
    sweepable,
)

TEMPORARY_PREFIX = ".compaction-"
# Under a number that has become free, a compaction that was stopped for long would publish once more.
_KEPT_MANIFESTS = 20
_UNFINISHED_PATTERN = "*.tmp"
_NS_PER_MS = 1_000_000


def present_files(storage: LakeStorage) -> list[StoredFile]:
    """List all segments and rewritten files that are stored, whether a manifest lists them or not.

    Raises:
        LakeError: The lake can't be listed.
    """
    landing = [file for table in LakeTable for file in landing_files(storage, table)]
    return [*storage.files(COMPACTED_FOLDER, is_recursive=True), *landing]


def missing_files(manifest: Manifest, present: Collection[StoredFile]) -> tuple[str, ...]:
    """Return the names of files that `manifest` lists and that are not `present`."""
    names = {file.name for file in present}
    return tuple(file.path for file in manifest.files if file.path not in names)


def orphaned_files(manifest: Manifest, present: Collection[StoredFile]) -> list[StoredFile]:
    """Return the rewritten files of `present` that `manifest` has nothing about."""
    known = {file.path for file in manifest.files} | manifest.gone_paths
    return [file for file in present if file.name.startswith(f"{COMPACTED_FOLDER}/") and file.name not in known]


def sweep(lake: FileLake, *, now_ms: int, grace_ms: int) -> int:
    """Delete what has been unneeded for `grace_ms`; return the number of data files deleted.

    Raises:
        LakeError: The lake can't be read or written, or a listed file is missing: then nothing is deleted, since what
            would be deleted may be the only copy of its rows.
    """
    storage = lake_storage(lake)
    manifest, present = _complete_state(storage)
    names = {file.name for file in present}
    unneeded = [name for name in sweepable(manifest, now_ms=now_ms, grace_ms=grace_ms) if name in names]
    old_ns = (now_ms - grace_ms) * _NS_PER_MS
    unneeded += [file.name for file in orphaned_files(manifest, present) if file.modified_unix_ns <= old_ns]
    for name in unneeded:
        storage.delete(name)
    kept = {manifest_name(number) for number in manifest_numbers(storage)[-_KEPT_MANIFESTS:]}
    for file in storage.files(MANIFEST_FOLDER):
        if file.name not in kept and file.modified_unix_ns <= old_ns:
            storage.delete(file.name)
    if isinstance(lake, Path):
        _remove_leavings(lake, old_ns=old_ns)
    return len(unneeded)


def _complete_state(storage: LakeStorage) -> tuple[Manifest, list[StoredFile]]:
    manifest = newest_manifest(storage)
    while True:
        present = present_files(storage)
        missing = missing_files(manifest, present)
        if not missing:
            return manifest, present
        newer = newest_manifest(storage)
        if newer.number == manifest.number:
            break
        manifest = newer  # another compaction published, and swept, in between
    raise LakeError(
        f"{len(missing)} files that the manifest {manifest.number} of {storage.lake} lists are missing, such as "
        f"{missing[0]}. Nothing is deleted until they are back, or their rows given up: tracecanary doctor."
    )


def leavings(lake: Path) -> list[Path]:
    """Return the unfinished files of a lake's folder, and the folders of compactions that run or were killed."""
    written = [landing_name(table) for table in LakeTable] + [MANIFEST_FOLDER, f"{COMPACTED_FOLDER}/*/*"]
    unfinished = [path for folder in written for path in lake.glob(f"{folder}/{_UNFINISHED_PATTERN}")]
    return [*unfinished, *lake.glob(f"{TEMPORARY_PREFIX}*")]


def _remove_leavings(lake: Path, *, old_ns: int) -> None:
    for path in leavings(lake):
        with contextlib.suppress(OSError):  # another sweep was faster
            if path.stat().st_mtime_ns <= old_ns:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
    for path in (lake / COMPACTED_FOLDER).glob("*/*"):
        with contextlib.suppress(OSError):  # it holds files
            if path.stat().st_mtime_ns <= old_ns:
                path.rmdir()
