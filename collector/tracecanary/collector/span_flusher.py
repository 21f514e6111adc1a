"""From the queue into the journal and the lake, on whatever thread calls it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracecanary.collector.config import CaptureSettings
from tracecanary.collector.destinations import open_journal
from tracecanary.collector.evaluation_flusher import EvaluationFlusher
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.forks import ForkLocks
from tracecanary.collector.journal import publish_orphans
from tracecanary.collector.losses import Losses
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.packed_spans import PackedSpan
from tracecanary.collector.remote_journal import RemoteJournal
from tracecanary.collector.span_buffer import SpanBuffer
from tracecanary.collector.span_tables import grouped_table
from tracecanary.schema import SPAN_COLUMNS, LakeError, LakeTable, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
# A fork waits at most this long for Arrow to be out of use. Mostly that is at once; on a busy machine, importing Arrow
# takes seconds, and a child that is forked meanwhile can't write.
FORK_PATIENCE_S = 10.0
# Unpacked together: the values of more would not stay in the processor's cache until they are read. Compiled code
# reads what repeats once a chunk, however large.
_CHUNK_SPANS, _ACCELERATED_CHUNK_SPANS = 1_024, 8_192
_GROWTH = 8
# Rows that are worth a batch of their own in the journal.
_LEAST_BATCH = 1_024


class SpanFlusher:
    """Stores what waits in `buffer`, a segment's worth at a time. Only one thread at a time may call it."""

    def __init__(self, settings: CaptureSettings, buffer: SpanBuffer, losses: Losses) -> None:
        self._settings = settings
        self._buffer = buffer
        self._losses = losses
        self._normaliser = Normaliser(settings.rules)
        self._in_hand: Sequence[PackedSpan] = ()
        self._has_looked_for_orphans = False
        # After a failure one span is tried first, then more and more: to convert all of them for every try in vain
        # would cost the application more than capturing them did.
        self._next_spans = settings.max_segment_spans
        self.is_lake_writable = True  # whether the lake took what it was given last
        self.is_storing = True  # whether the last spans could be stored, in the lake or the journal
        self.stored_spans = 0
        self.locks = ForkLocks()
        self._writing = self.locks.arrow
        self._journal = open_journal(settings, LakeTable.SPANS, losses, locks=self.locks)
        self.evaluations = EvaluationFlusher(settings, locks=self.locks)

    @property
    def unstored_spans(self) -> int:
        """Spans that were taken from the queue and are not stored yet."""
        return len(self._in_hand)

    def load_arrow(self) -> None:
        """Import what the journal needs: beside busy threads, that may take longer than spans are to wait."""
        try:
            with self._writing:
                import pyarrow.compute  # noqa: F401  used by others
        except Exception:  # it is told when there is something to write
            _logger.debug("Arrow can't be loaded", exc_info=True)

    def flush(self, *, is_publishing: bool = True) -> bool:
        """Store what waits now, in the lake, or in the journal unless `is_publishing`.

        Returns:
            Whether nothing has to be tried again.
        """
        waiting = len(self._buffer)
        most = self._settings.max_segment_spans
        is_full = waiting >= most  # a batch that needs no journal to become a large one
        while waiting > 0:
            size = min(waiting, self._next_spans)
            if not self._store_oldest(size, is_last=size in (waiting, most), is_publishing=is_publishing or is_full):
                self._next_spans = 1
                return False
            self._next_spans = min(self._next_spans * _GROWTH, most)
            waiting -= size
        if is_publishing and self._journal.rows:
            self._publish(None)
        return self._flush_evaluations(is_publishing=is_publishing) and self.is_lake_writable

    def close(self) -> None:
        """Let go of the journal: what could not be published is left to the next process on this lake."""
        left = self._journal.close()
        if self.evaluations.close() or left:
            self.is_lake_writable = False
        if left:
            _logger.error(
                "%d spans stay in the journal of %s. The next process or service that opens this lake adds them.",
                left,
                self._settings.lake,
            )

    def forget(self) -> None:
        """Leave everything to the parent, in a child that was forked from it."""
        self._journal.forget()
        self.evaluations.forget()

    def wait_until_published(self, timeout_s: float) -> bool:
        """Wait until a lake behind a network has what the journals had; return whether it has, and all went well."""
        deadline_s = time.monotonic() + timeout_s
        if isinstance(self._journal, RemoteJournal) and not self._journal.wait(timeout_s):
            return False
        return self.evaluations.wait_until_published(max(0.0, deadline_s - time.monotonic())) and self.is_lake_writable

    def _store_oldest(self, spans: int, *, is_last: bool, is_publishing: bool) -> bool:
        self._in_hand = taken = self._buffer.take(spans)
        was_storing = self.is_storing
        is_stored = self._store(taken, is_publishing=is_publishing)
        if is_stored:
            self._buffer.release(taken)
        else:
            self._buffer.put_back(taken)  # nothing accepted is lost: the next flush tries again
        self._in_hand = ()
        # A disk that is full has room for a span or two.
        self.is_storing = is_stored and (was_storing or is_last)
        if self.is_storing and not was_storing:
            _logger.info("writing to %s works again", self._settings.lake)
        return is_stored

    def _store(self, taken: list[PackedSpan], *, is_publishing: bool) -> bool:
        """Store `taken` but for those that can't be stored, which are counted; return False to try again."""
        try:
            with self._writing:
                self._publish_orphans()
                carried = self.evaluations.carried()
                table = self._table(taken, carried)
                # Before the spans: what fails is tried again, and stored twice is stored once.
                if not self.evaluations.store(carried.rows, is_publishing=is_publishing):
                    return False
                if table.num_rows and not self._is_table_stored(table, is_publishing=is_publishing):
                    return False
        except Exception as error:  # noqa: BLE001  memory full, Arrow missing: not the spans' fault
            self._log_failure(error)
            return False
        self.stored_spans += table.num_rows
        if table.num_rows < len(taken):
            self._losses.add("malformed", len(taken) - table.num_rows)
            _logger.warning("%d spans hold values that can't be stored", len(taken) - table.num_rows)
        return True

    def _table(self, taken: Sequence[PackedSpan], evaluations: SpanEvaluations) -> pa.Table:
        import pyarrow as pa

        size = _ACCELERATED_CHUNK_SPANS if self._buffer.packer.is_accelerated else _CHUNK_SPANS
        chunks = [taken[first : first + size] for first in range(0, len(taken), size)]
        tables = [table for chunk in chunks for table in self._chunk_tables(chunk, evaluations)]
        joined = pa.concat_tables(tables or [arrow_schema(SPAN_COLUMNS).empty_table()])
        # Each chunk is compressed by itself; to copy large ones would cost more than that.
        is_fragmented = joined.num_rows < _LEAST_BATCH * joined.column(0).num_chunks
        return joined.combine_chunks() if is_fragmented else joined

    def _chunk_tables(self, chunk: Sequence[PackedSpan], evaluations: SpanEvaluations) -> list[pa.Table]:
        known_evaluations = len(evaluations.rows)
        try:
            return [grouped_table(*self._buffer.packer.unpack(chunk), self._normaliser, evaluations)]
        except (MemoryError, ImportError, OSError):  # not the spans' fault: they are tried again
            raise
        except Exception:
            # Tried again it would fail again, and no span behind it would ever be stored: halved until only the span
            # that can't be read is left out.
            del evaluations.rows[known_evaluations:]
            if len(chunk) == 1:
                _logger.debug("a span could not be read", exc_info=True)
                return []
            half = len(chunk) // 2
            return self._chunk_tables(chunk[:half], evaluations) + self._chunk_tables(chunk[half:], evaluations)

    def _flush_evaluations(self, *, is_publishing: bool) -> bool:
        try:
            with self._writing:
                return self.evaluations.flush(is_publishing=is_publishing)
        except Exception as error:  # noqa: BLE001  memory full, Arrow missing
            self._log_failure(error)
            return False

    def _is_table_stored(self, table: pa.Table, *, is_publishing: bool) -> bool:
        # Each is the other's way out: a lake out of reach leaves the journal, a folder without locks the lake.
        if is_publishing:
            return self._publish(table) or self._is_journaled(table)
        return self._is_journaled(table) or self._publish(table)

    def _is_journaled(self, table: pa.Table) -> bool:
        try:
            self._journal.append(table)
        except LakeError:
            _logger.debug("spans could not be journaled", exc_info=True)
            return False
        return True

    def _publish(self, more: pa.Table | None) -> bool:
        try:
            with self._writing:
                self._journal.publish(more)
        except Exception as error:  # noqa: BLE001  it would end the writer's thread: memory full, Arrow missing
            self._log_failure(error)
            self.is_lake_writable = False
            return False
        self.is_lake_writable = True
        return True

    def _publish_orphans(self) -> None:
        """Add what processes that died have left. Once: the service looks from time to time."""
        if self._has_looked_for_orphans or not isinstance(self._settings.lake, Path):  # else its journal does
            return
        self._has_looked_for_orphans = True
        try:
            publish_orphans(self._settings.lake)
        except LakeError as error:
            _logger.warning("%s", error)

    def _log_failure(self, error: Exception) -> None:
        if self.is_lake_writable and self.is_storing:
            _logger.error("%s Spans are kept and tried again.", error)
