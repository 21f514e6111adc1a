"""What a server counts of what it receives."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracecanary.collector.intake import Acknowledgement


class IntakeCounts:
    """Counts since the start. Safe to use from any thread."""

    def __init__(self) -> None:
        # Guards the counters, since `+=` is not atomic.
        self._lock = threading.Lock()
        self._accepted: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Count what became of a request that was stored."""
        with self._lock:
            self._accepted["spans"] += acknowledgement.spans
            self._accepted["evaluations"] += acknowledgement.evaluations
            self._rejected.update(acknowledgement.rejected)

    def reject(self, reason: str, rows: int) -> None:
        """Count rows that can't be stored."""
        with self._lock:
            self._rejected[reason] += rows

    def refuse(self, reason: str) -> None:
        """Count a request of which nothing was stored."""
        with self._lock:
            self._refused[reason] += 1

    @property
    def accepted(self) -> Mapping[str, int]:
        """Rows that are on disk, by table."""
        with self._lock:
            return dict(self._accepted)

    @property
    def rejected(self) -> Mapping[str, int]:
        """Rows that can't be stored, by reason."""
        with self._lock:
            return dict(self._rejected)

    @property
    def refused(self) -> Mapping[str, int]:
        """Requests of which nothing was stored, by reason."""
        with self._lock:
            return dict(self._refused)
