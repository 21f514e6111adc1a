"""Counting what is lost, by reason."""

from __future__ import annotations

import threading
from collections import Counter


class Losses:
    """Spans, or evaluations, lost in this process, by reason."""

    def __init__(self) -> None:
        # Guards the counter, since `+=` is not atomic; taken only when a span is lost. Reentrant: a span may end in a
        # finaliser, which runs in the middle of anything.
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()

    def add(self, reason: str, number: int = 1) -> None:
        """Count `number` lost for `reason`."""
        with self._lock:
            self._counts[reason] += number

    def by_reason(self) -> dict[str, int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)
