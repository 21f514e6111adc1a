"""Attributes that may hold prompts, completions or secrets: dropped in the process that made them."""

from __future__ import annotations

from functools import lru_cache

from tracecanary.collector import attributes as names

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
        "embedding.invocation_parameters",
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
        "embedding.embeddings",
        "error.message",
        "error.stack_trace",
        "final_result",
        "gcp.vertex.agent.data",
        "gcp.vertex.agent.llm_request",
        "gcp.vertex.agent.llm_response",
        "gcp.vertex.agent.tool_call_args",
        "gcp.vertex.agent.tool_response",
        "gen_ai.request.parameters",
        "gen_ai.event.content",
        "gen_ai.prompt",
        "gen_ai.usage.raw",
        "gen_ai.completion",
        "hidden_params",
        "metadata.spend_logs_metadata",
        "pydantic_ai.all_messages",
        "tool.parameters",
        "tool_arguments",
        "tool_response",
        # Not content but bulk: schemas and totals that repeat what is stored elsewhere.
        "gen_ai.tool.json_schema",
        "langfuse.observation.model.parameters",
        "langfuse.observation.status_message",
        "logfire.json_schema",
        "logfire.metrics",
        "logfire.msg",
        "metadata.usage_object",
        "mlflow.chat.tools",
        "model_request_parameters",
    }
)
CONTENT_PREFIXES: tuple[str, ...] = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "gen_ai.input.",
    "gen_ai.output.messages",
    "gen_ai.prompt.template.variables",
    "gen_ai.request.headers",
    "ai.prompt.",
    "ai.request.headers.",
    "ai.response.object",
    "ai.response.reasoning",
    "ai.response.toolCalls",
    "ai.schema",
    "ai.toolCall.input",
    "ai.toolCall.output",
    "ai.value",
    "llm.prompt_template.template",
    "llm.prompt_template.variables",
    "llm.request.functions.",
    "llm.tools",
    "metadata.requester_",
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
# Longer ones are text, and would be stored with every span.
_MAX_NAME_LENGTH = 1_024
CONTENT_SUFFIXES: tuple[str, ...] = (
    ".messages",
    ".choices",
    ".content",
    ".contents",
    ".instructions",
    ".arguments",
    ".prompt",
    ".completion",
    ".tools",
)


def is_content(name: str) -> bool:
    """Tell whether the attribute `name` may hold prompts, completions or secrets, or is too long to be a name."""
    return len(name) > _MAX_NAME_LENGTH or _is_named_as_content(name)


# Names are few and asked for again and again; hostile ones must not fill the memory.
@lru_cache(maxsize=8_192)
def _is_named_as_content(name: str) -> bool:
    return name in CONTENT_ATTRIBUTES or name.startswith(CONTENT_PREFIXES) or name.endswith(CONTENT_SUFFIXES)
