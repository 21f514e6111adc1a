"""Spans in, Parquet out: what runs inside the instrumented application."""

from tracecanary.collector.context import canary_context
from tracecanary.collector.processor import CanarySpanProcessor
from tracecanary.collector.recording import record_fallback, record_retry, trajectory_step

__all__ = ["CanarySpanProcessor", "canary_context", "record_fallback", "record_retry", "trajectory_step"]
