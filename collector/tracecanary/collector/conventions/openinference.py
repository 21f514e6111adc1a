"""OpenInference (Arize), its integrations of OpenAI Agents and the Claude Agent SDK included.

`llm.model_name` is the answer's model on success and the asked one on failure; what was asked for stands in the JSON of
the call's parameters. The Claude Agent SDK has token counts on the agent's span alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector.conventions.otel_genai import OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, inside, merged

_KIND = "openinference.span.kind"

SPAN_KINDS: Mapping[str, str] = {
    "llm": "llm",
    "embedding": "embedding",
    "chain": "chain",
    "agent": "agent",
    "tool": "tool",
    "retriever": "retriever",
    "reranker": "retriever",
    "guardrail": "guardrail",
    "evaluator": "evaluator",
    "prompt": "chain",
}

# Also the names of traceAI's older generation.
TOKEN_COLUMNS: Columns = {
    "input_tokens": ("llm.token_count.prompt",),
    "output_tokens": ("llm.token_count.completion",),
    "cache_read_tokens": (
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
    ),
    "cache_write_tokens": ("llm.token_count.prompt_details.cache_write",),
    "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
    "reported_cost_nano_usd": ("llm.cost.total",),
    "finish_reason": ("llm.finish_reason",),
    "tool_name": ("tool.name",),
    "agent_name": ("agent.name",),
}
_ASKED: Columns = {
    "request_model": (
        "llm.request.model_name",
        inside("llm.invocation_parameters", "model"),
        inside("llm.invocation_parameters", "model_name"),
        inside("llm.invocation_parameters", "model_id"),
        inside("embedding.invocation_parameters", "model"),
        inside("input.value", "model"),
    ),
}
_ANSWERED: Columns = {
    "provider": ("llm.provider", "llm.system"),
    "response_model": ("llm.response.model_name", "llm.model_name", "embedding.model_name"),
    **TOKEN_COLUMNS,
}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="openinference",
        # The parameters of its response spans are those of the answer, with the answer's model.
        marks=(Mark(scope="openinference.instrumentation.openai_agents*", attributes=(_KIND,)),),
        kind_from=(_KIND,),
        kinds=SPAN_KINDS,
        kinds_by_name={"handoff": "chain"},
        columns=merged(_ANSWERED, {"request_model": ("llm.request.model_name",)}, OTEL_COLUMNS),
    ),
    Convention(
        name="openinference",
        marks=(Mark(attributes=(_KIND,)),),
        kind_from=(_KIND,),
        kinds=SPAN_KINDS,
        columns=merged(_ANSWERED, _ASKED, OTEL_COLUMNS),
    ),
)
