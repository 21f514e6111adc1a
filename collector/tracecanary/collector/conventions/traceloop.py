"""OpenLLMetry and the Traceloop SDK, current and old: the old one tells an LLM call by `llm.request.type`."""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector import attributes as names
from tracecanary.collector.conventions.otel_genai import OPERATION_KINDS, OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, merged

_KINDS: Mapping[str, str] = {
    **OPERATION_KINDS,
    "agent": "agent",
    "tool": "tool",
    "unknown": "other",
}
# OpenTelemetry's own packages for these have "genai" in their scopes.
_LIBRARIES = (
    "agno",
    "anthropic",
    "bedrock",
    "cohere",
    "crewai",
    "groq",
    "haystack",
    "langchain",
    "llamaindex",
    "mistralai",
    "ollama",
    "together",
    "writer",
)
_COLUMNS: Columns = {
    "cache_read_tokens": ("cache_read_input_tokens",),
    "cache_write_tokens": ("cache_creation_input_tokens",),
    "reasoning_tokens": ("llm.usage.reasoning_tokens",),
    # Before the names of GenAI.
    "provider": ("llm.vendor",),
    "input_tokens": ("llm.usage.prompt_tokens",),
    "output_tokens": ("llm.usage.completion_tokens",),
    "request_model": ("llm.request.model",),
    "response_model": ("llm.response.model",),
}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="traceloop",
        marks=(
            Mark(attributes=("traceloop.span.kind",)),
            Mark(attributes=("traceloop.workflow.name",)),
            Mark(attributes=("traceloop.entity.path",)),
            Mark(attributes=("llm.request.type",)),
            Mark(scope="traceloop.tracer"),
            Mark(scope="opentelemetry.instrumentation.openai.v*", attributes=(names.OPERATION_NAME,)),
            *(
                Mark(scope=f"opentelemetry.instrumentation.{library}", attributes=(names.OPERATION_NAME,))
                for library in _LIBRARIES
            ),
        ),
        # Its own kind first: below `invoke_agent` LangChain's graph says once more that it invokes the agent.
        kind_from=("traceloop.span.kind", names.OPERATION_NAME, "llm.request.type"),
        kinds=_KINDS,
        columns=merged(OTEL_COLUMNS, _COLUMNS),
    ),
)
