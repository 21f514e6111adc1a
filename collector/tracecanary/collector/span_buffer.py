"""Where captured spans wait: bounded by their number and by an estimate of their bytes.

The last part of the queue is the canary's: when it is nearly full, the newest spans of other traffic are dropped first.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat, starmap
from typing import Any

from tracecanary.collector.config import CaptureSettings
from tracecanary.collector.losses import Losses
from tracecanary.collector.packed_spans import PACKED_BYTES, PackedSpan, SpanPacker, size_bytes


class SpanBuffer:
    """A queue that any thread may add to without waiting.

    Unlocked: `deque.append` and `popleft` are atomic, and each limit may be passed by one span a thread at most.
    """

    def __init__(self, settings: CaptureSettings, losses: Losses) -> None:
        self.packer = SpanPacker(is_accelerated=settings.is_accelerated)
        self._losses = losses
        self.waiting: deque[PackedSpan] = deque()
        self._max_spans, self._max_bytes = settings.max_pending_spans, settings.max_pending_bytes
        is_open = 1 - settings.canary_reserve
        # Rounded up, so that a queue of one still takes any span.
        self._open_spans = self._max_spans - int(self._max_spans * settings.canary_reserve)
        self._open_bytes = self._max_bytes * is_open
        # The writer starts before the queue is full, so that a burst finds room while it works.
        self._full_spans = min(settings.max_segment_spans, max(1, self._max_spans // 2))
        self._wake_spans = 1  # until the writer has got ready
        self._wake_bytes = self._max_bytes / 2
        # Below all these limits a plain span is queued without further questions: see `SpanWriter.add`.
        self.pack_plain = self.packer.pack_plain
        self.quick_spans = 0
        self._quick_room = int(min(self._open_bytes, self._wake_bytes))
        self.quick_bytes = self._quick_room
        # Bytes ever added and ever taken. Two threads may lose an addition of each other's: set right at every flush
        # that leaves the queue empty.
        self.added_bytes = 0
        self._taken_bytes = 0

    def __len__(self) -> int:
        return len(self.waiting)

    @property
    def size_bytes(self) -> int:
        """Estimated bytes that wait."""
        return self.added_bytes - self._taken_bytes

    @property
    def is_worth_writing(self) -> bool:
        """Whether so much waits that the writer should not wait longer."""
        return len(self.waiting) >= self._full_spans or self.size_bytes >= self._wake_bytes

    def wake_when_full(self) -> None:
        """Don't call the writer before there is much to write: the first span did, so that it gets ready."""
        self._wake_spans = self._full_spans
        self.quick_spans = min(self._open_spans, self._full_spans - 1) if self.packer.is_accelerated else 0

    def add(self, span: Any, is_canary: Callable[[Any], bool]) -> bool:
        """Take the values of an ended span, or count it as lost; return whether it is time to write."""
        spans, size = len(self.waiting), self.added_bytes - self._taken_bytes
        if (spans >= self._open_spans or size >= self._open_bytes) and not self._has_room(spans, size, span, is_canary):
            return True
        packed = self.packer.pack(span)
        self.waiting.append(packed)
        self.added_bytes += len(packed) + PACKED_BYTES if packed.__class__ is bytes else size_bytes(packed)
        return spans + 1 >= self._wake_spans or size >= self._wake_bytes

    def _has_room(self, spans: int, size: int, span: Any, is_canary: Callable[[Any], bool]) -> bool:
        if spans < self._max_spans and size < self._max_bytes and is_canary(span):
            return True
        self._losses.add("queue_full" if spans >= self._open_spans else "memory_full")
        return False

    def take(self, spans: int) -> list[PackedSpan]:
        """Remove and return the oldest `spans`, fewer if there are not as many."""
        taken: list[PackedSpan] = []
        with contextlib.suppress(IndexError):  # emptied by a shutdown whose time was up, which has counted the rest
            taken.extend(starmap(self.waiting.popleft, repeat((), spans)))  # what came before an error stays in it
        return taken

    def release(self, taken: Sequence[PackedSpan]) -> None:
        """Free the room of spans that were taken and are stored: until then, they are still in memory."""
        if self.waiting:
            self._taken_bytes += sum(
                [len(one) + PACKED_BYTES if one.__class__ is bytes else size_bytes(one) for one in taken]
            )
        else:
            self._taken_bytes = self.added_bytes
        self.quick_bytes = self._taken_bytes + self._quick_room

    def put_back(self, taken: Sequence[PackedSpan]) -> None:
        """Queue `taken` again, before all others."""
        self.waiting.extendleft(reversed(taken))

    def drop_all(self, reason: str) -> int:
        """Empty the queue, counting each span once however many threads do this at a time."""
        dropped = 0
        try:
            while True:
                self.waiting.popleft()
                dropped += 1
        except IndexError:
            if dropped:
                self._losses.add(reason, dropped)
        return dropped
