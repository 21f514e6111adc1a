"""One journal file: rows that are safe from a crash, but not in the lake yet.

A file is an Arrow IPC stream cut into frames, one for each append: length and CRC-32 of the payload, then the payload.
Arrow's stream alone has no checksum, and does not tell a torn tail, which a crash may leave, from damage.

Whoever writes a file holds an advisory lock on it, which ends with the process however that ends: a process id would be
given away again, and means nothing in another container. A file that can be locked is therefore an orphan.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracecanary.schema import LakeError, journal_name, sync_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Buffer

# Appends are small. Measured at 512 rows: lz4 4 µs a row for writing and reading back, zstd 10 µs.
_COMPRESSION: Final = "lz4"
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter
_READ_BYTES: Final = 16 * 1024 * 1024
_FRAME = struct.Struct("<II")  # length of the payload, its CRC-32


class JournalFile:
    """A new journal file of this process. One thread at a time may add to it; any thread may close it.

    With `keeps_rows`, what is added stays in memory until it is read for the first time: at most a segment's rows, and
    worth it where they are sealed soon, since to read them back costs half as much as the segment.

    Raises:
        LakeError: It can't be made, for instance on a full disk, or where files can't be locked.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, keeps_rows: bool = False) -> None:
        self.rows = 0
        # In memory, too, until they are read: None when they are not.
        self._kept: list[pa.Table] | None = [] if keeps_rows else None
        self.size_bytes = 0
        self._waiting = _Waiting()
        self.is_usable = True  # whether it ends where the last whole append does, so that more can be added
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path, descriptor = _new_locked_file(folder)
            # Empty once it is closed: to take it out is atomic, and the number soon belongs to another file.
            self._descriptors = [descriptor]
            self._is_closed = False
            sync_folder(folder)
        except OSError as error:
            raise _write_error(folder, error) from error
        import pyarrow as pa

        # With threads, to hand the pieces out costs more than to compress them.
        options = pa.ipc.IpcWriteOptions(compression=_COMPRESSION, use_threads=False)
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._waiting, mode="w"), schema, options=options)
        try:
            # The stream starts with its schema, which the writer gives out with the first batch only.
            self._append(pa.record_batch([pa.array([], type=field.type) for field in schema], schema=schema))
        except LakeError:
            self.path.unlink(missing_ok=True)
            self.close()
            raise

    def takes(self, rows: int, *, most: int) -> bool:
        """Tell whether `rows` more can be added, for `most` in all: here, where somebody finds them after a crash."""
        return self.is_usable and self.rows + rows <= most and self._is_in_place()

    def _is_in_place(self) -> bool:
        try:
            return all(_is_still_at(self.path, descriptor) for descriptor in self._descriptors)
        except OSError:  # a folder above is a file now
            return False

    def append(self, table: pa.Table) -> None:
        """Add the rows of `table`; they are on disk when this returns.

        Raises:
            LakeError: They could not be written; the file is as it was before.
        """
        self._append(table)
        self.rows += table.num_rows
        if self._kept is not None:
            self._kept.append(table)

    def forget_rows(self) -> None:
        """Keep no rows in memory."""
        self._kept = None

    def read(self) -> JournalContents:
        """Return what was added, even if somebody has removed the file; damaged if it is less.

        Raises:
            OSError: The file can't be read, or is closed.
        """
        kept, self._kept = self._kept, None
        if kept:
            import pyarrow as pa

            return JournalContents(rows=pa.concat_tables(kept), is_damaged=False)
        try:
            descriptor = self._descriptors.pop()  # nobody closes it now: its number would be another file's
        except IndexError:
            raise OSError(f"{self.path} is closed") from None
        try:
            stored = bytearray()
            # Without moving it: it stands where the next append goes.
            while part := os.pread(descriptor, _READ_BYTES, len(stored)):
                stored += part
        finally:
            self._descriptors.append(descriptor)
            if self._is_closed:  # meanwhile
                self.close()
        contents = _contents(stored)
        found = 0 if contents.rows is None else contents.rows.num_rows
        return contents if found == self.rows else replace(contents, is_damaged=True)

    def _append(self, rows: pa.Table | pa.RecordBatch) -> None:
        descriptor = next(iter(self._descriptors), None)
        if descriptor is None or not self.is_usable:
            raise LakeError(f"the journal {self.path} takes no more rows: it is closed, or a write to it failed.")
        contents = self._frame(rows)
        try:
            written = 0
            while written < len(contents):
                written += os.write(descriptor, contents[written:])
            if rows.num_rows:
                _sync(descriptor)
        except OSError as error:
            # What was acknowledged later would stand behind half a message, and could not be read.
            self.is_usable = False
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self.size_bytes)
                os.lseek(descriptor, self.size_bytes, os.SEEK_SET)
                self.is_usable = True
            raise _write_error(self.path, error) from error
        self.size_bytes += len(contents)

    def _frame(self, rows: pa.Table | pa.RecordBatch) -> bytes:
        try:
            self._writer.write(rows)
        except BaseException:
            self._waiting.take()  # of several batches, some may be there; the next append must not begin with them
            raise
        parts = self._waiting.take()
        length, checksum = 0, 0
        for part in parts:
            length, checksum = length + len(part), zlib.crc32(part, checksum)
        return b"".join([_FRAME.pack(length, checksum), *parts])

    def close(self) -> None:
        """Let go of the file; again does nothing. In a forked child, this leaves the parent's lock alone."""
        self._is_closed = True
        with contextlib.suppress(IndexError, OSError):
            os.close(self._descriptors.pop())


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """What could be read of a journal: `rows` is None when there are none."""

    rows: pa.Table | None
    is_damaged: bool


