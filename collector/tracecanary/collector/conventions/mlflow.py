"""MLflow's OTLP export: every value is a JSON scalar, text in quotes of its own."""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector.conventions.otel_genai import OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, inside, merged, quoted, usage

_KINDS: Mapping[str, str] = {
    "chat_model": "llm",
    "llm": "llm",
    "agent": "agent",
    "tool": "tool",
    "chain": "chain",
    "workflow": "chain",
    "task": "chain",
    "parser": "chain",
    "retriever": "retriever",
    "reranker": "retriever",
    "embedding": "embedding",
    "guardrail": "guardrail",
    "evaluator": "evaluator",
}
_COLUMNS: Columns = {
    "provider": (quoted("mlflow.llm.provider"),),
    "request_model": (quoted("model"),),
    "response_model": (quoted("mlflow.llm.model"),),
    "reported_cost_nano_usd": (
        inside("mlflow.llm.cost", "total_cost"),
        inside("mlflow.llm.cost", "total"),
    ),
    "tool_name": (quoted("mlflow.spanFunctionName"),),
}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="mlflow",
        marks=(Mark(attributes=("mlflow.spanType",)),),
        kind_from=("mlflow.spanType",),
        kinds=_KINDS,
        columns=merged(_COLUMNS, OTEL_COLUMNS, usage("mlflow.chat.tokenUsage")),
    ),
)
