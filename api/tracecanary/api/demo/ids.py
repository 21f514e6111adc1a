"""Trace and span ids that follow from the recorded run, so that replaying twice gives the same keys."""

from __future__ import annotations

from hashlib import sha256

from opentelemetry.sdk.trace.id_generator import IdGenerator


def run_trace_id(run_id: str) -> int:
    """Return the 128-bit trace id of a run."""
    return int.from_bytes(sha256(run_id.encode()).digest()[:16], "big")


def run_span_id(run_id: str, ordinal: int) -> int:
    """Return the 64-bit id of a run's span; the root has ordinal 0."""
    return int.from_bytes(sha256(f"{run_id}/{ordinal}".encode()).digest()[:8], "big")


class RunIdGenerator(IdGenerator):
    """Gives the spans of one run after the other their ids. Not for several threads at once."""

    def __init__(self) -> None:
        self._run_id: str | None = None
        self._next_ordinal = 0

    def begin_run(self, run_id: str) -> None:
        """Let the spans that start from now on belong to `run_id`."""
        self._run_id, self._next_ordinal = run_id, 0

    def generate_trace_id(self) -> int:
        """Return the trace id of the current run."""
        return run_trace_id(self._current_run())

    def generate_span_id(self) -> int:
        """Return the id of the current run's next span."""
        ordinal = self._next_ordinal
        self._next_ordinal += 1
        return run_span_id(self._current_run(), ordinal)

    def _current_run(self) -> str:
        if self._run_id is None:
            raise RuntimeError("no run has begun. Call begin_run before starting spans.")
        return self._run_id
