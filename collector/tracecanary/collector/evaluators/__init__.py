"""Evaluators that run in the application, off its threads: only their verdicts leave the process."""

from tracecanary.collector.evaluators.adapters import (
    fi_evaluator,
    from_fi_evals,
    from_openinference,
    openinference_evaluator,
)
from tracecanary.collector.evaluators.bound import Evaluator
from tracecanary.collector.evaluators.config import EvaluatorSettings
from tracecanary.collector.evaluators.json_schema import JsonSchemaEvaluator
from tracecanary.collector.evaluators.judged import EvaluationResult, JudgedSpan, Message, ToolCall
from tracecanary.collector.evaluators.pii import PiiEvaluator
from tracecanary.collector.evaluators.refusal import RefusalEvaluator
from tracecanary.collector.evaluators.tool_permission import ToolPermissionEvaluator

__all__ = [
    "EvaluationResult",
    "Evaluator",
    "EvaluatorSettings",
    "JsonSchemaEvaluator",
    "JudgedSpan",
    "Message",
    "PiiEvaluator",
    "RefusalEvaluator",
    "ToolCall",
    "ToolPermissionEvaluator",
    "fi_evaluator",
    "from_fi_evals",
    "from_openinference",
    "openinference_evaluator",
]
