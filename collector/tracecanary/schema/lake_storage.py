"""The files of a lake, in a folder or on an object store.

A file has a name below the lake, with slashes: `landing/spans/....parquet`. Files are immutable: they appear complete,
under their final name, and are never changed. Writers need no lock, and readers never see a part.
"""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tracecanary.schema.errors import LakeError
from tracecanary.schema.lake_location import FileLake, ObjectStoreLake

if TYPE_CHECKING:
    from typing_extensions import Buffer

UNFINISHED_SUFFIX = ".tmp"


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """A complete file: its name below the lake, its size, and when it was written, ns since the epoch."""

    name: str
    size_bytes: int
    modified_unix_ns: int


class LakeStorage(Protocol):
    """What can be done with the files of a lake. Any thread may call it.

    Every method raises `LakeError`, with the cause and the remedy, when the lake can't be reached or refuses.
    """

    @property
    def lake(self) -> FileLake:
        """Where the files are."""

    def connect(self) -> None:
        """Import and make what the other methods need, which they else do at their first call."""

    def files(self, folder: str, *, is_recursive: bool = False) -> list[StoredFile]:
        """List the complete files in `folder`, by name; an absent folder has none."""

    def publish(self, name: str, contents: Buffer, *, what: str = "a file") -> None:
        """Add `contents` as the file `name`: when this returns it survives a crash, before that nobody sees it.

        A file of this name is replaced: names of segments are unique. `what` is said in errors.
        """

    def create(self, name: str, contents: Buffer) -> bool:
        """Add `contents` as the file `name` unless that exists already; of several at a time, one is told True."""

    def read(self, name: str) -> bytes:
        """Return the contents of the file `name`."""

    def delete(self, name: str) -> None:
        """Remove the file `name`; one that is gone already is no error."""


class FolderStorage:
    """The files of a lake that is a folder."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake

    def connect(self) -> None:
        """See `LakeStorage`."""

    def path(self, name: str) -> Path:
        """Return where the file `name` is."""
        return self.lake / name

    def files(self, folder: str, *, is_recursive: bool = False) -> list[StoredFile]:
        """See `LakeStorage`."""
        try:
            return sorted(self._listed(self.lake / folder, is_recursive=is_recursive))
        except OSError as error:
            raise LakeError(f"can't list the lake {self.lake}: {error}. Check the path and its rights.") from error

    def _listed(self, folder: Path, *, is_recursive: bool) -> Iterator[StoredFile]:
        if not folder.is_dir():
            return
        try:
            paths = list(folder.iterdir())
        except FileNotFoundError:  # empty, and removed meanwhile
            return
        for path in paths:
            if path.name.startswith(".") or path.name.endswith(UNFINISHED_SUFFIX):
                continue
            if path.is_dir():
                if is_recursive:
                    yield from self._listed(path, is_recursive=True)
                continue
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                state = path.stat()
                yield StoredFile(path.relative_to(self.lake).as_posix(), state.st_size, state.st_mtime_ns)

    def publish(self, name: str, contents: Buffer, *, what: str = "a file") -> None:
        """See `LakeStorage`."""
        path = self.path(name)
        with _unfinished(path, contents, what) as unfinished:
            unfinished.rename(path)
        # The file is there, so from here on nothing may fail: its rows would be written a second time.
        sync_folder(path.parent)

    def create(self, name: str, contents: Buffer) -> bool:
        """See `LakeStorage`."""
        path = self.path(name)
        with _unfinished(path, contents, "a file") as unfinished:
            try:
                os.link(unfinished, path)
            except FileExistsError:
                return False
        sync_folder(path.parent)
        return True

    def read(self, name: str) -> bytes:
        """See `LakeStorage`."""
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise LakeError(f"can't read {self.path(name)}: {error}. Check the path and its rights.") from error

    def delete(self, name: str) -> None:
        """See `LakeStorage`."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise LakeError(f"can't remove {self.path(name)}: {error}. Check the rights of its folder.") from error


@contextlib.contextmanager
def _unfinished(path: Path, contents: Buffer, what: str) -> Iterator[Path]:
    """Give `contents`, on disk under a name that no reader looks at; remove that in the end."""
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{UNFINISHED_SUFFIX}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            yield unfinished
        finally:
            with contextlib.suppress(OSError):  # a file may stand where the folder should be
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise LakeError(
            f"can't write {what} to {path.parent}: {error}. Check that the folder is writable and has free space."
        ) from error


def sync_folder(folder: Path) -> None:
    """Make new names in `folder` survive a power cut, where the file system can: network ones and Windows refuse."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lake_storage(lake: FileLake) -> LakeStorage:
    """Return the files of `lake`. Nothing is opened before it is used."""
    if isinstance(lake, ObjectStoreLake):
        return _object_storage(lake.url, os.getpid())
    return FolderStorage(lake)


@functools.lru_cache(maxsize=16)
def _object_storage(url: str, _process_id: int) -> LakeStorage:
    # Connections don't survive a fork: every process has its own.
    from tracecanary.schema.lake_location import parse_file_lake
    from tracecanary.schema.object_storage import ObjectStorage

    lake = parse_file_lake(url)
    if not isinstance(lake, ObjectStoreLake):
        raise TypeError(f"{lake} is on no object store")
    return ObjectStorage(lake)
