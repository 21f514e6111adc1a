"""What OpenTelemetry's own span processors report on themselves, under the same names, when the SDK is asked to.

Source: OpenTelemetry semantic conventions, "SDK metrics" (in Development); opentelemetry-sdk 1.45 has the same.
"""

from __future__ import annotations

import itertools
import logging
import weakref
from collections import Counter
from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, Final

from tracecanary.collector.config import are_internal_metrics_enabled
from tracecanary.collector.losses import Losses

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

_logger = logging.getLogger(__name__)
PROCESSED: Final = "otel.sdk.processor.span.processed"
QUEUE_SIZE: Final = "otel.sdk.processor.span.queue.size"
QUEUE_CAPACITY: Final = "otel.sdk.processor.span.queue.capacity"
_COMPONENT_TYPE: Final = "tracecanary_span_processor"
# A full memory is a full queue to whoever watches these metrics.
_ERROR_TYPES = {"memory_full": "queue_full"}
_numbers = itertools.count()


class SelfMetrics:
    """Counts spans that were processed, with or without success. Costs nothing while it is disabled.

    Told by the writer after a flush, not for every span: what it adds are the differences.
    """

    def __init__(self, meter_provider: MeterProvider | None = None, *, is_enabled: bool | None = None) -> None:
        self.is_enabled = are_internal_metrics_enabled() if is_enabled is None else is_enabled
        self._reported: Counter[str | None] = Counter()
        if not self.is_enabled:
            return
        from opentelemetry.metrics import get_meter_provider

        self._attributes = {
            "otel.component.type": _COMPONENT_TYPE,
            "otel.component.name": f"{_COMPONENT_TYPE}/{next(_numbers)}",
        }
        self._meter = (meter_provider or get_meter_provider()).get_meter("tracecanary")
        self._processed = self._meter.create_counter(
            PROCESSED, unit="{span}", description="Spans whose processing has finished, successfully or not."
        )

    def observe_queue(self, waiting: Sized, *, capacity: int) -> None:
        """Report the length of `waiting`, as long as it lives, and its capacity."""
        if not self.is_enabled:
            return
        reference = weakref.ref(waiting)

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            from opentelemetry.metrics import Observation

            alive = reference()
            return () if alive is None else (Observation(len(alive), self._attributes),)

        self._meter.create_observable_up_down_counter(
            QUEUE_SIZE, callbacks=[observe], unit="{span}", description="Spans in the queue."
        )
        self._meter.create_up_down_counter(
            QUEUE_CAPACITY, unit="{span}", description="Most spans that the queue takes."
        ).add(capacity, self._attributes)

    def restart(self) -> None:
        """Count from 0, as a forked child does."""
        self._reported = Counter()

    def report(self, stored_spans: int, losses: Losses) -> None:
        """Report what was stored and lost since the last time."""
        if not self.is_enabled:
            return
        try:
            for reason, spans in ((None, stored_spans), *losses.by_reason().items()):
                more = spans - self._reported[reason]
                if more > 0:
                    self._reported[reason] = spans
                    error = {} if reason is None else {"error.type": _ERROR_TYPES.get(reason, reason)}
                    self._processed.add(more, {**self._attributes, **error})
        except Exception:
            _logger.debug("the processor's own metrics could not be reported", exc_info=True)
