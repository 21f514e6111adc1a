"""Agent frameworks that follow OpenTelemetry's names, mostly: Google ADK, Strands, Semantic Kernel, OpenAI Agents.

Strands writes itself as the provider, and its time to first token in milliseconds. Google ADK writes the model with its
router's prefix; its older spans have no operation, and their usage stands in the answer, with the tokens of thoughts
that the span's own count leaves out.
"""

from __future__ import annotations

from tracecanary.collector import attributes as names
from tracecanary.collector.coercion import to_count
from tracecanary.collector.conventions.otel_genai import OPERATION_KINDS, OTEL_COLUMNS, otel_convention
from tracecanary.collector.conventions.table import Columns, Convention, Mark, inside, merged, milliseconds, quoted

_ADK_ANSWER = "gcp.vertex.agent.llm_response"
_ADK_COUNTS = ("candidates", "prompt", "total")


def _answered_tokens(usage: object) -> int | None:
    """Return the tokens of an answer of Gemini with those of its thoughts, which are counted apart.

    All but the prompt, where the total is known: through LiteLLM the tokens of the answer include those of thoughts.
    """
    if not isinstance(usage, dict):
        return None
    answered, prompt, total = (to_count(usage.get(f"{name}_token_count")) for name in _ADK_COUNTS)
    if answered is None:
        return None
    if prompt is not None and total is not None and total - prompt >= answered:
        return total - prompt - (to_count(usage.get("tool_use_prompt_token_count")) or 0)
    return answered + (to_count(usage.get("thoughts_token_count")) or 0)


_ADK_COLUMNS: Columns = {
    "conversation_id": ("gcp.vertex.agent.session_id",),
    "input_tokens": (inside(_ADK_ANSWER, "usage_metadata", "prompt_token_count"),),
    # The answer's usage first, hence the span's own count as a document, too.
    "output_tokens": (
        inside(_ADK_ANSWER, "usage_metadata", read=_answered_tokens),
        *(quoted(str(name)) for name in OTEL_COLUMNS["output_tokens"]),
    ),
    "cache_read_tokens": (inside(_ADK_ANSWER, "usage_metadata", "cached_content_token_count"),),
    "reasoning_tokens": (inside(_ADK_ANSWER, "usage_metadata", "thoughts_token_count"),),
}

CONVENTIONS: tuple[Convention, ...] = (
    otel_convention(
        "strands",
        Mark(scope="strands*", attributes=(names.OPERATION_NAME,)),
        columns=merged({"time_to_first_token_ns": (milliseconds("gen_ai.server.time_to_first_token"),)}, OTEL_COLUMNS),
    ),
    Convention(
        name="google_adk",
        marks=(Mark(scope="gcp.vertex.agent*"),),
        kind_from=(names.OPERATION_NAME,),
        kinds=OPERATION_KINDS,
        kinds_by_name={"call_llm": "llm", "agent_run": "agent", "invocation": "chain", "execute_tool": "tool"},
        columns=merged(
            {column: sources for column, sources in OTEL_COLUMNS.items() if column != "output_tokens"}, _ADK_COLUMNS
        ),
    ),
    Convention(
        name="semantic_kernel",
        marks=(Mark(scope="semantic_kernel*"), Mark(scope="Microsoft.SemanticKernel*")),
        kind_from=(names.OPERATION_NAME,),
        kinds=OPERATION_KINDS,
        kinds_by_name={"AutoFunctionInvocationLoop": "chain"},
        columns=OTEL_COLUMNS,
    ),
    otel_convention(
        "openai_agents",
        Mark(scope="opentelemetry.instrumentation.openai_agents*", attributes=(names.OPERATION_NAME,)),
        Mark(scope="opentelemetry.instrumentation.genai.openai_agents*", attributes=(names.OPERATION_NAME,)),
    ),
)
