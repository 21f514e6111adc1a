"""Langfuse 5: JSON documents for usage, parameters and cost. Its OpenAI wrapper names the answer's model."""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector.conventions.otel_genai import OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, inside, merged, usage

_KINDS: Mapping[str, str] = {
    "generation": "llm",
    "embedding": "embedding",
    "agent": "agent",
    "tool": "tool",
    "chain": "chain",
    "retriever": "retriever",
    "evaluator": "evaluator",
    "guardrail": "guardrail",
}
_COLUMNS: Columns = {
    "request_model": (inside("langfuse.observation.model.parameters", "model"),),
    "response_model": ("langfuse.observation.model.name",),
    "reported_cost_nano_usd": (inside("langfuse.observation.cost_details", "total"),),
}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="langfuse",
        marks=(Mark(attributes=("langfuse.observation.type",)),),
        kind_from=("langfuse.observation.type",),
        kinds=_KINDS,
        columns=merged(_COLUMNS, OTEL_COLUMNS, usage("langfuse.observation.usage_details")),
    ),
)
