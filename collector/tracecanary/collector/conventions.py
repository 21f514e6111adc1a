"""Which attributes each convention keeps its values in: tables, read by `normalise.py`.

To support another instrumentation, add a `Convention` and a capture of it to the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracecanary.collector import attributes as names

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
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """One instrumentation's way of naming things.

    A span follows the convention when it has every attribute of `marked_by`. `kind_from` names the attribute that
    tells the kind of span, `kinds` maps its values. `columns` gives, for each canonical column, the attributes to read:
    the first that has a value wins, so that two names for one number are never added up.
    """

    name: str
    marked_by: tuple[str, ...]
    kind_from: str
    kinds: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]


_OTEL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "operation": (names.OPERATION_NAME,),
    "provider": (names.PROVIDER_NAME, names.SYSTEM),
    "request_model": (names.REQUEST_MODEL,),
    "response_model": (names.RESPONSE_MODEL,),
    "response_id": ("gen_ai.response.id",),
    "finish_reason": ("gen_ai.response.finish_reasons",),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "cache_write_tokens": ("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens",),
    "reported_cost_nano_usd": ("gen_ai.cost.total", "gen_ai.cost.total_cost", "llm.cost.total", "operation.cost"),
    "time_to_first_token_ns": ("gen_ai.response.time_to_first_chunk",),
    "agent_name": ("gen_ai.agent.name",),
    "tool_name": ("gen_ai.tool.name",),
    "tool_arguments_hash": (names.TOOL_CALL_ARGUMENTS,),
}

# First hit wins: the current names before the old ones, which some libraries set beside them.
CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="otel_genai",
        marked_by=(names.OPERATION_NAME, names.PROVIDER_NAME),
        kind_from=names.OPERATION_NAME,
        kinds=OPERATION_KINDS,
        columns=_OTEL_COLUMNS,
    ),
    Convention(
        name="otel_genai_1_36",
        marked_by=(names.OPERATION_NAME, names.SYSTEM),
        kind_from=names.OPERATION_NAME,
        kinds=OPERATION_KINDS,
        columns=_OTEL_COLUMNS,
    ),
    Convention(
        name="otel_genai",
        marked_by=(names.OPERATION_NAME,),
        kind_from=names.OPERATION_NAME,
        kinds=OPERATION_KINDS,
        columns=_OTEL_COLUMNS,
    ),
)

# Read from every span, whatever its convention.
CONTEXT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "user_id": ("user.id", "enduser.id"),
    "route": (names.ROUTE, "http.route", "gen_ai.workflow.name"),
    "variant": (names.RELEASE_VARIANT, "feature_flag.result.variant", "feature_flag.variant"),
    "cohort": (names.RELEASE_COHORT, "llm.release.cohort", "cohort"),
    "pair_id": (names.RELEASE_PAIR_ID,),
    "prompt_name": ("gen_ai.prompt.name",),
    "prompt_version": ("gen_ai.prompt.version",),
    "step": (names.TRAJECTORY_STEP,),
    "step_name": (names.TRAJECTORY_STEP_NAME,),
    "retry_count": (names.RETRY_COUNT, "gen_ai.retry_count", "llm.retry_count"),
    "fallback_used": (names.FALLBACK_USED, "gen_ai.fallback.triggered"),
    "fallback_from": (names.FALLBACK_FROM,),
    "fallback_reason": (names.FALLBACK_REASON,),
    "error_type": (names.ERROR_TYPE,),
}

RESOURCE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "service_name": (names.SERVICE_NAME,),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "release": (names.SERVICE_VERSION,),
}

# Prompts, completions and secrets: dropped in the process that made them.
CONTENT_ATTRIBUTES: frozenset[str] = frozenset(
    {
        "input.value",
        "output.value",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        names.TOOL_CALL_ARGUMENTS,
        "gen_ai.tool.call.result",
        "llm.prompts",
        "llm.invocation_parameters",
        "ai.prompt",
        "ai.response.text",
        "ai.toolCall.args",
        "ai.toolCall.result",
        "request_data",
        "response_data",
        "all_messages_events",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "exception.message",
        "exception.stacktrace",
        "url.full",
        "url.query",
        "http.url",
        "http.target",
        "db.statement",
        "db.query.text",
    }
)
CONTENT_PREFIXES: tuple[str, ...] = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "gen_ai.request.headers",
    "http.request.header.",
    "http.response.header.",
    "llm.input_messages",
    "llm.output_messages",
    "metadata.user_api_key_",
    "langsmith.metadata.LANGSMITH_",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
)
CONTENT_SUFFIXES: tuple[str, ...] = (".messages", ".message.content", ".document.content", ".prompt", ".completion")


def is_content(name: str) -> bool:
    """Tell whether the attribute `name` may hold prompts, completions or secrets."""
    return name in CONTENT_ATTRIBUTES or name.startswith(CONTENT_PREFIXES) or name.endswith(CONTENT_SUFFIXES)
