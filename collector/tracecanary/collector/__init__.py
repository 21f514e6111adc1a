"""Spans in, Parquet out: what runs inside the instrumented application."""

from tracecanary.collector.context import canary_context
from tracecanary.collector.evaluation_client import EvaluationClient, SentEvaluations
from tracecanary.collector.evaluators import (
    EvaluationResult,
    Evaluator,
    EvaluatorSettings,
    JsonSchemaEvaluator,
    JudgedSpan,
    PiiEvaluator,
    RefusalEvaluator,
    ToolPermissionEvaluator,
)
from tracecanary.collector.exporter import CanarySpanExporter
from tracecanary.collector.processor import CanarySpanProcessor
from tracecanary.collector.recorded_evaluations import record_evaluation, record_feedback
from tracecanary.collector.recording import record_fallback, record_retry, trajectory_step
from tracecanary.collector.sampler import CanarySampler

__all__ = [
    "CanarySampler",
    "CanarySpanExporter",
    "CanarySpanProcessor",
    "EvaluationClient",
    "EvaluationResult",
    "Evaluator",
    "EvaluatorSettings",
    "JsonSchemaEvaluator",
    "JudgedSpan",
    "PiiEvaluator",
    "RefusalEvaluator",
    "SentEvaluations",
    "ToolPermissionEvaluator",
    "canary_context",
    "record_evaluation",
    "record_fallback",
    "record_feedback",
    "record_retry",
    "trajectory_step",
]
