"""Making a lake readable again when a file that its manifest lists is lost."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracecanary.analytics.compaction_files import TIME_COLUMNS
from tracecanary.analytics.config import MS_PER_HOUR
from tracecanary.analytics.sweep import missing_files, present_files
from tracecanary.schema import (
    COMPACTED_FOLDER,
    SCHEMA_VERSION,
    FileLake,
    GoneFile,
    LakeError,
    LakeFile,
    LakeTable,
    Manifest,
    StoredFile,
    lake_storage,
    local_copies,
    newest_manifest,
    publish_manifest,
)

_TRIES = 10
_NS_PER_HOUR = MS_PER_HOUR * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Files that are given up, and those that are read again because they hold the same rows."""

    given_up: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()


def repair(lake: FileLake) -> Repair:
    """Publish a manifest without the files that are missing, but with what they were made from, where that is left.

    Raises:
        LakeError: The lake can't be read or written.
    """
    storage = lake_storage(lake)
    for _ in range(_TRIES):
        manifest, present = newest_manifest(storage), present_files(storage)
        lost = frozenset(missing_files(manifest, present))
        if not lost:
            return Repair()
        commits = {file.manifest for file in manifest.files if file.path in lost}
        stored = {file.name: file for file in present}
        back = [gone for gone in manifest.gone if gone.manifest in commits and gone.path in stored]
        if publish_manifest(storage, _repaired(lake, manifest, lost, back, stored)):
            return Repair(given_up=tuple(sorted(lost)), taken_back=tuple(gone.path for gone in back))
    raise LakeError(f"{_TRIES} compactions of {lake} were faster. Stop the service, and try again.")


def _repaired(
    lake: FileLake, manifest: Manifest, lost: frozenset[str], back: list[GoneFile], stored: dict[str, StoredFile]
) -> Manifest:
    number = manifest.number + 1
    kept = [file for file in manifest.files if file.path not in lost]
    # Segments in landing are read as soon as they are not gone; rewritten files must be listed.
    listed = [
        _described(lake, stored[gone.path], number) for gone in back if gone.path.startswith(f"{COMPACTED_FOLDER}/")
    ]
    return Manifest(
        number=number,
        files=tuple(sorted((*kept, *listed), key=lambda file: (file.table, file.hour, file.path))),
        gone=tuple(gone for gone in manifest.gone if gone not in back),
        # Rows are lost, which nobody can tell from the files that are gone.
        forgotten_through=number,
        kept_from_hour=manifest.kept_from_hour,
    )


def _described(lake: FileLake, file: StoredFile, number: int) -> LakeFile:
    table = LakeTable(file.name.split("/")[1])
    lease = local_copies(lake).lease([file.name])
    times = pq.ParquetFile(lease.paths[0]).read(columns=[TIME_COLUMNS[table]])[0]
    lease.close()
    extent = pc.min_max(times)
    earliest = int(extent["min"].as_py())
    return LakeFile(
        path=file.name,
        table=table,
        rows=len(times),
        size_bytes=file.size_bytes,
        hour=earliest // _NS_PER_HOUR,
        min_unix_ns=earliest,
        max_unix_ns=int(extent["max"].as_py()),
        schema_version=SCHEMA_VERSION,
        made_unix_ms=file.modified_unix_ns // 1_000_000,
        manifest=number,
    )
