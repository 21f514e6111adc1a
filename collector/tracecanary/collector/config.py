"""Settings of the capture side, read once."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from tracecanary.schema import ConfigurationError

LAKE_VARIABLE = "TRACECANARY_LAKE"
# At most this much is lost when the process is killed.
DEFAULT_FLUSH_INTERVAL_S = 5.0
# About 100 MB of waiting spans with 25 attributes each.
DEFAULT_MAX_PENDING_SPANS = 50_000
# Parquet compresses a span seven times cheaper in batches of 16k than of 512; beyond 64k nothing is gained.
DEFAULT_MAX_SEGMENT_SPANS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """Where captured spans go, and the limits on the way."""

    lake: Path
    flush_interval_s: float = DEFAULT_FLUSH_INTERVAL_S
    max_pending_spans: int = DEFAULT_MAX_PENDING_SPANS
    max_segment_spans: int = DEFAULT_MAX_SEGMENT_SPANS

    def __post_init__(self) -> None:
        """Refuse settings that can't work, naming all of them."""
        problems = [
            f"{name} is {value!r}, but must be a whole number greater than 0"
            for name, value in (
                ("max_pending_spans", self.max_pending_spans),
                ("max_segment_spans", self.max_segment_spans),
            )
            if not _is_number(value) or value != int(value) or value <= 0
        ]
        # A longer wait than TIMEOUT_MAX, 292 years, is an error of the threading module.
        if not _is_number(self.flush_interval_s) or not 0 < self.flush_interval_s <= threading.TIMEOUT_MAX:
            problems.insert(0, f"flush_interval_s is {self.flush_interval_s!r}, but must be greater than 0, and finite")
        if problems:
            raise ConfigurationError(problems)


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def lake_folder(lake: str | os.PathLike[str] | None) -> Path:
    """Return the lake's folder: `lake`, else the environment variable `TRACECANARY_LAKE`.

    Raises:
        ConfigurationError: Neither is set.
    """
    given = lake or os.environ.get(LAKE_VARIABLE)  # noqa: TID251  the one place that reads it
    if not given:
        raise ConfigurationError(
            [f'no lake given. Pass lake="path/to/lake", or set the environment variable {LAKE_VARIABLE}']
        )
    return Path(given).absolute()
