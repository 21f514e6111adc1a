"""Spans in, Parquet out: what runs inside the instrumented application."""

from tracecanary.collector.context import canary_context
from tracecanary.collector.processor import CanarySpanProcessor

__all__ = ["CanarySpanProcessor", "canary_context"]
