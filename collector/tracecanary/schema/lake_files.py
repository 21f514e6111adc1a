"""Which files of a lake make one consistent state, and publishing the next one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracecanary.schema.errors import LakeError
from tracecanary.schema.lake_location import FileLake
from tracecanary.schema.lake_storage import LakeStorage, StoredFile, lake_storage
from tracecanary.schema.layout import COMPACTED_FOLDER, MANIFEST_FOLDER, LakeTable, landing_files, manifest_name
from tracecanary.schema.manifests import Manifest, ManifestError, manifest_from_json, manifest_to_json

_MANIFEST_NAME = re.compile(r"([0-9]{10})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFiles:
    """One consistent state of a lake: its newest manifest, and the segments that no manifest had adopted.

    Whoever has computed something from an earlier state can tell what is new. Segments that it does not know, in
    landing or among the gone files, hold new rows; rewritten files hold nothing else. That is so if it knew the lake
    as of manifest `manifest.forgotten_through` or later; otherwise it starts anew.
    """

    manifest: Manifest
    landing: Mapping[LakeTable, tuple[StoredFile, ...]]

    def names(self, table: LakeTable) -> tuple[str, ...]:
        """Return the names, below the lake, of every file that holds rows of `table`."""
        adopted = (file.path for file in self.manifest.of_table(table))
        return (*adopted, *(file.name for file in self.landing[table]))

    @property
    def rewritten_names(self) -> frozenset[str]:
        """Names of files that compaction made of others, whether they still count or not."""
        gone = (name for name in self.manifest.gone_paths if name.startswith(f"{COMPACTED_FOLDER}/"))
        return frozenset((*(file.path for file in self.manifest.files), *gone))

    def all_names(self) -> tuple[str, ...]:
        """Return the names, below the lake, of the files of all tables."""
        return tuple(name for table in LakeTable for name in self.names(table))


def list_lake_files(lake: FileLake) -> LakeFiles:
    """List the files of `lake` as they are now.

    Raises:
        LakeError: It can't be reached or listed, or its manifest can't be read.
    """
    if isinstance(lake, Path) and not lake.is_dir():
        raise LakeError(f"there is no folder {lake}. Check the path, and that its volume is mounted.")
    storage = lake_storage(lake)
    # In this order: a segment that is adopted in between is dropped from the list, and read from its new file.
    listed = {table: landing_files(storage, table) for table in LakeTable}
    manifest = newest_manifest(storage)
    gone = manifest.gone_paths
    return LakeFiles(
        manifest=manifest,
        landing={table: tuple(file for file in files if file.name not in gone) for table, files in listed.items()},
    )


def newest_manifest(storage: LakeStorage) -> Manifest:
    """Return the manifest that counts; one without files when there is none.

    Raises:
        LakeError: It can't be read, is damaged, or of a newer format.
    """
    number = 0
    while True:
        newest = max(manifest_numbers(storage), default=0)
        if newest == 0:
            return Manifest()
        try:
            return read_manifest(storage, newest)
        except LakeError:
            if newest == number:
                raise
            number = newest  # deleted since it was listed, perhaps: then there is a newer one


def read_manifest(storage: LakeStorage, number: int) -> Manifest:
    """Return the manifest `number`.

    Raises:
        LakeError: It can't be read, is damaged, or of a newer format.
    """
    name = manifest_name(number)
    text = storage.read(name)
    try:
        return manifest_from_json(text, number=number)
    except ManifestError as error:
        raise LakeError(f"can't use the manifest {name} of {storage.lake}: {error}") from error


def manifest_numbers(storage: LakeStorage) -> list[int]:
    """List the numbers of all manifests, ascending."""
    names = (file.name.rpartition("/")[2] for file in storage.files(MANIFEST_FOLDER))
    matches = (_MANIFEST_NAME.fullmatch(name) for name in names)
    return sorted(int(match.group(1)) for match in matches if match)


def publish_manifest(storage: LakeStorage, manifest: Manifest) -> bool:
    """Publish `manifest` if its number is free; return whether it was. Readers see all of it or nothing.

    Raises:
        LakeError: The lake can't be written.
    """
    return storage.create(manifest_name(manifest.number), manifest_to_json(manifest).encode())
