"""Evaluations into the journal and the lake: those that spans carry, and those that are given one by one."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tracecanary.collector.config import CaptureSettings
from tracecanary.collector.destinations import open_journal
from tracecanary.collector.evaluation_spans import SpanEvaluations
from tracecanary.collector.evaluations import Evaluation, EvaluationRow, evaluation_row
from tracecanary.collector.forks import ForkLocks
from tracecanary.collector.losses import Losses
from tracecanary.collector.passing import derive_passed
from tracecanary.collector.remote_journal import RemoteJournal
from tracecanary.collector.segments import UNSTORABLE_ERRORS, segment_table, storable_rows
from tracecanary.schema import EVALUATION_COLUMNS, LakeError, LakeTable

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
# About 10 MB without explanations. More wait only while the lake can't be written.
MAX_WAITING = 20_000
# Explanations, where they are kept, are up to 10,000 characters each: 200 MB of them would be too many.
MAX_WAITING_CHARACTERS = 16 * 1024 * 1024
_EXPLANATION = [column.name for column in EVALUATION_COLUMNS].index("explanation")


class EvaluationFlusher:
    """Stores evaluations. Any thread may add some; only one thread at a time may call the other methods."""

    def __init__(self, settings: CaptureSettings, *, locks: ForkLocks | None = None) -> None:
        self.losses = Losses()
        self._journal = open_journal(settings, LakeTable.EVALUATIONS, self.losses, locks=locks or ForkLocks())
        # Unlocked: `append` and `popleft` are atomic, and a limit may be passed by one row a thread. Two threads may
        # lose an addition of each other's to the characters: set right at every flush that leaves the queue empty.
        self._waiting: deque[EvaluationRow] = deque()
        self._waiting_characters = 0
        self._in_hand: Sequence[EvaluationRow] = ()
        self._rules = settings.rules.evaluators
        self._keeps_explanations = settings.keep_explanations
        self._is_storing = True

    @property
    def is_half_full(self) -> bool:
        """Whether it is time to write, so that more find room meanwhile."""
        return len(self._waiting) >= MAX_WAITING // 2 or self._waiting_characters >= MAX_WAITING_CHARACTERS // 2

    @property
    def unstored(self) -> int:
        """Evaluations that a flush which has not come back yet has in hand."""
        return len(self._in_hand)

    def add(self, evaluation: Evaluation, *, trace_id: str, span_id: str | None, time_ns: int) -> bool:
        """Queue one evaluation for the next flush, or count it as lost; return whether it was taken."""
        if len(self._waiting) >= MAX_WAITING:
            self.losses.add("queue_full")
            return False
        characters = len(evaluation.explanation or "") if self._keeps_explanations else 0
        if self._waiting_characters + characters > MAX_WAITING_CHARACTERS:
            self.losses.add("memory_full")
            return False
        rule = self._rules.get(evaluation.name)
        passed = derive_passed(passed=evaluation.passed, label=evaluation.label, score=evaluation.score, rule=rule)
        row = evaluation_row(
            replace(evaluation, passed=passed),
            trace_id=trace_id,
            span_id=span_id,
            time_ns=time_ns,
            received_ns=time.time_ns(),
            keeps_explanation=self._keeps_explanations,
        )
        self._waiting.append(row)
        self._waiting_characters += characters
        return True

    def carried(self) -> SpanEvaluations:
        """Return what collects the evaluations of spans that come now."""
        return SpanEvaluations(
            received_ns=time.time_ns(), rules=self._rules, keeps_explanations=self._keeps_explanations
        )

    def store(self, rows: Sequence[EvaluationRow], *, is_publishing: bool) -> bool:
        """Store `rows` but for those that can't be stored, which are counted; return False to try again."""
        if not rows:
            return True
        table = self._table(rows)
        # Each is the other's way out, as for spans.
        ways = (self._journal.publish, self._journal.append)
        for write in ways if is_publishing else ways[::-1]:
            try:
                write(table)
            except LakeError as error:
                if self._is_storing:
                    _logger.debug("evaluations could not be written: %s", error)
            else:
                self._is_storing = True
                return True
        self._is_storing = False
        return False

    def flush(self, *, is_publishing: bool) -> bool:
        """Store what waits; return whether nothing has to be tried again."""
        rows: list[EvaluationRow] = []
        with contextlib.suppress(IndexError):
            while len(rows) < MAX_WAITING:
                rows.append(self._waiting.popleft())
        self._in_hand = rows
        is_stored = False
        try:
            is_stored = self.store(rows, is_publishing=is_publishing)
        finally:
            if not is_stored:  # nor when Arrow is missing or memory is full
                self._waiting.extendleft(reversed(rows))
            self._in_hand = ()
        if not is_stored:
            return False
        stored = sum(len(row[_EXPLANATION] or "") for row in rows)
        self._waiting_characters = self._waiting_characters - stored if self._waiting else 0
        if is_publishing and self._journal.rows:
            try:
                self._journal.publish()
            except LakeError as error:
                _logger.debug("evaluations stay in the journal: %s", error)
                return False
        return True

    def drop_all(self, reason: str) -> int:
        """Count what still waits as lost, each once however many threads do this at a time; return the number."""
        dropped = 0
        with contextlib.suppress(IndexError):
            while True:
                self._waiting.popleft()
                dropped += 1
        if dropped:
            self.losses.add(reason, dropped)
        return dropped

    def wait_until_published(self, timeout_s: float) -> bool:
        """Wait until a lake behind a network has what the journal had; return whether it has."""
        return not isinstance(self._journal, RemoteJournal) or self._journal.wait(timeout_s)

    def close(self) -> int:
        """Let go of the journal: what could not be published is left to the next process on this lake.

        Returns:
            The number of evaluations left.
        """
        left = self._journal.close()
        if left:
            _logger.error("%d evaluations stay in the journal. The next process that opens this lake adds them.", left)
        return left

    def forget(self) -> None:
        """Leave everything to the parent, in a child that was forked from it."""
        self._journal.forget()

    def _table(self, rows: Sequence[EvaluationRow]) -> pa.Table:
        try:
            return segment_table(EVALUATION_COLUMNS, rows)
        except UNSTORABLE_ERRORS:
            kept = storable_rows(EVALUATION_COLUMNS, rows)
            self.losses.add("malformed", len(rows) - len(kept))
            return segment_table(EVALUATION_COLUMNS, kept)
