"""LangSmith's OpenTelemetry export of LangChain and LangGraph runs."""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector.conventions.otel_genai import OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, inside, merged, usage

_KINDS: Mapping[str, str] = {
    "llm": "llm",
    "chain": "chain",
    "tool": "tool",
    "retriever": "retriever",
    "prompt": "chain",
    "parser": "chain",
    "embedding": "embedding",
}
_COLUMNS: Columns = {
    "provider": ("langsmith.metadata.ls_provider",),
    "agent_name": ("langsmith.metadata.lc_agent_name",),
}
_AFTER: Columns = {
    "request_model": ("langsmith.metadata.ls_model_name",),
    "cache_read_tokens": (inside("gen_ai.usage.input_token_details", "cache_read"),),
    "cache_write_tokens": (inside("gen_ai.usage.input_token_details", "cache_creation"),),
    "reasoning_tokens": (inside("gen_ai.usage.output_token_details", "reasoning"),),
}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="langsmith",
        marks=(Mark(attributes=("langsmith.span.kind",)),),
        kind_from=("langsmith.span.kind",),
        kinds=_KINDS,
        columns=merged(_COLUMNS, OTEL_COLUMNS, _AFTER, usage("langsmith.metadata.usage_metadata")),
    ),
)
