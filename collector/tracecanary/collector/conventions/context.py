"""Columns read from every span, whatever its convention: who, where, which release, step, retries and fallbacks."""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector import attributes as names
from tracecanary.collector.coercion import to_tagged_step
from tracecanary.collector.conventions.table import Columns, Source, inside, quoted

# Where libraries keep what the application said about a request, each under the application's own keys.
_PREFIXES = ("", "langsmith.metadata.", "traceloop.association.properties.", "ai.telemetry.metadata.")
# Of a client span this names what was called, as Anthropic's SDK writes it.
CALLED_ROUTE = "http.route"
_CAMEL_PREFIXES = ("ai.telemetry.metadata.", "ai.settings.context.")


def _said(*keys: str) -> tuple[str | Source, ...]:
    """Return the places where an application's own value is found, by the `keys` it may have."""
    sources: list[str | Source] = []
    for key in keys:
        head, *tail = key.split("_")
        camel = head + "".join(word.capitalize() for word in tail)
        sources += [f"{prefix}{key}" for prefix in _PREFIXES]
        sources += [f"{prefix}{camel}" for prefix in _CAMEL_PREFIXES if f"{prefix}{camel}" not in sources]
        sources += [inside("metadata", key), quoted(f"langfuse.trace.metadata.{key}")]
        sources.append(quoted(f"langfuse.observation.metadata.{key}"))
    return tuple(sources)


CONTEXT_COLUMNS: Columns = {
    "agent_name": ("agent.name", *_said("agent_name", "lc_agent_name")),
    "conversation_id": (
        "gen_ai.conversation.id",
        "session.id",
        "langfuse.session.id",
        *_said("session_id", "thread_id", "conversation_id"),
        quoted("mlflow.trace.session"),
    ),
    "user_id": (
        "user.id",
        "enduser.id",
        "gen_ai.user",
        "llm.user",
        "langfuse.user.id",
        *_said("user_id"),
        quoted("mlflow.trace.user"),
    ),
    "route": (
        names.ROUTE,
        CALLED_ROUTE,
        "metadata.user_api_key_request_route",
        "gen_ai.workflow.name",
        "traceloop.workflow.name",
    ),
    "release": ("langfuse.release", "langfuse.version"),
    "environment": ("langfuse.environment",),
    "variant": (names.RELEASE_VARIANT, "feature_flag.result.variant", "feature_flag.variant"),
    "cohort": (names.RELEASE_COHORT, "llm.release.cohort", *_said("cohort")),
    "pair_id": (names.RELEASE_PAIR_ID,),
    "prompt_name": (
        "gen_ai.prompt.name",
        "gen_ai.prompt.template.name",
        "traceloop.prompt.key",
        "langfuse.observation.prompt.name",
        "prompt.id",
        inside("mlflow.linkedPrompts", 0, "name"),
    ),
    "prompt_version": (
        "gen_ai.prompt.version",
        "gen_ai.prompt.template.version",
        "llm.prompt_template.version",
        "traceloop.prompt.version",
        "traceloop.prompt.version_hash",
        "langfuse.observation.prompt.version",
        inside("mlflow.linkedPrompts", 0, "version"),
    ),
    # OpenTelemetry has no name for the version of a tool or index; the data that a retriever reads has one.
    "tool_version": (
        names.TOOL_VERSION,
        "tool.version",
        "mcp.server.version",
        "gen_ai.retriever.version",
        "retriever.version",
        "gen_ai.data_source.version",
        "gen_ai.data_source.id",
        "db.collection.name",
    ),
    "step": (
        names.TRAJECTORY_STEP,
        *_said("langgraph_step"),
        "gen_ai.react.round",
        Source("langsmith.span.tags", read=to_tagged_step),
        Source("tag.tags", read=to_tagged_step),
    ),
    "step_name": (
        names.TRAJECTORY_STEP_NAME,
        *_said("langgraph_node"),
        "gen_ai.agent.graph.node_name",
    ),
    "retry_count": (
        names.RETRY_COUNT,
        "gen_ai.retry_count",
        "llm.retry_count",
        "retry.count",
        "gen_ai.retry.attempt",
        "gen_ai.retry_attempt",
        "llm.retry_attempt",
        "http.request.resend_count",
    ),
    "fallback_used": (names.FALLBACK_USED, "gen_ai.fallback.triggered", "provider_fallback"),
    "fallback_from": (names.FALLBACK_FROM,),
    "fallback_reason": (names.FALLBACK_REASON,),
    "error_type": (names.ERROR_TYPE,),
}

# Of a client span these name what was called, not what was asked of the application.
SERVER_COLUMNS: Columns = {"route": ("rpc.method", "url.path")}

RESOURCE_COLUMNS: Columns = {
    "service_name": (names.SERVICE_NAME, "openinference.project.name", "project_name"),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "release": (names.SERVICE_VERSION, "project_version_name", "vcs.ref.head.revision"),
}

# Sources of last resort for spans of one kind, after which the span's name is taken.
AGENT_NAMES = ("graph.node.id", "traceloop.entity.name")
AGENT_NAME_PREFIXES = ("invoke_agent ", "create_agent ", "agent_run ")
# Of Google ADK's older spans: "agent_run [name]".
NAME_BRACKETS = "[]"
TOOL_NAMES = ("traceloop.entity.name",)
TOOL_NAME_PREFIXES = ("execute_tool ", "running tool: ")
TOOL_ARGUMENTS = (
    "input.value",
    "tool.parameters",
    "traceloop.entity.input",
    "mlflow.spanInputs",
    "langfuse.observation.input",
    "gcp.vertex.agent.tool_call_args",
    "gen_ai.prompt",
)
TAGS = ("tag.tags", "langfuse.trace.tags", "langsmith.span.tags", "logfire.tags")

_FALLBACK: Mapping[str, tuple[str, ...]] = {
    "fallback_from": (names.FALLBACK_FROM, "fallback.from", "from_model", "from"),
    "fallback_reason": (names.FALLBACK_REASON, "fallback.reason", "reason"),
}
_FLAG: Mapping[str, tuple[str, ...]] = {"variant": ("feature_flag.result.variant", "feature_flag.variant")}
# Columns read from events of a span, after its attributes.
EVENT_COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "gen_ai.choice": {"finish_reason": ("finish_reason",)},
    "feature_flag.evaluation": _FLAG,
    "feature_flag": _FLAG,
    "gen_ai.fallback": _FALLBACK,
    "provider_fallback": _FALLBACK,
}
FALLBACK_EVENTS = frozenset({"gen_ai.fallback", "provider_fallback"})
RETRY_EVENTS = frozenset({"gen_ai.retry", "gen_ai.retry_attempt", "llm.retry"})
FIRST_TOKEN_EVENTS = frozenset({"First Token Stream Event"})
