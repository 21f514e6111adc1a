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
    fi_evaluator,
    from_fi_evals,
    from_openinference,
    openinference_evaluator,
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
    "fi_evaluator",
    "from_fi_evals",
    "from_openinference",
    "openinference_evaluator",
    "record_evaluation",
    "record_fallback",
    "record_feedback",
    "record_retry",
    "trajectory_step",
]
