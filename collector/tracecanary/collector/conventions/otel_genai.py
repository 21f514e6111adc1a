"""OpenTelemetry's GenAI semantic conventions, current (1.3) and old (up to 1.36, and older still).

`gen_ai.aggregated_usage.*` (pydantic-ai's totals on an agent) is never read: it repeats what the calls below report.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector import attributes as names
from tracecanary.collector.conventions.table import Columns, Convention, Mark

# Values of `gen_ai.operation.name`: OpenTelemetry's, then those that libraries made up.
OPERATION_KINDS: Mapping[str, str] = {
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "embeddings": "embedding",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "chain",
    "plan": "chain",
    "retrieval": "retriever",
    "completion": "llm",
    "chat_completion": "llm",
    "responses": "llm",
    "chat.completions": "llm",
    "chat.streaming_completions": "llm",
    "text.completions": "llm",
    "text.streaming_completions": "llm",
    "embedding": "embedding",
    "rerank": "retriever",
    "agent_step": "chain",
    "execute_event_loop_cycle": "chain",
    "workflow": "chain",
    "task": "chain",
    "turn": "chain",
    "handoff": "chain",
    "guardrail": "guardrail",
    "evaluate": "evaluator",
}

OTEL_COLUMNS: Columns = {
    "operation": (names.OPERATION_NAME,),
    "provider": (names.PROVIDER_NAME, names.SYSTEM),
    "request_model": (names.REQUEST_MODEL,),
    "response_model": (names.RESPONSE_MODEL,),
    "response_id": ("gen_ai.response.id",),
    "finish_reason": ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
    # The last ones are those of the first versions, such as Semantic Kernel's.
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "gen_ai.response.prompt_tokens"),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.response.completion_tokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
    ),
    "reported_cost_nano_usd": (
        "gen_ai.cost.total",
        "gen_ai.cost.total_cost",
        "gen_ai.usage.cost",
        "llm.cost.total",
        "operation.cost",
    ),
    # Both in seconds.
    "time_to_first_token_ns": (
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.client.operation.time_to_first_chunk",
    ),
    "agent_name": ("gen_ai.agent.name",),
    "tool_name": ("gen_ai.tool.name",),
    "tool_arguments_hash": (names.TOOL_CALL_ARGUMENTS,),
}


def otel_convention(name: str, *marks: Mark, columns: Columns = OTEL_COLUMNS) -> Convention:
    """Return a convention that tells its kinds by OpenTelemetry's operation names."""
    return Convention(name=name, marks=marks, kind_from=(names.OPERATION_NAME,), kinds=OPERATION_KINDS, columns=columns)


# The current names go before the old ones, which some libraries set beside them.
CONVENTIONS: tuple[Convention, ...] = (
    otel_convention("otel_genai", Mark(attributes=(names.OPERATION_NAME, names.PROVIDER_NAME))),
    otel_convention("otel_genai_1_36", Mark(attributes=(names.OPERATION_NAME, names.SYSTEM))),
    otel_convention("otel_genai", Mark(attributes=(names.OPERATION_NAME,))),
)
