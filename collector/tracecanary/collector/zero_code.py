"""Capturing without a line of code, under `opentelemetry-instrument`. Nothing here may break the host application."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tracecanary.collector.config import (
    capture_settings,
    is_capture_disabled,
    is_zero_code_capture_wanted,
    selection_from_environment,
)
from tracecanary.collector.exporter import CanarySpanExporter
from tracecanary.collector.forks import is_anything_capturing
from tracecanary.collector.processor import CanarySpanProcessor
from tracecanary.schema import ConfigurationError

_logger = logging.getLogger(__name__)


def add_processor() -> None:
    """Add the processor to the global tracer provider: entry point of the group `opentelemetry_post_instrument`.

    Does nothing without `TRACECANARY_LAKE`, with `TRACECANARY_DISABLED`, or when the exporter or a processor is
    already there: by `OTEL_TRACES_EXPORTER=tracecanary` or a configuration file.
    """
    try:
        if not is_zero_code_capture_wanted() or is_anything_capturing():
            return
        provider: Any = trace.get_tracer_provider()
        if not hasattr(provider, "add_span_processor"):
            _logger.error("tracecanary captures nothing: the tracer provider, %r, takes no span processors", provider)
            return
        provider.add_span_processor(CanarySpanProcessor(select=_selection()))
    except Exception as error:  # noqa: BLE001  the host application is to start whatever the settings are
        _logger.error("tracecanary captures nothing: %s", error)  # noqa: TRY400  the cause is in it


def _selection() -> Mapping[str, tuple[str, ...] | None] | None:
    try:
        return selection_from_environment()
    except ConfigurationError as error:
        problems = error.problems
    try:
        capture_settings()
    except ConfigurationError as error:
        problems += error.problems
    raise ConfigurationError(problems)


class ConfiguredSpanExporter(SpanExporter):
    """The exporter of `OTEL_TRACES_EXPORTER=tracecanary` and of configuration files.

    With settings that can't work it logs all their problems and stores nothing, where `CanarySpanExporter` raises: the
    error would turn off all of OpenTelemetry.
    """

    def __init__(self, **settings: Any) -> None:
        self._exporter: CanarySpanExporter | None = None
        try:
            if not is_capture_disabled():
                self._exporter = CanarySpanExporter(**settings)
        except Exception as error:  # noqa: BLE001  see above
            _logger.error("tracecanary captures nothing: %s", error)  # noqa: TRY400  the cause is in it

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store `spans`."""
        return self._exporter.export(spans) if self._exporter is not None else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Write what could not be written yet; return whether nothing is left."""
        return self._exporter is None or self._exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Write what is left and stop."""
        if self._exporter is not None:
            self._exporter.shutdown()
