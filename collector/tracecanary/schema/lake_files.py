"""Which files of a lake make one consistent state, and publishing the next one."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracecanary.schema.errors import LakeError
from tracecanary.schema.layout import LakeTable, landing_segments, manifest_folder, manifest_name
from tracecanary.schema.manifests import Manifest, ManifestError, manifest_from_json, manifest_to_json

_MANIFEST_NAME = re.compile(r"([0-9]{10})\.json")
# A manifest is deleted only when newer ones are long there; then they are listed.
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFiles:
    """One consistent state of a lake: its newest manifest, and the segments that no manifest had adopted.

    Two states with equal files hold the same rows. What a manifest adopted since an earlier state, `manifest.gone`
    tells by the manifest's number: rows of a segment that was known then are no news in the file that holds them now.
    """

    lake: Path
    manifest: Manifest
    landing: Mapping[LakeTable, tuple[Path, ...]]

    def paths(self, table: LakeTable) -> tuple[Path, ...]:
        """Return every file that holds rows of `table`."""
        return (*(self.lake / file.path for file in self.manifest.of_table(table)), *self.landing[table])

    def all_paths(self) -> tuple[Path, ...]:
        """Return every file, of all tables."""
        return tuple(path for table in LakeTable for path in self.paths(table))


def list_lake_files(lake: Path) -> LakeFiles:
    """List the files of `lake` as they are now.

    Raises:
        LakeError: There is no such folder, it can't be listed, or its manifest can't be read.
    """
    if not lake.is_dir():
        raise LakeError(f"there is no folder {lake}. Check the path, and that its volume is mounted.")
    try:
        # In this order: a segment that is adopted in between is dropped from the list, and read from its new file.
        listed = {table: landing_segments(lake, table) for table in LakeTable}
        manifest = newest_manifest(lake)
    except OSError as error:
        raise LakeError(f"can't list the lake {lake}: {error}. Check the path and its rights.") from error
    gone = manifest.gone_paths
    landing = {
        table: tuple(path for path in paths if relative_path(lake, path) not in gone) for table, paths in listed.items()
    }
    return LakeFiles(lake=lake, manifest=manifest, landing=landing)


def newest_manifest(lake: Path) -> Manifest:
    """Return the manifest that counts; one without files when there is none.

    Raises:
        LakeError: It is damaged, or of a newer format.
        OSError: The folder can't be read.
    """
    for _ in range(_TRIES):
        numbers = manifest_numbers(lake)
        if not numbers:
            return Manifest()
        try:
            return read_manifest(lake, max(numbers))
        except FileNotFoundError:
            continue
    raise LakeError(f"the manifests of {lake} vanish while they are read. Is something else deleting them?")


def read_manifest(lake: Path, number: int) -> Manifest:
    """Return the manifest `number`.

    Raises:
        LakeError: It is damaged, or of a newer format.
        OSError: It can't be read.
    """
    path = manifest_folder(lake) / manifest_name(number)
    text = path.read_bytes()
    try:
        return manifest_from_json(text, number=number)
    except ManifestError as error:
        raise LakeError(f"can't use the manifest {path}: {error}") from error


def manifest_numbers(lake: Path) -> list[int]:
    """List the numbers of all manifests, ascending."""
    folder = manifest_folder(lake)
    if not folder.is_dir():
        return []
    matches = (_MANIFEST_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match.group(1)) for match in matches if match)


def publish_manifest(lake: Path, manifest: Manifest) -> bool:
    """Publish `manifest` if its number is free; return whether it was. Readers see all of it or nothing.

    Raises:
        LakeError: The folder can't be written.
    """
    path = manifest_folder(lake) / manifest_name(manifest.number)
    unfinished = path.with_name(f"{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                file.write(manifest_to_json(manifest).encode())
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, path)  # unlike a rename, it fails when the name is taken
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise LakeError(
            f"can't publish the manifest {path}: {error}. Check that the folder is writable, has free space, "
            "and that its file system has hard links."
        ) from error
    sync_folder(path.parent)
    return True


def relative_path(lake: Path, path: Path) -> str:
    """Return `path` as manifests name it."""
    return path.relative_to(lake).as_posix()


def sync_folder(folder: Path) -> None:
    """Make new names in `folder` survive a power cut, where the file system can: network ones and Windows refuse."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
