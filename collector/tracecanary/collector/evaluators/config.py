"""Settings of evaluators that run in the application."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracecanary.schema import ConfigurationError

# What a database of phrases or a JSON schema takes is under a millisecond; what asks a model needs more.
DEFAULT_TIME_LIMIT_S = 1.0
# Of one core: an evaluator is a guest.
DEFAULT_MAX_CPU_SHARE = 0.1
DEFAULT_MAX_PENDING_SPANS = 1_000
DEFAULT_MAX_PENDING_BYTES = 32 * 1024 * 1024
DEFAULT_MAX_CONTENT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorSettings:
    """How many spans evaluators judge, and what that may cost.

    Attributes:
        sample_rate: Fraction of traces judged, 0..1, decided by trace id: of a trace, all spans or none.
        time_limit_s: Longest time for one evaluation; then it counts as none.
        max_cpu_share: Fraction of one core that evaluators may take, over about ten seconds; what is beyond it is not
            judged.
        max_pending_spans: Spans that may wait to be judged.
        max_pending_bytes: Content that may wait, roughly.
        max_content_bytes: Content of one span; spans with more are left out.
    """

    sample_rate: float = 1.0
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    max_cpu_share: float = DEFAULT_MAX_CPU_SHARE
    max_pending_spans: int = DEFAULT_MAX_PENDING_SPANS
    max_pending_bytes: int = DEFAULT_MAX_PENDING_BYTES
    max_content_bytes: int = DEFAULT_MAX_CONTENT_BYTES

    def __post_init__(self) -> None:
        """Refuse settings that can't work, naming all of them."""
        problems = []
        if not _is_number(self.sample_rate) or not 0 <= self.sample_rate <= 1:
            problems.append(f"sample_rate is {self.sample_rate!r}, but must be from 0 to 1")
        problems += [
            f"{name} is {value!r}, but must be greater than 0, and finite"
            for name, value in (
                ("time_limit_s", self.time_limit_s),
                ("max_cpu_share", self.max_cpu_share),
                ("max_pending_spans", self.max_pending_spans),
                ("max_pending_bytes", self.max_pending_bytes),
                ("max_content_bytes", self.max_content_bytes),
            )
            if not _is_number(value) or value <= 0
        ]
        if problems:
            raise ConfigurationError(problems)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
