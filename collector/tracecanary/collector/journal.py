"""Rows that are safe from a crash, but not in the lake yet.

Theory of operation. Parquet is cheap only in large batches, and large batches wait. In between, rows go to a journal:
files of at most a segment's rows, on disk before `append` returns. `publish` turns each file into a segment of the lake
and deletes it. While the lake can't be written, full files pile up to `max_bytes`. A process that is killed leaves its
files to whoever comes next: see `publish_orphans`. Killed between the two steps of publishing, it leaves rows twice,
which readers count once.

For a lake that is not on this machine, see `remote_journal.py`.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tracecanary.collector.journal_files import JournalFile, claimed, read_journal
from tracecanary.collector.segments import publish_segment
from tracecanary.schema import JOURNAL_SUFFIX, LakeError, LakeTable, journal_folder

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
_DAMAGED_SUFFIX = ".damaged"

# Takes rows out of a journal of the given name, and raises LakeError when it can't.
Publish: TypeAlias = "Callable[[pa.Table, str], object]"


class FullJournalError(LakeError):
    """Too many bytes wait for the lake already."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder, self.size_bytes = folder, size_bytes
        super().__init__(
            f"the journal {folder} is full: {size_bytes} bytes wait for the lake. "
            "See the errors above why it can't be written."
        )


class Journal:
    """What one process has journaled of one table. Its caller sees to it that one thread at a time uses it.

    Args:
        lake: Lake that rows are published to.
        table: Table that they belong to.
        max_file_rows: Most rows in a file, and so in a segment.
        max_bytes: Most bytes in all files.
    """

    def __init__(self, lake: Path, table: LakeTable, *, max_file_rows: int, max_bytes: int) -> None:
        self._lake, self._table = lake, table
        self._folder = journal_folder(lake, table)
        self._max_file_rows, self._max_bytes = max_file_rows, max_bytes
        self._files: deque[JournalFile] = deque()  # oldest first; only the last one is added to

    @property
    def rows(self) -> int:
        """Rows that are journaled and not published."""
        return sum(file.rows for file in self._files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self._files)

    def append(self, rows: pa.Table) -> None:
        """Add `rows`; they survive a crash when this returns.

        Raises:
            LakeError: They could not be written, or too many bytes wait already; nothing was added.
        """
        if self.size_bytes >= self._max_bytes:
            raise FullJournalError(self._folder, self.size_bytes)
        newest = self._files[-1] if self._files else None
        if newest is None or newest.rows + rows.num_rows > self._max_file_rows or not newest.is_in_place:
            self._files.append(JournalFile(self._folder, rows.schema))
        self._files[-1].append(rows)

    def publish(self, more: pa.Table | None = None) -> None:
        """Move everything into the lake, together with `more`.

        Raises:
            LakeError: The lake can't be written. What is journaled stays so; `more` was not added.
        """
        added = 0 if more is None else more.num_rows
        while self._files:
            is_room_left = len(self._files) == 1 and self._files[0].rows + added <= self._max_file_rows
            self._publish_oldest(more if is_room_left else None)
            if is_room_left:
                return
        if more is not None and added:
            publish_segment(self._lake, self._table, more)

    def close(self) -> int:
        """Let go of all files: what is in them is published by whoever comes next. Return how many rows that are."""
        left = self.rows
        self.forget()
        return left

    def forget(self) -> None:
        """Let go of all files, in a child that was forked: they are the parent's."""
        while self._files:
            self._files.popleft().close()

    def _publish_oldest(self, more: pa.Table | None) -> None:
        oldest = self._files[0]
        publish_file(oldest.path, lambda rows, _: publish_segment(self._lake, self._table, rows), more=more, own=oldest)
        self._files.popleft().close()


def publish_orphans(lake: Path) -> int:
    """Publish the journals that processes which died have left in a lake's folder; return the number of rows.

    Any number of processes may do this at a time. A journal that can't be read is renamed, never deleted.

    Raises:
        LakeError: The lake can't be written; what is journaled stays so.
    """

    def publish(table: LakeTable) -> Publish:
        return lambda rows, _: publish_segment(lake, table, rows)

    return sum(publish_orphans_in(journal_folder(lake, table), publish(table)) for table in LakeTable)


def publish_orphans_in(
    folder: Path, publish: Publish, *, using_arrow: AbstractContextManager[object] | None = None
) -> int:
    """Give the journals in `folder` whose processes have died to `publish`; return the number of rows.

    Raises:
        LakeError: As `publish_orphans`.
    """
    published = 0
    for path in sorted(folder.glob(f"*{JOURNAL_SUFFIX}")):
        with claimed(path) as is_orphan:
            if is_orphan:
                rows = publish_file(path, publish, using_arrow=using_arrow)
                published += rows
                if rows:
                    _logger.info("published %d rows of %s that a process had left", rows, folder.name)
    return published


def publish_file(
    path: Path,
    publish: Publish,
    *,
    more: pa.Table | None = None,
    own: JournalFile | None = None,
    using_arrow: AbstractContextManager[object] | None = None,
) -> int:
    """Give the rows of the journal at `path`, and `more`, to `publish`, then remove it; return the number of rows.

    `own` is the file when this process writes it: its rows are there even if somebody has deleted it.

    Raises:
        LakeError: `publish` failed, or the journal can't be read.
    """
    try:
        with using_arrow or contextlib.nullcontext():
            import pyarrow as pa

            contents = read_journal(path) if own is None else own.contents()
            rows = [part for part in (contents.rows, more) if part is not None]
            joined = pa.concat_tables(rows) if rows else None
        if joined is not None:
            publish(joined, path.stem)
        _remove(path, is_damaged=contents.is_damaged)
    except OSError as error:
        raise LakeError(f"can't publish the journal {path}: {error}. Check the rights of its folder.") from error
    return 0 if joined is None else joined.num_rows


def _remove(path: Path, *, is_damaged: bool) -> None:
    try:
        if is_damaged:
            kept = path.rename(path.with_suffix(_DAMAGED_SUFFIX))
            _logger.error("a journal is damaged, and rows in it are lost. It is kept: %s", kept)
        else:
            path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        _logger.warning("the journal %s was deleted while it was in use; its rows are published", path)
