"""Vercel's AI SDK: its older `ai.*` names, and the GenAI names of `@ai-sdk/otel`.

The outer span of a call (`ai.generateText`) repeats the usage of the requests below it (`*.doGenerate`).
"""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector import attributes as names
from tracecanary.collector.coercion import to_provider_before_dot
from tracecanary.collector.conventions.otel_genai import OTEL_COLUMNS, otel_convention
from tracecanary.collector.conventions.table import Columns, Convention, Mark, Source, merged, milliseconds

_OPERATIONS = ("generateText", "streamText", "generateObject", "streamObject")
_KINDS: Mapping[str, str] = {
    **{f"ai.{operation}".lower(): "agent" if "Text" in operation else "chain" for operation in _OPERATIONS},
    **{f"ai.{operation}.{do}".lower(): "llm" for operation in _OPERATIONS for do in ("doGenerate", "doStream")},
    "ai.embed": "chain",
    "ai.embedmany": "chain",
    "ai.embed.doembed": "embedding",
    "ai.embedmany.doembed": "embedding",
    "ai.rerank": "chain",
    "ai.rerank.dorerank": "retriever",
    "ai.toolcall": "tool",
}
_COLUMNS: Columns = {
    "operation": ("ai.operationId",),
    "provider": (
        Source("ai.model.provider", read=to_provider_before_dot),
        Source(names.SYSTEM, read=to_provider_before_dot),
    ),
    "request_model": ("ai.model.id",),
    "response_model": ("ai.response.model",),
    "response_id": ("ai.response.id",),
    "finish_reason": ("ai.response.finishReason", "ai.finishReason"),
    "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
    "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
    "cache_read_tokens": ("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens"),
    "cache_write_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
    "reasoning_tokens": ("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens"),
    "time_to_first_token_ns": (milliseconds("ai.response.msToFirstChunk"), milliseconds("ai.stream.msToFirstChunk")),
    "agent_name": ("ai.telemetry.functionId",),
    "tool_name": ("ai.toolCall.name",),
    "tool_arguments_hash": ("ai.toolCall.args", "ai.toolCall.input"),
}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="vercel_ai_sdk_legacy",
        marks=(Mark(attributes=("ai.operationId",)),),
        kind_from=("ai.operationId",),
        kinds=_KINDS,
        columns=merged(_COLUMNS, OTEL_COLUMNS),
    ),
    otel_convention(
        "vercel_ai_sdk",
        Mark(scope="ai", attributes=(names.OPERATION_NAME,)),
        Mark(scope="@ai-sdk/*", attributes=(names.OPERATION_NAME,)),
        Mark(scope="gen_ai", attributes=(names.OPERATION_NAME,)),  # `@ai-sdk/otel` itself
    ),
)
