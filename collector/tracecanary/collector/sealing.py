"""From full or old journals to segments of the lake, on a thread of its own.

Theory of operation. `TableJournal` belongs to the thread that appends. When its rows are many or old, it hands its
journal over to the `Sealer` and begins a new one, so that no sender waits for Parquet. What can't be published stays a
journal, and is tried again until it can. A process that is killed leaves its journals as orphans.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracecanary.collector.config import IntakeSettings
from tracecanary.collector.intake_journal import intake_journal
from tracecanary.collector.journal import Journal
from tracecanary.schema import FileLake, LakeError, LakeTable

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
_RETRY_S = 1.0


class Sealer:
    """Publishes journals in the order in which they come."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Sealed | Future[None] | None] = queue.SimpleQueue()
        # Guards the counters below.
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._waiting_rows = 0
        self._is_closing = threading.Event()
        self.is_publishing = True  # whether the lake took what it was given last
        self._thread = threading.Thread(target=self._run, name="tracecanary-sealer", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of journals that were handed over and are not published."""
        return self._waiting_bytes

    @property
    def waiting_rows(self) -> int:
        """Rows of journals that were handed over and are not published."""
        return self._waiting_rows

    def hand_over(self, journal: Journal) -> None:
        """Publish `journal`, which nobody may append to any more."""
        sealed = _Sealed(journal, rows=journal.rows, size_bytes=journal.size_bytes)
        self._count(sealed, 1)
        self._queue.put(sealed)

    def after_all(self) -> Future[None]:
        """Return what is done when everything that was handed over so far is in the lake, or fails with LakeError."""
        done: Future[None] = Future()
        self._queue.put(done)
        return done

    def close(self, timeout_s: float) -> None:
        """Publish what waits, trying once more what can't be; the rest stays for the next process."""
        self._is_closing.set()
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        failed: list[_Sealed] = []
        while True:
            try:
                item = self._queue.get(timeout=_RETRY_S if failed else None)
            except queue.Empty:
                failed = [sealed for sealed in failed if not self._publish(sealed)]
                continue
            if item is None:
                break
            if isinstance(item, Future):
                failed = [sealed for sealed in failed if not self._publish(sealed)]
                _resolve(item, failed)
            elif not self._publish(item):
                failed.append(item)
        for sealed in failed:
            if not self._publish(sealed):
                sealed.journal.close()
        if self._waiting_rows:
            _logger.error("%d rows stay in the journal; the next process on this lake adds them", self._waiting_rows)

    def _publish(self, sealed: _Sealed) -> bool:
        try:
            sealed.journal.publish()
        except Exception as error:  # noqa: BLE001  the rows are safe: whatever it was, it is tried again
            if self.is_publishing:
                level = _logger.error if isinstance(error, LakeError) else _logger.exception
                level("%s It is tried again; the rows are safe in the journal.", error)
            self.is_publishing = False
            return False
        if not self.is_publishing:
            _logger.info("segments can be written again")
        self.is_publishing = True
        self._count(sealed, -1)
        return True

    def _count(self, sealed: _Sealed, sign: int) -> None:
        with self._lock:
            self._waiting_bytes += sign * sealed.size_bytes
            self._waiting_rows += sign * sealed.rows


def _resolve(done: Future[None], failed: list[_Sealed]) -> None:
    if failed:
        rows = sum(sealed.rows for sealed in failed)
        done.set_exception(
            LakeError(f"{rows} rows wait in the journal for the lake. See the log why it can't be written.")
        )
    else:
        done.set_result(None)


class TableJournal:
    """What arrived for one table and is not sealed. One thread at a time may append."""

    def __init__(self, lake: FileLake, table: LakeTable, settings: IntakeSettings, sealer: Sealer) -> None:
        self._lake, self._table, self._settings, self._sealer = lake, table, settings, sealer
        self._journal = self._new_journal()
        self._oldest_s: float | None = None
        # For whoever asks from another thread.
        self.rows = 0
        self.size_bytes = 0

    @property
    def age_s(self) -> float:
        """How long the oldest row waits, in seconds; 0 when none does."""
        oldest_s = self._oldest_s
        return 0.0 if oldest_s is None else time.monotonic() - oldest_s

    def append(self, rows: pa.Table) -> None:
        """Add `rows`; they survive a crash when this returns.

        Raises:
            LakeError: They could not be written; nothing was added.
        """
        if self._journal.rows and self._journal.rows + rows.num_rows > self._settings.max_segment_rows:
            self.seal()
        waiting = self._sealer.waiting_bytes + self._journal.size_bytes
        if waiting >= self._settings.max_journal_bytes:
            raise LakeError(
                f"the journal of {self._lake} is full: {waiting} bytes wait for the lake. "
                "See the errors above why it can't be written."
            )
        self._journal.append(rows)
        if self._oldest_s is None:
            self._oldest_s = time.monotonic()
        self.rows, self.size_bytes = self._journal.rows, self._journal.size_bytes

    def seal(self) -> None:
        """Hand all rows over to become a segment."""
        if not self._journal.rows:
            return
        self._sealer.hand_over(self._journal)
        self._journal = self._new_journal()
        self._oldest_s = None
        self.rows = self.size_bytes = 0

    def seal_if_due(self) -> None:
        """Hand all rows over when the oldest has waited long enough."""
        if self.age_s >= self._settings.seal_interval_s:
            self.seal()

    def _new_journal(self) -> Journal:
        return intake_journal(
            self._lake,
            self._table,
            max_file_rows=self._settings.max_segment_rows,
            max_bytes=self._settings.max_journal_bytes,
        )


@dataclass(frozen=True, slots=True)
class _Sealed:
    journal: Journal
    rows: int
    size_bytes: int
