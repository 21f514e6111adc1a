"""Copies of a lake's files for readers that need paths.

Theory of operation. Files never change, so a copy is made once and kept for all processes of a user: the most recently
used ones, up to a number of bytes. What a reader holds must outlive that: each process has a folder of hard links to
the copies that it uses. Dropping a copy takes its name only; its bytes go with the last link. A process that is killed
leaves its links to whoever comes next, who sees from an advisory lock that it is dead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tracecanary.schema.config import CacheSettings, cache_settings, folder_name
from tracecanary.schema.errors import LakeError
from tracecanary.schema.lake_location import FileLake
from tracecanary.schema.lake_storage import UNFINISHED_SUFFIX, LakeStorage, lake_storage

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_DOWNLOADS = 8  # at a time
_TRIES = 3  # another process may drop a copy between its download and its link


class Lease:
    """Local paths of files, in the order they were asked for, that stay until it is closed or forgotten."""

    def __init__(self, paths: Sequence[Path], release: Callable[[], None]) -> None:
        self.paths = tuple(paths)
        self.close = weakref.finalize(self, release)


class LocalCopies(Protocol):
    """Gives files of a lake a local path. Any thread may call it."""

    def lease(self, names: Sequence[str]) -> Lease:
        """Return the local paths of the files `names`, fetching what is missing.

        Raises:
            LakeError: A file can't be fetched, or not kept.
        """


class FolderCopies:
    """The files of a folder, which are local already."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake

    def lease(self, names: Sequence[str]) -> Lease:
        """See `LocalCopies`."""
        return Lease([self._lake / name for name in names], lambda: None)


class CachedCopies:
    """Copies of the files of `storage`, below `folder`.

    Args:
        storage: Where the files are.
        folder: Folder of this lake's copies.
        max_bytes: Most bytes of copies that are kept though nobody uses them.
    """

    def __init__(self, storage: LakeStorage, folder: Path, *, max_bytes: int) -> None:
        self._storage, self._max_bytes = storage, max_bytes
        self._copies, self._all_held = folder / "files", folder / "in-use"
        self._held = self._all_held / f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        # Guards the leases of each file and the links that stand for them.
        self._lock = threading.Lock()
        self._leases: Counter[str] = Counter()
        self._is_open = False

    def lease(self, names: Sequence[str]) -> Lease:
        """See `LocalCopies`."""
        held: list[str] = []
        try:
            with self._lock:
                self._open()
                # Imported where it is used: applications import this module, but read no lake.
                from concurrent.futures import ThreadPoolExecutor

                new = [name for name in dict.fromkeys(names) if not self._leases[name]]
                with ThreadPoolExecutor(_DOWNLOADS, "tracecanary-fetch") as pool:
                    list(pool.map(self._hold, new))
                held = list(dict.fromkeys(names))
                self._leases.update(held)
                if new:
                    self._drop_oldest()
        except OSError as error:
            raise LakeError(
                f"can't keep copies of {self._storage.lake} in {self._held}: {error}. "
                "Check its rights and its free space, or set TRACECANARY_CACHE to another folder."
            ) from error
        return Lease([self._held / name for name in names], lambda: self._release(held))

    def _hold(self, name: str) -> None:
        copy, link = self._copies / name, self._held / name
        link.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                if not link.exists():
                    os.link(copy, link)
                os.utime(link)  # of its copy, too: it is the same file
                return
            self._fetch(name, copy)
        raise FileNotFoundError(f"{copy} is removed as soon as it is made")

    def _fetch(self, name: str, copy: Path) -> None:
        contents = self._storage.read(name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = copy.with_name(f"{copy.name}.{uuid.uuid4().hex[:8]}{UNFINISHED_SUFFIX}")
        try:
            unfinished.write_bytes(contents)
            unfinished.rename(copy)
        finally:
            unfinished.unlink(missing_ok=True)

    def _drop_oldest(self) -> None:
        found = []
        for path in self._copies.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    state = path.stat()
                    found.append((state.st_mtime_ns, state.st_size, path))
        excess = sum(size for _, size, _ in found) - self._max_bytes
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def _release(self, names: Sequence[str]) -> None:
        with self._lock:
            self._leases.subtract(names)
            for name in names:
                if self._leases[name] <= 0:
                    del self._leases[name]
                    with contextlib.suppress(OSError):
                        (self._held / name).unlink()

    def _open(self) -> None:
        """Make the folder of this process's links, and remove those of processes that have died."""
        if self._is_open:
            return
        self._held.mkdir(parents=True)
        if fcntl is not None:
            for other in self._all_held.iterdir():
                if other != self._held and _is_abandoned(other):
                    shutil.rmtree(other, ignore_errors=True)
            weakref.finalize(self, _remove, self._held, _locked(self._held / ".lock"))
        self._is_open = True


def local_copies(lake: FileLake, settings: CacheSettings | None = None) -> LocalCopies:
    """Return what gives the files of `lake` local paths; `settings` are the environment's by default."""
    if isinstance(lake, Path):
        return FolderCopies(lake)
    settings = settings or cache_settings()
    return CachedCopies(lake_storage(lake), settings.folder / folder_name(lake), max_bytes=settings.max_bytes)


def _locked(path: Path) -> int:
    # Locked before it has its name: others would take an unlocked one for abandoned.
    unfinished = path.with_suffix(UNFINISHED_SUFFIX)
    descriptor = os.open(unfinished, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    unfinished.rename(path)
    return descriptor


def _is_abandoned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # being made, or removed
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)
