"""Storing what a server receives: on disk before it is acknowledged, and many requests for one sync.

Theory of operation. Senders hand requests over and wait. One thread takes all that wait, up to a group's bytes, decodes
them, appends the rows of the whole group to the journal with one sync, and only then tells each sender. While the disk
is busy the next group forms, so that the more arrives the less a request costs. What waits is bounded in bytes: above
that, senders are told to come back later. Sealing is another thread's work.

A request that can't be decoded fails alone; when the disk fails, all of the group do, and their senders try again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracecanary.collector.config import IntakeSettings
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.intake_counts import IntakeCounts
from tracecanary.collector.intake_groups import DecodedRequests, decode_requests, without_spans
from tracecanary.collector.intake_requests import Decoded, IntakeRequest
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.rules import Rules
from tracecanary.collector.sealing import Sealer, TableJournal
from tracecanary.collector.segments import storable_table
from tracecanary.collector.span_tables import grouped_table, span_table
from tracecanary.schema import EVALUATION_COLUMNS, FileLake, LakeError, LakeTable, OverloadedError, TraceCanaryError

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
# As they come, and decompressed: decoded, a span takes several times its bytes on the wire.
_MAX_GROUP_BYTES = 8 * 1024 * 1024
_MAX_PART_BYTES = 16 * 1024 * 1024
# As many requests as came together the last time are waited for, this long: senders that wait for an answer all send
# again when they get it. A sender that is alone waits for nobody.
_PATIENCE_S = 0.01
_RETRY_AFTER_S = 1
_CLOSE_PATIENCE_S = 30.0
_UNSTORABLE = "spans with values that can't be stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """What became of one request; what is accepted is on disk. `rejected` counts by reason."""

    spans: int = 0
    evaluations: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


class Intake:
    """Stores requests in the lake. Safe to use from any thread.

    Args:
        lake: A folder, or an object store.
        settings: Limits.
        rules: How spans are read, and when an evaluation has passed.
    """

    def __init__(self, lake: FileLake, settings: IntakeSettings, rules: Rules) -> None:
        self.settings = settings
        self.counts = IntakeCounts()
        self._normaliser = Normaliser(rules)
        self.pass_rules = rules.evaluators
        self._sealer = Sealer()
        self._journals = {table: TableJournal(lake, table, settings, self._sealer) for table in LakeTable}
        self._queue: queue.SimpleQueue[_Waiting | Future[Future[None]] | None] = queue.SimpleQueue()
        # Guards the two fields below.
        self._lock = threading.Lock()
        self._reserved_bytes = 0
        self._is_closed = False
        self._last_requests = 0  # of the thread alone: how many came together
        self.is_storing = True  # whether the journal took what it was given last
        self._thread = threading.Thread(target=self._run, name="tracecanary-intake", daemon=True)
        self._thread.start()

    @property
    def reserved_bytes(self) -> int:
        """Bytes of requests that arrive or wait for the disk."""
        return self._reserved_bytes

    @property
    def journal_bytes(self) -> int:
        """Bytes that are safe, but not in segments yet."""
        return self._sealer.waiting_bytes + sum(journal.size_bytes for journal in self._journals.values())

    @property
    def has_unpublished_rows(self) -> bool:
        """Whether some acknowledged rows can't be seen by readers yet."""
        return bool(self._sealer.waiting_rows or any(journal.rows for journal in self._journals.values()))

    @property
    def lag_s(self) -> float:
        """How long the oldest row that readers can't see yet has waited, in seconds; 0 when none does."""
        return max(self._sealer.age_s, *(journal.age_s for journal in self._journals.values()))

    @property
    def is_publishing(self) -> bool:
        """Whether the lake took the segments that it was given last."""
        return self._sealer.is_publishing

    def reserve(self, size_bytes: int) -> None:
        """Make room for a part of a request that arrives; `release` gives it back.

        Raises:
            OverloadedError: Too many bytes wait already.
        """
        with self._lock:
            if self._reserved_bytes + max(size_bytes, 1) > self.settings.max_waiting_bytes:
                raise OverloadedError(
                    f"{self._reserved_bytes} bytes wait for the disk. Send again in {_RETRY_AFTER_S} s.",
                    retry_after_s=_RETRY_AFTER_S,
                )
            self._reserved_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._reserved_bytes -= size_bytes

    def submit(self, request: IntakeRequest) -> Future[Acknowledgement]:
        """Store `request`, whose bytes are reserved, and return what tells when it is on disk.

        The future fails with MalformedInputError or TooLargeError (the request's own fault), or LakeError (try again).

        Raises:
            OverloadedError: The service is about to stop.
        """
        waiting = _Waiting(request)
        waiting.done.set_running_or_notify_cancel()  # from here on nobody can call it off: it may be on disk already
        with self._lock:
            if self._is_closed:
                raise OverloadedError("the service stops. Send again when it is back.", retry_after_s=_RETRY_AFTER_S)
            self._queue.put(waiting)
        return waiting.done

    def publish(self, timeout_s: float) -> None:
        """Make everything that was acknowledged visible to readers.

        Raises:
            LakeError: The lake can't be written; the rows stay in the journal.
            TimeoutError: It took too long.
        """
        wish: Future[Future[None]] = Future()
        with self._lock:
            if self._is_closed:
                return
            self._queue.put(wish)
        deadline = time.monotonic() + timeout_s
        wish.result(timeout_s).result(max(deadline - time.monotonic(), 0))

    def close(self) -> None:
        """Store what waits, publish it, and stop."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._thread.join(_CLOSE_PATIENCE_S)
        self._sealer.close(_CLOSE_PATIENCE_S)

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, wishes, is_open = self._next_group()
            for part in _parts(group):
                try:
                    self._store(part)
                except Exception as error:  # memory full, or a fault of ours: the senders keep what they have
                    _logger.exception("%d requests could not be stored", len(part))
                    _fail(part, _unexpected(error))
            for journal in self._journals.values():
                if wishes or not is_open:
                    journal.seal(is_last=not is_open)
                else:
                    journal.seal_if_due()
            for wish in wishes:
                wish.set_result(self._sealer.after_all())

    def _next_group(self) -> tuple[list[_Waiting], list[Future[Future[None]]], bool]:
        """Return the requests that wait, wishes to publish, and whether more may come."""
        group: list[_Waiting] = []
        wishes: list[Future[Future[None]]] = []
        size_bytes = 0
        expected, self._last_requests = self._last_requests, 0
        try:
            item = self._queue.get(timeout=self.settings.seal_interval_s / 4)
            until_s = time.monotonic() + _PATIENCE_S
            while True:
                if item is None:
                    return group, wishes, False
                if isinstance(item, Future):
                    wishes.append(item)
                else:
                    group.append(item)
                    size_bytes += item.request.size_bytes
                    if size_bytes >= _MAX_GROUP_BYTES:
                        break
                left_s = until_s - time.monotonic() if len(group) < expected and not wishes else 0
                item = self._queue.get(timeout=left_s) if left_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            pass
        self._last_requests = len(group)
        return group, wishes, True

    def _store(self, part: Sequence[_Opened]) -> None:
        requests = [(opened.waiting.request, opened.contents) for opened in part]
        decoded = decode_requests(requests, is_accelerated=self.settings.is_accelerated)
        for opened, outcome in zip(part, decoded.outcomes, strict=True):
            if isinstance(outcome, TraceCanaryError):
                opened.waiting.done.set_exception(outcome)
        try:
            self._append(part, decoded)
        except LakeError as error:
            self._note_failure(error)
            _fail(part, error)
            return
        if not self.is_storing:
            _logger.info("the journal can be written again")
            self.is_storing = True
        for opened, outcome in zip(part, decoded.outcomes, strict=True):
            if isinstance(outcome, Decoded):
                acknowledgement = _acknowledgement(outcome)
                self.counts.acknowledge(acknowledgement)
                opened.waiting.done.set_result(acknowledgement)

    def _append(self, part: Sequence[_Opened], decoded: DecodedRequests) -> None:
        spans, evaluations = decoded.spans, decoded.evaluations
        if spans:
            carried = SpanEvaluations(received_ns=time.time_ns(), rules=self.pass_rules)
            table = grouped_table(decoded.groups, decoded.single, self._normaliser, carried)
            evaluations += carried.rows
            if table.num_rows < spans:  # to know whose they are, each request is looked at on its own
                table = self._one_by_one(part, decoded)
            if table.num_rows:
                self._journals[LakeTable.SPANS].append(table)
        if evaluations:
            self._journals[LakeTable.EVALUATIONS].append(storable_table(EVALUATION_COLUMNS, evaluations))

    def _one_by_one(self, part: Sequence[_Opened], decoded: DecodedRequests) -> pa.Table:
        import pyarrow as pa

        tables = []
        for index, opened in enumerate(part):
            if isinstance(decoded.outcomes[index], Decoded):
                outcome = opened.waiting.request.decode(opened.contents)
                table = span_table(outcome.spans, self._normaliser)
                decoded.outcomes[index] = without_spans(outcome, len(outcome.spans) - table.num_rows, _UNSTORABLE)
                tables.append(table)
        return pa.concat_tables(tables)

    def _note_failure(self, error: LakeError) -> None:
        if self.is_storing:
            _logger.error("%s Senders are told to try again.", error)
        self.is_storing = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: IntakeRequest
    done: Future[Acknowledgement] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class _Opened:
    waiting: _Waiting
    contents: bytes


def _parts(group: Iterable[_Waiting]) -> Iterator[list[_Opened]]:
    """Decompress requests, and return them in parts: what small ones hold may be large."""
    part: list[_Opened] = []
    size_bytes = 0
    for waiting in group:
        try:
            contents = waiting.request.contents()
        except TraceCanaryError as error:
            waiting.done.set_exception(error)
            continue
        except Exception as error:  # memory full, or a fault of ours: it must not end the thread
            _logger.exception("a request could not be read")
            waiting.done.set_exception(_unexpected(error))
            continue
        part.append(_Opened(waiting, contents))
        size_bytes += len(contents)
        if size_bytes >= _MAX_PART_BYTES:
            yield part
            part, size_bytes = [], 0
    if part:
        yield part


def _acknowledgement(decoded: Decoded) -> Acknowledgement:
    return Acknowledgement(
        spans=decoded.column_spans + len(decoded.spans),
        evaluations=len(decoded.evaluations),
        rejected=decoded.rejected,
    )


def _unexpected(error: Exception) -> LakeError:
    return LakeError(f"{type(error).__name__} while storing; the service's log has the details.")


def _fail(part: Sequence[_Opened], error: LakeError) -> None:
    for opened in part:
        if not opened.waiting.done.done():
            opened.waiting.done.set_exception(error)
