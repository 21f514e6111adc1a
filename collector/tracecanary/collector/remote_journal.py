"""Rows that wait for a lake behind a network: an object store, or a server that takes OTLP.

Theory of operation. The writer only ever appends to journal files in a local folder, the spool, and closes them for
appending ("seals" them). A thread of its own hands the sealed ones on, oldest first, so that a slow or dead network
delays neither the journal nor the queue before it. While that fails, it is tried again after ever longer waits, and
only full files are sealed: each holds a file descriptor. What the process leaves behind, however it ends, stands in the
spool, and any process that writes to the same lake from this machine takes it over.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from tracecanary.collector.forks import ForkLocks
from tracecanary.collector.journal import FullJournalError, Publish, publish_file, publish_orphans_in
from tracecanary.collector.journal_files import JournalFile
from tracecanary.schema import LakeError, LakeTable, journal_folder

if TYPE_CHECKING:
    import pyarrow as pa

    from tracecanary.collector.destinations import Destination

_logger = logging.getLogger(__name__)
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0
_MAX_RETRY_AFTER_S = 3_600.0
# How long spans of a process that was killed stay in the spool beside one that lives on.
_ORPHANS_INTERVAL_S = 15.0


class Delays:
    """How long to wait between tries that fail: ever longer, and as long as a server asks for."""

    def __init__(self) -> None:
        self._base_s = _FIRST_DELAY_S

    def next_s(self, error: Exception) -> float:
        """Return the seconds to wait after `error`."""
        # Up to half as long again, so that processes which failed together don't try together.
        delay_s = self._base_s * random.uniform(1.0, 1.5)  # noqa: S311  no secret
        self._base_s = min(2 * self._base_s, _MAX_DELAY_S)
        retry_after_s: float = getattr(error, "retry_after_s", 0.0)
        return max(delay_s, min(retry_after_s, _MAX_RETRY_AFTER_S))


class RemoteJournal:
    """What one process has journaled of one table, for `destination`. One thread at a time may append and publish.

    Args:
        spool: Folder of all journals of the lake on this machine.
        table: Table that the rows belong to.
        destination: Where they go.
        max_file_rows: Most rows in a file.
        max_bytes: Most bytes in all files.
        locks: Held while Arrow is used.
        close_patience_s: How long `close` waits for what is left to be handed on.
    """

    def __init__(
        self,
        spool: Path,
        table: LakeTable,
        destination: Destination,
        *,
        max_file_rows: int,
        max_bytes: int,
        locks: ForkLocks,
        close_patience_s: float = 30.0,
    ) -> None:
        self._spool, self._folder = spool, journal_folder(spool, table)
        self._table, self._destination = table, destination
        self._max_file_rows, self._max_bytes = max_file_rows, max_bytes
        self._locks, self._close_patience_s = locks, close_patience_s
        # Guards all fields below but the last; notified when one of them changes.
        self._changed = threading.Condition()
        self._open: JournalFile | None = None
        self._sealed: deque[JournalFile] = deque()  # oldest first
        self._is_seal_wanted = False
        self._is_try_wanted = False
        self._is_closing = False
        self._is_failing = False
        self._files_published = 0
        self._tries_started = self._tries_done = 0
        self._worker: threading.Thread | None = None

    @property
    def rows(self) -> int:
        """Rows that are journaled and not handed on."""
        with self._changed:
            return sum(file.rows for file in self._files())

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        with self._changed:
            return sum(file.size_bytes for file in self._files())

    def append(self, rows: pa.Table) -> None:
        """Add `rows`; they survive a crash when this returns.

        Raises:
            LakeError: They could not be written, or too many bytes wait already; nothing was added.
        """
        if self.size_bytes >= self._max_bytes:
            raise FullJournalError(self._folder, self.size_bytes)
        with self._changed:
            if self._open is not None and not self._open.takes(rows.num_rows, most=self._max_file_rows):
                self._seal()
            if self._open is None:
                self._open = JournalFile(self._folder, rows.schema)
            self._open.append(rows)
        self._start()

    def publish(self, more: pa.Table | None = None) -> None:
        """Have all that is journaled handed on, together with `more`, soon: `wait` tells when.

        Raises:
            LakeError: `more` could be neither journaled nor handed on.
        """
        if more is not None and more.num_rows:
            try:
                self.append(more)
            except FullJournalError:
                raise
            except LakeError:  # no room, no locks: then without a journal
                self._destination.publish(self._table, more, name=None)
        with self._changed:
            self._is_seal_wanted = True
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until all that was journaled before is handed on, or a new try of that fails; return whether it is."""
        with self._changed:
            wanted = self._files_published + sum(1 for file in self._files() if file.rows)
            if wanted == self._files_published:
                return True
            self._is_seal_wanted = self._is_try_wanted = True
            self._changed.notify_all()
            tries = self._tries_started + 1
            self._changed.wait_for(
                lambda: self._files_published >= wanted or self._tries_done >= tries, timeout=timeout_s
            )
            return self._files_published >= wanted

    def close(self) -> int:
        """Hand on what is left, if that works now, and let go of the rest; return how many rows that is."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.join(self._close_patience_s)
        with self._changed:  # the worker may still be at it
            left = sum(file.rows for file in self._files())
            self.forget()
        return left

    def forget(self) -> None:
        """Let go of all files, in a child that was forked: what is in them is its parent's to hand on."""
        # Unlocked: the child may have inherited the lock without the thread that would release it.
        for file in self._files():
            file.close()

    def _files(self) -> list[JournalFile]:
        return [*self._sealed, *([self._open] if self._open is not None else [])]

    def _seal(self) -> None:
        if self._open is not None:
            self._sealed.append(self._open)
            self._open = None
        self._is_seal_wanted = False
        self._changed.notify_all()

    def _start(self) -> None:
        if self._worker is None:
            self._worker = threading.Thread(target=self._run, name="tracecanary-sender", daemon=True)
            self._worker.start()

    def _run(self) -> None:
        _suppress_instrumentation()
        delays = Delays()
        timeout_s, is_last = _ORPHANS_INTERVAL_S, False
        while not is_last:
            with self._changed:
                self._changed.wait_for(self._has_work, timeout=timeout_s)
                is_last = self._is_closing
                self._is_try_wanted = False
                self._tries_started += 1
            error = self._hand_on_all()
            if error is None:
                delays = Delays()
            timeout_s = _ORPHANS_INTERVAL_S if error is None else delays.next_s(error)
            with self._changed:
                self._is_failing = error is not None
                self._tries_done = self._tries_started
                self._changed.notify_all()

    def _has_work(self) -> bool:
        if self._is_closing or self._is_try_wanted:
            return True
        # While it fails, only time or a wish starts the next try.
        return not self._is_failing and bool(self._sealed or (self._is_seal_wanted and self._open is not None))

    def _hand_on_all(self) -> Exception | None:
        """Hand on what is sealed, and what others have left; return what stood in the way."""
        was_failing = self._is_failing
        try:
            while (file := self._oldest()) is not None:
                publish_file(file, self._publish_to(self._table), using_arrow=self._locks.arrow)
                with self._changed:
                    self._sealed.popleft()
                    self._files_published += 1
                    self._changed.notify_all()
                file.close()
            for table in LakeTable:
                publish = self._publish_to(table)
                publish_orphans_in(journal_folder(self._spool, table), publish, using_arrow=self._locks.arrow)
        except Exception as error:
            if not was_failing:
                _logger.error("%s %d rows wait in %s and are tried again.", error, self.rows, self._folder)  # noqa: TRY400
            _logger.debug("rows could not be handed on", exc_info=True)
            return error
        if was_failing:
            _logger.info("rows that waited in %s are handed on again", self._folder)
        return None

    def _oldest(self) -> JournalFile | None:
        with self._changed:
            if not self._sealed and (self._is_seal_wanted or self._is_closing):
                self._seal()
            return self._sealed[0] if self._sealed else None

    def _publish_to(self, table: LakeTable) -> Publish:
        return lambda rows, name: self._destination.publish(table, rows, name=name)


def _suppress_instrumentation() -> None:
    """Have no spans made of what this thread sends: each would be sent again."""
    with contextlib.suppress(ImportError):  # a private name, which all exporters of OpenTelemetry use
        from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, set_value

        attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003
