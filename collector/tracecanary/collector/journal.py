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

# Takes rows out of a journal of the given name, None for rows that are in none; raises LakeError when it can't.
Publish: TypeAlias = "Callable[[pa.Table, str | None], object]"


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
        root: Folder of the lake, or of its spool.
        table: Table that the rows belong to.
        max_file_rows: Most rows in a file, and so in a segment.
        max_bytes: Most bytes in all files.
        publish: Takes the rows in the end. Default: they become segments of the lake in `root`.
        keeps_rows: Whether rows stay in memory, too, until they are published: see `JournalFile`.
    """

    def __init__(
        self,
        root: Path,
        table: LakeTable,
        *,
        max_file_rows: int,
        max_bytes: int,
        publish: Publish | None = None,
        keeps_rows: bool = False,
    ) -> None:
        self._publish = publish or _publish_to(root, table)
        self._folder = journal_folder(root, table)
        self._max_file_rows, self._max_bytes = max_file_rows, max_bytes
        self._keeps_rows = keeps_rows
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
        last = self._files[-1] if self._files else None
        if last is None or not last.takes(rows.num_rows, most=self._max_file_rows):
            self._files.append(JournalFile(self._folder, rows.schema, keeps_rows=self._keeps_rows))
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
            self._publish(more, None)

    def close(self) -> int:
        """Let go of all files: what is in them is published by whoever comes next. Return how many rows that are."""
        left = self.rows
        self.forget()
        return left

    def forget_rows(self) -> None:
        """Keep no rows in memory: they are read back when they are published."""
        for file in self._files:
            file.forget_rows()

    def forget(self) -> None:
        """Let go of all files, in a child that was forked: they are the parent's."""
        while self._files:
            self._files.popleft().close()

    def _publish_oldest(self, more: pa.Table | None) -> None:
        publish_file(self._files[0], self._publish, more=more)
        self._files.popleft().close()


def publish_orphans(lake: Path) -> int:
    """Publish the journals that processes which died have left in a lake's folder; return the number of rows.

    Any number of processes may do this at a time. A journal that can't be read is renamed, never deleted.

    Raises:
        LakeError: The lake can't be written; what is journaled stays so.
    """
    return sum(publish_orphans_in(journal_folder(lake, table), _publish_to(lake, table)) for table in LakeTable)


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
    journal: Path | JournalFile,
    publish: Publish,
    *,
    more: pa.Table | None = None,
    using_arrow: AbstractContextManager[object] | None = None,
) -> int:
    """Give the rows of `journal`, and `more`, to `publish`, then remove it; return the number of rows.

    Args:
        journal: The path of an orphan, or a file of this process, which is read though somebody has removed it.
        publish: Takes the rows.
        more: Further rows.
        using_arrow: Held while Arrow is used.

    Raises:
        LakeError: `publish` failed, or the journal can't be read.
    """
    path = journal if isinstance(journal, Path) else journal.path
    try:
        with using_arrow or contextlib.nullcontext():
            import pyarrow as pa

            contents = read_journal(journal) if isinstance(journal, Path) else journal.read()
            rows = [part for part in (contents.rows, more) if part is not None]
            joined = pa.concat_tables(rows) if rows else None
        if joined is not None:
            publish(joined, path.stem)
        if contents.is_damaged:
            kept = path.with_suffix(_DAMAGED_SUFFIX)
            with contextlib.suppress(FileNotFoundError):  # removed by somebody
                path.rename(kept)
            _logger.error("a journal is damaged, and rows in it are lost. It is kept: %s", kept)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise LakeError(f"can't publish the journal {path}: {error}. Check the rights of its folder.") from error
    return 0 if joined is None else joined.num_rows


def _publish_to(lake: Path, table: LakeTable) -> Publish:
    return lambda rows, _: publish_segment(lake, table, rows)
