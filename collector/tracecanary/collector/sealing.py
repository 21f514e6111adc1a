"""From full or old journals to segments of the lake, on a thread of its own.

Theory of operation. `TableJournal` belongs to the thread that appends. When its rows are many or old, it hands its
journal over to the `Sealer` and begins a new one, so that no sender waits for Parquet. What can't be published stays a
journal, and is tried again until it can; while many wait, full ones only are handed over, since each holds a file open.
A process that is killed leaves its journals as orphans.
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
# Each is an open file, of which a process has 1,024 in most places.
_MAX_WAITING_JOURNALS = 100


class Sealer:
    """Publishes journals in the order in which they come."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Sealed | Future[None] | None] = queue.SimpleQueue()
        # Guards the journals that were handed over and are not published, oldest first.
        self._lock = threading.Lock()
        self._waiting: list[_Sealed] = []
        self._is_closing = threading.Event()
        self.is_publishing = True  # whether the lake took what it was given last
        self._thread = threading.Thread(target=self._run, name="tracecanary-sealer", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of journals that were handed over and are not published."""
        with self._lock:
            return sum(sealed.size_bytes for sealed in self._waiting)

    @property
    def waiting_rows(self) -> int:
        """Rows of journals that were handed over and are not published."""
        with self._lock:
            return sum(sealed.rows for sealed in self._waiting)

    @property
    def age_s(self) -> float:
        """How long the oldest row of these has waited, in seconds; 0 when none does."""
        with self._lock:
            return time.monotonic() - self._waiting[0].oldest_s if self._waiting else 0.0

    @property
    def is_crowded(self) -> bool:
        """Whether so many journals wait that only full ones shall be handed over."""
        return len(self._waiting) >= _MAX_WAITING_JOURNALS

    def hand_over(self, journal: Journal, *, oldest_s: float) -> None:
        """Publish `journal`, which nobody may append to any more, and whose oldest row is of `oldest_s`, monotonic."""
        sealed = _Sealed(journal, rows=journal.rows, size_bytes=journal.size_bytes, oldest_s=oldest_s)
        with self._lock:
            if self._waiting:  # while the lake is slow, or can't be written, memory must not grow
                journal.forget_rows()
            self._waiting.append(sealed)
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
        next_try_s = 0.0
        while True:
            # Before what comes next: under a stream of new journals there is always something next.
            if failed and time.monotonic() >= next_try_s:
                failed = self._unpublished(failed)
                next_try_s = time.monotonic() + _RETRY_S
            try:
                item = self._queue.get(timeout=max(next_try_s - time.monotonic(), 0) if failed else None)
            except queue.Empty:
                continue
            if item is None:
                break
            if isinstance(item, Future):
                failed = self._unpublished(failed)
                _resolve(item, failed)
            elif not self._publish(item):
                failed.append(item)
        for sealed in self._unpublished(failed):
            sealed.journal.close()
        rows = self.waiting_rows
        if rows:
            _logger.error("%d rows stay in the journal; the next process on this lake adds them", rows)

    def _unpublished(self, failed: list[_Sealed]) -> list[_Sealed]:
        """Try `failed` again; return those that still can't be published."""
        for place, sealed in enumerate(failed):
            if not self._publish(sealed):
                # Most often none can be, and finding out costs a Parquet file each. Last in line, it bars no other.
                return [*failed[place + 1 :], sealed]
        return []

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
        with self._lock:
            self._waiting.remove(sealed)
        return True


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
        """How long the oldest row that is not handed over waits, in seconds; 0 when none does."""
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

    def seal(self, *, is_last: bool = False) -> None:
        """Hand all rows over to become a segment, unless too many wait for that and more can be added here."""
        if self._oldest_s is None or not (is_last or not self._sealer.is_crowded or self._is_full):
            return
        self._sealer.hand_over(self._journal, oldest_s=self._oldest_s)
        self._journal = self._new_journal()
        self._oldest_s = None
        self.rows = self.size_bytes = 0

    def seal_if_due(self) -> None:
        """Hand all rows over when the oldest has waited long enough."""
        if self.age_s >= self._settings.seal_interval_s:
            self.seal()

    @property
    def _is_full(self) -> bool:
        return self.rows >= self._settings.max_segment_rows

    def _new_journal(self) -> Journal:
        return intake_journal(
            self._lake,
            self._table,
            max_file_rows=self._settings.max_segment_rows,
            max_bytes=self._settings.max_journal_bytes,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Sealed:
    journal: Journal
    rows: int
    size_bytes: int
    oldest_s: float
