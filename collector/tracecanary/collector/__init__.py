"""Spans in, Parquet out: what runs inside the instrumented application."""

from tracecanary.collector.context import canary_context
from tracecanary.collector.exporter import CanarySpanExporter
from tracecanary.collector.processor import CanarySpanProcessor
from tracecanary.collector.sampler import CanarySampler

__all__ = ["CanarySampler", "CanarySpanExporter", "CanarySpanProcessor", "canary_context"]
