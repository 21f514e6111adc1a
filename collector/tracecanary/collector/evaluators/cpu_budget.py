"""How much processor time evaluators may still take."""

from __future__ import annotations

import threading

# A pause of this length saves up what a burst may then use.
_SPAN_S = 10.0


class CpuBudget:
    """A bucket of seconds of processor time that fills at a fixed share of the clock's. Any thread may use it.

    Args:
        share: Fraction of one core.
        now_s: A monotonic clock's time, as all later ones.
    """

    def __init__(self, share: float, *, now_s: float) -> None:
        self._share = share
        # Guards the two below. Reentrant: a signal handler that ends a span asks in the middle of anything.
        self._lock = threading.RLock()
        self._left_s = share * _SPAN_S
        self._filled_s = now_s

    def is_left(self, *, now_s: float) -> bool:
        """Tell whether anything may run now."""
        with self._lock:
            self._fill(now_s)
            return self._left_s > 0

    def spend(self, cpu_s: float, *, now_s: float) -> None:
        """Take what has been used. It may be more than was left: the next one waits the longer."""
        with self._lock:
            self._fill(now_s)
            self._left_s -= cpu_s

    def _fill(self, now_s: float) -> None:
        self._left_s = min(self._share * _SPAN_S, self._left_s + self._share * max(0.0, now_s - self._filled_s))
        self._filled_s = now_s