def read_journal(path: Path) -> JournalContents:
    """Return the rows of the journal at `path`. A torn tail, which was never acknowledged, is no damage.

    Raises:
        OSError: The file can't be read.
    """
    return _contents(path.read_bytes())


def _contents(journal: bytes | bytearray) -> JournalContents:
    import pyarrow as pa

    stored = memoryview(journal)
    payloads, offset, is_damaged = [], 0, False
    while offset + _FRAME.size <= len(stored):
        length, checksum = _FRAME.unpack_from(stored, offset)
        payload = stored[offset + _FRAME.size : offset + _FRAME.size + length]
        if len(payload) < length:
            break
        if zlib.crc32(payload) != checksum:
            is_damaged = True
            break
        payloads.append(payload)
        offset += _FRAME.size + length
    if not payloads:
        return JournalContents(rows=None, is_damaged=is_damaged)
    try:
        options = pa.ipc.IpcReadOptions(use_threads=False)  # which cost more than they save, as for writing
        rows = pa.ipc.open_stream(pa.py_buffer(b"".join(payloads)), options=options).read_all()
    except (pa.ArrowException, OSError):  # no journal at all: Arrow says either
        return JournalContents(rows=None, is_damaged=True)
    return JournalContents(rows=rows if rows.num_rows else None, is_damaged=is_damaged)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold the journal at `path` while the block runs, if nobody else does; give whether that is so."""
    if fcntl is None:
        yield False
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # gone, or not ours to write
        yield False
        return
    try:
        yield _lock(descriptor) and _is_still_at(path, descriptor)
    finally:
        os.close(descriptor)


def _new_locked_file(folder: Path) -> tuple[Path, int]:
    if fcntl is None:
        raise OSError("this platform can't lock files")
    while True:
        path = folder / journal_name(unix_ms=time.time_ns() // 1_000_000)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            # Whoever looks for orphans may have taken the new file for one.
            if _lock(descriptor) and _is_still_at(path, descriptor):
                return path, descriptor
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _write_error(path: Path, error: OSError) -> LakeError:
    return LakeError(f"can't write the journal {path}: {error}. Check that the folder is writable and has free space.")


class _Waiting(io.RawIOBase):
    """Takes what Arrow writes, so that it can be written to the file whole or not at all."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Buffer) -> int:
        self._parts.append(bytes(part))
        return len(self._parts[-1])

    def take(self) -> list[bytes]:
        parts, self._parts = self._parts, []
        return parts
